"""A saved view of one study in MLflow's run page: its arms side by side, the charts that decide, the baseline fixed.

MLflow keeps saved views as experiment tags in a format of its own (introduced in 3.15), so this is limited to the
versions that are known to read it; without a view the study's page is reached through a plain link.
"""

from __future__ import annotations

import base64
import json
import uuid
import zlib
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.exceptions import MlflowException

from mlbench.records import Study
from mlbench.tracking import content

if TYPE_CHECKING:
    from mlbench.tracking.client import Tracker
    from mlbench.tracking.runs import OpenStudy

_PREFIX = "mlflow.sharedViewState."
_KNOWN = ((3, 15), (4, 0))
_TAG_LIMIT = 20_000
_SPACE = uuid.UUID("6f9b6a54-7c0e-4a43-9a0b-0f6f3f3e2c11")  # names the ids below, so that they repeat
_SPEED, _QUALITY = "latency/p50_ms", "quality/accuracy"
_SECTIONS = {
    "Speed against quality": ("SCATTER", "PARALLEL"),
    "Against the baseline": ("DIFFERENCE",),
    "By batch size": ("LINE",),
}
_COLUMNS = (
    "vs_baseline/speedup_p50",
    "vs_baseline/speedup_p50_low",
    "vs_baseline/speedup_p50_high",
    _SPEED,
    "latency/p95_ms",
    "throughput/samples_per_s",
    _QUALITY,
    "memory/peak_rss_mib",
    "memory/disk_mib",
)


def supported(version: str = mlflow.__version__) -> bool:
    """Whether this MLflow is known to read saved views in the form written here."""
    try:
        major, minor = (int(part) for part in version.split(".")[:2])
    except ValueError:
        return False
    return _KNOWN[0] <= (major, minor) < _KNOWN[1]


def save_view(runs: OpenStudy, study: Study) -> bool:
    """Save the study's view, once per study; False where this MLflow does not know views or it does not fit."""
    if not supported():
        return False
    client = runs.tracker.client
    moment = client.get_run(runs.run_id).info.start_time
    baseline = runs.arms[study.baseline.name].run_id
    state = json.dumps(_state(study, runs.run_id, baseline)).encode()
    packed = "deflate;" + base64.b64encode(zlib.compress(state, 9)).decode()
    view = {"name": f"mlbench: {study.name}", "createdAt": moment, "updatedAt": moment, "state": packed}
    text = json.dumps(view)
    if len(text) > _TAG_LIMIT:
        return False
    experiment = client.get_run(runs.run_id).info.experiment_id
    try:
        client.set_experiment_tag(experiment, _PREFIX + _key(moment, runs.run_id), text)
    except MlflowException:  # a server of another version, or one that lets us write no experiment tags
        return False
    return True


def view_key(tracker: Tracker, run_id: str) -> str | None:
    """The key of the study's saved view, as MLflow's links name it; None where there is none."""
    info = tracker.client.get_run(run_id).info
    key = _key(info.start_time, run_id)
    return key if _PREFIX + key in tracker.client.get_experiment(info.experiment_id).tags else None


def _key(moment: int, run_id: str) -> str:
    return f"{moment}{run_id[:9]}"


def _state(study: Study, run_id: str, baseline: str) -> dict[str, Any]:
    present = {point.key for arm in study.arms for point in content.metrics(arm)}
    charts: list[dict[str, Any]] = []
    sections = []
    for title, kinds in _SECTIONS.items():
        section = _id(run_id, title)
        sections.append({"uuid": section, "name": title, **_shown(), "isReordered": True})
        for kind in kinds:
            for number, chart in enumerate(_charts(kind, present, baseline)):
                same = {"uuid": _id(run_id, title, kind, number), "type": kind, "metricSectionId": section}
                charts.append({**same, "runsCountToCompare": 50, **_shown(), **chart})
    return {
        "searchFilter": f"tags.mlflow.parentRunId = '{run_id}'",
        "orderByKey": f"metrics.`{_SPEED}`",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [
            "tags.`mlbench.verdict`",
            *(f"metrics.`{name}`" for name in _COLUMNS if name in present),
        ],
        "runsHiddenMode": "SHOW_ALL",
        "isAccordionReordered": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "compareRunSections": sections,
        "compareRunCharts": charts,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _charts(kind: str, present: set[str], baseline: str) -> list[dict[str, Any]]:
    if kind == "SCATTER":
        axes = {"xaxis": {"key": _SPEED, "type": "METRIC"}, "yaxis": {"key": _QUALITY, "type": "METRIC"}}
        return [axes] if {_SPEED, _QUALITY} <= present else []
    if kind == "PARALLEL":
        wanted = (_SPEED, "throughput/samples_per_s", "memory/peak_rss_mib", "memory/disk_mib", _QUALITY)
        shown = [name for name in wanted if name in present]
        return [{"selectedParams": [], "selectedMetrics": shown, "showAllRuns": True}]
    if kind == "LINE":
        series = sorted(name for name in present if name.startswith("by_batch/"))
        return [{"metricKey": name, "selectedMetricKeys": [name], "xAxisKey": "step"} for name in series]
    return [
        {
            "chartName": "Runs difference view",
            "compareGroups": ["Model metrics", "Parameters"],
            "showChangeFromBaseline": True,
            "showDifferencesOnly": True,
            "baselineColumnUuid": baseline,
        }
    ]


def _shown() -> dict[str, bool]:
    return {"display": True, "deleted": False, "isGenerated": False}


def _id(*parts: object) -> str:
    return str(uuid.uuid5(_SPACE, "/".join(str(part) for part in parts)))
