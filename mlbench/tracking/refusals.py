"""What must hold of a study before its winner may be promoted."""

from __future__ import annotations

from collections.abc import Iterator

from mlbench.errors import ExitCode, MlbenchError
from mlbench.records import ArmResult, Study
from mlbench.reporting import in_force
from mlbench.tracking.load import LoadedStudy

_FINISHED = "FINISHED"


class PromotionRefusedError(MlbenchError):
    """A promotion would not rest on the evidence, or would undo what somebody else did.

    Args:
        message: Why, in one sentence.
        exit_code: 3 where the policy was not met, 4 where the study is inconclusive, 1 where the alias was moved.
    """

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        self.exit_code = exit_code
        super().__init__(message)


def fit_winner(loaded: LoadedStudy) -> ArmResult:
    """The winner of a study that may promote it.

    Raises:
        PromotionRefusedError: The study decided otherwise, is not finished, was measured on an unusable machine or on
            another one than its policy asks for, or did not measure winner and baseline side by side.
    """
    study = loaded.study
    decision = study.decision
    if study.status != "finished" or loaded.status != _FINISHED:
        said = study.status if study.status != "finished" else loaded.status
        raise _refused(loaded, f"it is not finished ({said})", ExitCode.INCONCLUSIVE)
    if decision.outcome != "promote" or decision.winner is None:
        code = ExitCode.INCONCLUSIVE if decision.outcome == "inconclusive" else ExitCode.POLICY_NOT_MET
        raise _refused(loaded, decision.sentence, code)
    if study.noise.level == "unusable":
        why = f"its machine was unusable for measuring: {'; '.join(study.noise.evidence)}"
        raise _refused(loaded, why, ExitCode.INCONCLUSIVE)
    apart = _apart(loaded, decision.winner)
    if apart:
        raise _refused(loaded, apart, ExitCode.INCONCLUSIVE)
    elsewhere = "; ".join(differences(study))
    if elsewhere:
        raise _refused(loaded, elsewhere, ExitCode.POLICY_NOT_MET)
    return study.arm(decision.winner)


def differences(study: Study) -> Iterator[str]:
    """What the policy asks of the environment and the study's was not, one clause each."""
    name = study.decision.policy.get("name")
    for key, pattern, found, fits in in_force.asked(study):
        if found is None:
            yield f"the policy '{name}' asks for {key} '{pattern}', which is not known of its machine"
        elif not fits:
            yield f"the policy '{name}' asks for {key} '{pattern}', and it was measured on '{found}'"


def _apart(loaded: LoadedStudy, winner: str) -> str:
    """Why winner and baseline were not measured side by side; empty where they were."""
    study = loaded.study
    for name in (winner, study.baseline.name):
        known = next((arm for arm in study.arms if arm.name == name), None)
        if known is None or name not in study.plan.arms or name not in loaded.arms:
            return f"'{name}' was not measured in it, side by side with '{study.baseline.name}'"
        if known.status != "ok":
            return f"'{name}' is {known.status}: {known.failure}"
    return ""


def _refused(loaded: LoadedStudy, why: str, code: ExitCode) -> PromotionRefusedError:
    return PromotionRefusedError(f"the study '{loaded.study.name}' promotes nothing: {why}", code)


__all__ = ["PromotionRefusedError", "differences", "fit_winner"]
