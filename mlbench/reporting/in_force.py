"""What was not the same: between the arms of a study, and between its machine and what the policy asks for."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from mlbench.records import Scalar, Study
from mlbench.reporting import text, view
from mlbench.reporting.page import Cell, Table


def differences(study: Study) -> Table | None:
    """Settings in force that all measured arms have and that are not the same for all; None where there are none."""
    arms, keys = _known(study)
    different = [key for key in keys if len({str(effective[key]) for effective in arms.values()}) > 1]
    if not different:
        return None
    rows = tuple(
        (name, tuple(Cell(_shown(effective[key])) for key in different)) for name, effective in arms.items()
    )  # fmt: skip
    return Table(tuple(key.replace("_", " ") for key in different), rows)


def same(study: Study) -> str:
    """Settings in force that are the same for all measured arms, in one sentence; empty where there are none."""
    arms, keys = _known(study)
    first = next(iter(arms.values()), {})
    common = {
        key.replace("_", " "): first[key]
        for key in keys
        if len({str(effective[key]) for effective in arms.values()}) == 1
    }
    return f"The same for all arms: {view.pairs(common)}." if common else ""


def _known(study: Study) -> tuple[dict[str, Mapping[str, Scalar]], list[str]]:
    """What is in force for every arm that was measured, and the settings that all of them have."""
    arms: dict[str, Mapping[str, Scalar]] = {arm.name: arm.effective for arm in study.arms if arm.effective}
    keys = [key for key in next(iter(arms.values()), {}) if all(key in effective for effective in arms.values())]
    return arms, keys


def _shown(value: Scalar) -> str:
    return text.plain(view.scalar(value))


def asked(study: Study) -> tuple[tuple[str, str, str | None, bool], ...]:
    """What the policy asks of the environment: fact, pattern, what it was (None where not known), whether that fits."""
    wanted = study.decision.policy.get("environment")
    if not isinstance(wanted, Mapping):  # a study from before a policy could ask
        return ()
    found = []
    for key, pattern in wanted.items():
        value = study.environment.get(key)
        found.append((str(key), str(pattern), value, value is not None and fnmatchcase(value, str(pattern))))
    return tuple(found)


__all__ = ["asked", "differences", "same"]
