"""Overrides: read as Hydra reads them, refused with a reason, explained when they cannot be applied."""

from typing import Any

import pytest

from mlbench import overrides
from mlbench.overrides import Request
from mlbench.schema import keys

VARIANTS = ["onnx_fp32", "pruned"]
COMPOSED: dict[str, Any] = {
    "variants": {"pruned": {"steps": [{"name": "prune_structured", "ratio": 0.5}, {"name": "fine_tune"}]}},
    "protocol": {"trials": 10},
    "name": None,
}


def parsed(text: str) -> Request:
    request = overrides.read(text)
    assert isinstance(request, Request), request
    return request


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("protocol=quick", Request("protocol=quick", "", "protocol", "quick")),
        ("variants=[a,b]", Request("variants=[a,b]", "", "variants", ["a", "b"])),
        ("+variants.x={steps: []}", Request("+variants.x={steps: []}", "+", "variants.x", {"steps": []})),
        ("++seed=3", Request("++seed=3", "++", "seed", 3)),
        ("~variants.pruned", Request("~variants.pruned", "~", "variants.pruned", None)),
        ("name=my study", Request("name=my study", "", "name", "my study")),
        ("name='a, b'", Request("name='a, b'", "", "name", "a, b")),
        ("name=${oc.env:HOME}", Request("name=${oc.env:HOME}", "", "name", "${oc.env:HOME}")),
    ],
)
def test_read(text: str, request_: Request) -> None:
    assert overrides.read(text) == request_


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "'' is not an override: write key=value, +key=value or ~key"),
        ("=3", "'=3' is not an override: write key=value, +key=value or ~key"),
        ("protocol.trials", "'protocol.trials' is not an override: write key=value, +key=value or ~key"),
        ("a b", "'a b' is not an override: write key=value, +key=value or ~key"),
        ("--config-dir=x", "'--config-dir=x' is an option, not an override: give it to the command itself"),
        ("name=$(touch X)", "'name=$(touch X)' cannot be read"),
        ("name=a'b", "'name=a'b' cannot be read"),
        ("a.steps[0].x=1", "'a.steps[0].x=1' cannot be read: items of a list are written with dots"),
        ("+variants.-x=1", "'+variants.-x=1' cannot be read: 'variants.-x' holds characters that the key"),
        ("protocol@here=quick", "'protocol@here=quick' is refused: every group has its fixed place"),
        ("hydra.run.dir=x", "'hydra.run.dir=x' is refused: mlbench composes its configuration with Hydra but"),
        ("+hydra.callbacks.x=1", "'+hydra.callbacks.x=1' is refused: mlbench composes"),
        ("hydra/launcher=x", "'hydra/launcher=x' is refused: mlbench composes"),
        ("hydra={}", "'hydra={}' is refused: mlbench composes"),
        ("a._target_=os.system", "'a._target_=os.system' is refused: mlbench makes nothing from a '_target_'"),
        ("a={b: [{_target_: x}]}", "'a={b: [{_target_: x}]}' is refused: mlbench makes nothing from a '_target_'"),
        (
            "scenario.batch_sizes=1,8",
            (
                "'scenario.batch_sizes=1,8' gives several values, but a study takes one: for a list write "
                "scenario.batch_sizes=[1,8], for text with commas scenario.batch_sizes='1,8'"
            ),
        ),
        ("variants=a,b", "'variants=a,b' gives several values, but a study takes one: for a list write variants=[a,b]"),
        (
            "protocol=quick,default",
            "'protocol=quick,default' gives several values, but a study takes one: protocol=quick",
        ),
        ("seed=range(1,3)", "'seed=range(1,3)' gives several values"),
    ],
)
def test_refused(text: str, sentence: str) -> None:
    answer = overrides.read(text)
    assert isinstance(answer, str)
    assert answer.startswith(sentence)


def test_a_value_may_mention_hydra() -> None:
    assert parsed("hydration=1").key == "hydration"
    assert parsed("name=hydra.run").value == "hydra.run"


@pytest.mark.parametrize(
    "text",
    [
        "name=${oc.env:SECRET}",
        "workload.model.args={x: '${oc.env:SECRET}'}",
        "workload.model.factory=os:system",
        "workload.model={factory: 'os:system'}",
        "workload={model: {factory: 'os:system'}}",
        "workload.model.trust=true",
        "++workload.model.trust='yes'",
        "workload.model={source: sklearn, weights: w.pkl, trust: true}",
        "workload={model: {trust: 1}}",
        "workload={model.trust: true}",
        "registry.trust=true",
        "registry={trust: true}",
        "baseline.runtime.python=/x",
        "baseline.runtime={name: torch, python: /x}",
        "variants.a.runtime.python=/x",
        "+variants.x={steps: [], runtime: {python: /x}}",
        "+variants.x={steps: [{name: a, deeper: {runtime: {python: /x}}}]}",
    ],
)
def test_somebody_elses_overrides_read_and_run_nothing_here(text: str) -> None:
    assert isinstance(overrides.read(text), Request)
    answer = overrides.read(text, trusted=False)
    assert isinstance(answer, str)
    assert "is refused: it was not written here" in answer


def test_somebody_elses_overrides_may_set_values() -> None:
    assert isinstance(overrides.read("workload.model.args={hidden: 3}", trusted=False), Request)
    for text in (
        "workload={name: a}",
        "workload.model.args={factory: a, trust: true, python: 3}",  # a factory's own words
        "name=trust",
        "registry.trust=false",
        "workload.model.factory=null",
        "~variants.a.runtime.python",
        "variants=[python,trust]",
    ):
        assert isinstance(overrides.read(text, trusted=False), Request), text


