"""Addresses of MLflow's pages."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from mlbench.tracking.calls import doing
from mlbench.tracking.view import all_studies_key, view_key

if TYPE_CHECKING:
    from mlbench.tracking.client import Tracker

DEFAULT_PORT = 5000
_WORKFLOW = "workflowType=machine_learning"  # MLflow opens its page for language models otherwise


def base_url(tracker: Tracker, port: int = DEFAULT_PORT) -> str:
    """Where MLflow's pages are: on the tracking server, or where ``mlbench ui`` serves a local store."""
    if not tracker.location.is_http:
        return f"http://127.0.0.1:{port}"
    scheme, _, rest = tracker.location.uri.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}".rstrip("/")  # credentials stay out of links


def experiment_url(tracker: Tracker, port: int = DEFAULT_PORT) -> str:
    """The table of all studies, with their decisions where MLflow knows saved views."""
    page = f"{base_url(tracker, port)}/#/experiments/{tracker.experiment_id}/runs?{_WORKFLOW}"
    key = all_studies_key(tracker)
    return page if key is None else f"{page}&compareRunsMode=TABLE&viewStateShareKey={key}"


def study_url(tracker: Tracker, run_id: str, port: int = DEFAULT_PORT) -> str:
    """The page that compares the arms of one study: its saved view where there is one, else its arms by latency.

    MLflow hides children under their parent, and so draws empty charts, unless the rows are sorted by a metric.

    Raises:
        TrackingError: MLflow refused.
    """
    page = f"{base_url(tracker, port)}/#/experiments/{tracker.experiment_id}/runs?{_WORKFLOW}&compareRunsMode=CHART"
    with doing("find the study's page"):
        key = view_key(tracker, run_id)
    if key is not None:
        return f"{page}&viewStateShareKey={key}"
    arms = quote(f"tags.mlflow.parentRunId = '{run_id}'", safe="")
    return f"{page}&searchFilter={arms}&orderByKey={quote('metrics.`latency/p50_ms`', safe='')}&orderByAsc=true"


def dashboard_url(tracker: Tracker, run_id: str | None = None, port: int = DEFAULT_PORT) -> str:
    """The list of studies in the pages of mlbench, or one study, where the server has them."""
    page = "" if run_id is None else f"studies/{run_id}"
    return f"{base_url(tracker, port)}/mlbench/{page}"
