"""A store of recorded studies that answers like MLflow's client, and counts what it is asked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from mlbench.records import Measurement, Study, to_json
from mlbench.tracking import Tracker, content, names
from mlbench.tracking.files import write_arm
from mlbench.tracking.uris import Location

MINUTE = 60_000


class Found(list):
    """A page of what was searched for."""

    token = ""


class Store:
    """Studies by run id, in the order in which they were added."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, Counter()
        self.runs: dict[str, Any] = {}
        self.experiments = {"1": "mlbench", "2": "<b>other</b>"}
        self.versions: dict[str, list[Any]] = {}
        self.aliases: dict[str, dict[str, str]] = {}

    @property
    def tracker(self) -> Tracker:
        return Tracker(self, Location("sqlite:////fake.db", "this server"), "", "")  # type: ignore[arg-type]

    def add(self, study: Study, measurement: Measurement | None = None, experiment: str = "1") -> str:
        run_id = f"{len(self.runs):032x}"
        tags = {**content.study_tags(study), "mlflow.runName": study.name}
        self.runs[run_id] = self._run(run_id, tags, content.study_params(study), experiment)
        self._keep(run_id, names.STUDY_JSON, to_json(study))
        for arm in study.arms:
            child = f"{len(self.runs):032x}"
            arm_tags = {**content.arm_tags(study, arm, "#000000"), "mlflow.parentRunId": run_id}
            self.runs[child] = self._run(child, arm_tags, {}, experiment)
            if measurement is not None and arm.status == "ok":
                (self.folder / child).mkdir(exist_ok=True)
                write_arm(self.folder / child, arm.name, measurement)
        return run_id

    def add_version(self, name: str, tags: Mapping[str, str], **changes: Any) -> None:
        known = self.versions.setdefault(name, [])
        version = {"version": str(len(known) + 1), "name": name, "tags": dict(tags), "source": "models:/m-1"}
        known.append(SimpleNamespace(**{**version, "creation_timestamp": len(known) * MINUTE, **changes}))

    def _run(self, run_id: str, tags: dict[str, str], params: dict[str, str], experiment: str) -> Any:
        info = SimpleNamespace(
            run_id=run_id, experiment_id=experiment, status="FINISHED", run_name=tags.get("mlflow.runName", ""),
            start_time=len(self.runs) * MINUTE, artifact_uri="",
        )  # fmt: skip
        return SimpleNamespace(info=info, data=SimpleNamespace(tags=tags, params=params))

    def _keep(self, run_id: str, name: str, text: str) -> None:
        (self.folder / run_id).mkdir(exist_ok=True)
        (self.folder / run_id / name).write_text(text)

    # what is used of MLflow's client

    def search_experiments(self, **_: Any) -> list[Any]:
        self.asked["search_experiments"] += 1
        return [SimpleNamespace(experiment_id=key, name=name) for key, name in self.experiments.items()]

    def search_runs(self, experiment_ids, condition, *_args, **options) -> Found:
        """Understands the conditions that are used here, and nothing else."""
        self.asked["search_runs"] += 1
        found = [run for run in self.runs.values() if run.info.experiment_id in experiment_ids]
        for clause in condition.split(" and "):
            found = [run for run in found if self._fits(run, clause)]
        found.sort(key=lambda run: -run.info.start_time)
        if "order_by" in options:  # children, oldest first
            return Found(reversed(found))
        size, token = _args[1], _args[3]
        start = int(token or 0)
        page = Found(found[start : start + size])
        page.token = str(start + size) if start + size < len(found) else ""
        return page

    @staticmethod
    def _fits(run: Any, clause: str) -> bool:
        kind, key, test, value = re.fullmatch(
            r"(tags|params)\.`([^`]+)` (=|ILIKE|IS NULL) ?(?:['\"](.*)['\"])?", clause
        ).groups()
        known = getattr(run.data, kind).get(key)
        if test == "IS NULL":
            return known is None
        if known is None:
            return False
        return known == value if test == "=" else value.strip("%").lower() in known.lower()

    def get_run(self, run_id: str) -> Any:
        if run_id not in self.runs:
            raise MlflowException("no such run", RESOURCE_DOES_NOT_EXIST)
        return self.runs[run_id]

    def download_artifacts(self, run_id: str, path: str, folder: str) -> str:
        self.asked[path] += 1
        source = self.folder / run_id / path
        if not source.exists():
            raise MlflowException("no such artifact", RESOURCE_DOES_NOT_EXIST)
        copy = Path(folder) / path
        copy.write_bytes(source.read_bytes())
        return str(copy)

    def list_artifacts(self, run_id: str) -> list[Any]:
        folder = self.folder / run_id
        return [SimpleNamespace(path=path.name) for path in folder.iterdir()] if folder.exists() else []

    def search_registered_models(self, _filter, size, _order, token) -> Found:
        found = sorted(self.versions)
        start = int(token or 0)
        page = Found(
            SimpleNamespace(name=name, aliases=self.aliases.get(name, {}), last_updated_timestamp=0)
            for name in found[start : start + size]
        )
        page.token = str(start + size) if start + size < len(found) else ""
        return page

    def get_registered_model(self, name: str) -> Any:
        if name not in self.versions:
            raise MlflowException("no such model", RESOURCE_DOES_NOT_EXIST)
        return SimpleNamespace(name=name, aliases=self.aliases.get(name, {}))

    def search_model_versions(self, condition, *_args) -> Found:
        return Found(reversed(next(found for name, found in self.versions.items() if name in condition)))
