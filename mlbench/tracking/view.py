"""Saved views of MLflow's run page: all studies, each workload over time, and each study with the charts that decide.

MLflow keeps saved views as experiment tags in a format of its own (introduced in 3.15), so this is limited to the
versions that are known to read it; without a view the pages are reached through plain links.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.exceptions import MlflowException

from mlbench.metrics import SWEEPS
from mlbench.records import Study
from mlbench.reporting.view import quality_metric
from mlbench.tracking import content, names

if TYPE_CHECKING:
    from mlbench.tracking.client import Tracker
    from mlbench.tracking.runs import OpenStudy

_PREFIX = "mlflow.sharedViewState."
_KNOWN = ((3, 15), (4, 0))
_TAG_LIMIT = 20_000
_SPACE = uuid.UUID("6f9b6a54-7c0e-4a43-9a0b-0f6f3f3e2c11")  # names the ids below, so that they repeat
_SPEED, _SPEEDUP, _CREATED = "latency/p50_ms", "vs_baseline/speedup_p50", "study.created"
_BARS = (_SPEED, "throughput/samples_per_s", "memory/peak_rss_mib", "memory/disk_mib")
_ALL_STUDIES = "1mlbenchstudies"
_MOST_RUNS = 200  # that MLflow draws in one chart over time
_COLUMNS = (
    _SPEEDUP,
    f"{_SPEEDUP}_low",
    f"{_SPEEDUP}_high",
    _SPEED,
    "latency/p95_ms",
    "throughput/samples_per_s",
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
    """Save the study's view and those of the experiment; False where this MLflow knows none, or one is too long.

    Raises:
        TrackingError: Never because of the views themselves: a store that refuses them gives False.
    """
    if not supported():
        return False
    client = runs.tracker.client
    info = client.get_run(runs.run_id).info
    baseline = runs.arms[study.baseline.name].run_id
    views = {
        _ALL_STUDIES: _packed("mlbench: all studies", 1, _studies()),
        **_trends(study),
        _key(info.start_time, runs.run_id): _packed(
            f"mlbench: {study.name}", info.start_time, _state(study, runs.run_id, baseline)
        ),
    }
    if any(len(text) > _TAG_LIMIT for text in views.values()):
        return False
    try:
        for key, text in views.items():
            client.set_experiment_tag(info.experiment_id, _PREFIX + key, text)
    except MlflowException:  # a server of another version, or one that lets us write no experiment tags
        return False
    return True


def view_key(tracker: Tracker, run_id: str) -> str | None:
    """The key of the study's saved view, as MLflow's links name it; None where there is none."""
    info = tracker.client.get_run(run_id).info
    return _present(tracker, info.experiment_id, _key(info.start_time, run_id))


def all_studies_key(tracker: Tracker) -> str | None:
    """The key of the saved view of all studies; None where there is none."""
    return _present(tracker, tracker.experiment_id, _ALL_STUDIES)


def _present(tracker: Tracker, experiment_id: str, key: str) -> str | None:
    return key if _PREFIX + key in tracker.client.get_experiment(experiment_id).tags else None


def _packed(name: str, moment: int, state: dict[str, Any]) -> str:
    text = base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()
    return json.dumps({"name": name, "createdAt": moment, "updatedAt": moment, "state": f"deflate;{text}"})


def _key(moment: int, run_id: str) -> str:
    return f"{moment}{run_id[:9]}"


def _table(search: str, order_by: str, columns: Sequence[str], *, ascending: bool) -> dict[str, Any]:
    """What every view says: which runs, in which order, with which columns."""
    return {
        "searchFilter": search,
        "orderByKey": order_by,
        "orderByAsc": ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
        "runsHiddenMode": "SHOW_ALL",
        "groupBy": None,
    }


def _studies() -> dict[str, Any]:
    columns = ["attributes.`Created`", *(f"tags.`{name}`" for name in (names.DECISION, names.WINNER, names.NOISE))]
    columns.append("params.`workload`")
    return _table(f"tags.{names.KIND} = 'study'", "attributes.start_time", columns, ascending=False)


def _trends(study: Study) -> dict[str, str]:
    """Views of the workload over time, by key: every arm, and those that a study named as its winner.

    Figures of different workloads have nothing to do with each other, so that each workload has views of its own.
    """
    workload = study.workload.name
    quoted = quoted_for_search(workload)
    if quoted is None:
        return {}
    of_workload = f"tags.{names.KIND} = 'arm' AND tags.{names.WORKLOAD} = {quoted}"
    winners = f"{of_workload} AND tags.{names.SHIP} = 'true'"
    every, shipped = _over_time(study, of_workload), _over_time(study, winners)
    return {
        trend_key("arms", workload): _packed(f"mlbench: {workload}, every arm over time", 2, every),
        trend_key("winners", workload): _packed(f"mlbench: {workload}, winners over time", 3, shipped),
    }


def trend_key(what: str, workload: str) -> str:
    """The key of a view over time: ``arms`` or ``winners`` of a workload."""
    return f"1mlbench{what}{hashlib.sha256(workload.encode()).hexdigest()[:12]}"


def quoted_for_search(text: str) -> str | None:
    """A value in MLflow's search language, which has no way to escape; None where it has both quotation marks."""
    mark = next((mark for mark in "'\"" if mark not in text), None)
    return None if mark is None else f"{mark}{text}{mark}"


