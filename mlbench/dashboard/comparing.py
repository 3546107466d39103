"""Studies and arms of any experiments beside each other, with a plain word on whether that is a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlbench.dashboard import charts
from mlbench.dashboard.axes import Axis, axes, choose, estimate_of
from mlbench.dashboard.templating import render
from mlbench.dashboard.web import Answer, Request, data, page
from mlbench.errors import InputError
from mlbench.records import Study
from mlbench.reporting import text, view
from mlbench.reporting.across import CAUTION, Entry, differences, entries
from mlbench.reporting.colours import arm_colours
from mlbench.tracking import Tracker, load_study

MOST = 20  # studies on one page
SIDE_BY_SIDE = (
    "All of these arms were measured side by side, in the same rounds of one study: the verdicts are measured."
)


@dataclass(frozen=True, slots=True)
class Compared:
    """What is compared.

    Attributes:
        studies: By run id.
        chosen: Arms that are shown, as (number of the study from 0, number of the arm).
        entries: The arms that are shown, arms of the same name together.
        side_by_side: Whether all of them were measured in one study.
        statement: The same in words.
        differences: What is not the same in all studies that are shown, by what it is: a value for each.
    """

    studies: dict[str, Study]
    chosen: frozenset[tuple[int, int]]
    known: tuple[Axis, ...]
    axis: Axis | None
    entries: tuple[Entry, ...]
    side_by_side: bool
    statement: str
    differences: dict[str, dict[str, str]]


def compare_page(request: Request, tracker: Tracker) -> Answer:
    """The comparison of several studies."""
    found = compared(request, studies_of(request, tracker))
    return page(render("compare.html.j2", request.root, compared=found, colours=colours_of(found.studies)))


def across_figure(request: Request, tracker: Tracker) -> Answer:
    """The figure of one figure of all chosen arms."""
    found = compared(request, studies_of(request, tracker))
    if found.axis is None:
        raise InputError("no arm of these studies has any figure")
    rows = []
    for number, study in enumerate(found.studies.values()):
        for place, arm in enumerate(study.arms):
            estimate = estimate_of(arm, found.axis.key)
            if (number, place) in found.chosen and estimate is not None:
                rows.append(charts.Row(f"[{number + 1}] {arm.name}", text.plain(arm.name), number, estimate))
    order = {name: place for place, name in enumerate(dict.fromkeys(row.arm for row in rows))}
    rows.sort(key=lambda row: order[row.arm])
    return data(
        charts.drawn(charts.across(rows, found.axis, colours_of(found.studies), side_by_side=found.side_by_side))
    )


def colours_of(studies: Mapping[str, Study]) -> dict[str, str]:
    """One colour for every name of an arm, the same in the figure and in the table."""
    names = [text.plain(arm.name) for study in studies.values() for arm in study.arms]
    return arm_colours(names, baselines=[text.plain(study.baseline.name) for study in studies.values()])


def studies_of(request: Request, tracker: Tracker) -> dict[str, Study]:
    """The studies that the address names.

    Raises:
        InputError: None, too many, or one that is not there.
    """
    wanted = list(dict.fromkeys(name.strip() for name in request.query.get("study", ())))
    if not wanted:
        raise InputError("choose studies in the list to compare them")
    if len(wanted) > MOST:
        raise InputError(f"at most {MOST} studies are compared on one page, not {len(wanted)}")
    return {loaded.run_id: loaded.study for loaded in (load_study(tracker, run_id) for run_id in wanted)}


def compared(request: Request, studies: Mapping[str, Study]) -> Compared:
    """What the address chooses of these studies; without a choice, all arms."""
    everything = [(number, place) for number, study in enumerate(studies.values()) for place in range(len(study.arms))]
    wanted = set(request.query.get("arm", ())) if "filter" in request.query else None
    chosen = frozenset(pair for pair in everything if wanted is None or f"{pair[0]}.{pair[1]}" in wanted)
    shown = {number for number, _ in chosen}
    side_by_side = len(shown) < 2
    known = axes(studies.values())
    labels = {f"[{number + 1}]" for number in shown}
    numbered = {(f"[{number + 1}]", text.plain(arm.name)): (number, place)
                for number, study in enumerate(studies.values()) for place, arm in enumerate(study.arms)}  # fmt: skip
    kept = tuple(entry for entry in entries(studies) if numbered[entry.label, entry.row.name] in chosen)
    of_shown = {key: study for number, (key, study) in enumerate(studies.items()) if number in shown}
    return Compared(
        dict(studies),
        chosen,
        known,
        choose(known, request.value("metric"), (view.HEADLINE,)),
        kept,
        side_by_side,
        SIDE_BY_SIDE if side_by_side else CAUTION,
        {} if len(labels) < 2 else differences(of_shown),
    )


__all__ = ["Compared", "across_figure", "compare_page", "compared", "studies_of"]
