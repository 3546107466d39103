"""Lost trials in words, and which trials took their places (docs/faults.md, "Workers that die or hang")."""

from __future__ import annotations

from mlbench.records import LostTrial, Measurement, Notice, Plan


def sentence(loss: LostTrial, plan: Plan) -> str:
    """What was lost, why, and which trial is measured in its place."""
    return f"{loss.arm}, {_numbered(loss.trial, plan)} lost: {loss.reason}{_again(loss)}"


def _numbered(trial: int, plan: Plan) -> str:
    """``trial 3 of 6``; one that takes the place of another is none of the six."""
    if trial < plan.most_trials:
        return f"trial {trial + 1} of {plan.trials}"
    return f"trial {trial + 1}, measured in the place of another,"


def _again(loss: LostTrial) -> str:
    if loss.repeated_as is None:
        return ""
    number = f" as trial {loss.repeated_as + 1}" if loss.repeated_as > loss.trial else ""  # once it kept its number
    return f"; measured once more{number}, with fresh workers for all arms"


def notices(measurement: Measurement) -> list[Notice]:
    """What the reader must know of trials that were measured in the place of one in which a worker died or hung."""
    return [
        Notice(
            "repeated_trial",
            sentence(loss, measurement.plan),
            "no time, memory or energy figure is from the lost trial; find out why before you ship it",
        )
        for loss in measurement.lost
        if loss.repeated
    ]
