"""Tracking URIs: where they come from, made absolute so that a change of directory cannot move the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlbench.masking import redact

_SQLITE = "sqlite:///"
_NAMED = ("", "databricks", "databricks-uc", "uc")  # stores that MLflow knows by name
_IN_MEMORY = ("", ":memory:")


@dataclass(frozen=True, slots=True)
class Location:
    """A tracking URI and where it was set.

    Attributes:
        uri: Absolute; may hold credentials, so it is never printed, not even by ``repr``: :meth:`shown` is.
        origin: ``tracking.uri``, ``MLFLOW_TRACKING_URI``, ``MLflow's default``, or ``the study``.
    """

    uri: str = field(repr=False)
    origin: str

    def shown(self) -> str:
        """The URI without credentials, and where it was set."""
        return f"'{redact(self.uri)}' ({self.origin})"

    @property
    def is_http(self) -> bool:
        """Whether a tracking server is asked, rather than a store of one's own."""
        return self.scheme in ("http", "https")

    @property
    def scheme(self) -> str:
        """The URI's scheme, in lower case."""
        return urlsplit(self.uri).scheme.lower()

    @property
    def sqlite_path(self) -> Path | None:
        """The file of an SQLite store; None for everything else."""
        if not self.uri.startswith(_SQLITE):
            return None
        path = unquote(self.uri.removeprefix(_SQLITE).partition("?")[0])
        return None if path in _IN_MEMORY else Path(path)


def absolute(uri: str, folder: Path) -> str:
    """The same URI with a relative SQLite file or directory resolved against ``folder``.

    >>> absolute("sqlite:///mlflow.db", Path("/home/me"))
    'sqlite:////home/me/mlflow.db'
    """
    if uri.startswith(_SQLITE):
        path, mark, query = uri.removeprefix(_SQLITE).partition("?")
        if path in _IN_MEMORY:
            return uri
        plain = unquote(path)  # MLflow quotes blanks in its default, and then makes a stray directory of that name
        return f"{_SQLITE}{folder / (path if '%' in plain else plain)}{mark}{query}"
    parts = urlsplit(uri)
    if parts.scheme == "" and uri not in _NAMED:
        return (folder / uri).resolve().as_uri()
    if parts.scheme == "file" and not parts.path.startswith("/"):
        return (folder / unquote(parts.path)).resolve().as_uri()
    return uri
