"""The page of a promotion: the evidence, what would change, and after a confirmation the promotion itself."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from mlbench.dashboard.guard import FIELD, cookie, require_own, token_of
from mlbench.dashboard.studies import mlflow_address
from mlbench.dashboard.templating import render
from mlbench.dashboard.web import Answer, Request, moved, page
from mlbench.errors import InputError, NotAllowedError
from mlbench.records import ArmResult
from mlbench.reporting import page as tables
from mlbench.reporting.colours import arm_colours
from mlbench.tracking import LoadedStudy, Promotion, PromotionRefusedError, Tracker, load_study, promote, registry_of


@dataclass(frozen=True, slots=True)
class Plan:
    """What a promotion would do, or why it is refused (then ``promotion`` is None)."""

    promotion: Promotion | None
    refusal: str = ""

    @property
    def stamp(self) -> str:
        """A digest of everything that would be written: a confirmation holds for this and nothing else."""
        if self.promotion is None:
            return ""
        known = (self.promotion.previous, self.promotion.writes, sorted(self.promotion.tags.items()))
        text = json.dumps((*known, self.promotion.description, self.promotion.model_id))
        return hashlib.sha256(text.encode()).hexdigest()


def promotion_page(request: Request, tracker: Tracker, run_id: str) -> Answer:
    """What a promotion of this study rests on, and what it would change."""
    loaded = load_study(tracker, run_id)
    plan = planned(tracker, loaded)
    done = request.value("done") == "1" and plan.promotion is not None and not plan.promotion.writes
    return _shown(request, loaded, plan, done=done)


def promoted(request: Request, tracker: Tracker, run_id: str) -> Answer:
    """Promote, where it was confirmed and still changes what was shown.

    Raises:
        NotMeantError: The request is not from our own page.
    """
    require_own(request)
    loaded = load_study(tracker, run_id)
    plan = planned(tracker, loaded)
    if plan.promotion is None:
        return _shown(request, loaded, plan, status=409)
    if request.posted("stamp") != plan.stamp:
        problem = (
            "Meanwhile something else would change than what you were shown. Nothing was changed: look at it again."
        )
        return _shown(request, loaded, plan, problem=problem, status=409)
    if request.posted("confirm") != "yes":
        return _shown(request, loaded, plan, problem="Nothing was changed: it was not confirmed.", status=400)
    try:
        promote(tracker, run_id, registry_of(loaded.study))
    except (PromotionRefusedError, InputError) as error:
        return _shown(request, loaded, Plan(None, str(error)), status=409)
    except NotAllowedError as error:
        return _shown(request, loaded, Plan(None, str(error)), status=403)
    return moved(f"{request.root}/studies/{loaded.run_id}/promote?done=1")


def planned(tracker: Tracker, loaded: LoadedStudy) -> Plan:
    """A dry run of the promotion."""
    try:
        return Plan(promote(tracker, loaded.run_id, registry_of(loaded.study), dry_run=True))
    except (PromotionRefusedError, InputError) as error:
        return Plan(None, str(error))


def _shown(
    request: Request, loaded: LoadedStudy, plan: Plan, *, problem: str = "", done: bool = False, status: int = 200
) -> Answer:
    study = loaded.study
    token = token_of(request)
    subject = _subject(loaded)
    text = render(
        "promote.html.j2",
        request.root,
        study=study,
        run_id=loaded.run_id,
        plan=plan,
        problem=problem,
        done=done,
        subject=subject,
        verdicts=[] if subject is None else [tables.chip(subject, verdict) for verdict in subject.verdicts.values()],
        metrics=[] if subject is None else list(subject.verdicts),
        judgement=next((item for item in tables.judgements(study) if subject and item[0] == subject.name), None),
        tiles=tables.tiles(study),
        colours=arm_colours(arm.name for arm in study.arms),
        field=FIELD,
        token=token,
        mlflow=mlflow_address(request, loaded),
    )
    return page(text, status, {"Set-Cookie": cookie(token, request)})


def _subject(loaded: LoadedStudy) -> ArmResult | None:
    """The arm that is, or would be, promoted."""
    winner = loaded.study.decision.winner
    return next((arm for arm in loaded.study.arms if arm.name == winner), None)


__all__ = ["Plan", "planned", "promoted", "promotion_page"]