def _over_time(study: Study, search: str) -> dict[str, Any]:
    """Figures of many studies by the study's time, a point per arm, in the arm's colour.

    Sorted by a parameter: by its own time of creation MLflow hides arms under their studies, and draws nothing.
    """
    shown = (_SPEED, _SPEEDUP, _quality(study), *_BARS[1:])
    columns = [f"params.`{_CREATED}`", f"tags.`{names.STUDY}`", f"tags.`{names.VERDICT}`", f"tags.`{names.NOISE}`"]
    trends = [_scatter((_CREATED, "PARAM"), (name, "METRIC")) for name in shown]
    return {
        **_table(search, f"params.`{_CREATED}`", [*columns, *(f"metrics.`{name}`" for name in shown)], ascending=False),
        **_charts("over time", {"Over time": trends}, _MOST_RUNS),
    }


def _state(study: Study, run_id: str, baseline: str) -> dict[str, Any]:
    present = {point.key for arm in study.arms for point in content.metrics(arm)}
    columns = [
        f"tags.`{names.VERDICT}`",
        *(f"metrics.`{name}`" for name in (*_COLUMNS, _quality(study)) if name in present),
    ]
    search = f"tags.mlflow.parentRunId = '{run_id}' AND tags.{names.KIND} = 'arm'"
    return {
        **_table(search, f"metrics.`{_SPEED}`", columns, ascending=True),
        **_charts(run_id, _cards(present, _quality(study), baseline), 50),
    }


def _quality(study: Study) -> str:
    """The metric of quality that the policy is about."""
    return names.metric_key(f"quality/{quality_metric(study)}")


def _charts(place: str, cards: Mapping[str, Sequence[dict[str, Any]]], runs: int) -> dict[str, Any]:
    """The charts by section, with ids that are the same whenever the view is saved again."""
    charts: list[dict[str, Any]] = []
    sections = []
    for title, of_section in cards.items():
        if not of_section:
            continue
        section = _id(place, title)
        sections.append({"uuid": section, "name": title, **_shown(), "isReordered": True})
        for number, card in enumerate(of_section):
            same = {"uuid": _id(place, title, number), "metricSectionId": section, "runsCountToCompare": runs}
            charts.append({**same, **_shown(), **card})
    return {
        "isAccordionReordered": True,
        "hideEmptyCharts": True,
        "compareRunSections": sections,
        "compareRunCharts": charts,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _cards(present: set[str], quality: str, baseline: str) -> dict[str, list[dict[str, Any]]]:
    """Charts by section."""
    against = {
        "type": "DIFFERENCE",
        "chartName": "Runs difference view",
        "compareGroups": ["Model metrics", "Parameters"],
        "showChangeFromBaseline": True,
        "showDifferencesOnly": True,
        "baselineColumnUuid": baseline,
    }
    together = [name for name in (_SPEED, "throughput/samples_per_s", quality, *_BARS[2:]) if name in present]
    parallel = {"type": "PARALLEL", "selectedParams": ["runtime"], "selectedMetrics": together, "showAllRuns": True}
    return {
        "Speed against quality": [
            *([_scatter((_SPEED, "METRIC"), (quality, "METRIC"))] if {_SPEED, quality} <= present else []),
            *_bars([_SPEEDUP] if _SPEEDUP in present else []),
        ],
        "Headline figures": _bars([name for name in _BARS if name in present]),
        **{
            f"By {sweep.label}": [_line(name) for name in sorted(present) if name.startswith(f"{sweep.prefix}/")]
            for sweep in SWEEPS
            if any(name.startswith(f"{sweep.prefix}/") for name in present)
        },
        "Against the baseline": [against],
        "All figures together": [parallel] if len(together) > 1 else [],
    }


def _scatter(x: tuple[str, str], y: tuple[str, str]) -> dict[str, Any]:
    return {"type": "SCATTER", "xaxis": {"key": x[0], "type": x[1]}, "yaxis": {"key": y[0], "type": y[1]}}


def _line(metric: str) -> dict[str, Any]:
    return {
        "type": "LINE",
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "xAxisKey": "step",
        "lineSmoothness": 0,
        "useGlobalLineSmoothing": False,
    }


def _bars(metrics: Sequence[str]) -> list[dict[str, Any]]:
    return [{"type": "BAR", "metricKey": name} for name in metrics]


def _shown() -> dict[str, bool]:
    return {"display": True, "deleted": False, "isGenerated": False}


def _id(*parts: object) -> str:
    return str(uuid.uuid5(_SPACE, "/".join(str(part) for part in parts)))
