"""Each kind of metric has a verdict of its own, with its own margin."""

from dataclasses import replace

import numpy as np
import pytest
from measured import ARMS, measure

from mlbench.comparison import P50, P95, PEAK_MEMORY, THROUGHPUT, p50_verdict, verdicts
from mlbench.config import ProtocolConfig
from mlbench.figures import Figures
from mlbench.records import Measurement, Verdict

VARIANTS = [arm.name for arm in ARMS[1:]]


@pytest.fixture(scope="module")
def measured() -> tuple[Measurement, ProtocolConfig]:
    return measure(cpu=0.95)


def found(measurement: Measurement, protocol: ProtocolConfig) -> dict[str, dict[str, Verdict]]:
    return verdicts(Figures(measurement), "baseline", VARIANTS, protocol)


def test_each_kind_of_metric_has_its_own_margin(measured: tuple[Measurement, ProtocolConfig]) -> None:
    measurement, protocol = measured
    protocol = replace(protocol, margin=0.01, tail_margin=0.3, memory_margin=0.5)
    margins = {
        metric: {verdict.margin for verdict in of.values()} for metric, of in found(measurement, protocol).items()
    }
    assert margins == {P50: {0.01}, THROUGHPUT: {0.01}, P95: {0.3}, PEAK_MEMORY: {0.5}}


def test_a_margin_decides_its_own_kind_alone(measured: tuple[Measurement, ProtocolConfig]) -> None:
    measurement, protocol = measured
    usual = found(measurement, protocol)
    assert usual[P95]["slow"].call == "equivalent"  # 10 % is within the tail's margin of 20 %
    strict = found(measurement, replace(protocol, tail_margin=0.03, memory_margin=0.9))
    assert strict[P95]["slow"].call == "slower"
    assert strict[PEAK_MEMORY]["twice"].call == "equivalent"
    assert {name: verdict.call for name, verdict in strict[P50].items()} == {
        name: verdict.call for name, verdict in usual[P50].items()
    }


def test_the_tail_is_compared_by_the_trials_own_percentiles(measured: tuple[Measurement, ProtocolConfig]) -> None:
    measurement, protocol = measured
    figures = Figures(measurement)
    per_trial = []
    for trial in range(8):
        mine, theirs = (
            np.concatenate([t.timed_ns for t in measurement.turns if (t.arm, t.trial, t.batch_size) == (arm, trial, 1)])
            for arm in ("slow", "baseline")
        )
        per_trial.append(np.log(np.quantile(mine, 0.95) / np.quantile(theirs, 0.95)))
    verdict = verdicts(figures, "baseline", VARIANTS, protocol)[P95]["slow"]
    assert verdict.ratio is not None
    assert verdict.ratio.value == pytest.approx(np.exp(np.mean(per_trial)))


def test_holm_is_over_the_variants_of_each_metric(measured: tuple[Measurement, ProtocolConfig]) -> None:
    measurement, protocol = measured
    figures = Figures(measurement)
    alone = {name: p50_verdict(figures, "baseline", name, protocol) for name in VARIANTS}
    together = found(measurement, protocol)[P50]
    assert all(together[name].p_adjusted >= (alone[name].p_value or 0) for name in VARIANTS)  # type: ignore[operator]
    assert together["same"].p_adjusted == pytest.approx(alone["same"].p_value)  # the largest p: times 1


def test_an_arm_without_a_trial_has_no_verdict(measured: tuple[Measurement, ProtocolConfig]) -> None:
    measurement, protocol = measured
    gone = replace(measurement, workers=tuple(w for w in measurement.workers if w.arm != "twice"))
    assert all("twice" not in of for of in found(gone, protocol).values())
