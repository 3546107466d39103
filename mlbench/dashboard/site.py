"""Every address of the pages, and what an error looks like."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from mlbench.dashboard import comparing, models, promoting, studies
from mlbench.dashboard.guard import NotMeantError
from mlbench.dashboard.templating import render, static
from mlbench.dashboard.web import Answer, Request, data, page
from mlbench.errors import InputError, MlbenchError, NotAllowedError, TrackingError
from mlbench.records import RecordError
from mlbench.tracking import Tracker

_logger = logging.getLogger(__name__)
_RUN = r"/studies/(?P<run_id>[0-9a-f]{32})"
_MODEL = r"/models/(?P<name>.+)"
Page = Callable[..., Answer]
_PAGES: tuple[tuple[str, str, Page], ...] = (
    ("GET", r"", studies.listed),
    ("GET", _RUN, studies.study_page),
    ("GET", rf"{_RUN}/plane\.json", studies.plane_figure),
    ("GET", rf"{_RUN}/samples\.json", studies.samples_figure),
    ("GET", rf"{_RUN}/promote", promoting.promotion_page),
    ("POST", rf"{_RUN}/promote", promoting.promoted),
    ("GET", r"/compare", comparing.compare_page),
    ("GET", r"/compare/figure\.json", comparing.across_figure),
    ("GET", r"/models", models.models_page),
    ("GET", rf"{_MODEL}/trend\.json", models.trend_figure),
    ("GET", _MODEL, models.model_page),
)
_STATIC = re.compile(r"/static/([a-z.]+)")
_STATUS: tuple[tuple[type[MlbenchError], int, str], ...] = (
    (NotMeantError, 403, "Refused"),
    (InputError, 404, "Not found"),
    (RecordError, 422, "This cannot be read"),
    (NotAllowedError, 403, "Not allowed"),
    (TrackingError, 502, "MLflow did not answer as expected"),
)


class Site:
    """The pages.

    Args:
        tracker: The store, asked for at every request.
        closed: Why the pages show nothing, in one sentence; empty where they do.
    """

    def __init__(self, tracker: Callable[[], Tracker], closed: Callable[[], str] = lambda: "") -> None:
        self._tracker, self._closed = tracker, closed

    def answer(self, request: Request) -> Answer:
        """What the browser gets; errors are pages, too."""
        file = _STATIC.fullmatch(request.path)
        if file is not None:
            found = static(file[1], packed="gzip" in request.headers.get("accept-encoding", ""))
            return found or failed(request, 404, "Not found", "there is no such file")
        reason = self._closed()
        if reason:
            return failed(request, 403, "Not shown here", reason)
        try:
            return self._page(request)
        except MlbenchError as error:
            status, title = next(
                ((status, title) for kind, status, title in _STATUS if isinstance(error, kind)), (500, "Failed")
            )
            return failed(request, status, title, str(error))
        except Exception:
            _logger.exception("a page of mlbench failed: %s %s", request.method, request.path)
            return failed(request, 500, "Failed", "this is an error in mlbench; the server's log has the details")

    def _page(self, request: Request) -> Answer:
        known = False
        for method, pattern, handler in _PAGES:
            match = re.fullmatch(pattern, request.path)
            if match is None:
                continue
            if method == request.method:
                parts: Mapping[str, Any] = match.groupdict()
                return handler(request, self._tracker(), **parts)
            known = True
        if known:
            return failed(request, 405, "Not possible", f"{request.method} is not possible here")
        return failed(request, 404, "Not found", "there is no such page")


def failed(request: Request, status: int, title: str, reason: str) -> Answer:
    """An error as a page, or as JSON where a figure was asked for."""
    sentence = reason[:1].upper() + reason[1:]
    if request.path.endswith(".json"):
        return data({"error": sentence}, status)
    return page(render("failed.html.j2", request.root, heading=title, sentence=sentence), status)


__all__ = ["Site", "failed"]
