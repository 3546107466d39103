"""What every answer says to the browser, and whether a request was meant."""

from __future__ import annotations

import re

import pytest

from mlbench.dashboard import web
from mlbench.dashboard.guard import COOKIE, FIELD, NotMeantError, cookie, require_own, token_of
from mlbench.dashboard.web import Request

TOKEN = "t" * 43
OWN = {"host": "mlflow.example:5000", "origin": "https://mlflow.example:5000", "sec-fetch-site": "same-origin"}


def request(**changes) -> Request:
    whole = {"method": "POST", "path": "/x", "headers": OWN, "cookies": {COOKIE: TOKEN}, "form": {FIELD: (TOKEN,)}}
    return Request(**{**whole, **changes})


def test_every_answer_forbids_scripts_that_are_not_ours_and_frames() -> None:
    for answer in (web.page("x"), web.data({}), web.moved("/y")):
        headers = answer.all_headers
        policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert policy["form-action"] == "'self'"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"


def test_a_value_that_no_json_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        web.data({"value": float("nan")})


def test_a_request_from_our_own_page_is_meant() -> None:
    require_own(request())
    require_own(request(headers={name: OWN[name] for name in ("host", "origin")}))  # an older browser


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"headers": {**OWN, "sec-fetch-site": "cross-site"}}, "another site"),
        ({"headers": {**OWN, "sec-fetch-site": "same-site"}}, "another site"),
        ({"headers": {**OWN, "sec-fetch-site": "none"}}, "another site"),
        ({"headers": {**OWN, "origin": "https://evil.example"}}, "another origin"),
        ({"headers": {**OWN, "origin": "https://mlflow.example"}}, "another origin"),  # another port
        ({"headers": {**OWN, "origin": "null"}}, "another origin"),
        ({"headers": {"host": OWN["host"]}}, r"another origin \(not said\)"),
        ({"headers": {"origin": "", "host": ""}}, "another origin"),
        ({"form": {}}, "not from this page"),
        ({"form": {FIELD: ("u" * 43,)}}, "not from this page"),
        ({"form": {FIELD: ("ü",)}}, "not from this page"),
        ({"cookies": {}}, "not from this page"),
        ({"cookies": {COOKIE: ""}, "form": {FIELD: ("",)}}, "not from this page"),
    ],
)
def test_everything_else_is_not(changes: dict, reason: str) -> None:
    with pytest.raises(NotMeantError, match=reason):
        require_own(request(**changes))


def test_the_token_stays_with_the_browser_and_is_new_for_another() -> None:
    assert token_of(request()) == TOKEN
    made = {token_of(request(cookies=cookies)) for cookies in ({}, {}, {COOKIE: "short"})}
    assert len(made) == 3
    assert all(re.fullmatch(r"[\w-]{43}", token) for token in made)
    said = cookie(TOKEN, request(root="/prefix/mlbench"))
    assert said == f"{COOKIE}={TOKEN}; Path=/prefix/mlbench; HttpOnly; SameSite=Strict"
    assert cookie(TOKEN, request(secure=True)).endswith("; Secure")
