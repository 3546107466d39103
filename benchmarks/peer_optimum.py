"""optimum-benchmark on one model directory, as it is documented. overhead.py runs this where it is installed.

One JSON argument; one line of the output is the answer: the version, and the seconds of every call.
"""

from __future__ import annotations

import json
import sys

ANSWER = "answer: "


def main() -> None:
    job = json.loads(sys.argv[1])
    from importlib.metadata import version

    from optimum_benchmark import Benchmark, BenchmarkConfig, InferenceConfig, ProcessConfig, PyTorchConfig

    backend = PyTorchConfig(
        model=job["model"],
        library="transformers",
        task="feature-extraction",
        model_type="bert",
        device="cpu",
        intra_op_num_threads=job["threads"],
        inter_op_num_threads=job["threads"],
    )
    scenario = InferenceConfig(
        iterations=job["calls"],
        duration=0,
        warmup_runs=job["warmup_calls"],
        input_shapes={"batch_size": job["batch_size"], "sequence_length": job["length"]},
    )
    config = BenchmarkConfig(name="peer", launcher=ProcessConfig(), scenario=scenario, backend=backend)
    latency = Benchmark.launch(config).forward.latency
    print(ANSWER + json.dumps({"version": version("optimum-benchmark"), "seconds": latency.values}))


if __name__ == "__main__":
    main()
