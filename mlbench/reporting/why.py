"""Why arms are not faster than the recipes they extend, as plain unescaped text for every output."""

from __future__ import annotations

from dataclasses import dataclass

from mlbench.records import NO_REASON, ArmResult, OperatorTime, Profile, Study
from mlbench.reporting import text

INTRODUCTION = (
    "Arms that are slower than the recipe they extend, or not shown to be faster, and what the evidence says of it. "
    "Nothing is guessed: where it says nothing, that is what stands here."
)
_SHOWN = 8  # types of operators in one cell


@dataclass(frozen=True, slots=True)
class OperatorsRow:
    """Where the time of one arm's calls goes at one batch size, every cell as text."""

    arm: str
    batch: str
    call: str
    operators: str


@dataclass(frozen=True, slots=True)
class WhyView:
    """One arm's explanation.

    Attributes:
        arm: Its name.
        title: What is to be explained: ``slower than onnx_fp32 (x0.25 (0.24 to 0.26))``.
        reasons: One sentence each; the one that there is none is one too.
        unseen: What could not be looked at.
        operators: Time by operator and on what it ran, next to its parent's and the baseline's.
    """

    arm: str
    title: str
    reasons: tuple[str, ...]
    unseen: tuple[str, ...]
    operators: tuple[OperatorsRow, ...]


def whys(study: Study) -> tuple[WhyView, ...]:
    """Every explanation, in the study's order of arms."""
    return tuple(_view(study, arm) for arm in study.arms if arm.why is not None)


def lines(study: Study) -> tuple[str, ...]:
    """Every explanation in one line, the first reason only."""
    found = []
    for arm in study.arms:
        if arm.why is not None:
            reasons = [text.plain(reason) for reason in arm.why.reasons] or [NO_REASON]
            more = f" (and {len(reasons) - 1} more in the report)" if len(reasons) > 1 else ""
            found.append(f"{text.plain(arm.name)}, {_title(arm)}: {reasons[0]}{more}")
    return tuple(found)


def _view(study: Study, arm: ArmResult) -> WhyView:
    assert arm.why is not None
    names = dict.fromkeys((arm.name, arm.why.parent, study.baseline.name))
    rows = tuple(_row(study.arm(name), profile) for name in names for profile in study.arm(name).profiles)
    return WhyView(
        text.plain(arm.name),
        _title(arm),
        tuple(text.plain(reason) for reason in arm.why.reasons) or (NO_REASON,),
        tuple(text.plain(reason) for reason in arm.why.unseen),
        tuple(sorted(rows, key=lambda row: int(row.batch))),
    )


def _title(arm: ArmResult) -> str:
    """``slower than onnx_fp32 (x0.25)``, or ``not shown to be faster than`` it."""
    assert arm.why is not None
    call = {"slower": "slower than", "equivalent": "no faster than"}.get(
        arm.why.verdict.call, "not shown to be faster than"
    )
    times = text.times(text.improvement(arm.why.verdict))
    return f"{call} {text.plain(arm.why.parent)}" + (f", {times}" if times != text.DASH else "")


def _row(arm: ArmResult, profile: Profile) -> OperatorsRow:
    places = {item.where for item in profile.operators if item.where}
    shown = [_operator(item, where=len(places) > 1) for item in profile.operators]
    rest = sum(item.ms for item in profile.operators[_SHOWN:])
    more = [f"{len(shown) - _SHOWN} others {text.ms(rest)}"] if len(shown) > _SHOWN else []
    all_on = f"; all on {text.plain(next(iter(places)))}" if len(places) == 1 else ""
    return OperatorsRow(
        text.plain(arm.name),
        str(profile.batch_size),
        text.ms(profile.call_ms),
        ", ".join([*shown[:_SHOWN], *more]) + all_on,
    )


def _operator(item: OperatorTime, *, where: bool) -> str:
    """``Conv 0.300 (x4)``, and on what it ran where that is not the same for all."""
    place = f", {text.plain(item.where)}" if where and item.where else ""
    return f"{text.plain(item.operator)} {text.ms(item.ms)} (x{item.calls:.3g}{place})"


__all__ = ["INTRODUCTION", "NO_REASON", "OperatorsRow", "WhyView", "lines", "whys"]
