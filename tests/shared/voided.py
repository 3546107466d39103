"""Measurements in which a worker was lost, so that one trial does not count and another took its place."""

from __future__ import annotations

from dataclasses import replace

from mlbench.records import LostTrial, Measurement

ABSURD = 1_000  # times as long as anything that counts


def with_void(measured: Measurement, trial: int, arm: str) -> Measurement:
    """The same figures, of which those of one trial have the number of the trial that took its place.

    What the trial itself gave is there too, and does not count: every call, and all memory, is absurd. The arm's worker
    did not come to its end in it.
    """
    number = measured.plan.most_trials
    turns = [turn for turn in measured.turns if turn.trial == trial]
    workers = [worker for worker in measured.workers if worker.trial == trial and worker.arm != arm]
    return replace(
        measured,
        turns=tuple(
            sorted(
                (replace(turn, trial=number if turn.trial == trial else turn.trial) for turn in measured.turns),
                key=lambda turn: turn.trial,
            )
        ),
        workers=tuple(
            sorted(
                (replace(item, trial=number if item.trial == trial else item.trial) for item in measured.workers),
                key=lambda item: item.trial,
            )
        ),
        lost=(
            LostTrial(arm, trial, "the worker was ended by signal SIGKILL", "SIGKILL", 80.0, repeated_as=number),
            *(replace(loss, trial=number if loss.trial == trial else loss.trial) for loss in measured.lost),
        ),
        void=tuple(
            replace(
                turn,
                timed_ns=ABSURD * turn.timed_ns,
                discarded_ns=ABSURD * turn.discarded_ns,
                cpu_ns=ABSURD * turn.cpu_ns,
                wall_ns=ABSURD * turn.wall_ns,
                hardware={name: ABSURD * value for name, value in turn.hardware.items()},
            )
            for turn in turns
        ),
        void_workers=tuple(
            replace(
                worker,
                load_ms=ABSURD * worker.load_ms,
                first_call_ms=ABSURD * worker.first_call_ms,
                load_peak_mib=ABSURD * worker.load_peak_mib,
                peak_mib={key: ABSURD * value for key, value in worker.peak_mib.items()},
                warmup_ns=ABSURD * worker.warmup_ns,
            )
            for worker in workers
        ),
    )
