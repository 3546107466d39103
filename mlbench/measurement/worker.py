"""The worker process: one arm in one trial. It loads the artifact, waits in a blocking read, and takes its turns.

It imports only its runtime and numpy, since its memory is being measured. Start it with
``python -m mlbench.measurement.worker PID [FILE]``, the coordinator's process id and, where somebody wants to see how
far it is, a descriptor for :mod:`mlbench.measurement.cells`; it speaks :mod:`mlbench.measurement.wire` over standard
input and output.
"""

from __future__ import annotations

import gc
import math
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import MlbenchError, WorkerError
from mlbench.measurement.answer import require_answer
from mlbench.measurement.cells import Cells
from mlbench.measurement.clock import Clock, MonotonicClock
from mlbench.measurement.cpus import allowed, cpu_vendor, pin
from mlbench.measurement.lifeline import die_with
from mlbench.measurement.memory import memory_mib, unique_mib
from mlbench.measurement.mixing import mixed
from mlbench.measurement.wire import (
    PROCESSING,
    TOKENIZER,
    Arrays,
    Channel,
    ChannelClosedError,
    artifact_from_dict,
    settings_from_dict,
)
from mlbench.runtimes.loading import open_session, runtime_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlbench.records import Artifact, Profile, RuntimeSettings, TensorSpec
    from mlbench.runtimes import Device, Runtime, Session

    FindRuntime = Callable[[str, RuntimeSettings], Runtime]

POOL = 8  # different batches of one size that the calls of a turn go through, the same ones for every arm

Reply = tuple[dict[str, Any], Arrays]


def timed_calls(
    run: Callable[[Any], Any], prepared: list[Any], out: npt.NDArray[np.int64], now: Callable[[], int]
) -> None:
    """Time one call per entry of ``prepared`` into the preallocated ``out``, nanoseconds each."""
    for index, item in enumerate(prepared):
        start = now()
        run(item)
        out[index] = now() - start


