"""Writes docs/metrics.md from the table in mlbench/metrics.py: python docs/make_metrics.py."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from mlbench.metrics import EVALUATION, METRICS, SERIES, SYSTEM, MetricInfo

PAGE = Path(__file__).with_name("metrics.md")

HEAD = """\
# Metrics

Every metric that mlbench writes, by the name it has in MLflow, in a policy and in `--json` output. The names are a
contract: they do not change within a major version. This page is made from `mlbench/metrics.py` by
`python docs/make_metrics.py`, and a test holds the two together.

- Every value belongs to one arm (a child run), at step 0, unless its section says otherwise. The headline batch size is
  the first of `scenario.batch_sizes`, the largest one gives the throughput.
- A value with an interval comes with its 95 % bounds, as `<name>_low` and `<name>_high`. [The method](method.md) says
  how each interval is made. *Exact* values have none and need none.
- *Better* says which direction is an improvement; empty where neither is in itself.
- What could not be measured is absent and not zero: the reason is in `comparison.json` and in the report.
"""

PREFIXES = {
    "latency": "Time of single calls, and of getting ready.",
    "throughput": "Items per second when calls follow each other.",
    "quality": "Predictions on the test set, through the same runtime that was timed.",
    "agreement": "The arm's outputs against the baseline's, on the same test items. Absent for the baseline.",
    "memory": "Of the arm's own worker process, which holds one runtime and one artifact.",
    "model": "Of the artifact's files. Absent where a format does not show its weights.",
    "cpu": "Of the arm's own worker process, over its timed calls.",
    "gpu": "Of arms that run on an NVIDIA GPU.",
    "energy": "The source is in the tag `mlbench.energy.source`: a counter, or `modelled` where you asked for that.",
    "vs_baseline": "The arm against the baseline, measured in the same study. Absent for the baseline.",
    "by_batch": "One point per batch size: the step of the series is the batch size.",
    "by_length": "One point per input length, where `scenario.input_lengths` is set.",
    "by_threads": "One point per number of threads, where `scenario.threads` is set.",
    "system": (
        "Over time, for the System metrics tab of an arm's run: at most 100 points, each the mean of the turns around\n"
        "its timestamp. The step is the number of the point."
    ),
    "pyfunc": "Of no study: what [MLflow's evaluation](mlflow.md#evaluate) gives, measured inside one process.",
}
BETTER = {"lower": "lower", "higher": "higher", "none": ""}


def table(rows: Iterable[MetricInfo]) -> str:
    """The rows as a Markdown table."""
    lines = ["| metric | unit | better | definition |", "|---|---|---|---|"]
    for row in rows:
        exact = " *Exact.*" if row.exact else ""
        lines.append(f"| `{row.name}` | {row.unit} | {BETTER[row.direction]} | {row.definition}{exact} |")
    return "\n".join(lines)


def render() -> str:
    """The whole page."""
    parts = [HEAD]
    for prefix, rows in groupby((*METRICS, *SERIES, *SYSTEM, *EVALUATION), key=lambda row: row.name.partition("/")[0]):
        parts.append(f"## {prefix}/\n\n{PREFIXES[prefix]}\n\n{table(rows)}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
