"""The page of a promotion: what it shows, and that nothing happens unless it was meant and confirmed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import pytest
from dashboard_store import Store
from reporting_studies import EVIL

from mlbench.dashboard import promoting
from mlbench.dashboard.guard import COOKIE, FIELD
from mlbench.dashboard.web import Answer
from mlbench.errors import ExitCode, InputError
from mlbench.records import Study
from mlbench.tracking import Promotion, PromotionRefusedError

Ask = Callable[..., Answer]
TOKEN = "t" * 43
OWN = {"host": "localhost:5000", "origin": "http://localhost:5000", "sec-fetch-site": "same-origin"}


class Registry:
    """Promotes as :func:`mlbench.tracking.promote` says it would; remembers what was really done."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []
        self.refusal: Exception | None = None
        self.previous = 1

    def __call__(self, _tracker, run_id, config, *, dry_run=False) -> Promotion:
        if self.refusal is not None:
            raise self.refusal
        if not dry_run:
            self.done.append((run_id, config.alias))
        writes = () if self.done else ("register it", f"set the alias 'champion' (now: version {self.previous})")
        name = config.model_name or "mlbench-digits"
        sentence = f"'{name}' a new version would be 'champion'"
        return Promotion(
            name, config.alias, None, self.previous, False, False, dry_run, sentence,
            writes=writes, tags={"mlbench.policy": EVIL}, description=f"# {EVIL}", model_id="m-1",
        )  # fmt: skip


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    made = Registry()
    monkeypatch.setattr(promoting, "promote", made)
    return made


@pytest.fixture
def address(store: Store, study: Study) -> str:
    return f"/studies/{store.add(study)}/promote"


def form_of(answer: Answer) -> dict[str, tuple[str, ...]]:
    return {
        name: (value,)
        for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]+)"', answer.body.decode())
    }


def post(ask: Ask, address: str, form: dict, **changes) -> Answer:
    return ask(address, **{"method": "POST", "headers": OWN, "cookies": {COOKIE: TOKEN}, "form": form, **changes})


def opened(ask: Ask, address: str) -> dict[str, tuple[str, ...]]:
    return {**form_of(ask(address, cookies={COOKIE: TOKEN})), "confirm": ("yes",)}


def test_the_page_shows_evidence_and_every_write_and_changes_nothing(
    ask: Ask, address: str, registry: Registry
) -> None:
    answer = ask(address)
    page = answer.body.decode()
    assert answer.status == 200
    for expected in (
        "x5.87 (", "keep_accuracy", "accuracy: at most 1 point below the baseline", "register it", "now: version 1",
        "The machine was noisy", "would be &#39;champion&#39;",
    ):  # fmt: skip
        assert expected in page, expected
    assert "<script>" not in page
    assert registry.done == []
    token = re.search(
        rf"{COOKIE}=([\w-]{{43}}); Path=/mlbench; HttpOnly; SameSite=Strict", answer.headers["Set-Cookie"]
    )
    assert form_of(answer)[FIELD] == (token[1],)


def test_a_confirmed_promotion_is_done_once_and_said(ask: Ask, address: str, registry: Registry) -> None:
    done = post(ask, address, opened(ask, address))
    assert (done.status, done.headers["Location"]) == (303, f"/mlbench{address}?done=1")
    assert registry.done == [("0" * 32, "champion")]
    page = ask(f"{address}?done=1").body.decode()
    assert "Promoted." in page
    assert '<form class="confirm"' not in page


def test_done_is_only_said_where_it_is_true(ask: Ask, address: str, registry: Registry) -> None:
    assert "Promoted." not in ask(f"{address}?done=1").body.decode()


def test_nothing_happens_without_a_confirmation(ask: Ask, address: str, registry: Registry) -> None:
    form = {name: value for name, value in opened(ask, address).items() if name != "confirm"}
    answer = post(ask, address, form)
    assert answer.status == 400
    assert b"it was not confirmed" in answer.body
    assert registry.done == []


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {**OWN, "origin": "http://evil.example"}},
        {"headers": {**OWN, "sec-fetch-site": "cross-site"}},
        {"cookies": {}},
        {"cookies": {COOKIE: "u" * 43}},
    ],
)
def test_nothing_happens_for_another_site(ask: Ask, address: str, registry: Registry, changes: dict) -> None:
    answer = post(ask, address, opened(ask, address), **changes)
    assert answer.status == 403
    assert b"nothing was changed" in answer.body
    assert registry.done == []


def test_a_confirmation_holds_for_what_was_shown(ask: Ask, address: str, registry: Registry) -> None:
    form = opened(ask, address)
    registry.previous = 2
    answer = post(ask, address, form)
    assert answer.status == 409
    assert b"something else would change" in answer.body
    assert b"now: version 2" in answer.body
    assert registry.done == []


@pytest.mark.parametrize(
    "refusal",
    [
        PromotionRefusedError("the study promotes nothing: <b>it</b>", ExitCode.POLICY_NOT_MET),
        InputError("no <b>it</b>"),
    ],
)
def test_a_refusal_is_said_and_cannot_be_confirmed(
    ask: Ask, address: str, registry: Registry, refusal: Exception
) -> None:
    form = opened(ask, address)
    registry.refusal = refusal
    page = ask(address)
    assert b"Refused." in page.body
    assert b"&lt;b&gt;it&lt;/b&gt;" in page.body
    assert b"<form" not in page.body
    assert post(ask, address, form).status == 409


def test_a_refusal_at_the_last_moment(ask: Ask, address: str, registry: Registry, monkeypatch) -> None:
    form = opened(ask, address)

    def moved(*args, dry_run=False):
        if not dry_run:
            raise PromotionRefusedError("the alias was moved", ExitCode.FAILURE)
        return registry(*args, dry_run=True)

    monkeypatch.setattr(promoting, "promote", moved)
    answer = post(ask, address, form)
    assert answer.status == 409
    assert b"The alias was moved" in answer.body or b"the alias was moved" in answer.body


def test_a_name_that_only_a_run_resolves_is_refused(ask: Ask, store: Store, study: Study, registry: Registry) -> None:
    unresolved = dataclasses.replace(study, config={"registry": {"model_name": "${oc.env:NAME}"}})
    page = ask(f"/studies/{store.add(unresolved)}/promote").body.decode()
    assert "resolved by a run only" in page
    assert "--model-name" in page


def test_a_study_that_ships_nothing(ask: Ask, store: Store, study: Study, registry: Registry) -> None:
    registry.refusal = PromotionRefusedError("the study promotes nothing: keep it", ExitCode.POLICY_NOT_MET)
    decision = dataclasses.replace(study.decision, outcome="hold", winner=None, sentence="keep it")
    address = f"/studies/{store.add(dataclasses.replace(study, decision=decision))}"
    page = ask(f"{address}/promote").body.decode()
    assert "Nothing to promote" in page
    assert page.count("keep it") == 1
    assert b'class="button"' not in ask(address).body  # which invites to promote
