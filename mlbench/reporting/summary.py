"""A study in a notebook's output cell: decision, table and warnings as a fragment of HTML, every value escaped."""

from __future__ import annotations

from mlbench.records import Study
from mlbench.reporting import text, view
from mlbench.reporting.colours import arm_colours
from mlbench.reporting.templating import template


def render_summary(study: Study) -> str:
    """The decision, the table of all arms and the warnings. Colours and fonts are the notebook's own."""
    return template("summary.html.j2").render(
        study=study,
        view=view,
        text=text,
        rows=view.rows(study),
        quality=view.quality_metric(study).replace("_", " "),
        colours=arm_colours(arm.name for arm in study.arms),
    )


__all__ = ["render_summary"]
