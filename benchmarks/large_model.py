"""Does a model beyond 2 GiB, where a single ONNX file ends, go all the way?

Exports a network of 2.3 GiB of random weights, optimizes it, measures both, logs both to MLflow, and loads each logged
model again in a fresh process, where it must give the answers that were measured. Takes 25 GB of disk and 20 GB of
memory for some minutes.

Run it from the checkout: ``python benchmarks/large_model.py [--keep]``. Exit code 1 says that something did not work.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from torch import nn

WIDTH, LAYERS = 12_288, 4  # 4 layers of 576 MiB
LIMIT = 1 << 31
STUDY = (
    "name=large",
    "workload.data.rows=200",
    "workload.model.factory=large_model:net",
    "~workload.model.args.widths",
    "~workload.model.args.hidden",
    "workload.model.train=null",
    "baseline.steps=[{name: export_onnx, tolerance: 0.001}]",
    "variants=[]",
    "+variants.optimized={steps: [{name: export_onnx, tolerance: 0.001}, {name: optimize_onnx, tolerance: 0.001}]}",
    "scenario.batch_sizes=[1]",
    "protocol.trials=1",
    "protocol.rounds=2",
    "protocol.calls=2",
    "protocol.warmup_calls=2",
    "protocol.warmup_seconds=0",
    "registry.promote=false",
)
RELOAD = """
import sys
import mlflow, numpy as np
answer = mlflow.pyfunc.load_model(sys.argv[1]).predict(np.load(sys.argv[2]))
np.save(sys.argv[3], next(iter(answer.values())) if isinstance(answer, dict) else answer)
"""


def net() -> nn.Module:
    """Images of 8 x 8 to ten classes, the long way round."""
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(64, WIDTH)]
    for _ in range(LAYERS):
        layers += [nn.ReLU(), nn.Linear(WIDTH, WIDTH)]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10))


def write_weights(path: Path) -> None:
    """Random ones, which need no training."""
    from safetensors.torch import save_file

    save_file(net().state_dict(), path)


def main(folder: Path) -> bool:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "MLBENCH_CACHE_DIR": str(folder / "cache"),
        "TMPDIR": str(folder),
    }
    write_weights(folder / "weights.safetensors")
    study = (*STUDY, f"workload.model.weights={folder}/weights.safetensors")
    subprocess.run([sys.executable, "-m", "mlbench", "run", *study], cwd=folder, env=environment, check=True)

    from mlbench.compose import compose
    from mlbench.config import TrackingConfig
    from mlbench.tracking import connect, load_measurement, load_study
    from mlbench.workloads.prepare import read_data

    tracker = connect(TrackingConfig(uri=environment["MLFLOW_TRACKING_URI"]), create=False)
    loaded = load_study(tracker, "large")
    measured = {item.arm: item.outputs for item in load_measurement(tracker, loaded).predictions}
    workload = compose(study, ()).config.workload
    items = next(iter(read_data(workload).test.inputs.values()))
    np.save(folder / "items.npy", items)
    holds = {}
    for arm in loaded.study.arms:
        size = arm.artifact.size_bytes if arm.artifact else 0
        holds[f"{arm.name}: {arm.status}, {size / 2**30:.2f} GiB"] = arm.status == "ok" and size > LIMIT
        model = tracker.client.get_run(loaded.arms[arm.name]).data.tags.get("mlbench.model", "")
        found = bool(model)
        if found:
            command = [sys.executable, "-c", RELOAD, f"models:/{model}", "items.npy", "answer.npy"]
            subprocess.run(command, cwd=folder, env=environment, check=True)
            difference = np.abs(np.load(folder / "answer.npy") - measured[arm.name]).max()
            found = bool(difference < 1e-3 * max(1.0, np.abs(measured[arm.name]).max()))
            holds[f"{arm.name}: its logged model differs by {difference:.2g} in a fresh process"] = found
        else:
            holds[f"{arm.name}: no model was logged"] = False
    print("\n".join(f"{'yes' if held else 'NO '}  {sentence}" for sentence, held in holds.items()))
    return all(holds.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="leave the store and the cache")
    chosen = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="mlbench-large-"))
    try:
        done = main(place)
    finally:
        if chosen.keep:
            print(f"its store: {place}")
        else:
            shutil.rmtree(place, ignore_errors=True)
    sys.exit(0 if done else 1)