def test_every_key_that_names_or_permits_code_is_known() -> None:
    words = {word for _, word in overrides._CODE_KEYS}
    paths = [tuple(key.path.split(".")) for key in keys()]
    found = [path for path in paths if path[-1] in words]
    assert {path[-2:] for path in found} == set(overrides._CODE_KEYS)
    assert len(found) == 5  # the baseline's interpreter, and a variant's


# ---------------------------------------------------------------------------------------------------------------------
# groups


@pytest.mark.parametrize("text", ["variants=[onnx_fp32,pruned]", "variants=pruned", "variants=[]"])
def test_a_selection_that_is_fine(text: str) -> None:
    assert overrides.check_group(parsed(text), VARIANTS) == []


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("workload=digit", ["workload=digit: unknown workload 'digit'; did you mean digits?"]),
        ("protocol=7", ["protocol=7: unknown protocol '7'; known: digits, onnx_fp32, pruned"]),
        (
            "variants=[onnx_fp23,prune,onnx_fp23]",
            [
                "variants=[onnx_fp23,prune,onnx_fp23]: unknown variant 'onnx_fp23'; did you mean onnx_fp32?",
                "variants=[onnx_fp23,prune,onnx_fp23]: unknown variant 'prune'; did you mean pruned?",
                "variants=[onnx_fp23,prune,onnx_fp23]: 'onnx_fp23' stands twice",
            ],
        ),
        ("workload=[digits,digits]", ["workload: takes one name, not ['digits', 'digits']"]),
        ("workload=null", ["workload=null: unknown workload 'null'; known: digits, onnx_fp32, pruned"]),
        (
            "~workload",
            ["'~workload' is refused: a study cannot be without 'workload'; choose another one, workload=..."],
        ),
        (
            "~variants",
            ["'~variants' is refused: a study cannot be without 'variants'; to have none, write variants=[]"],
        ),
        (
            "variants={}",
            ["'variants={}' is refused: variants=[a,b] selects by name, +variants.NAME={steps: [...]} adds a new one"],
        ),
    ],
)
def test_a_selection_that_cannot_be(text: str, sentences: list[str]) -> None:
    assert overrides.check_group(parsed(text), [*VARIANTS, "digits"]) == sentences


# ---------------------------------------------------------------------------------------------------------------------
# values


@pytest.mark.parametrize(
    "text",
    [
        "protocol.trials=3",
        "workload.data.rows=10",  # known to the schema, not in the files
        "workload.model.args.depth=3",  # free: whoever takes it checks it
        "variants.pruned.steps.1.epochs=3",
        "variants.pruned.runtime.threads=2",
        "+variants.new={steps: []}",
        "++variants.new.steps=[]",
        "+workload.data.rows=10",
        "~variants.pruned",
    ],
)
def test_a_value_that_is_fine(text: str) -> None:
    assert overrides.check_value(parsed(text), COMPOSED, VARIANTS) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("protocol.trails=3", "protocol.trails: no such key; did you mean protocol.trials?"),
        ("+foo=1", "foo: no such key; known: workload, "),
        ("~foo", "foo: no such key; known: workload, "),
        ("+protocol.trials=3", "'+protocol.trials=3' is refused: protocol.trials is already there; leave out the +"),
        ("~variants.prund", "~variants.prund: there is nothing to take away; did you mean pruned?"),
        ("~name", "~name: there is nothing to take away"),
        (
            "variants.pruned.steps.2.x=1",
            "variants.pruned.steps.2.x: no such item; variants.pruned.steps has 2, numbered from 0",
        ),
        (
            "+variants.pruned.steps.2={name: delay}",
            "variants.pruned.steps.2: no such item; variants.pruned.steps has 2, numbered from 0",
        ),
        (
            "variants.onnx_fp32.description=x",
            "variants.onnx_fp32: this variant is not selected; select it too, variants=[onnx_fp32,...]",
        ),
        (
            "variants.prund.description=x",
            (
                "variants.prund: no such variant; did you mean pruned? A new one is added with a plus sign: "
                "+variants.prund={steps: [...]}"
            ),
        ),
        (
            "variants.zzz={steps: []}",
            "variants.zzz: no such variant; known: onnx_fp32, pruned. A new one is added with a plus sign: ",
        ),
    ],
)
def test_a_value_that_cannot_be_set(text: str, sentence: str) -> None:
    answer = overrides.check_value(parsed(text), COMPOSED, VARIANTS)
    assert answer is not None
    assert answer.startswith(sentence)


@pytest.mark.parametrize(
    ("text", "given"),
    [("seed=3", "++seed=3"), ("+seed=3", "++seed=3"), ("++seed=3", "++seed=3"), ("~seed", "~seed")],
)
def test_known_keys_are_set_whether_or_not_the_files_mention_them(text: str, given: str) -> None:
    assert overrides.for_hydra(parsed(text)) == given


def test_overrides_are_foreseen() -> None:
    values: dict[str, Any] = {"variants": {"a": {"steps": [{"x": 1}, {"y": 2}], "runtime": None}}, "seed": 0}
    for text in (
        "+variants.b={steps: []}",
        "variants.b={description: c}",
        "variants.a.steps.1.y=3",
        "variants.a.steps.0={z: 4}",
        "variants.a.runtime.threads=2",
        "variants.b.steps=[text]",
        "variants.b.steps.0.key=1",  # Hydra will refuse this one
        "~variants.c",
        "~seed",
    ):
        overrides.foresee(parsed(text), values)
    assert values == {
        "variants": {
            "a": {"steps": [{"z": 4}, {"y": 3}], "runtime": {"threads": 2}},
            "b": {"steps": ["text"], "description": "c"},
        }
    }
