"""Does the rule keep its promise on this machine? Studies whose answer is known, counted.

Each study measures three arms that are one and the same artifact: the baseline, a twin without any difference, and one
that truly does some per cent more work per call. The twin must not be called different more often than the protocol
states, and the slow one must be found.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlbench import statistics
from mlbench.comparison import p50_verdict
from mlbench.compose import Composition
from mlbench.config import ProtocolConfig
from mlbench.endings import terminable
from mlbench.errors import MlbenchError
from mlbench.figures import Figures, turn_p50
from mlbench.measurement.alone import disturbance
from mlbench.measurement.cpus import usable_cpus
from mlbench.measurement.guarding import guarded
from mlbench.measurement.plan import make_plan
from mlbench.noise import judge
from mlbench.progress import Progress
from mlbench.recipes import recipes
from mlbench.records import Arm, Estimate, Measurement, Noise, StepSpec, Verdict
from mlbench.statistics import BetweenProcesses
from mlbench.study import measure
from mlbench.workshop import Workshop

BASELINE, TWIN, SLOW = "baseline", "twin", "slow"
DIFFERENT = ("faster", "slower")
ENOUGH = 0.8  # a rate of detection below this is worth more trials

Measure = Callable[[int], tuple[Measurement, Noise]]
"""Measures one study of :func:`arms` with the given number as seed, and judges the machine."""


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """What came out.

    Attributes:
        asked: Studies that were asked for.
        studies: Studies that count; the baseline and both arms were complete in them.
        lost: Studies that do not count, because a worker was lost, the machine was unusable, or arms did not run alone.
        percent: Extra work of the slow arm.
        false_calls: Share of studies in which the twin was called faster or slower.
        detected: Share of studies in which the slow arm was called slower.
        allowed: The most false calls that the stated error rate explains, at 5 %: with more of them it is refuted.
        wrong_sign: Share of studies in which the slow arm was called faster.
        half_width: Median half-width of the twin's interval, as a fraction (0.01 is 1 %).
        noisy: Share of studies on a noisy machine.
        between: Where the twin's spread comes from.
        sound: Whether all that is compatible with the stated error rate.
        interrupted: Whether it was stopped before all studies were measured.
        advice: What to do, in plain words.
    """

    asked: int
    studies: int
    lost: int
    percent: float
    false_calls: Estimate
    allowed: int
    detected: Estimate
    wrong_sign: Estimate
    half_width: float
    noisy: float
    between: BetweenProcesses
    sound: bool
    interrupted: bool
    advice: tuple[str, ...]


def arms(baseline: Arm, slow: Arm) -> tuple[Arm, Arm, Arm]:
    """The three arms of every study.

    Args:
        baseline: The artifact under check, as configured.
        slow: The same with the step ``delay``.
    """
    return (
        replace(baseline, name=BASELINE, role="baseline"),
        replace(baseline, name=TWIN, role="variant"),
        replace(slow, name=SLOW, role="variant"),
    )


@guarded()
def run_selfcheck(composition: Composition, studies: int, percent: float, progress: Progress) -> SelfCheck:
    """Check the configured baseline on this machine; needs no MLflow and leaves nothing there.

    Ctrl-C or SIGTERM while measuring ends the workers and gives what was counted so far.

    Args:
        composition: The validated configuration; its variants are not used.
        studies: How many studies.
        percent: Extra work of the slow arm.
        progress: Told what is going on.

    Raises:
        InputError: The data is not fit.
        MlbenchError: The baseline cannot be built, or no study was complete.
        KeyboardInterrupt: Interrupted before there was anything to count.
    """
    config = composition.config
    if config.protocol.budget_minutes is not None:
        progress.notice("protocol.budget_minutes is for one study and has no part in a selfcheck")
    progress.phase("Preparing the workload")
    recipe = recipes(config)[0]
    delay = StepSpec("delay", {"percent": percent})
    with Workshop(config, progress.step) as workshop:
        workshop.read()
        workload = workshop.prepare()
        built = [workshop.build(made, "variant") for made in (recipe, replace(recipe, steps=(*recipe.steps, delay)))]
    three = arms(*built)
    names = [arm.name for arm in three]

    def one(seed: int) -> tuple[Measurement, Noise]:
        progress.phase(f"Study {seed - config.seed + 1} of {studies}")
        plan = make_plan(names, BASELINE, config.scenario, config.protocol, seed, usable_cpus())
        measured = measure(plan, three, workload, config, progress)
        return measured, judge(measured.turns, len(os.sched_getaffinity(0)), measured.machine_looks)

    threads = recipe.runtime.threads
    with terminable():
        return check(studies, percent, config.seed, config.protocol, one, progress.notice, threads)


def check(
    studies: int,
    percent: float,
    seed: int,
    protocol: ProtocolConfig,
    measure: Measure,
    tell: Callable[[str], None] = lambda _text: None,
    threads: int = 1,
) -> SelfCheck:
    """Measure the studies and count, until all are measured or it is interrupted.

    Args:
        studies: How many.
        percent: Extra work of the slow arm.
        seed: Of the first study; every further one adds 1.
        protocol: Margin and error rate.
        measure: Measures one study.
        tell: Told after every study how the count stands.
        threads: Threads of the arms, for the advice.

    Raises:
        MlbenchError: No study was complete.
        KeyboardInterrupt: Interrupted before a study was.
    """
    twins: list[Verdict] = []
    slows: list[Verdict] = []
    rounds: list[np.ndarray] = []
    noisy = lost = 0
    interrupted = False
    for number in range(studies):
        try:
            measurement, noise = measure(seed + number)
        except KeyboardInterrupt:
            interrupted = True
            break
        if not measurement.complete:
            interrupted = True
            break
        unfit = _unfit(measurement, noise)
        if unfit:
            lost += 1
            tell(f"study {number + 1} of {studies} does not count: {unfit}")
            continue
        figures = Figures(measurement)
        noisy += noise.level == "noisy"
        twins.append(p50_verdict(figures, BASELINE, TWIN, protocol))
        slows.append(p50_verdict(figures, BASELINE, SLOW, protocol))
        rounds.append(figures.round_ratios(TWIN, BASELINE, figures.plan.latency_at, turn_p50))
        different, found = _count(twins, *DIFFERENT), _count(slows, "slower")
        tell(
            f"study {number + 1} of {studies}: identical arms {twins[-1].call}, {percent:g} % more work "
            f"{slows[-1].call}; so far {different} called different and {found} found of {len(twins)}"
        )
    if not twins:
        if interrupted:
            raise KeyboardInterrupt
        raise MlbenchError(f"none of {studies} studies can be used: a worker was lost, or the machine was unusable")
    checked = _report(twins, slows, np.concatenate(rounds), percent, protocol)
    checked = replace(checked, asked=studies, lost=lost, noisy=noisy / len(twins), interrupted=interrupted)
    return replace(checked, advice=_advice(checked, protocol, threads))


def _unfit(measurement: Measurement, noise: Noise) -> str:
    """Why a study does not count, or nothing."""
    lost = [loss for loss in measurement.lost if not loss.repeated]
    if lost:
        return f"{lost[0].arm} lost a trial ({lost[0].reason})"
    if noise.level == "unusable":
        return f"the machine was unusable ({'; '.join(noise.evidence)})"
    return disturbance(measurement.turns)


def _count(verdicts: Sequence[Verdict], *calls: str) -> int:
    return sum(verdict.call in calls for verdict in verdicts)


def _report(
    twins: Sequence[Verdict],
    slows: Sequence[Verdict],
    ratios: np.ndarray,
    percent: float,
    protocol: ProtocolConfig,
) -> SelfCheck:
    """The counts and what they say of the rule; what happened on the way, and advice, are added by :func:`check`."""
    count, most = len(twins), statistics.most_expected(len(twins), protocol.alpha)

    def share(verdicts: Sequence[Verdict], *calls: str) -> Estimate:
        return statistics.clopper_pearson(_count(verdicts, *calls), count)

    wrong_sign = share(slows, "faster")
    widths = [
        np.log(verdict.ratio.high / verdict.ratio.low) / 2
        for verdict in twins
        if verdict.ratio is not None and verdict.ratio.low is not None and verdict.ratio.high is not None
    ]
    between = statistics.between_processes(ratios)
    return SelfCheck(
        asked=count,
        studies=count,
        lost=0,
        percent=percent,
        false_calls=share(twins, *DIFFERENT),
        allowed=most,
        detected=share(slows, "slower"),
        wrong_sign=wrong_sign,
        half_width=float(np.median(widths)) if widths else float("inf"),
        noisy=0.0,
        between=between,
        sound=_count(twins, *DIFFERENT) <= most and wrong_sign.value == 0,
        interrupted=False,
        advice=(),
    )


def _advice(checked: SelfCheck, protocol: ProtocolConfig, threads: int) -> tuple[str, ...]:
    said: list[str] = []
    if not checked.sound:
        said.append(
            "verdicts err more often here than the protocol states: do not trust them before the machine is quiet"
        )
    if protocol.trials < statistics.MIN_TRIALS:
        said.append(f"protocol.trials={protocol.trials} never gives a verdict: at least {statistics.MIN_TRIALS}")
    elif checked.detected.value < ENOUGH:
        said.append(
            f"{checked.percent:g} % is found in {100 * checked.detected.value:.0f} % of studies only: "
            f"the interval is ±{100 * checked.half_width:.1f} % wide, raise protocol.trials"
        )
    if checked.between.share > 0.5:
        said.append("fresh processes differ more than rounds do: more trials help, more rounds hardly")
    elif checked.between.share < 0.1:
        said.append(
            "rounds differ more than fresh processes do: more rounds help as much as more trials, and cost less"
        )
    if threads > 1 and (not checked.sound or checked.detected.value < ENOUGH or checked.between.share > 0.5):
        said.append(f"with {threads} threads fresh processes differ more and speeds jump: try threads=1")
    if checked.noisy > 0.2:
        said.append(f"the machine was noisy in {100 * checked.noisy:.0f} % of the studies: stop other work on it")
    if checked.lost:
        said.append(f"{checked.lost} studies do not count: a worker was lost or the machine was unusable")
    if checked.interrupted:
        said.append(f"stopped after {checked.studies + checked.lost} of {checked.asked} studies: fewer can tell less")
    return tuple(said) or ("nothing to change: the rule keeps its promise here",)
