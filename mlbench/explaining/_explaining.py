"""Who needs an explanation, whose profiles it takes, and the explanation itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mlbench.explaining._evidence import Pair
from mlbench.explaining._rules import RULES
from mlbench.records import ArmResult, Profile, Verdict


def needs_explaining(verdict: Verdict) -> bool:
    """Whether an arm with this verdict against its parent is slower, or not shown to be faster.

    A verdict that is withheld says neither, so there is nothing to explain.
    """
    return verdict.call != "faster" and not verdict.withheld


def to_profile(results: Sequence[ArmResult]) -> tuple[str, ...]:
    """Arms whose profiles explanations rest on: those to explain, their parents, and the baseline beside them."""
    explained = [arm for arm in results if arm.why is not None]
    wanted = {arm.name for arm in explained} | {arm.why.parent for arm in explained if arm.why is not None}
    return tuple(arm.name for arm in results if arm.name in wanted or (explained and arm.role == "baseline"))


def explained(
    results: Sequence[ArmResult], profiles: Mapping[str, tuple[Profile, ...]], absent: Mapping[str, str]
) -> tuple[ArmResult, ...]:
    """The results with their profiles, and with reasons where an explanation is wanted.

    Args:
        results: What was concluded of each arm.
        profiles: By arm.
        absent: Why an arm that one is wanted of has none.
    """
    profiled = {arm.name: replace(arm, profiles=profiles.get(arm.name, ())) for arm in results}
    return tuple(_explained(arm, profiled, absent) for arm in profiled.values())


def _explained(arm: ArmResult, results: Mapping[str, ArmResult], absent: Mapping[str, str]) -> ArmResult:
    if arm.why is None:
        return arm
    pair = Pair(arm, results[arm.why.parent])
    reasons = tuple(reason for rule in RULES for reason in rule(pair))
    names = dict.fromkeys((arm.name, arm.why.parent))
    unseen = tuple(f"no profile of {name}: {absent[name]}" for name in names if name in absent)
    return replace(arm, why=replace(arm.why, reasons=reasons, unseen=unseen))
