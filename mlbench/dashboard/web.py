"""A request, an answer, and what every answer says to the browser. No web framework in here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

MOST_BODY = 64 * 1024  # bytes of a form

_POLICY = (
    "default-src 'none'; "
    "script-src 'self'; "  # our own files: no inline script, no evaluated text
    "style-src 'self' 'unsafe-inline'; "  # plotly.js sets styles while it draws
    "img-src 'self' data: blob:; "
    "connect-src 'self'; "
    "base-uri 'none'; "
    "form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # none at all would hide the origin of our own forms from us, too
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What a browser asks.

    Attributes:
        path: Below the root of the pages, without a slash at the end: ``""``, ``/studies/<id>``.
        root: What stands before the path: ``/mlbench``, behind the server's prefix.
        query, form: Values by name, each a tuple; never empty ones.
        headers: By name in lower case.
        cookies: By name.
        secure: Whether it came over TLS, as far as this server can see.
    """

    method: str
    path: str
    root: str = "/mlbench"
    query: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    form: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    secure: bool = False

    def value(self, name: str, default: str = "") -> str:
        """The first value of that name in the query."""
        return self.query.get(name, (default,))[0]

    def posted(self, name: str) -> str:
        """The first value of that name in the form; empty where there is none."""
        return self.form.get(name, ("",))[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the browser gets; :data:`HEADERS` are added to ``headers`` when it is sent."""

    body: bytes
    content_type: str = "text/html; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Cache-Control": "no-store"})

    @property
    def all_headers(self) -> dict[str, str]:
        """Every header, the type of the content included."""
        return {**HEADERS, "Content-Type": self.content_type, **self.headers}


def page(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A page."""
    return Answer(text.encode("utf-8"), status=status, headers={"Cache-Control": "no-store", **(headers or {})})


def data(value: Any, status: int = 200) -> Answer:
    """Plain values as JSON."""
    return Answer(json.dumps(value, allow_nan=False).encode("utf-8"), "application/json", status)


def moved(address: str) -> Answer:
    """Go there, and ask with GET."""
    return Answer(b"", "text/plain", 303, {"Location": address, "Cache-Control": "no-store"})


def values(text: str) -> dict[str, tuple[str, ...]]:
    """The values of a query or a form by name.

    >>> values("q=a%20b&arm=1&arm=2&empty=")
    {'q': ('a b',), 'arm': ('1', '2')}
    """
    return {name: tuple(found) for name, found in parse_qs(text, max_num_fields=500).items()}


__all__ = ["HEADERS", "MOST_BODY", "Answer", "Request", "data", "moved", "page", "values"]
