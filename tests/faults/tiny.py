"""The smallest study that is one: two arms that are one artifact, three short trials, light workers."""

from __future__ import annotations

TINY = (
    "workload.data.rows=200",
    "workload.model.train.epochs=1",
    "baseline.steps=[{name: export_onnx}]",
    "variants=[]",
    "+variants.twin={steps: [{name: export_onnx}]}",
    "scenario.batch_sizes=[1]",
    "protocol.trials=3",
    "protocol.rounds=2",
    "protocol.calls=2",
    "protocol.warmup_calls=1",
    "protocol.warmup_seconds=0",
    "protocol.min_value_ms=0",
    "tracking.log_models=false",
)
