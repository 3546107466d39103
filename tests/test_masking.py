"""Credentials and secrets are nowhere to be read, and everything else stays as it was."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlbench import masking
from mlbench.masking import hide, redact, redacted

WORDS = st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), max_size=20)
SECRETS = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=6, max_size=20)
FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_hidden", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://me:pw@host:5000/x", "http://***@host:5000/x"),
        ("postgresql+psycopg2://u:p@ss@db/mlflow failed", "postgresql+psycopg2://***@db/mlflow failed"),
        ("https://token@host", "https://***@host"),
        ("http://host/a@b", "http://host/a@b"),
        ("mssql://h/db?password=abc;x=1", "mssql://h/db?password=***;x=1"),
        ("s3?X-Amz-Secret=abc&aws_secret_access_key=def", "s3?X-Amz-Secret=***&aws_secret_access_key=***"),
        ("access_token=abc api-key=def hf_token=ghi", "access_token=*** api-key=*** hf_token=***"),
        (
            "+workload.model.args={user: me, password: 'a b', n: 3}",
            "+workload.model.args={user: me, password: '***', n: 3}",
        ),
        ('{"token": "abc", "api_key": "def"}', '{"token": "***", "api_key": "***"}'),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("pad_token=3 tokens=5 secretary=x", "pad_token=3 tokens=5 secretary=x"),
        ("token_type_ids {batch: 3, tokens: 5}", "token_type_ids {batch: 3, tokens: 5}"),
        ("see me@example.org, sqlite:////home/me/mlflow.db", "see me@example.org, sqlite:////home/me/mlflow.db"),
    ],
)
def test_credentials_in_addresses_and_settings(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_secrets_of_the_environment_by_the_names_of_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_PASSWORD", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_CONNECTION_STRING"):
        monkeypatch.setenv(name, f"value-of-{name.lower()}")
    for name in ("TOKENIZERS_PARALLELISM", "MY_PWD_FILE", "SECRETARY"):
        monkeypatch.setenv(name, f"value-of-{name.lower()}")
    said = " ".join(f"value-of-{name}" for name in ("mlflow_tracking_password", "hf_token", "aws_secret_access_key"))
    assert redact(said) == "*** *** ***"
    kept = "value-of-tokenizers_parallelism value-of-my_pwd_file value-of-secretary"
    assert redact(kept) == kept


@pytest.mark.parametrize("value", ["", "abc", "12345", "-1.5e6", "true", "None", "auto"])
def test_what_is_too_plain_to_be_a_secret_stays(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HF_TOKEN", value)
    hide(value)
    assert redact(f"a {value} b") == f"a {value} b"


def test_a_hidden_value_reads_as_it_was_written_and_the_longest_wins() -> None:
    hide("hunter2", "${oc.env:ONE}")
    hide("hunter22", "${oc.env:TWO}")
    assert redact("hunter2 hunter22 xhunter2x") == "${oc.env:ONE} ${oc.env:TWO} x${oc.env:ONE}x"


def test_how_one_secret_was_written_does_not_tell_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "planted-token")
    hide("planted-mine", "${oc.env:MINE}")
    hide("planted-mine and planted-token", "${oc.env:MINE} and planted-token")
    assert redact("it is planted-mine and planted-token") == "it is ${oc.env:MINE} and ***"


def test_plain_values_with_their_keys() -> None:
    value = {
        "password": "abc",
        "api_key": "",
        "secret": "${oc.env:SECRET}",
        "token": 3,
        "list": ("http://a:b@c", [None, 1.5, True]),
        2: "x",
    }
    assert redacted(value) == {
        "password": "***",
        "api_key": "",
        "secret": "${oc.env:SECRET}",
        "token": 3,
        "list": ["http://***@c", [None, 1.5, True]],
        "2": "x",
    }


def test_words_that_are_to_stay() -> None:
    hide("baseline")
    assert redacted(["baseline", "the baseline"], keep={"baseline"}) == ["baseline", "the ***"]


@FAST
@given(WORDS, SECRETS, WORDS)
def test_no_secret_is_left_in_any_text(monkeypatch: pytest.MonkeyPatch, before: str, secret: str, after: str) -> None:
    monkeypatch.setenv("HF_TOKEN", secret)
    if not masking._could_be_secret(secret) or secret in before + after:
        return
    for text in (before + secret + after, f"http://{before}/{secret}", json.dumps({"x": before}) + secret):
        assert secret not in redact(text).replace("***", "\0")


@FAST
@given(
    st.recursive(st.none() | st.booleans() | st.integers() | WORDS, lambda x: st.lists(x) | st.dictionaries(WORDS, x))
)
def test_redacting_twice_changes_nothing_more(value: object) -> None:
    assert redacted(redacted(value)) == redacted(value)
