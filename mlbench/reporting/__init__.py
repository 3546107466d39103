"""Figures and pages, made from records only.

Importing the package is cheap; the plotting library is imported with the first page or figure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlbench.reporting.html import render_html
    from mlbench.reporting.markdown import render_markdown, render_note
    from mlbench.reporting.summary import render_summary

_HOMES = {
    "render_html": "mlbench.reporting.html",
    "render_markdown": "mlbench.reporting.markdown",
    "render_note": "mlbench.reporting.markdown",
    "render_summary": "mlbench.reporting.summary",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


__all__ = ["render_html", "render_markdown", "render_note", "render_summary"]
