"""The schema in words: descriptions, unknown keys, sentences about wrong values."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import TypeAdapter, ValidationError

from mlbench import schema
from mlbench.config import ProtocolConfig, StudyConfig


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "a whole number"),
        (Annotated[int, Ge(1)], "a whole number of at least 1"),
        (Annotated[int, Ge(1)] | None, "a whole number of at least 1, or null"),
        (Annotated[float, Gt(0), Le(0.5)], "a number above 0 and at most 0.5"),
        (Annotated[float, Ge(0), Lt(1)], "a number of at least 0 and below 1"),
        (bool, "true or false"),
        (str | None, "text, or null"),
        (Literal["cpu", "cuda"], "one of cpu, cuda"),
        (Literal["batches"], "'batches'"),
        (tuple[str, ...], "a list of texts"),
        (Annotated[tuple[Annotated[int, Ge(1)], ...], Len(1)], "a list of whole numbers of at least 1 (not empty)"),
        (tuple[dict[str, Any], ...], "a list of mappings"),
        (dict[str, str] | tuple[str, ...], "a mapping or a list of texts"),
        (dict[str, Any], "a mapping"),
        (ProtocolConfig, "a mapping with the keys " + ", ".join(schema.fields(ProtocolConfig))),
    ],
)
def test_descriptions(annotation: Any, words: str) -> None:
    assert schema.describe(annotation) == words


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("protocol.trials", None),
        ("variants.anything.steps.0.percent", None),
        ("workload.model.args.deep.er", None),
        ("workload.model.train.epochs", None),
        ("policy.constraints.0.min", None),
        ("protocol.trails", "protocol.trails: no such key; did you mean protocol.trials?"),
        ("trials", "trials: no such key; did you mean protocol.trials?"),
        ("tracking.alias", "tracking.alias: no such key; did you mean registry.alias?"),
        ("registry.allias.x", "registry.allias: no such key; did you mean registry.alias?"),
        (
            "probes.zzz",
            "probes.zzz: no such key; known in probes: names, energy_model",
        ),
        (
            "protocol.trials.x",
            "protocol.trials.x: no such key; protocol.trials has no keys, it holds a whole number of at least 1",
        ),
        (
            "scenario.batch_sizes.first",
            (
                "scenario.batch_sizes.first: no such key; scenario.batch_sizes is a list: its items are numbered from "
                "0, it holds a list of whole numbers of at least 1 (not empty)"
            ),
        ),
    ],
)
def test_unknown_keys(path: str, sentence: str | None) -> None:
    assert schema.unknown_key(path.split(".")) == sentence


def test_a_hopeless_key_gets_all_names() -> None:
    sentence = schema.unknown_key(["zzz"])
    assert sentence is not None
    assert sentence.endswith("known: " + ", ".join(schema.fields(StudyConfig)))


@dataclass(frozen=True)
class Inner:
    __pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}  # noqa: RUF012 - not annotated, so no field
    number: Annotated[int, Ge(1)]
    share: float = 0.5


@dataclass(frozen=True)
class Outer:
    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - not annotated, so no field
    inner: Inner
    items: tuple[Inner, ...] = ()
    free: dict[str, Any] = field(default_factory=dict)
    named: dict[str, Inner] = field(default_factory=dict)
    flag: bool = False
    maybe: Inner | None = None


def sentences(values: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Outer).validate_python(values)
    return schema.problems(caught.value, Outer)


def test_every_wrong_value_gets_a_sentence() -> None:
    values = {
        "inner": {"share": float("inf")},
        "items": [{"number": 0}, 3],
        "named": {"a": {"number": "abc"}, "b": None},
        "flag": "perhaps",
        "nonsense": 1,
    }
    assert sentences(values) == [
        "inner.number: has no value; it must be a whole number of at least 1",
        "inner.share: inf is not a finite number",
        "items[0].number: 0 is not a whole number of at least 1",
        "items[1]: 3 is not a mapping with the keys number, share",
        "named.a.number: 'abc' is not a whole number of at least 1",
        "named.b: null is not a mapping with the keys number, share",
        "flag: 'perhaps' is not true or false",
        "nonsense: no such key; known: inner, items, free, named, flag, maybe",
    ]


def test_a_prefix_says_where_the_values_are() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Inner).validate_python({"number": 0, "nomber": 1})
    assert schema.problems(caught.value, Inner, ("workload", "data")) == [
        "workload.data.number: 0 is not a whole number of at least 1",
        "workload.data.nomber: no such key; did you mean workload.data.number?",
    ]


def test_what_is_wrong_below_free_values_is_told_in_the_librarys_words() -> None:
    @dataclass(frozen=True)
    class Options:
        free: dict[str, int] = field(default_factory=dict)

    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Options).validate_python({"free": {"a": "x"}})
    error = caught.value
    assert schema.problems(error, Outer) == [f"free.a: 'x' is not allowed ({error.errors()[0]['msg']})"]


def test_truth_values_are_no_numbers() -> None:
    values = {
        "inner": {"number": True, "share": False},
        "items": [{"number": 1}, {"number": False}],
        "free": {"number": True},
        "flag": True,
        "nonsense": True,
    }
    assert list(schema.booleans(values, Outer)) == [
        "inner.number: true is not a whole number of at least 1",
        "inner.share: false is not a number",
        "items[1].number: false is not a whole number of at least 1",
    ]


def test_keys_are_flat() -> None:
    found = {key.path: (key.expected, key.default_text) for key in schema.keys(Outer)}
    assert found == {
        "inner.number": ("a whole number of at least 1", "required"),
        "inner.share": ("a number", "0.5"),
        "items": ("a list of mappings", "[]"),
        "items[].number": ("a whole number of at least 1", "required"),
        "items[].share": ("a number", "0.5"),
        "free": ("a mapping", "{}"),
        "named.<name>.number": ("a whole number of at least 1", "required"),
        "named.<name>.share": ("a number", "0.5"),
        "flag": ("true or false", "false"),
        "maybe": ("a mapping, or null", "null"),
        "maybe.number": ("a whole number of at least 1", "required"),
        "maybe.share": ("a number", "0.5"),
    }


def test_an_empty_text_is_shown_as_such() -> None:
    assert schema.Key("x", "text", "").default_text == "empty"
    assert schema.Key("x", "text", "words").default_text == "words"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ("a", "'a'"),
        ({"a": [1, "b"]}, "{a: [1, 'b']}"),
        ("x" * 100, "'" + "x" * 76 + "..."),
    ],
)
def test_values_are_shown_on_one_short_line(value: object, shown: str) -> None:
    assert schema.show(value) == shown


def test_paths_are_written_as_users_write_them() -> None:
    assert schema.dotted(["scenario", "batch_sizes", 1]) == "scenario.batch_sizes[1]"
    assert schema.dotted([0, "a"]) == "[0].a"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("protocol", True),
        ("baseline.runtime", True),
        ("protocol.trials", False),
        ("nowhere", False),
        ("variants", False),
    ],
)
def test_which_keys_are_sections(path: str, answer: bool) -> None:
    assert schema.is_record(path.split(".")) is answer
