"""The package's templates and assets. Every value in a template is escaped."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import jinja2


def asset(name: str) -> str:
    """A file beside the templates, as text."""
    return (files("mlbench.reporting") / "templates" / name).read_text(encoding="utf-8")


def template(name: str) -> jinja2.Template:
    """A template, which escapes every value and refuses names that it is not given."""
    return _environment().get_template(name)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


__all__ = ["asset", "template"]
