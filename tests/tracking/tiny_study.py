"""A realistic tiny study, with real artifacts small enough to be built in a test."""

import warnings
from dataclasses import dataclass

import numpy as np
from tiny_nets import images, tiny_cnn

from mlbench.records import (
    Arm,
    ArmResult,
    Artifact,
    Condition,
    ConstraintResult,
    DataInfo,
    Decision,
    Estimate,
    Explanation,
    Judgement,
    LostTrial,
    MachineLook,
    Measurement,
    Neighbour,
    Noise,
    Notice,
    OperatorTime,
    Plan,
    Predictions,
    Profile,
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
    WorkerReport,
    WorkloadInfo,
)
from mlbench.tracking.saving import save_here

INPUTS = (TensorSpec("images", "float32", (None, 1, 8, 8)),)
OUTPUTS = (TensorSpec("scores", "float32", (None, 3)),)
REPORTS = {
    "report_html": "<html><body>report</body></html>",
    "report_markdown": "# report\n",
    "note": "**Ship it**\n",
    "save": save_here,  # what is written in a process of its own is the same, see test_tracking_saving
}
EXAMPLE = {"images": images(3)}


def torch_artifact(folder, factory="tiny_nets:tiny_cnn", module=None, inputs=INPUTS, outputs=OUTPUTS):
    from mlbench.runtimes.torch_module import save_module

    folder.mkdir(parents=True)
    meta = save_module((module or tiny_cnn()).eval(), folder, factory, {})
    return Artifact("a" * 64, "torch_module", str(folder), "weights.safetensors", inputs, outputs, 4000, meta=meta)


def script_artifact(folder):
    import torch

    folder.mkdir(parents=True)
    save_script(tiny_cnn().eval(), torch.from_numpy(images(2)), folder / "model.ts")
    return Artifact("b" * 64, "torchscript", str(folder), "model.ts", INPUTS, OUTPUTS, 5000)


def save_script(module, example, path):
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module, example, strict=False).save(str(path))


