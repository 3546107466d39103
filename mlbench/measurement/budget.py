"""A plan that fits into the time there is, and what is given up for it (docs/method.md, "Time budget")."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlbench import statistics
from mlbench.config import ProtocolConfig
from mlbench.errors import InputError
from mlbench.measurement.sizing import with_percentiles
from mlbench.metrics import PERCENTILES
from mlbench.records import MOST_LOOKS, ConditionKey, Measurement, Notice, Turn

Pilot = Callable[[ProtocolConfig], Measurement]

RESERVE = 0.1
"""Share of the time left that is kept back: for publishing, and because a pilot is short."""

_MEDIAN = math.sqrt(math.pi / 2)  # standard error of a median over that of a mean, normal samples


@dataclass(frozen=True, slots=True)
class RoundCost:
    """Seconds that one round takes, over all arms (and conditions, where there are several).

    Attributes:
        call: One call of every arm.
        value: One timed value of every arm: as many calls as make one.
        passing: Handing the turn on, without any call.
    """

    call: float = 0.0
    value: float = 0.0
    passing: float = 0.0

    def seconds(self, discard: int, calls: int) -> float:
        """A round whose turns have so many discarded calls and timed values."""
        return self.passing + discard * self.call + calls * self.value


@dataclass(frozen=True, slots=True)
class Costs:
    """What a trial costs, from a pilot of one.

    Attributes:
        start: Seconds from starting the workers to the first turn, warm-up included, and to end them.
        headline: A round of the headline condition.
        sweep: A round of each further condition, together.
        group: Calls that make one timed value, of the arm with the fewest.
        round_sd: Spread of the log ratio to the baseline between rounds, of the typical variant; None without one.
    """

    start: float
    headline: RoundCost
    sweep: RoundCost = RoundCost()
    group: int = 1
    round_sd: float | None = None

    def seconds(self, protocol: ProtocolConfig) -> float:
        """All trials, of all looks."""
        trial = (
            self.start
            + protocol.rounds * self.headline.seconds(protocol.discard, protocol.calls)
            + protocol.sweep_rounds * self.sweep.seconds(protocol.sweep_discard, protocol.sweep_calls)
        )
        return protocol.trials * (protocol.extend + 1) * trial


def pilot_protocol(protocol: ProtocolConfig) -> ProtocolConfig:
    """The protocol of the pilot: one trial with a few rounds, everything else as it will be."""
    return replace(protocol, trials=1, extend=0, rounds=4, sweep_rounds=2, percentiles=())


def sized(
    protocol: ProtocolConfig, pilot: Pilot, begun: float, now: Callable[[], float]
) -> tuple[ProtocolConfig, tuple[Notice, ...]]:
    """The largest protocol that fits into what is left of the budget after a pilot, and what was given up.

    Args:
        protocol: As asked for, with ``budget_minutes``.
        pilot: Measures by a protocol.
        begun: When the study began, on the same clock as ``now``, in seconds.
        now: The clock.

    Raises:
        InputError: There is no time for a plan that could give a verdict.
        KeyboardInterrupt: The pilot was interrupted.
    """
    assert protocol.budget_minutes is not None
    started = now()
    measured = pilot(pilot_protocol(protocol))
    took = now() - started
    if not measured.complete:
        raise KeyboardInterrupt
    if not measured.turns:  # no arm can be served: the study itself will say why
        return protocol, ()
    left = 60 * protocol.budget_minutes - (now() - begun)
    return fit(costs(measured, took), left * (1 - RESERVE), protocol)


def costs(pilot: Measurement, wall_seconds: float) -> Costs:
    """What the pilot says of a trial.

    Args:
        pilot: Measured by :func:`pilot_protocol`.
        wall_seconds: How long that took.

    Raises:
        ValueError: It holds no turn.
    """
    if not pilot.turns:
        raise ValueError("a pilot without any turn says nothing")
    turns: dict[ConditionKey, list[Turn]] = defaultdict(list)
    for turn in pilot.turns:
        turns[turn.key].append(turn)
    start = max(0.0, wall_seconds - sum(_span(of) for of in turns.values()))
    first = turns.pop(pilot.plan.conditions[0].key)
    return Costs(
        start=start,
        headline=_round_cost(first),
        sweep=_together([_round_cost(of) for of in turns.values()]),
        group=min(turn.group for turn in first),
        round_sd=_round_sd(first, pilot.plan.baseline),
    )


def _span(turns: Sequence[Turn]) -> float:
    return (max(turn.end_ns for turn in turns) - min(turn.start_ns for turn in turns)) / 1e9


def _round_cost(turns: Sequence[Turn]) -> RoundCost:
    """A round of one condition, from all of its turns."""
    by_arm: dict[str, list[Turn]] = defaultdict(list)
    for turn in turns:
        by_arm[turn.arm].append(turn)
    call = value = 0.0
    for of in by_arm.values():
        each = [(t.end_ns - t.start_ns) / 1e9 / max(1, len(t.discarded_ns) + len(t.timed_ns)) for t in of]
        typical = float(np.mean(each))  # a mean: disturbed turns take their time too
        call += typical
        value += typical * of[0].group
    busy = sum(turn.end_ns - turn.start_ns for turn in turns) / 1e9
    passing = max(0.0, _span(turns) - busy) / max(1, len(turns) - 1)
    return RoundCost(call, value, passing * len(by_arm))


def _together(rounds: Sequence[RoundCost]) -> RoundCost:
    return RoundCost(
        sum(each.call for each in rounds), sum(each.value for each in rounds), sum(each.passing for each in rounds)
    )


def _round_sd(turns: Sequence[Turn], baseline: str) -> float | None:
    """Standard deviation over rounds of the log ratio of turn medians, the median over variants."""
    medians: dict[str, dict[int, float]] = defaultdict(dict)
    for turn in turns:
        medians[turn.arm][turn.round] = math.log(float(np.median(turn.values_ns())))
    spreads = []
    for arm, of in medians.items():
        shared = sorted(set(of) & set(medians[baseline]))
        if arm != baseline and len(shared) > 1:
            spreads.append(float(np.std([of[r] - medians[baseline][r] for r in shared], ddof=1)))
    return float(np.median(spreads)) if spreads else None


# ---------------------------------------------------------------------------------------------------------------------
# what fits


def fit(found: Costs, seconds: float, protocol: ProtocolConfig) -> tuple[ProtocolConfig, tuple[Notice, ...]]:
    """The largest protocol that fits, and what was given up for it.

    In this order: further looks; rounds down to half; trials down to 6; rounds down to 2. Sweeps lose rounds in the
    same proportion. Percentiles that were asked for are part of it: they are given up with the rounds they need.

    Args:
        found: What a trial costs.
        seconds: Time for all trials.
        protocol: As asked for.

    Raises:
        InputError: Not even the smallest of these fits, so that the time would be spent for no verdict.
    """
    full = replace(with_percentiles(protocol), percentiles=())
    fitted = next((each for each in _smaller(full) if found.seconds(each) <= seconds), None)
    budget = f"protocol.budget_minutes={protocol.budget_minutes}"
    if fitted is None:
        *_, least = _smaller(full)
        needed = 60 * (protocol.budget_minutes or 0.0) + (found.seconds(least) - seconds) / (1 - RESERVE)
        raise InputError(
            f"{budget}: {_minutes(max(0.0, seconds))} are left for measuring, and {least.trials} trials of "
            f"{least.rounds} rounds, the fewest that can give a verdict, take about {_minutes(found.seconds(least))} "
            f"here: protocol.budget_minutes={_tenths(needed):g} or more, or fewer variants or conditions"
        )
    if fitted == full:
        return fitted, ()
    return fitted, (Notice("time_budget", f"{budget}: {_given_up(found, full, fitted)}", _more(found, full, seconds)),)


def _smaller(full: ProtocolConfig) -> Iterator[ProtocolConfig]:
    """The protocol and everything that is less, in the order in which it is given up."""

    def less(trials: int, rounds: int) -> ProtocolConfig:
        sweep = max(2, _even(full.sweep_rounds * rounds / full.rounds))
        return replace(full, extend=0, trials=trials, rounds=rounds, sweep_rounds=min(full.sweep_rounds, sweep))

    for extend in range(full.extend, -1, -1):
        yield replace(full, extend=extend)
    half, fewest = max(2, _even(full.rounds / 2)), min(full.trials, statistics.MIN_TRIALS)
    for rounds in range(full.rounds - 2, half - 1, -2):
        yield less(full.trials, rounds)
    for trials in range(full.trials - 1, fewest - 1, -1):
        yield less(trials, half)
    for rounds in range(half - 2, 1, -2):
        yield less(fewest, rounds)


def _even(number: float) -> int:
    return 2 * int(number / 2)


def half_width(found: Costs, protocol: ProtocolConfig) -> float | None:
    """Half the interval of a ratio as a fraction, if rounds were all that scatters; None where that is not known.

    t(P - 1) · s · sqrt(pi / 2) / sqrt(P R): the mean over trials of medians over rounds of normal log ratios.
    """
    if found.round_sd is None or protocol.trials < 2:
        return None
    alpha = protocol.alpha / (MOST_LOOKS if protocol.extend else 1)
    t = statistics.t_quantile(protocol.trials - 1, 1 - alpha / 2)
    return math.expm1(t * _MEDIAN * found.round_sd / math.sqrt(protocol.trials * protocol.rounds))


def _given_up(found: Costs, full: ProtocolConfig, fitted: ProtocolConfig) -> str:
    parts = []
    if fitted.extend < full.extend:
        parts.append(f"{fitted.extend} of {full.extend} further looks")
    if fitted.trials < full.trials:
        parts.append(f"{fitted.trials} of {full.trials} trials")
    if fitted.rounds < full.rounds:
        parts.append(f"{fitted.rounds} of {full.rounds} rounds")
    if fitted.sweep_rounds < full.sweep_rounds:
        parts.append(f"{fitted.sweep_rounds} of {full.sweep_rounds} rounds of a sweep")
    said = f"it holds {', '.join(parts)}"
    before, after = half_width(found, full), half_width(found, fitted)
    if before is not None and after is not None:
        said += f"; the interval of a ratio will be ±{100 * after:.2g} % or wider, instead of ±{100 * before:.2g} %"
    lost = [name for name, level in PERCENTILES.items() if _supports(found, full, level)]
    lost = [name for name in lost if not _supports(found, fitted, PERCENTILES[name])]
    return said + (f"; too few calls for {', '.join(lost)}" if lost else "")


def _supports(found: Costs, protocol: ProtocolConfig, level: float) -> bool:
    return statistics.supported(protocol.trials * protocol.rounds * protocol.calls * found.group, level)


def _more(found: Costs, full: ProtocolConfig, seconds: float) -> str:
    more = (found.seconds(full) - seconds) / (1 - RESERVE)
    return f"all of it takes about {_minutes(more)} more: raise protocol.budget_minutes by that, or leave out variants"


def _minutes(seconds: float) -> str:
    return f"{_tenths(seconds):g} minutes"


def _tenths(seconds: float) -> float:
    """In minutes, rounded up to the next tenth."""
    return math.ceil(seconds / 6) / 10
