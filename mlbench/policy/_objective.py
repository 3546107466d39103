"""What decides between the arms that meet every constraint (docs/method.md, "Objective")."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mlbench._policy_words import absent, in_brackets, label, signed
from mlbench.config import ObjectiveConfig, TermConfig
from mlbench.metrics import info
from mlbench.policy._evidence import Pair, bounds, difference, inverse, negative, ratio
from mlbench.records import Estimate, Verdict

CONFIDENCE = 0.95
"""Level of the objective's intervals; each look at the verdicts has its share of the rest."""

Standing = Literal["better", "same", "worse", "open"]


@dataclass(frozen=True, slots=True)
class Ranked:
    """The order of arms.

    Attributes:
        best: Position of the winner.
        parted: For each arm the number of the term that parted it from the winner; for the winner the term that
            decided.
    """

    best: int
    parted: tuple[int, ...]


# ---------------------------------------------------------------------------------------------------------------------
# better than the other arm?


def better(objective: ObjectiveConfig, pair: Pair) -> tuple[bool | None, str]:
    """Whether the arm is shown to be better than the other, and what to say about it; None where it cannot be told.

    With several metrics in turn: better on the first one on which the two are not equivalent.
    """
    if objective.combine == "weighted":
        return _better_weighted(objective, pair)
    why = ""
    for term in objective.terms:
        standing, said = _standing(term, pair)
        why = why or said
        if standing == "better":
            return True, said
        if standing != "same":
            return (None if standing == "open" else False), said
    return False, why


def _standing(term: TermConfig, pair: Pair) -> tuple[Standing, str]:
    metric, name = term.metric, label(term.metric)
    if metric in pair.verdicts:
        return _by_verdict(pair.verdicts[metric], name, pair.against)
    found, reason = difference(pair, metric, "units", CONFIDENCE)
    if found is None:
        return "open", reason
    low, high = bounds(metric, found if term.goal == "maximize" else negative(found))
    if low is not None and low > 0:
        return "better", ""
    told = f"its {name} differs from {possessive(pair.against)} by {signed(found)}"
    if low == high == 0:
        return "same", f"its {name} is the same as {possessive(pair.against)}"
    return ("open" if high is None or high > 0 else "worse"), told


def _by_verdict(verdict: Verdict, name: str, against: str) -> tuple[Standing, str]:
    if verdict.call == "faster":
        return "better", verdict.reason
    if verdict.call == "inconclusive":
        return "open", f"its {name} is inconclusive: {verdict.reason}"
    said = {"slower": "worse than", "equivalent": "equivalent to"}[verdict.call]
    words = f"its {name} is {said} {possessive(against)}{in_brackets(verdict.ratio)}"
    return ("same" if verdict.call == "equivalent" else "worse"), words


def _better_weighted(objective: ObjectiveConfig, pair: Pair) -> tuple[bool | None, str]:
    gain, reason = weighted_gain(objective, pair)
    if gain is None:
        return None, reason
    if gain.low is not None and gain.low > 0:
        return True, ""
    told = f"its weighted gain over {pair.against} is {signed(gain)}"
    return (None if gain.high is None or gain.high > 0 else False), told


def possessive(against: str) -> str:
    """``the baseline's``."""
    return f"{against}'s"


# ---------------------------------------------------------------------------------------------------------------------
# the weighted sum


