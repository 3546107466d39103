"""What a configuration takes from the environment is used as it is, and shown as it was written."""

from pathlib import Path
from typing import Any

import pytest

from mlbench import masking
from mlbench.compose import compose
from mlbench.errors import InputError
from mlbench.masking import redact

SECRET = "hunter2-in-the-clear"


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_hidden", {})
    monkeypatch.setenv("MINE", SECRET)
    monkeypatch.setenv("WHICH", "MINE")
    monkeypatch.setenv("OTHERS", "other-secret-value")


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ("+workload.model.args.key=${oc.env:MINE}", "${oc.env:MINE}"),
        ("+workload.model.args.key='a ${oc.env:MINE} b'", "${oc.env:MINE}"),
        ("+workload.model.args.key='${oc.env:${oc.env:WHICH}}'", "${oc.env:${oc.env:WHICH}}"),
        ("+workload.model.args.key='${oc.decode:\"{a: ${oc.env:MINE}}\"}'", "${oc.env:MINE}"),
        ("baseline.description=${oc.env:MINE}", "${oc.env:MINE}"),
        ("+variants.x={steps: [{name: delay, percent: 1, note: '${oc.env:MINE}'}]}", "${oc.env:MINE}"),
        ("+policy.environment={cpu.model: '${oc.env:MINE}'}", "${oc.env:MINE}"),
    ],
)
def test_values_of_free_keys_are_hidden(override: str, shown: str) -> None:
    composition = _composed(override)
    assert SECRET not in repr(composition)
    said = redact(f"the tool said: {SECRET}!")
    assert SECRET not in said
    assert said == f"the tool said: {shown}!"


def _composed(override: str) -> Any:
    """What is shown of the configuration, or the problems that it has."""
    try:
        composition = compose([override, "variants=[]"])
    except InputError as error:
        return error.problems
    return composition.record, composition.yaml, composition.overrides, composition.warnings


def test_a_default_is_no_secret_and_a_text_beside_one_stays() -> None:
    compose(["baseline.description='at home: ${oc.env:MINE} or ${oc.env:ABSENT,at work}'", "variants=[]"])
    assert redact("at home, at work") == "at home, at work"


@pytest.mark.parametrize(
    "override",
    ["name=${oc.env:MINE}", "tracking.experiment=${oc.env:MINE}", "registry.model_name=${oc.env:MINE}",
     "workload.name=${oc.env:MINE}", "cache_dir=${oc.env:MINE}"],
)  # fmt: skip
def test_names_are_made_to_be_seen(override: str) -> None:
    compose([override, "variants=[]"])
    assert redact(SECRET) == SECRET


@pytest.mark.parametrize("value", ["delay", "latency/p50_ms", "faster", "pruned", "8", "true", "p50"])
def test_words_of_the_program_are_no_secrets(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MINE", value)
    compose(["baseline.description=${oc.env:MINE}", "variants=[pruned]"])
    assert redact(f"the {value} of it") == f"the {value} of it"


def test_a_problem_does_not_tell_the_value() -> None:
    with pytest.raises(InputError) as caught:
        compose(["+workload.model.args={}", "seed=${oc.env:MINE}", "workload.model.weights=${oc.env:OTHERS}"])
    assert any("seed" in problem for problem in caught.value.problems)
    assert any(
        "workload.model.weights: ${oc.env:OTHERS} does not exist" in problem for problem in caught.value.problems
    )
    assert not any(text in str(caught.value) for text in (SECRET, "other-secret-value"))


def test_a_variable_that_is_not_set_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Environment variable 'ABSENT' not found"):
        compose(["baseline.description=${oc.env:ABSENT}"])
