"""Several variants in one study: Holm's step-down method (docs/method.md, "Several variants")."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from mlbench.records import Call, Verdict
from mlbench.statistics._verdict import MIN_TRIALS, recovered, unsettled


def holm(verdicts: Mapping[str, Verdict], alpha: float = 0.05) -> dict[str, Verdict]:
    """The verdicts of one metric, re-decided for the number of variants in the study.

    Holm (1979) is applied to the two-sided p values of "no difference" and, separately, to the equivalence p values.
    Adjusting only ever weakens a call; one that changed says so in its reason. Verdicts on too few trials are not
    tests and pass through unchanged, as does whatever was withheld.

    Args:
        verdicts: By variant, all on the same metric.
        alpha: Error rate over all variants together.
    """
    tested = [
        name
        for name, verdict in verdicts.items()
        if verdict.p_value is not None and verdict.equivalence_p is not None and verdict.trials >= MIN_TRIALS
    ]
    different = dict(zip(tested, adjusted([verdicts[name].p_value or 0.0 for name in tested]), strict=True))
    equivalent = dict(zip(tested, adjusted([verdicts[name].equivalence_p or 0.0 for name in tested]), strict=True))
    return {
        name: _decided_again(verdict, different[name], equivalent[name], alpha, len(tested))
        if name in different
        else verdict
        for name, verdict in verdicts.items()
    }


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Holm-adjusted p values in the given order: the i-th smallest times (m - i + 1), made monotone, at most 1."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty_like(p)
    result[order] = np.minimum(steps, 1.0)
    return [float(value) for value in result]


def _decided_again(verdict: Verdict, p_different: float, p_equivalent: float, alpha: float, family: int) -> Verdict:
    verdict = dataclasses.replace(verdict, p_adjusted=p_different)
    if verdict.call == "inconclusive":
        return verdict
    if p_equivalent < alpha:
        call: Call = "equivalent"
    elif p_different < alpha:
        call = _direction(verdict)
    else:
        call = "inconclusive"
    if call == verdict.call:
        return verdict
    reason = f"alone it would be {verdict.call}; among {family} variants (Holm) it is {call}"
    if call == "inconclusive":
        summary = recovered(verdict)
        assert summary is not None
        # alpha / family is what the hardest step of Holm asks for
        verdict = dataclasses.replace(unsettled(verdict, summary, alpha / family), withheld=False)
        needed = f"; about {verdict.trials_needed} trials would settle it" if verdict.trials_needed else ""
        return dataclasses.replace(verdict, reason=reason + needed)
    return dataclasses.replace(verdict, call=call, reason=reason)


def _direction(verdict: Verdict) -> Call:
    assert verdict.ratio is not None
    return "faster" if (verdict.ratio.value < 1) == verdict.lower_is_better else "slower"
