"""A realistic study, made of figures measured on two shared cores."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from mlbench.records import (
    ArmResult,
    Artifact,
    ClassQuality,
    Condition,
    ConstraintResult,
    DataInfo,
    Decision,
    Estimate,
    Judgement,
    Noise,
    Notice,
    Plan,
    Quality,
    Recipe,
    Round,
    RuntimeSettings,
    SeriesPoint,
    StepRecord,
    StepSpec,
    Study,
    TensorSpec,
    Turn,
    Verdict,
    WorkloadInfo,
)

# name: p50 ms at batch 1, ms at batch 32, accuracy, size MiB, peak MiB, steps
FIGURES: dict[str, tuple[float, float, float, float, float, tuple[str, ...]]] = {
    "baseline": (0.88, 14.8, 0.990, 1.41, 262.0, ()),
    "torch_int8": (0.26, 6.9, 0.990, 0.39, 271.0, ("quantize_torch_int8",)),
    "pruned": (0.46, 4.7, 0.993, 0.36, 259.0, ("prune_structured", "fine_tune")),
    "onnx_fp32": (0.37, 10.7, 0.990, 1.40, 74.0, ("export_onnx",)),
    "onnx_int8_dynamic": (1.33, 41.0, 0.990, 0.38, 71.0, ("export_onnx", "quantize_onnx_dynamic")),
    "onnx_int8_static": (0.22, 5.9, 0.990, 0.38, 72.0, ("export_onnx", "quantize_onnx_static")),
    "pruned_onnx_int8": (
        0.15, 2.6, 0.992, 0.11, 69.0,
        ("prune_structured", "fine_tune", "export_onnx", "quantize_onnx_static"),
    ),
}  # fmt: skip
ITEMS = 719
DIGITS = tuple(str(digit) for digit in range(10))


def around(value: float, share: float, *, unit: str = "", n: int = 10) -> Estimate:
    return Estimate(value, value * (1 - share), value * (1 + share), 0.95, n, unit, "t over trials")


def quality(accuracy: float, labels: tuple[str, ...], *, against: float | None, seed: int) -> Quality:
    """Counts that sum to the test set, with the errors on neighbouring classes, and figures read off them."""
    rng = np.random.default_rng(seed)
    size = len(labels)
    confusion = np.diag(np.full(size, ITEMS // size)) + np.diag(np.arange(size) < ITEMS % size)
    for _ in range(round((1 - accuracy) * ITEMS)):
        true = int(rng.integers(size))
        confusion[true, true] -= 1
        confusion[true, (true + 1 + int(rng.integers(2))) % size] += 1
    hits = int(np.trace(confusion))
    value = hits / ITEMS
    share = Estimate(value, value - 0.008, min(1.0, value + 0.006), 0.95, ITEMS, "fraction", "bootstrap over items")
    per_class = tuple(
        ClassQuality(
            label,
            *(
                Estimate(v, max(0.0, v - 0.03), min(1.0, v + 0.02), 0.95, ITEMS, "fraction")
                for v in (precision, recall, f1)
            ),
            support=int(confusion[place].sum()),
        )
        for place, label in enumerate(labels)
        for precision in [confusion[place, place] / max(1, confusion[:, place].sum())]
        for recall in [confusion[place, place] / confusion[place].sum()]
        for f1 in [2 * precision * recall / max(1e-9, precision + recall)]
    )
    metrics = dict.fromkeys(("accuracy", "precision_macro", "recall_macro", "f1_macro", "f1_weighted"), share)
    counts = tuple(tuple(int(v) for v in row) for row in confusion)
    if against is None:
        return Quality(metrics, per_class=per_class, labels=labels, confusion=counts)
    change = value - against
    return Quality(
        metrics,
        deltas={name: Estimate(change, change - 0.005, change + 0.006, 0.95, ITEMS, "fraction") for name in metrics},
        agreement={
            "flip_rate": Estimate(0.0042, 0.0009, 0.0121, 0.95, ITEMS, "fraction", "Wilson"),
            "became_wrong": Estimate(0.0014, 0.0002, 0.0078, 0.95, ITEMS, "fraction", "Wilson"),
            "max_abs_diff": Estimate(0.213),
            "cosine": Estimate(0.99982),
        },
        per_class=per_class,
        labels=labels,
        confusion=counts,
        mcnemar_p=0.625,
    )


def artifact(name: str, steps: Sequence[str], size_mib: float) -> Artifact:
    evidence = {
        "prune_structured": {"parameters_removed_share": 0.744, "channels_before": 320, "channels_after": 160},
        "fine_tune": {"epochs": 6, "validation_accuracy": 0.9907},
        "export_onnx": {"nodes": 14, "opset": 20, "max_abs_diff": 3.1e-6},
        "quantize_onnx_static": {"quantized_nodes": 5, "of_nodes": 5, "calibration_rows": 256},
        "quantize_onnx_dynamic": {"quantized_nodes": 5, "of_nodes": 5},
        "quantize_torch_int8": {"quantized_modules": 6},
    }
    return Artifact(
        digest="3b1f" * 16,
        format="onnx" if "export_onnx" in steps else "torch_module",
        path="/cache/3b1f",
        entry="model.onnx",
        inputs=(TensorSpec("image", "float32", (None, 1, 8, 8)),),
        outputs=(TensorSpec("logits", "float32", (None, 10)),),
        size_bytes=round(size_mib * 2**20),
        steps=tuple(StepRecord(s, {"ratio": 0.5, "seed": 0}, "ab12cd34", evidence[s], 1.7) for s in steps),
    )


def verdict(metric: str, ratio: float, *, spread: float = 0.012, trials: int = 10) -> Verdict:
    call = "faster" if ratio < 1 else "slower"
    if metric.startswith("throughput/"):
        call = "faster" if ratio > 1 else "slower"
    return Verdict(
        metric,
        call,  # type: ignore[arg-type]
        around(ratio, spread, unit="ratio", n=trials),
        around(ratio, spread * 0.8, unit="ratio", n=trials),
        p_value=1e-9,
        p_adjusted=6e-9,
        rank_p=0.002,
        trials=trials,
        lower_is_better=not metric.startswith("throughput/"),
    )


def arm(name: str, *, trials: int = 10, labels: tuple[str, ...] = DIGITS, place: int = 0) -> ArmResult:
    p50, batch_ms, accuracy, size, peak, steps = FIGURES[name]
    base = FIGURES["baseline"]
    runtime = "onnxruntime" if "export_onnx" in steps else "torch"
    is_baseline = name == "baseline"
    base_accuracy = round(base[2] * ITEMS) / ITEMS
    return ArmResult(
        name=name,
        role="baseline" if is_baseline else "variant",
        recipe=Recipe(name, tuple(StepSpec(s) for s in steps), RuntimeSettings(), f"the {name} recipe"),
        artifact=artifact(name, steps, size),
        effective={"runtime": runtime, "version": "1.32.0", "threads": 1, "precision": "float32", "device": "cpu"},
        metrics={
            "latency/p50_ms": around(p50, 0.011, unit="ms", n=trials),
            "latency/p90_ms": around(p50 * 1.14, 0.02, unit="ms", n=trials),
            "latency/p95_ms": around(p50 * 1.24, 0.03, unit="ms", n=trials),
            "latency/p99_ms": around(p50 * 1.9, 0.09, unit="ms", n=trials),
            "latency/mean_ms": around(p50 * 1.06, 0.02, unit="ms", n=trials),
            "latency/load_ms": around(61.0 if runtime == "torch" else 9.4, 0.04, unit="ms", n=trials),
            "latency/first_call_ms": around(p50 * 14, 0.1, unit="ms", n=trials),
            "throughput/samples_per_s": around(32_000 / batch_ms, 0.013, unit="1/s", n=trials),
            "memory/peak_rss_mib": around(peak, 0.004, unit="MiB", n=trials),
            "memory/disk_mib": Estimate(size, unit="MiB"),
            "cpu/utilization_pct": around(98.7, 0.01, unit="%", n=trials),
        },
        absent={"energy/joules_per_sample": "this machine has no readable energy counter"},
        series={
            "by_batch/p50_ms": (
                SeriesPoint(1, around(p50, 0.011, unit="ms")),
                SeriesPoint(8, around(p50 + (batch_ms - p50) * 0.22, 0.012, unit="ms")),
                SeriesPoint(32, around(batch_ms, 0.013, unit="ms")),
            ),
            "by_batch/samples_per_s": (
                SeriesPoint(1, around(1e3 / p50, 0.011, unit="1/s")),
                SeriesPoint(8, around(8e3 / (p50 + (batch_ms - p50) * 0.22), 0.012, unit="1/s")),
                SeriesPoint(32, around(32e3 / batch_ms, 0.013, unit="1/s")),
            ),
        },
        verdicts={}
        if is_baseline
        else {
            "latency/p50_ms": verdict("latency/p50_ms", p50 / base[0], trials=trials),
            "latency/p95_ms": verdict("latency/p95_ms", p50 / base[0], spread=0.05, trials=trials),
            "throughput/samples_per_s": verdict("throughput/samples_per_s", base[1] / batch_ms, trials=trials),
            "memory/peak_rss_mib": verdict("memory/peak_rss_mib", peak / base[4], trials=trials),
        },
        quality=quality(accuracy, labels, against=None if is_baseline else base_accuracy, seed=place),
    )


def failed_arm(name: str = "openvino_int8") -> ArmResult:
    return ArmResult(
        name,
        "variant",
        Recipe(name, (StepSpec("export_onnx"), StepSpec("quantize_onnx_static"))),
        status="failed",
        failure="step 'export_onnx': the operator aten::grid_sampler has no ONNX form at opset 20",
    )


def schedule(names: tuple[str, ...], trials: int, batch_sizes: tuple[int, ...]) -> tuple[Round, ...]:
    rng = np.random.default_rng(0)
    return tuple(
        Round(trial, batch, number, tuple(rng.permutation(names)))
        for trial in range(trials)
        for batch in batch_sizes
        for number in range(10 if batch == batch_sizes[0] else 4)
    )


def plan(names: tuple[str, ...], trials: int = 10) -> Plan:
    conditions = (Condition(1, 10, 2, 10), Condition(8, 4, 1, 3), Condition(32, 4, 1, 3))
    batches = tuple(condition.batch_size for condition in conditions)
    return Plan(0, names, "baseline", conditions, trials, 30, 0.5, 1_000_000, schedule(names, trials, batches))


POLICY = {
    "name": "keep_accuracy",
    "constraints": [{"metric": "quality/accuracy", "against": "baseline", "unit": "points", "min": -1.0}],
    "objective": {"metric": "latency/p50_ms", "goal": "minimize"},
}


def decision(arms: Sequence[ArmResult]) -> Decision:
    winner = "pruned_onnx_int8"
    judgements = tuple(
        Judgement(
            a.name,
            eligible=a.status != "failed",
            constraints=(
                ConstraintResult(
                    "accuracy: at most 1 point below the baseline",
                    None if a.status == "failed" else True,
                    Estimate(0.002, -0.003, 0.008, unit="fraction", n=ITEMS),
                    "the lower bound is -0.3 points",
                ),
            ),
            reason="could not be built"
            if a.status == "failed"
            else "fastest of the arms that meet every goal"
            if a.name == winner
            else "meets every goal, but is not the fastest",
        )
        for a in arms
    )
    return Decision(
        "promote",
        winner,
        "Ship pruned_onnx_int8: x5.87 faster than baseline at p50 (5.80 to 5.94), accuracy +0.1 points (-0.4 to +0.7).",
        judgements,
        POLICY,
    )


def make_study(labels: tuple[str, ...] = DIGITS, trials: int = 10) -> Study:
    """Seven good arms, one of them without p99, and one that could not be built."""
    arms = [arm(name, place=place, labels=labels, trials=trials) for place, name in enumerate(FIGURES)]
    short = arms[1]
    arms[1] = dataclasses.replace(
        short,
        metrics={name: value for name, value in short.metrics.items() if name != "latency/p99_ms"},
        absent={**short.absent, "latency/p99_ms": "400 values cannot support it, 473 are needed"},
    )
    arms.append(failed_arm())
    names = tuple(a.name for a in arms if a.status == "ok")
    rows = {"train": 862, "validation": 216, "test": ITEMS}
    return Study(
        name="digits-2026-01-05-1412",
        created="2026-01-05T14:12:09+00:00",
        version="0.1.0",
        config={"workload": {"name": "digits"}, "protocol": {"trials": trials}, "tracking": {"uri": None}},
        overrides=("protocol.trials=10", "variants=[onnx_fp32, onnx_int8_static]"),
        workload=WorkloadInfo(
            "digits",
            "classification",
            DataInfo(
                "scikit-learn digits",
                "9f2c" * 16,
                rows,
                labels,
                {split: dict.fromkeys(labels, 72) for split in rows},
                (TensorSpec("image", "float32", (None, 1, 8, 8)),),
            ),
            {"factory": "mlbench.workloads.nets:digits_cnn", "parameters": 369_482},
            "77ab" * 16,
        ),
        plan=plan(names, trials),
        environment={
            "python": "3.11.7",
            "system": "Linux 6.1.0",
            "architecture": "x86_64",
            "cpu.model": "AMD EPYC 7B13",
            "cpu.logical": "2",
            "version.torch": "2.13.0",
            "version.onnxruntime": "1.32.0",
        },
        arms=tuple(arms),
        decision=decision(arms),
        noise=Noise("noisy", ("other processes used 0.41 CPUs during the turns", "steal 1.8 %")),
        warnings=(
            Notice(
                "noisy_machine",
                "the machine was noisy while it was measured: other processes used 0.41 CPUs during the turns",
                "stop other work on this machine and run the study again, or raise protocol.trials",
            ),
        ),
        wall_seconds=131.4,
    )


def make_samples(study: Study, calls: int = 1_000) -> dict[str, np.ndarray]:
    """Log-normal call times around each arm's p50, with a tail."""
    rng = np.random.default_rng(3)
    samples = {}
    for result in study.arms:
        if "latency/p50_ms" in result.metrics:
            p50 = result.metrics["latency/p50_ms"].value
            tail = np.where(rng.random(calls) < 0.03, 1 + rng.exponential(0.8, calls), 1.0)
            samples[result.name] = (p50 * 1e6 * np.exp(rng.normal(0, 0.08, calls)) * tail).astype(np.int64)
    return samples


