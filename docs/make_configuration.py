"""Writes docs/configuration.md from the schema in mlbench/config.py: python docs/make_configuration.py."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from mlbench.schema import REQUIRED, Key, keys

PAGE = Path(__file__).with_name("configuration.md")

HEAD = """\
# Configuration

A study is composed by [Hydra](https://hydra.cc) from the tree in `conf/` and the overrides on the command line, then
validated once. Everything that is wrong is told together, before anything runs. This page is made from
`mlbench/config.py` by `python docs/make_configuration.py`, and a test holds the two together.

- `group=name` selects a file of a group (`protocol=quick`), `variants=[a,b]` several; `mlbench list` shows what there
  is.
- `key.sub=value` sets a value, `+variants.name={steps: [...]}` adds a variant, `~variants.name` takes one away.
- `<name>` below is a name of your own, `[]` stands for every item of a list. The defaults are the schema's; the files
  in `conf/` may set others.

Your own directories come before the packaged tree, so that a file of the same name wins: `mlbench run --config-dir DIR`
(may be repeated), or `MLBENCH_CONFIG_PATH` with several, separated as in `PATH`.

| environment variable | meaning |
|---|---|
| `MLBENCH_CONFIG_PATH` | your own configuration directories |
| `MLBENCH_CACHE_DIR` | where built artifacts are kept, instead of `~/.cache/mlbench` |
| `MLBENCH_DEBUG` | set to anything: errors come with their traceback |
| `MLFLOW_TRACKING_URI` | MLflow's own: where studies go when `tracking.uri` is null |

`hydra.*` keys and `_target_` are refused: mlbench only composes, it never lets a configuration call anything. The one
key that names code to run is `workload.model.factory`.
"""

GROUPS = {
    "workload": "What is benchmarked: model, data and task.",
    "baseline": "The arm that everything is compared against: a recipe with a name.",
    "variants": "The recipes that are measured beside it. A variant without steps is the workload's own model.",
    "scenario": "The load pattern.",
    "protocol": "How it is measured; [the method](method.md) gives the reasons.",
    "probes": "Sources of hardware figures. One that is not available here says so, and its metrics are absent.",
    "policy": "The goals, and what decides between the arms that meet them.",
    "tracking": "Where the evidence goes.",
    "registry": "Where the winner goes.",
    "study": "Keys of the study itself, outside of any group.",
}

MEANINGS = {
    "workload.name": "name in run names, in the report and in `registry.model_name`",
    "workload.model.source": "where the model comes from, one of `mlbench list`'s models",
    "workload.model.factory": "`package.module:function` that returns the torch module; **this code is run**",
    "workload.model.args": "keyword arguments of the factory",
    "workload.model.weights": "safetensors or `weights_only` file with the module's state; instead of training",
    "workload.model.train": "how the model is trained here; null for a model with weights",
    "workload.model.train.epochs": "passes over the training split",
    "workload.model.train.learning_rate": "peak of the one-cycle schedule",
    "workload.model.train.batch_size": "items per step",
    "workload.model.train.weight_decay": "of AdamW",
    "workload.model.train.label_smoothing": "of the cross-entropy",
    "workload.model.train.max_shift": "random shift of images by so many pixels; 0 for none",
    "workload.model.train.seed": "of weights, order and shifts",
    "workload.data.source": "where the data comes from, one of `mlbench list datasets`",
    "workload.data.options": "options of that source, such as `path` for `npz`",
    "workload.data.rows": "a stratified subset of so many rows; null for all",
    "workload.data.test_fraction": "share of the rows that quality is measured on",
    "workload.data.validation_fraction": "share of the rows that exports are checked on",
    "workload.data.seed": "of the stratified split",
    "workload.task": "how outputs become metrics, one of `mlbench list tasks`",
    "name": "name of arm or recipe",
    "steps": "steps in order, each `{name: STEP, ...}` with the step's own parameters",
    "runtime.name": "`auto` takes the runtime that serves the artifact's format",
    "runtime.threads": "threads inside one operator; null takes `threads` of the study",
    "runtime.inter_threads": "threads across operators",
    "runtime.device": "where the artifact runs",
    "runtime.options": "options of that runtime, such as `graph_level` of onnxruntime",
    "description": "one line for the report",
    "scenario.name": "the only one: batches, one after the other",
    "scenario.batch_sizes": "one condition each; the first gives the latency figures, the largest the throughput",
    "protocol.name": "name in the record",
    "protocol.trials": "generations of fresh processes; with fewer than 6 there is no verdict",
    "protocol.rounds": "rounds per trial at the first batch size; even",
    "protocol.calls": "timed values per turn at the first batch size",
    "protocol.discard": "calls at the start of a turn that are not analysed",
    "protocol.sweep_rounds": "rounds at every further batch size; even",
    "protocol.sweep_calls": "timed values per turn at every further batch size",
    "protocol.sweep_discard": "discarded calls at every further batch size",
    "protocol.warmup_calls": "at least so many calls before the first turn",
    "protocol.warmup_seconds": "and at least so long, in seconds",
    "protocol.min_value_ms": "shorter calls are grouped until a timed value lasts so long, in milliseconds",
    "protocol.margin": "p50 within this share counts as equivalent",
    "protocol.alpha": "error rate of the verdicts",
    "protocol.turn_timeout_s": "a worker without an answer for so long is ended, in seconds",
    "probes.names": "which probes are asked, of `mlbench list probes`",
    "policy.name": "name in the record",
    "policy.constraints": "goals that an arm must meet, each tested by the bound of the interval",
    "policy.constraints[].metric": "[public name](metrics.md) of a metric",
    "policy.constraints[].against": "`baseline`: the difference to it; `absolute`: the metric itself",
    "policy.constraints[].unit": "`points`: difference times 100; `percent`: relative; `units`: as it is",
    "policy.constraints[].min": "the interval's lower bound must reach this",
    "policy.constraints[].max": "the interval's upper bound must not pass this",
    "policy.objective.metric": "decides between the arms that meet every goal",
    "policy.objective.goal": "which way is better",
    "policy.objective.require_better": "only an arm whose verdict on it is faster (better) can win",
    "policy.enforce": "exit with 3 (not met) or 4 (inconclusive) instead of 0",
    "tracking.uri": "MLflow tracking URI; null takes `MLFLOW_TRACKING_URI`, or MLflow's own default",
    "tracking.experiment": "MLflow experiment",
    "tracking.log_models": "keep every arm's artifact as a logged model; without it nothing can be promoted",
    "registry.model_name": "registered model; null is `mlbench-<workload>`",
    "registry.alias": "alias that is moved to the winner",
    "registry.promote": "move it at the end of the study; false only decides",
    "seed": "of the order of turns and of resampling",
    "threads": "threads of every arm that does not say otherwise",
    "cache_dir": "where built artifacts are kept; null is `MLBENCH_CACHE_DIR`, or `~/.cache/mlbench`",
}
STUDY = {"name": "name of the study; null makes one from workload and time"}


def group(key: Key) -> str:
    """The group that a key belongs to."""
    head = key.path.partition(".")[0]
    return head if head in GROUPS else "study"


def meaning(key: Key) -> str:
    """What the key is for; recipes share theirs."""
    if key.path in STUDY:
        return STUDY[key.path]
    if key.path in MEANINGS:
        return MEANINGS[key.path]
    return MEANINGS[key.path.removeprefix("baseline.").removeprefix("variants.<name>.")]


def default(key: Key) -> str:
    """The default as YAML would show it."""
    if key.default is REQUIRED:
        return "*required*"
    shown = {None: "null", True: "true", False: "false", "": "''"}
    if isinstance(key.default, (tuple, list)):
        return f"`[{', '.join(str(item) for item in key.default)}]`"
    if isinstance(key.default, dict):
        return "`{}`"
    return f"`{shown.get(key.default, key.default)}`" if not _is_one(key.default) else f"`{key.default}`"


def _is_one(value: object) -> bool:
    """Numbers equal to True or False are no truth values."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def render() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, rows in groupby(keys(), key=group):
        parts.append(
            f"\n## {name}\n\n{GROUPS[name]}\n\n| key | what it may hold | default | meaning |\n|---|---|---|---|\n"
        )
        for key in rows:
            held = "a mapping, or null" if key.path == "workload.model.train" else key.expected
            parts.append(f"| `{key.path}` | {held} | {default(key)} | {meaning(key)} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
