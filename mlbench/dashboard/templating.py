"""The dashboard's templates and static files. Every value in a template is escaped."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import jinja2

from mlbench.dashboard.web import Answer
from mlbench.reporting import page, text, view
from mlbench.reporting.templating import asset

_JAVASCRIPT = "text/javascript; charset=utf-8"
_TYPES = {"report.css": "text/css; charset=utf-8", "dashboard.css": "text/css; charset=utf-8"} | dict.fromkeys(
    ("dashboard.js", "plotly.js"), _JAVASCRIPT
)


def render(name: str, root: str, **context: Any) -> str:
    """A page from its template, as text.

    Args:
        name: File name of the template.
        root: Address of the pages' root, such as ``/mlbench``.
        context: What it shows.
    """
    return (
        _environment()
        .get_template(name)
        .render(root=root, above=root.removesuffix("/mlbench"), static=_address, **context)
    )


def static(name: str, *, packed: bool) -> Answer | None:
    """A static file; None where there is none of that name.

    Args:
        name: Its name.
        packed: Whether the browser takes it compressed.
    """
    if name not in _TYPES:
        return None
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if packed:
        return Answer(_packed(name), _TYPES[name], headers={**headers, "Content-Encoding": "gzip"})
    return Answer(_content(name), _TYPES[name], headers=headers)


def _address(root: str, name: str) -> str:
    """The address of a static file, which changes with its content, so that browsers may keep it."""
    return f"{root}/static/{name}?{_digest(name)}"


def _template(name: str) -> str:
    return (files("mlbench.dashboard") / "templates" / name).read_text(encoding="utf-8")


@cache
def _content(name: str) -> bytes:
    if name == "plotly.js":
        from plotly.offline import get_plotlyjs

        return str(get_plotlyjs()).encode("utf-8")
    return (asset(name) if name == "report.css" else _template(name)).encode("utf-8")


@cache
def _packed(name: str) -> bytes:
    return gzip.compress(_content(name), 6, mtime=0)


@cache
def _digest(name: str) -> str:
    if name == "plotly.js":  # reading its megabytes would delay the first page
        return version("plotly")
    return hashlib.sha256(_content(name)).hexdigest()[:12]


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = text.plain
    environment.globals |= {"text": text, "view": view, "page": page}
    return environment


__all__ = ["render", "static"]