def make_turns(study: Study) -> tuple[Turn, ...]:
    """Turns at the headline batch size in the order of the plan, with a slow drift."""
    rng = np.random.default_rng(4)
    turns, now = [], 5_000_000_000
    for entry in study.plan.schedule:
        if entry.round == 0:
            now += 900_000_000
        for position, name in enumerate(entry.order):
            p50 = study.arm(name).metrics["latency/p50_ms"].value * entry.batch_size**0.7
            timed = (p50 * 1e6 * np.exp(rng.normal(0.01 * entry.trial, 0.05, 10))).astype(np.int64)
            end = now + int(timed.sum() * 1.3)
            turns.append(
                Turn(
                    entry.trial, entry.round, position, name, entry.batch_size, now, end, int(timed.sum()),
                    int(timed.sum()), timed[:2], timed,
                )
            )  # fmt: skip
            now = end + 300_000
    return tuple(turns)


def rename(study: Study, old: str, new: str) -> Study:
    """The study with one arm under another name, everywhere."""
    arms = tuple(
        dataclasses.replace(a, name=new, recipe=dataclasses.replace(a.recipe, name=new)) if a.name == old else a
        for a in study.arms
    )
    judgements = tuple(
        dataclasses.replace(j, arm=new) if j.arm == old else j for j in study.decision.judgements
    )  # fmt: skip
    winner = new if study.decision.winner == old else study.decision.winner
    decided = dataclasses.replace(study.decision, judgements=judgements, winner=winner)
    return dataclasses.replace(study, arms=arms, decision=decided)