def weighted_gain(objective: ObjectiveConfig, pair: Pair) -> tuple[Estimate | None, str]:
    """The weighted mean of relative gains over the other arm in percent, or why there is none.

    The gain of one metric is the logarithm of the ratio to the other arm, turned so that better is positive; the
    mean over the weights goes back through exp. Its bounds are the weighted means of the metrics' bounds, each at a
    level that shares out the error, so that whatever the metrics have to do with one another the interval holds with
    the level that it states (Bonferroni).
    """
    terms = objective.terms
    total = sum(term.weight for term in terms)
    uncertain = [term for term in terms if not _exact(term.metric)]
    value = low = high = error = 0.0
    n = 0
    known = True
    for term in terms:
        resampled = term.metric.startswith("quality/")  # whose intervals are kept at one level
        confidence = CONFIDENCE if resampled else 1 - (1 - CONFIDENCE) / max(1, len(uncertain))
        found, reason = ratio(pair, term.metric, confidence)
        if found is None:
            return None, reason
        gain = found if term.goal == "maximize" else inverse(found)
        at_least, at_most = bounds(term.metric, gain)
        if _exact(term.metric):
            at_least = at_most = gain.value
        else:
            error += 1 - gain.level
            n = max(n, gain.n)
        share = term.weight / total
        value += share * math.log(gain.value)
        if at_least is None or at_most is None or at_least <= 0:
            known = False
        else:
            low += share * math.log(at_least)
            high += share * math.log(at_most)
    value, low, high = (100 * math.expm1(log) for log in (value, low, high))
    method = "weighted mean of relative gains, bounds by Bonferroni"
    if not known:
        return Estimate(value, n=n, unit="%", method=method), ""
    return Estimate(value, low, high, level=1 - error, n=n, unit="%", method=method), ""


def _exact(metric: str) -> bool:
    row = info(metric)
    return row is not None and row.exact


# ---------------------------------------------------------------------------------------------------------------------
# the best of several


def rank(objective: ObjectiveConfig, pairs: Sequence[Pair]) -> Ranked:
    """The best of arms that may all win.

    One metric, and the last of several in turn: the best estimate. Before that, an arm stays in as long as it is not
    shown to differ from the best one. Weighted: the best estimate of the gain.
    """
    if objective.combine == "weighted":
        gains = [weighted_gain(objective, pair)[0] for pair in pairs]
        best = max(range(len(pairs)), key=lambda index: _worth(gains[index], "maximize"))
        return Ranked(best, (0,) * len(pairs))
    left = list(range(len(pairs)))
    parted = [0] * len(pairs)
    best = 0
    for number, term in enumerate(objective.terms):
        worth = {i: _worth(pairs[i].arm.metrics.get(term.metric), term.goal) for i in left}
        best = max(worth, key=worth.__getitem__)
        for index in left:
            parted[index] = number
        last = number == len(objective.terms) - 1
        left = [best] if last else [index for index in left if not _differ(term, pairs[index], pairs[best])]
        if len(left) == 1:
            break
    return Ranked(best, tuple(parted))


def _worth(estimate: Estimate | None, goal: Literal["minimize", "maximize"]) -> float:
    """The larger the better; what was not measured is the worst."""
    if estimate is None:
        return -math.inf
    return estimate.value if goal == "maximize" else -estimate.value


def _differ(term: TermConfig, one: Pair, other: Pair) -> bool:
    """Whether two arms are shown to differ on a metric: apart by more than the margin, and by their intervals.

    Both are held against the same baseline; intervals that do not overlap are a stricter test than one at 5 %.
    """
    if one is other:
        return False
    verdicts = [pair.verdicts.get(term.metric) for pair in (one, other)]
    if verdicts[0] is not None and verdicts[1] is not None:
        mine, theirs = (ratio(pair, term.metric, CONFIDENCE)[0] for pair in (one, other))
        if mine is None or theirs is None:
            return False
        apart = abs(math.log(mine.value / theirs.value)) > math.log1p(verdicts[0].margin)
    else:
        mine, theirs = (_figure(pair, term.metric) for pair in (one, other))
        if mine is None or theirs is None:
            return mine is not theirs
        apart = mine.value != theirs.value
    (low, high), (their_low, their_high) = bounds(term.metric, mine), bounds(term.metric, theirs)
    if low is None or high is None or their_low is None or their_high is None:
        return False
    return apart and (high < their_low or their_high < low)


def _figure(pair: Pair, metric: str) -> Estimate | None:
    """The paired difference where there is one, else the figure itself."""
    found, _ = difference(pair, metric, "units", CONFIDENCE)
    return found if found is not None else pair.arm.metrics.get(metric)


def missing(objective: ObjectiveConfig, pair: Pair) -> str:
    """Why the arm cannot be ranked: its first metric (weighted: any metric) was not measured; empty where it can."""
    needed = objective.terms if objective.combine == "weighted" else objective.terms[:1]
    return next((absent(term.metric, pair.arm) for term in needed if term.metric not in pair.arm.metrics), "")
