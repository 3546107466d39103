"""What the scripts here have in common: the arms, ratios of two arms, the machine in one line, and the report kept."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mlbench import statistics
from mlbench.compose import compose
from mlbench.environment import environment
from mlbench.measurement.machine_lock import MachineLock
from mlbench.recipes import recipes
from mlbench.records import Arm, Estimate, Turn, Verdict
from mlbench.variants.build import build
from mlbench.variants.store import Store
from mlbench.workloads import Workload
from mlbench.workloads.prepare import prepare

README = Path(__file__).with_name("README.md")
MIN_CALL_MS = 1.0  # below this, a ratio of single calls says more about the clock than about the harness


def arms(overrides: Sequence[str]) -> tuple[Workload, list[Arm]]:
    """The workload and arms of a configuration, built or from the cache; the baseline first."""
    config = compose(list(overrides)).config
    store = Store(config.cache_dir)
    workload = prepare(config.workload, store, lambda _text: None)
    made: list[Arm] = []
    for recipe in recipes(config):
        artifact = build(recipe, workload, store, lambda _text: None)
        made.append(Arm(recipe.name, "variant" if made else "baseline", recipe, artifact, recipe.runtime))
    return workload, made


def machine_alone() -> MachineLock:
    """The machine without a study or another script beside it; waits for their end. Not to be asked for twice."""
    return MachineLock(wait=True, say=lambda text: print(text, file=sys.stderr))


def per_turn(turns: Sequence[Turn], arm: str, figure: Callable[[Turn], float]) -> npt.NDArray[np.float64]:
    """One figure of every turn of one arm, shape (trials, rounds)."""
    found: dict[int, list[float]] = {}
    for turn in sorted((turn for turn in turns if turn.arm == arm), key=lambda turn: (turn.trial, turn.round)):
        found.setdefault(turn.trial, []).append(figure(turn))
    return np.array(list(found.values()))


def turn_p50(turn: Turn) -> float:
    """The median of the turn's timed values, nanoseconds per call."""
    return float(np.median(turn.values_ns()))


def turn_cpu(turn: Turn) -> float:
    """CPU time of the process per timed call, nanoseconds."""
    return turn.cpu_ns / len(turn.timed_ns)


def log_ratios(
    turns: Sequence[Turn], reference: str, arm: str, figure: Callable[[Turn], float] = turn_p50
) -> npt.NDArray[np.float64]:
    """One log ratio of an arm to another per trial, from turns of the same rounds, shape (trials,)."""
    return statistics.paired_log_ratios(per_turn(turns, reference, figure), per_turn(turns, arm, figure))


def against(turns: Sequence[Turn], reference: str, arm: str, margin: float) -> Verdict:
    """The p50 of one arm over that of another by the rule of docs/method.md, with the ratio by CPU time beside it."""
    cpu = log_ratios(turns, reference, arm, turn_cpu)
    return statistics.compare(log_ratios(turns, reference, arm), metric="p50", margin=margin, cpu_log_ratios=cpu)


def interval(estimate: Estimate | None, show: Callable[[float], str], unit: str = "") -> str:
    """An estimate with its interval, each number as ``show`` writes it."""
    if estimate is None:
        return "-"
    value = f"{show(estimate.value)}{unit}"
    if estimate.low is None or estimate.high is None:
        return f"{value} (one trial: no interval)"
    return f"{value} ({show(estimate.low)} to {show(estimate.high)})"


def ratio(estimate: Estimate | None) -> str:
    """A ratio with its interval."""
    return interval(estimate, "{:.4f}".format)


def within(verdict: Verdict) -> str:
    """What a verdict on two things that should be the same comes to, in words."""
    margin = f"{100 * verdict.margin:g} %"
    if verdict.call == "equivalent":
        return f"yes, within {margin}"
    if verdict.call in ("faster", "slower") and verdict.ratio is not None:
        change = 100 * (verdict.ratio.value - 1)
        small = abs(math.log(verdict.ratio.value)) <= math.log1p(verdict.margin)
        return f"no, {change:+.1f} %" + (f" (not shown to be within {margin})" if small else "")
    return f"not shown: {verdict.reason}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def machine() -> str:
    """Where and when: the machine, the versions and how busy it is, in one paragraph."""
    facts = environment()
    versions = ", ".join(f"{name} {facts[f'version.{name}']}" for name in ("torch", "onnxruntime", "numpy"))
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {facts.get('cpu.model', 'an unknown processor')}, "
        f"{facts['cpu.usable']} CPUs, {facts['system']}, Python {facts['python']}, {versions}; "
        f"load average at the start {os.getloadavg()[0]:.1f}.\n\n"
    )


def finish(name: str, report: str, *, write: bool, readme: Path = README) -> None:
    """Print the report and, where that is asked for, keep it in the README between the markers of its name.

    Raises:
        ValueError: The README has no such markers.
    """
    print(report)
    if not write:
        return
    text = readme.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{readme} needs the markers of '{name}' once each")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    readme.write_text(f"{before}{begin}\n{report.strip()}\n\n{end}{after}", encoding="utf-8")
