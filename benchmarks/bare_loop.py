"""The loop that everybody writes: a clock reading, a call, a clock reading. mlbench's own figures are held against it.

A process of its own, started by overhead.py with one JSON argument. It waits in a blocking read for how many calls to
discard and to time, makes them, and answers with one line of nanoseconds. Nothing of mlbench is in it, besides what
loads the model.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    job = json.loads(sys.argv[1])
    if job["cpus"]:
        os.sched_setaffinity(0, job["cpus"])
    import numpy as np
    import torch

    from mlbench.measurement.wire import artifact_from_dict
    from mlbench.runtimes.torch_module import load_module

    torch.set_num_threads(job["threads"])
    torch.set_num_interop_threads(1)
    model = load_module(artifact_from_dict(job["artifact"])).eval()
    # shape (batches, batch size, ...) for every input: the same batches that the worker goes through
    inputs = [torch.from_numpy(np.load(path)) for path in job["inputs"]]
    batches = [tuple(item[number] for item in inputs) for number in range(len(inputs[0]))]
    print(json.dumps({"ready": os.getpid()}), flush=True)

    def go(count: int) -> list[int]:
        times = [0] * count
        for index in range(count):
            batch = batches[index % len(batches)]
            start = time.perf_counter_ns()
            model(*batch)
            times[index] = time.perf_counter_ns() - start
        return times

    with torch.inference_mode():
        for line in sys.stdin:
            discard, calls = map(int, line.split())
            begin = time.perf_counter_ns()
            discarded = go(discard)
            cpu, wall = time.process_time_ns(), time.perf_counter_ns()
            timed = go(calls)
            end, used = time.perf_counter_ns(), time.process_time_ns() - cpu
            said = {"start_ns": begin, "end_ns": end, "cpu_ns": used, "wall_ns": end - wall}
            print(json.dumps({**said, "discarded_ns": discarded, "timed_ns": timed}), flush=True)


if __name__ == "__main__":
    main()
