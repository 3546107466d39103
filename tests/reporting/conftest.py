"""A realistic study and its awkward relatives."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from reporting_studies import DIGITS, EVIL, POLICY, make_samples, make_study, make_turns, plan, rename

from mlbench.records import Decision, Noise, Notice, Study, Turn


@pytest.fixture(scope="session")
def study() -> Study:
    return make_study()


@pytest.fixture(scope="session")
def samples(study: Study) -> dict[str, np.ndarray]:
    return make_samples(study)


@pytest.fixture(scope="session")
def turns(study: Study) -> tuple[Turn, ...]:
    return make_turns(study)


@pytest.fixture(scope="session")
def few_trials() -> Study:
    """Three trials: every verdict is inconclusive, and says why."""
    full = make_study(trials=3)
    arms = tuple(
        dataclasses.replace(
            a,
            verdicts={
                name: dataclasses.replace(
                    v, call="inconclusive", reason="3 trials: no verdict with fewer than 6", trials_needed=6
                )
                for name, v in a.verdicts.items()
            },
        )
        for a in full.arms
    )
    return dataclasses.replace(
        full,
        arms=arms,
        decision=dataclasses.replace(
            full.decision, outcome="inconclusive", winner=None, sentence="No arm could be told from the baseline."
        ),
        warnings=(Notice("few_trials", "3 trials give no verdict.", "run with protocol.trials=6 or more"),),
        noise=Noise("quiet"),
    )


@pytest.fixture(scope="session")
def single(study: Study) -> Study:
    """The baseline alone."""
    return dataclasses.replace(
        study,
        arms=study.arms[:1],
        plan=plan(("baseline",)),
        decision=Decision("hold", None, "Keep baseline: there is no variant to compare.", (), POLICY),
        warnings=(),
        noise=Noise("quiet", ("load average 0.1",)),
    )


@pytest.fixture(scope="session")
def interrupted(study: Study) -> Study:
    """Ended in the first trial: one arm has no numbers at all, one lost a trial."""
    arms = list(study.arms)
    arms[6] = dataclasses.replace(
        arms[6], metrics={}, series={}, verdicts={}, quality=None, artifact=None, status="incomplete",
        failure="the study was interrupted before its first complete trial",
    )  # fmt: skip
    return dataclasses.replace(
        study,
        arms=tuple(arms),
        status="interrupted",
        decision=Decision("inconclusive", None, "The study was interrupted, so nothing is decided.", (), POLICY),
    )


@pytest.fixture(scope="session")
def hostile(study: Study) -> Study:
    """Names that would do harm if any output let them through."""
    labels = (EVIL, '"><img src=x onerror=alert(1)>', "a|b", "`c`", *DIGITS[4:])
    renamed = rename(make_study(labels=labels), "onnx_fp32", EVIL)
    renamed = rename(renamed, "pruned", "</script><script>alert(1)</script>%{x}|[bold]*x*`")
    renamed = rename(renamed, "onnx_int8_dynamic", "javascript:alert(1)\x1b[31m\nnext")
    info = dataclasses.replace(renamed.workload, name=EVIL)
    return dataclasses.replace(
        renamed,
        name=EVIL,
        workload=info,
        environment={**renamed.environment, EVIL: EVIL},
        overrides=(f"name={EVIL}", "tracking.uri=http://user:secret@host:5000"),
        config={"tracking": {"uri": "http://user:secret@host:5000"}, EVIL: EVIL},
        decision=dataclasses.replace(renamed.decision, sentence=f"Ship it, {EVIL} & 'more'."),
        warnings=(Notice("x", EVIL, EVIL),),
    )
