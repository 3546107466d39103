"""Lost trials in words, also those that were measured once more (docs/faults.md, "A worker that dies or hangs")."""

from __future__ import annotations

from mlbench.records import LostTrial, Measurement, Notice, Plan


def sentence(loss: LostTrial, plan: Plan) -> str:
    """What was lost, why, and whether the trial was measured once more."""
    again = "; the trial is measured once more, with fresh workers for all arms" if loss.repeated else ""
    return f"{loss.arm}, trial {loss.trial + 1} of {plan.trials} lost: {loss.reason}{again}"


def notices(measurement: Measurement) -> list[Notice]:
    """What the reader must know of trials that count although a worker died or hung in them at first."""
    return [
        Notice(
            "repeated_trial",
            sentence(loss, measurement.plan),
            "its figures are from the second time; find out why before you ship it",
        )
        for loss in measurement.lost
        if loss.repeated
    ]