class Worker:
    """The conversation's state: the loaded session and the prepared batches.

    Args:
        clock: What all times are read from.
        find_runtime: Runtime for an artifact format and settings; mlbench's registry unless a test says otherwise.
        cells: Where calls are seen to be over; seen by nobody unless given.
    """

    def __init__(self, clock: Clock, find_runtime: FindRuntime = runtime_for, cells: Cells | None = None) -> None:
        self._clock = clock
        self._find_runtime = find_runtime
        self._cells = cells or Cells()
        self._session: Session | None = None
        self._device: Device | None = None
        self._inputs: dict[str, npt.NDArray[Any]] = {}
        self._sequences: tuple[str, ...] = ()
        self._output: TensorSpec | None = None
        self._trim = ""
        self._pinned: frozenset[int] = frozenset()
        self._pools: dict[tuple[int, int | None], list[Any]] = {}

    def handle(self, message: dict[str, Any]) -> Reply:
        """Do what the coordinator asks and return the reply.

        Raises:
            MlbenchError: It could not be done; the message says why.
        """
        commands: dict[str, Callable[[dict[str, Any]], Reply]] = {
            "import": self._import,
            "load": self._load,
            "warm_up": self._warm_up,
            "turn": self._turn,
            "predict": self._predict,
            "report": self._report,
            "placement": self._placement,
            "profile": self._profile,
        }
        return commands[message["command"]](message)

    @property
    def _loaded(self) -> Session:
        if self._session is None:
            raise WorkerError("the worker was asked to measure before it loaded its artifact")
        return self._session

    def _import(self, message: dict[str, Any]) -> Reply:
        self._find_runtime(message["format"], settings_from_dict(message["settings"])).import_library()
        return {"import_rss_mib": memory_mib("VmRSS")}, {}

    def _load(self, message: dict[str, Any]) -> Reply:
        artifact = artifact_from_dict(message["artifact"])
        settings = settings_from_dict(message["settings"])
        if message["cpus"]:
            pin(message["cpus"])  # before loading, so that the runtime's own threads start where they stay
        self._pinned = frozenset(message["cpus"])
        begins = str(message.get("begins", ""))
        self._read(artifact, message["inputs"], message["originals"] if begins else 0)  # which is not loading the model
        self._output = next(iter(artifact.outputs), None)
        if not begins:
            self._trim = message.get("trim", "")
        start = self._clock.now_ns()
        self._session = open_session(artifact, settings, self._find_runtime)
        if begins:
            self._session = _from_originals(self._session, begins, Path(message["inputs"]), artifact)
        self._device = getattr(self._session, "device", None)
        self._synchronize()
        load_ns = self._clock.now_ns() - start
        loaded = {
            "load_peak_mib": memory_mib("VmHWM"),
            "load_rss_mib": memory_mib("VmRSS"),
            "load_uss_mib": unique_mib(),  # walks all mappings: here, where nothing is timed, and never again
        }
        prepared = self._pool(message)[0]
        compile_ms = self._compile(prepared)
        self._synchronize()
        start = self._clock.now_ns()
        result = self._session.run(prepared)
        first_call_ns = self._clock.now_ns() - start
        self._check(self._session.outputs(result), message["batch_size"])
        return {
            "load_ms": load_ns / 1e6,
            "compile_ms": compile_ms,
            "first_call_ms": first_call_ns / 1e6,
            **loaded,
            "cpus": allowed(),
            "effective": self._effective(),
        }, {}

    def _effective(self) -> dict[str, Any]:
        """What the runtime says is in force, and the interpreter's version."""
        return {**self._loaded.effective(), "python": ".".join(map(str, sys.version_info[:3]))}

    def _read(self, artifact: Artifact, directory: str, originals: int = 0) -> None:
        """Take the items of every input of the model, or so many arrays of what calls begin with in their place."""
        names = [f"original {index}" for index in range(originals)] or [spec.name for spec in artifact.inputs]
        self._inputs = {name: np.load(Path(directory) / f"{index}.npy") for index, name in enumerate(names)}
        if not originals:
            self._sequences = tuple(spec.name for spec in artifact.inputs if spec.shape[1:2] == (None,))

    def _synchronize(self) -> None:
        """Nothing may still be under way on a device when the clock is read."""
        if self._device is not None:
            self._device.synchronize()

    def _compile(self, prepared: Any) -> float | None:
        """Milliseconds that the runtime compiled for this batch; None for one that compiles nothing here."""
        compile_for: Callable[[Any], None] | None = getattr(self._loaded, "compile", None)
        if compile_for is None:
            return None
        start = self._clock.now_ns()
        compile_for(prepared)
        return (self._clock.now_ns() - start) / 1e6

    def _check(self, outputs: tuple[npt.NDArray[Any], ...], rows: int) -> None:
        require_answer(outputs, rows, self._output, exact=not self._sequences)

    def _pool(self, message: dict[str, Any]) -> list[Any]:
        """Prepared batches of one condition, the same items for every arm; made once, outside any timed window."""
        batch_size, length = message["batch_size"], message.get("input_length")
        if (batch_size, length) not in self._pools:
            if length is not None and not self._sequences:
                raise WorkerError(f"no input of this artifact has a free length, so {length} cannot be asked of it")
            order = mixed(len(next(iter(self._inputs.values()))))
            pool = []
            for number in range(POOL):
                index = order[np.arange(number * batch_size, (number + 1) * batch_size) % len(order)]
                batch = {name: self._items(name, index, length) for name in self._inputs}
                pool.append(self._loaded.prepare(self._trimmed(batch) if length is None else batch))
            self._pools[batch_size, length] = pool
        return self._pools[batch_size, length]

    def _items(self, name: str, index: npt.NDArray[np.int64], length: int | None) -> npt.NDArray[Any]:
        """Items of one input; sequences are cut, or repeated from their beginning, to the length."""
        items = self._inputs[name][index]
        if length is not None and name in self._sequences:
            items = items[:, np.arange(length) % items.shape[1]]
        return np.ascontiguousarray(items)

    def _trimmed(self, batch: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """The batch without the padding that none of its items needs; padding is on the right."""
        if not self._trim:
            return batch
        longest = max(1, int(batch[self._trim].sum(axis=1).max()))
        return {
            name: np.ascontiguousarray(array[:, :longest]) if name in self._sequences else array
            for name, array in batch.items()
        }

    def _warm_up(self, message: dict[str, Any]) -> Reply:
        """At least ``calls`` calls and ``seconds`` seconds; says how many calls make one timed value."""
        over, _ = self._cells.cleared(0)
        pool, run, now = self._pool(message), self._loaded.run, self._clock.now_ns
        durations: list[int] = []
        if self._device is not None:
            self._device.reset_peak()  # so that each condition has a peak of its own
        begin = now()
        while len(durations) < message["calls"] or now() - begin < message["seconds"] * 1e9:
            start = now()
            result = run(pool[len(durations) % POOL])
            durations.append(now() - start)
            over[0] = len(durations)
            if len(durations) == 1:  # the first answer to this condition is looked at, and no later one
                self._check(self._loaded.outputs(result), message["batch_size"])
            del result
        times = np.array(durations, dtype=np.int64)
        typical = max(1.0, float(np.median(times[len(times) // 2 :]))) if durations else float("inf")
        group = max(1, math.ceil(message["min_value_ns"] / typical))
        gc.collect()
        gc.freeze()
        return {"group": group}, {"warmup_ns": times}

    def _turn(self, message: dict[str, Any]) -> Reply:
        calls = message["calls"] * message["group"]
        _, times = self._cells.cleared(message["discard"] + calls)
        discarded, timed = times[: message["discard"]], times[message["discard"] :]
        pool, run = self._pool(message), self._loaded.run
        first = [pool[index % POOL] for index in range(message["discard"])]
        rest = [pool[index % POOL] for index in range(calls)]
        before = resource.getrusage(resource.RUSAGE_SELF)
        gc.disable()
        try:
            self._synchronize()
            start = self._clock.now_ns()
            timed_calls(run, first, discarded, self._clock.now_ns)
            cpu, wall = self._clock.cpu_ns(), self._clock.now_ns()
            timed_calls(run, rest, timed, self._clock.now_ns)
            wall_ns, cpu_ns = self._clock.now_ns() - wall, self._clock.cpu_ns() - cpu
            end = self._clock.now_ns()
        finally:
            gc.enable()
        after = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "start_ns": start,
            "end_ns": end,
            "cpu_ns": cpu_ns,
            "wall_ns": wall_ns,
            "hardware": {
                "rss_mib": memory_mib("VmRSS"),
                "peak_rss_mib": memory_mib("VmHWM"),
                "voluntary_switches": after.ru_nvcsw - before.ru_nvcsw,
                "involuntary_switches": after.ru_nivcsw - before.ru_nivcsw,
                "major_faults": after.ru_majflt - before.ru_majflt,
                **self._on_device(pool),
            },
        }, {"discarded_ns": discarded.copy(), "timed_ns": timed.copy()}

    def _on_device(self, pool: list[Any]) -> dict[str, float]:
        """After a turn: the peak of the device's memory so far, and one more call, on the device's own clock."""
        if self._device is None:
            return {}
        return {"gpu_allocated_peak_mib": self._device.peak_mib(), "gpu_call_ms": self._device.call_ms(pool[0])}

    def _predict(self, message: dict[str, Any]) -> Reply:
        """The first output for all items, in order, through the session that was measured."""
        over, _ = self._cells.cleared(0)
        size = message["batch_size"]
        rows = len(next(iter(self._inputs.values())))
        parts: list[npt.NDArray[np.float64]] = []
        for start in range(0, rows, size):
            batch = {name: array[start : start + size] for name, array in self._inputs.items()}
            outputs = self._loaded.outputs(self._loaded.run(self._loaded.prepare(self._trimmed(batch))))
            self._check(outputs, min(size, rows - start))
            parts.append(np.asarray(outputs[0], dtype=np.float64))
            over[0] = len(parts)
        return {}, {"outputs": np.concatenate(parts)}

    def _report(self, _message: dict[str, Any]) -> Reply:
        cpus = allowed()
        if self._pinned and not self._pinned.issuperset(cpus):
            raise WorkerError(
                f"its threads may run on CPUs {', '.join(map(str, cpus))}, but were kept on"
                f" {', '.join(map(str, sorted(self._pinned)))}: something places threads by itself (OMP_PROC_BIND,"
                " GOMP_CPU_AFFINITY, KMP_AFFINITY, an option of the runtime); without it, or with"
                " protocol.pin_cpus=false, all arms run in the same place"
            )
        modules = sorted({name.partition(".")[0] for name in sys.modules})
        effective = {**self._effective(), **self._libraries()}
        placeable = hasattr(self._loaded, "placement") and bool(self._pools)
        return {"modules": modules, "effective": effective, "cpus": cpus, "placement": placeable}, {}

    def _placement(self, _message: dict[str, Any]) -> Reply:
        """Where the parts of the model run. Whatever that takes, all figures of this worker are given away by now."""
        place: Callable[[Any], dict[str, Any]] | None = getattr(self._loaded, "placement", None)
        return {"effective": {} if place is None else place(next(iter(self._pools.values()))[0])}, {}

    def _libraries(self) -> dict[str, Any]:
        """What computes the matrix products, and on whose CPU: no library is equally fast on all of them."""
        ask: Callable[[Callable[[], Any]], dict[str, Any]] | None = getattr(self._loaded, "libraries", None)
        if ask is None or not self._pools:
            return {}
        vendor, prepared = cpu_vendor(), next(iter(self._pools.values()))[0]
        return {**ask(lambda: self._loaded.run(prepared)), **({"cpu_vendor": vendor} if vendor else {})}

    def _profile(self, message: dict[str, Any]) -> Reply:
        """Where the time of a call goes, by the runtime's own profiler: instead of a measurement, never beside one."""
        artifact, settings = artifact_from_dict(message["artifact"]), settings_from_dict(message["settings"])
        runtime = self._find_runtime(artifact.format, settings)
        take: Callable[..., list[Profile]] | None = getattr(runtime, "profile", None)
        if take is None:
            raise WorkerError(f"the runtime '{runtime.name}' has no profile by operator")
        if message["cpus"]:
            pin(message["cpus"])
        self._read(artifact, message["inputs"])
        length, rows = message["input_length"], len(next(iter(self._inputs.values())))
        self._trim = message["trim"] if length is None else ""
        batches = [
            self._trimmed({name: self._items(name, np.arange(size) % rows, length) for name in self._inputs})
            for size in message["batch_sizes"]
        ]
        return {"profiles": [asdict(item) for item in take(artifact, settings, batches)]}, {}


def _from_originals(session: Session, begins: str, directory: Path, artifact: Artifact) -> Session:
    """The session, with what turns texts, words or images into its inputs."""
    names = [spec.name for spec in artifact.inputs]
    if begins == "images":
        from mlbench.runtimes.processed import ProcessedSession

        return ProcessedSession(session, directory / PROCESSING, names[0])
    from mlbench.runtimes.tokenized import TokenizedSession

    return TokenizedSession(session, directory / TOKENIZER, names, words=begins == "words")


def serve(channel: Channel, worker: Worker) -> None:
    """Answer until the coordinator closes the pipe. A failed command is answered, not fatal."""
    while True:
        try:
            message, _ = channel.receive()
        except ChannelClosedError:
            return
        try:
            header, arrays = worker.handle(message)
            reply: Reply = ({"ok": True, **header}, arrays)
        except MlbenchError as error:
            reply = ({"ok": False, "error": str(error)}, {})
        except Exception as error:  # noqa: BLE001 - whatever the runtime raised is the arm's failure, to be told
            reply = ({"ok": False, "error": f"{type(error).__name__}: {error}"}, {})
        try:
            channel.send(*reply)
        except ChannelClosedError:
            return


def main() -> None:
    """Keep the pipes to ourselves, so that a library that prints cannot break the conversation."""
    coordinator, *shared = map(int, sys.argv[1:])
    die_with(coordinator)
    try:
        cells = Cells(*shared)
    except OSError:  # an interpreter of the arm's own may be a script that closes what it was handed
        cells = Cells()
    channel = Channel(os.dup(0), os.dup(1))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    serve(channel, Worker(MonotonicClock(), cells=cells))


if __name__ == "__main__":
    main()