def onnx_artifact(folder):
    """``scores = flatten(images) @ weight + bias``, so that numpy alone is the oracle."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    folder.mkdir(parents=True)
    weight, bias = onnx_weights()
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "weight", "bias"], ["scores"]),
        ],
        "linear",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save_model(model, folder / "model.onnx")
    steps = (StepRecord("export_onnx", {"opset": 17}, "f" * 64, {"nodes": 2}, 0.5),)
    return Artifact("c" * 64, "onnx", str(folder), "model.onnx", INPUTS, OUTPUTS, 900, steps)


def split_onnx_artifact(folder):
    """``scores = flatten(images) @ first @ second`` with the first weight in a file of its own, as of large models."""
    from onnx import TensorProto, helper, numpy_helper

    from mlbench.workloads.onnx_data import save

    folder.mkdir(parents=True)
    first, second = split_onnx_weights()
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["flat"], axis=1),
            helper.make_node("MatMul", ["flat", "first"], ["hidden"]),
            helper.make_node("MatMul", ["hidden", "second"], ["scores"]),
        ],
        "linear",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    save(model, folder / "model.onnx", split=True)
    return Artifact("8" * 64, "onnx", str(folder), "model.onnx", INPUTS, OUTPUTS, 5000)


def split_onnx_weights():
    generator = np.random.default_rng(8)
    return generator.normal(size=(64, 16)).astype(np.float32), generator.normal(size=(16, 3)).astype(np.float32)


def onnx_weights():
    generator = np.random.default_rng(7)
    return generator.normal(size=(64, 3)).astype(np.float32), generator.normal(size=3).astype(np.float32)


def sklearn_artifact(folder, estimator=None):
    """A fitted estimator, and the same as an artifact."""
    import joblib
    from sklearn.linear_model import LogisticRegression

    folder.mkdir(parents=True)
    fitted = (estimator or LogisticRegression()).fit(images(30).reshape(30, 64), np.arange(30) % 3)
    joblib.dump(fitted, folder / "model.joblib")
    inputs = (TensorSpec("pixels", "float32", (None, 64)),)
    meta = {"method": "predict_proba"}
    return fitted, Artifact("5" * 64, "sklearn", str(folder), "model.joblib", inputs, OUTPUTS, 900, meta=meta)


@dataclass(frozen=True)
class Arms:
    torch: Artifact
    script: Artifact
    onnx: Artifact
    delayed: Artifact


# ---------------------------------------------------------------------------------------------------------------------
# a study


def arms_of(artifacts):
    settings = RuntimeSettings()
    return {
        "baseline": Arm("baseline", "baseline", Recipe("baseline"), artifacts.torch, settings),
        "fast": Arm(
            "fast",
            "variant",
            Recipe("fast", (StepSpec("export_onnx", {"opset": 17}),), description="ONNX Runtime"),
            artifacts.onnx,
            settings,
        ),
        "script": Arm("script", "variant", Recipe("script", (StepSpec("trace"),)), artifacts.script, settings),
        "slow": Arm(
            "slow", "variant", Recipe("slow", (StepSpec("delay", {"percent": 10}),)), artifacts.delayed, settings
        ),
    }


def make_plan():
    names = ("baseline", "fast", "script", "slow")
    conditions = (Condition(1, 2, 1, 2), Condition(8, 2, 0, 1))
    schedule = tuple(
        Round(trial, condition.batch_size, index, names if index % 2 == 0 else names[::-1])
        for trial in range(2)
        for condition in conditions
        for index in range(condition.rounds)
    )
    return Plan(3, names, "baseline", conditions, 2, 3, 0.0, 1000, schedule)


def make_measurement():
    plan = make_plan()
    generator = np.random.default_rng(1)
    turns, clock = [], 10_000
    for planned in plan.schedule:
        condition = next(item for item in plan.conditions if item.batch_size == planned.batch_size)
        for position, arm in enumerate(planned.order):
            turns.append(
                Turn(
                    planned.trial,
                    planned.round,
                    position,
                    arm,
                    planned.batch_size,
                    clock,
                    clock + 900,
                    400,
                    500,
                    generator.integers(100, 200, condition.discard),
                    generator.integers(100, 200, condition.calls * 2),
                    2,
                    {"rss_mib": 50.0 + position} if position else {},
                )
            )
            clock += 1000
    workers = [
        WorkerReport(
            arm,
            trial,
            100 + trial,
            5.5,
            7.5,
            40.0,
            60.0,
            {"1": 61.0, "8": 64.0},
            generator.integers(100, 300, 3),
            {"runtime": "torch", "threads": 1},
            ("numpy", "torch"),
            cpus=(trial % 2,),
        )
        for trial in range(plan.trials)
        for arm in plan.arms
    ]
    labels = np.array([0, 1, 2, 1])
    predictions = [Predictions(arm, generator.random((4, 3)), labels) for arm in plan.arms]
    return Measurement(
        plan,
        tuple(turns),
        tuple(workers),
        tuple(predictions),
        (LostTrial("script", 1, "worker killed"),),
        {"busy": 0.25},
        "absent",
        {"energy/joules_per_sample": "no counter here"},
        machine_looks=(
            MachineLook("before", None, 0.5, {"busy_cpus": 0.1, "steal_cpus": 0.0, "load_1m": 0.2}),
            MachineLook("during", 0, 9.0, {"busy_cpus": 1.4}, (Neighbour("browser", 0.3),)),
        ),
        epoch_ns=1_767_225_600_000_000_000,
    )


def make_verdict(call, ratio):
    low, high = ratio * 0.95, ratio * 1.05
    return Verdict("latency/p50_ms", call, Estimate(ratio, low, high, n=10, unit="ratio"), trials=10, p_value=0.001)


def make_result(arm, p50, accuracy, verdict=None, **changes):
    metrics = {
        "latency/p50_ms": Estimate(p50, p50 * 0.98, p50 * 1.02, n=10, unit="ms"),
        "throughput/samples_per_s": Estimate(123456.789, n=10, unit="1/s"),
        "quality/accuracy": Estimate(accuracy, accuracy - 0.01, accuracy + 0.01, n=4, unit="fraction"),
        "memory/disk_mib": Estimate(arm.artifact.size_bytes / 2**20, n=1, unit="MiB"),
    }
    quality = None
    if verdict is not None:
        speedup = 1 / verdict.ratio.value
        metrics["vs_baseline/speedup_p50"] = Estimate(speedup, speedup * 0.95, speedup * 1.05, n=10, unit="ratio")
        delta = Estimate(-0.001, -0.005, 0.003, n=4, unit="fraction")
        metrics["vs_baseline/accuracy_delta"] = delta
        quality = Quality({"accuracy": metrics["quality/accuracy"]}, {"accuracy": delta})
    series = {
        "by_batch/p50_ms": (SeriesPoint(1, Estimate(p50, unit="ms")), SeriesPoint(8, Estimate(5 * p50, unit="ms")))
    }
    values = {
        "artifact": arm.artifact,
        "effective": {"runtime": "onnxruntime", "version": "1.32.0", "threads": 1, "precision": "fp32"},
        "metrics": metrics,
        "absent": {"energy/joules_per_sample": "no counter here"},
        "series": series,
        "verdicts": {} if verdict is None else {"latency/p50_ms": verdict},
        "quality": quality,
        **changes,
    }
    return ArmResult(arm.name, arm.role, arm.recipe, **values)


def make_study(artifacts, outcome="promote", status="finished", **changes):
    arms = arms_of(artifacts)
    broken = ArmResult(
        "broken",
        "variant",
        Recipe("broken", (StepSpec("explode"),)),
        status="failed",
        failure="step 'explode': it did; see http://me:secret@host/log",
    )
    data = DataInfo(
        "synthetic images",
        "9" * 64,
        {"train": 10, "test": 4},
        ("a", "b", "c"),
        {"test": {"a": 1, "b": 2, "c": 1}},
        INPUTS,
        ("a note",),
    )
    winner = "fast" if outcome == "promote" else None
    sentences = {
        "promote": "Ship fast: 2 times as fast, no quality lost.",
        "hold": "Keep baseline: nothing met the policy.",
        "inconclusive": "No decision: more trials are needed.",
    }
    values = {
        "name": "tiny-20260101-000000",
        "created": "2026-01-01T00:00:00+00:00",
        "version": "0.1.0",
        "config": {"tracking": {"uri": None}, "variants": {"fast": {"steps": [{"name": "export_onnx"}]}}},
        "overrides": ("protocol=quick", "variants=[fast, script]"),
        "workload": WorkloadInfo("tiny", "classification", data, {"factory": "tiny_nets:tiny_cnn"}, "8" * 64),
        "plan": make_plan(),
        "environment": {"cpu.model": "Test CPU", "python": "3.11.7", "system": "Linux", "version.torch": "2.13.0"},
        "arms": (
            make_result(arms["baseline"], 2.0, 0.98),
            make_result(arms["fast"], 1.0, 0.979, make_verdict("faster", 0.5)),
            make_result(
                arms["script"],
                1.9,
                0.98,
                make_verdict("inconclusive", 0.97),
                status="incomplete",
                failure="1 of 2 trials were lost: worker killed",
            ),
            make_result(
                arms["slow"],
                2.2,
                0.98,
                make_verdict("slower", 1.1),
                why=Explanation("baseline", make_verdict("slower", 1.1), ("its recipe makes every call 10 % longer",)),
                profiles=(Profile("a profiler", 1, 10, 2.5, (OperatorTime("aten::addmm", 2.0, 1.5),)),),
            ),
            broken,
        ),
        "decision": Decision(
            outcome,
            winner,
            sentences[outcome],
            (
                Judgement("baseline", True, (), "the baseline"),
                Judgement("fast", True, (ConstraintResult("accuracy", True, None, "passes"),), "fastest | eligible"),
            ),
            {"name": "keep_accuracy"},
        ),
        "noise": Noise("quiet", ("nothing else ran",)),
        "warnings": (Notice("few-trials", "2 trials give no verdict", "protocol.trials=6"),),
        "wall_seconds": 12.5,
        "status": status,
    }
    return Study(**{**values, **changes})
