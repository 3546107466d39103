"""A baseline that its own library holds back, so that speed-ups over it are partly that.

See docs/method.md, "A fair baseline".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlbench.records import ArmResult, Notice

CODE, TAG = "slow_blas", "mlbench.baseline.handicap"
_MKL, _FAST_ON = "mkl", "GenuineIntel"
_LEAST_PCT = 3.0  # share of a call below which it changes no verdict
_ACTIONS = {
    "torch": (
        "make PyTorch at its best the baseline: baseline=torch_tuned (needs a C++ compiler), or "
        "baseline.runtime.options.matmul_precision=medium (needs none)"
    ),
    "sklearn": "use a numpy that is built with OpenBLAS, as the one from PyPI is",
}


def handicap(arm: ArmResult) -> str:
    """What holds an arm back, as the end of a sentence that begins with its name; nothing where nothing does.

    MKL takes slower paths on processors of other makers. An arm is held back by it as far as it spends its time there.
    """
    facts = arm.effective
    vendor, share = facts.get("cpu_vendor"), facts.get("blas_time_pct")
    if _MKL not in str(facts.get("blas", "")).split(", ") or not vendor or vendor == _FAST_ON:
        return ""
    said = f", by its own word for {facts['blas_kernels']}" if facts.get("blas_kernels") else ""
    library = f"MKL {facts.get('blas_version', '')}".strip()
    slower = f"which takes slower paths on processors that are not Intel's (here {vendor}{said})"
    if not isinstance(share, int | float):
        return f"computes its matrix products with {library}, {slower}; how much of a call that is cannot be told"
    if share < _LEAST_PCT:
        return ""
    bound = f", so that at most x{1 / (1 - share / 100):.2f} of each is due to that" if share < 99.5 else ""
    return f"spends {share:.0f} % of a call in {library}, {slower}{bound}"


def marked(results: Sequence[ArmResult]) -> tuple[ArmResult, ...]:
    """The results, with a warning and a tag for each arm whose speed-up is inflated by the baseline's handicap.

    That is every arm with a verdict that is not held back in the same way.
    """
    baseline = next(arm for arm in results if arm.role == "baseline")
    found = handicap(baseline)
    if not found:
        return tuple(results)
    notice = Notice(CODE, f"its speed-up is partly the baseline's handicap: {baseline.name} {found}", _action(baseline))
    return tuple(
        replace(arm, warnings=(*arm.warnings, notice), tags={**arm.tags, TAG: _MKL})
        if arm.verdicts and not handicap(arm)
        else arm
        for arm in results
    )


def is_inflated(arm: ArmResult) -> bool:
    """Whether the arm's speed-up is partly its baseline's handicap."""
    return any(notice.code == CODE for notice in arm.warnings)


def notices(results: Sequence[ArmResult]) -> list[Notice]:
    """The warnings of all arms for the study; the baseline's handicap once, with the arms that it concerns."""
    found = [notice for arm in results for notice in arm.warnings if notice.code != CODE]
    inflated = [arm.name for arm in results if is_inflated(arm)]
    if inflated:
        baseline = next(arm for arm in results if arm.role == "baseline")
        found.append(
            Notice(
                CODE,
                f"the speed-ups of {', '.join(inflated)} (marked *) are partly the baseline's handicap: "
                f"{baseline.name} {handicap(baseline)}",
                _action(baseline),
            )
        )
    return found


def _action(baseline: ArmResult) -> str:
    return _ACTIONS.get(str(baseline.effective.get("runtime")), "compare with a baseline that is not held back")
