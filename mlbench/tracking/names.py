"""Names in MLflow: tags, artifacts, and what MLflow accepts as a name. Imports nothing heavy, mlflow least of all.

Tags and artifact names are a public contract: scripts and dashboards read them.
"""

from __future__ import annotations

import re
from typing import Final

# tags of runs
KIND: Final = "mlbench.kind"
STUDY: Final = "mlbench.study"
WORKLOAD: Final = "mlbench.workload"
SCHEMA: Final = "mlbench.schema"
VERSION: Final = "mlbench.version"
CREATED: Final = "mlbench.created"
OVERRIDES: Final = "mlbench.overrides"
DECISION: Final = "mlbench.decision"
WINNER: Final = "mlbench.winner"
NOISE: Final = "mlbench.noise"
ENERGY_SOURCE: Final = "mlbench.energy.source"
STATUS: Final = "mlbench.status"
ERROR: Final = "mlbench.error"
ARM: Final = "mlbench.arm"
ROLE: Final = "mlbench.role"
SHIP: Final = "mlbench.ship"
VERDICT: Final = "mlbench.verdict"
ABSENT: Final = "mlbench.absent"
ARTIFACT: Final = "mlbench.artifact"
DATA: Final = "mlbench.data"
MODEL: Final = "mlbench.model"
MODEL_FORM: Final = "mlbench.model.form"
MODEL_NEEDS: Final = "mlbench.model.needs"
MODEL_ABSENT: Final = "mlbench.model.absent"
CHAMPION: Final = "mlbench.champion"
CHAMPION_VERSION: Final = "mlbench.champion.version"

# tags of registered model versions
PROMOTED: Final = "mlbench.promoted"
REPLACED: Final = "mlbench.replaced"
ROLLED_BACK: Final = "mlbench.rolled_back"
RUN: Final = "mlbench.run"

# artifacts of the study
STUDY_JSON: Final = "study.json"
COMPARISON_JSON: Final = "comparison.json"
CONFIG_YAML: Final = "config.yaml"
PLAN_JSON: Final = "plan.json"
ENVIRONMENT_JSON: Final = "environment.json"
MEASUREMENT_JSON: Final = "measurement.json"
REPORT_HTML: Final = "report/report.html"
REPORT_MD: Final = "report/report.md"

# artifacts of an arm
SAMPLES: Final = "samples.parquet"
PREDICTIONS: Final = "predictions.parquet"
HARDWARE: Final = "hardware.parquet"
WORKERS_JSON: Final = "workers.json"
RECIPE_JSON: Final = "recipe.json"
PROFILE_JSON: Final = "profile.json"

_MAX_MODEL_NAME = 256
_MAX_ALIAS = 255
_MAX_EXPERIMENT_NAME = 500


def check_model_name(name: str) -> str | None:
    """Why MLflow's model registry refuses this name, as one sentence; None when it is fine."""
    if not name.strip():
        return "registry.model_name is empty: give the registered model a name, or null for mlbench-<workload>"
    if "/" in name or ":" in name:
        return f"registry.model_name '{name}' holds '/' or ':', which MLflow refuses in names of registered models"
    if name == "." or name.startswith(".."):
        return f"registry.model_name '{name}' reads as a path, which MLflow refuses"
    if len(name) > _MAX_MODEL_NAME:
        return f"registry.model_name has {len(name)} characters; MLflow keeps at most {_MAX_MODEL_NAME}"
    if not name.isprintable():
        return "registry.model_name holds characters that cannot be printed"
    return None


def check_alias(alias: str) -> str | None:
    """Why this cannot be the alias of the champion, as one sentence; None when it is fine."""
    if not re.fullmatch(r"[\w-]+", alias):
        return f"registry.alias '{alias}' must be letters, digits, '_' and '-' only, and not empty"
    if alias.lower() == "latest" or re.fullmatch(r"[vV]\d+", alias):
        return f"registry.alias '{alias}' is reserved by MLflow, as are 'latest' and 'v1', 'v2', ..."
    if alias == "previous" or alias.endswith("-previous"):
        return f"registry.alias '{alias}' is the name under which mlbench keeps the champion before the current one"
    if len(previous_alias(alias)) > _MAX_ALIAS:
        return f"registry.alias has {len(alias)} characters; MLflow keeps at most {_MAX_ALIAS}"
    return None


def check_experiment_name(name: str) -> str | None:
    """Why MLflow refuses this experiment name, as one sentence; None when it is fine."""
    if not name.strip():
        return "tracking.experiment is empty: give the experiment a name"
    if len(name) > _MAX_EXPERIMENT_NAME:
        return f"tracking.experiment has {len(name)} characters; MLflow keeps at most {_MAX_EXPERIMENT_NAME}"
    return None


def default_model_name(workload: str) -> str:
    """The registered model's name where the configuration gives none."""
    return f"mlbench-{workload}"


def previous_alias(alias: str) -> str:
    """The alias under which the champion before the current one is kept.

    >>> previous_alias("champion"), previous_alias("edge")
    ('previous', 'edge-previous')
    """
    return "previous" if alias == "champion" else f"{alias}-previous"


def logged_model_name(workload: str, arm: str) -> str:
    """Name of an arm's logged model; what MLflow refuses there becomes ``-``.

    >>> logged_model_name("digits", "pruned.v2")
    'digits-pruned-v2'
    """
    return re.sub(r"[/:.%\"'\s]+", "-", f"{workload}-{arm}")


def metric_key(name: str) -> str:
    """A metric name with what MLflow refuses replaced by ``_``.

    >>> metric_key("quality/recall@5")
    'quality/recall_5'
    """
    return re.sub(r"[^\w\-. :/]", "_", name)
