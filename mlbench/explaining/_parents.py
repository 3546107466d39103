"""Which arm's recipe another one extends."""

from __future__ import annotations

from collections.abc import Sequence

from mlbench.records import ArmResult


def parents(arms: Sequence[ArmResult]) -> dict[str, str]:
    """The parent of each variant, by name: the arm whose steps, all of them, are the longest beginning of its own.

    An arm with steps of its own that nobody else begins with, or with none, has the baseline as its parent. The
    incumbent's recipe is another study's: it neither has a parent nor is one.

    Args:
        arms: Those that were measured, the baseline among them.
    """
    baseline = next(arm for arm in arms if arm.role == "baseline")
    variants = [arm for arm in arms if arm.role == "variant"]
    found = {}
    for arm in variants:
        steps = arm.recipe.steps
        begun = [
            other for other in variants if 0 < (size := len(other.recipe.steps)) < len(steps)
            and other.recipe.steps == steps[:size]
        ]  # fmt: skip
        found[arm.name] = max(begun, key=lambda other: len(other.recipe.steps), default=baseline).name
    return found