EVIL = "<script>alert(1)</script>"


def make_large(arms: int = 40, classes: int = 400, trials: int = 30) -> tuple[Study, dict[str, np.ndarray], list[Turn]]:
    """Far more arms, classes and turns than anybody measures, for the size of the page; only the counts matter."""
    base = make_study(trials=trials)
    labels = tuple(f"class number {number}" for number in range(classes))
    judged = quality(0.99, labels, against=0.991, seed=0)
    judged = dataclasses.replace(judged, class_deltas={c.label: c.recall for c in judged.per_class})
    variant = dataclasses.replace(base.arm("pruned_onnx_int8"), quality=judged)
    names = ("baseline", *(f"a_variant_with_quite_a_long_name_{number}" for number in range(arms - 1)))
    results = tuple(dataclasses.replace(variant, name=name) for name in names)
    results = (dataclasses.replace(results[0], role="baseline", verdicts={}), *results[1:])
    rng = np.random.default_rng(5)
    samples = {name: rng.integers(100_000, 900_000, 20_000) for name in names}
    timed = samples["baseline"][:10]
    turns = [
        Turn(trial, round_, position, name, 1, start, start + 900, 400, 500, timed[:2], timed)
        for trial in range(trials)
        for round_ in range(20)
        for position, name in enumerate(names)
        for start in [((trial * 20 + round_) * len(names) + position) * 1000]
    ]
    decided = dataclasses.replace(base.decision, winner=names[1])
    return dataclasses.replace(base, arms=results, decision=decided), samples, turns
