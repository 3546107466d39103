"""The registry: built-in parts exist, third parties may add but not shadow, mistakes are explained."""

import importlib
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from mlbench import registry
from mlbench.errors import InputError, MlbenchError

KINDS = tuple(registry.GROUPS)
BUILTIN = [entry for kind in KINDS for entry in registry.entries(kind).values()]
PROTOCOL = {
    "model": ("format", "check", "build"),
    "dataset": ("options", "load"),
    "task": ("evaluate",),
    "step": ("name", "version", "params", "accepts", "produces", "libraries", "reads_data", "resolve", "apply"),
    "runtime": ("name", "formats", "import_library", "load"),
    "probe": ("name", "provides", "available", "source", "lacks", "start", "begin", "end", "stop"),
}


class Distribution:
    name = "tiny-parts"


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Steps of a third party by name; whoever fills the dictionary registers them."""
    registered: dict[str, str] = {}

    def found(group: str) -> list[EntryPoint]:
        points = [EntryPoint(name, value, group) for name, value in registered.items() if group == "mlbench.steps"]
        return [point._for(Distribution()) for point in points]  # type: ignore[attr-defined]

    monkeypatch.setattr(registry, "entry_points", found)
    registry.entries.cache_clear()
    yield registered
    registry.entries.cache_clear()


@pytest.mark.parametrize("entry", BUILTIN, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_built_in_parts_are_what_their_protocol_asks(entry: registry.Entry) -> None:
    module, _, attribute = entry.target.partition(":")
    part = getattr(importlib.import_module(module), attribute)  # whether its library is here or not
    assert [name for name in PROTOCOL[entry.kind] if not hasattr(part, name)] == []
    assert getattr(part, "name", entry.name) == entry.name
    assert entry.summary
    assert entry.provider == "mlbench"


def test_listing_imports_no_part() -> None:
    before = set(sys.modules)
    for kind in KINDS:
        registry.entries.cache_clear()
        registry.entries(kind)
    assert not [name for name in set(sys.modules) - before if name.startswith("mlbench.")]


@pytest.mark.parametrize("entry", BUILTIN, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_what_a_part_requires_comes_with_the_core_or_an_extra(entry: registry.Entry) -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if entry.extra is not None:
        assert entry.extra in project["optional-dependencies"]
    else:
        assert entry.missing() is None  # the tests run with the core installed


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_names_get_the_nearest_ones(kind: registry.Kind) -> None:
    known = next(iter(registry.entries(kind)))
    with pytest.raises(InputError, match=f"^unknown {kind} '{known}x'; did you mean .*{known}"):
        registry.find(kind, f"{known}x")
    with pytest.raises(InputError, match=rf"unknown {kind} '????'; known: .*{known}".replace("?", r"\?")):
        registry.load(kind, "????")


def test_a_missing_extra_is_named() -> None:
    core = registry.Entry("step", "s", "m:A", requires=("surely_absent",))
    assert core.missing() == "needs surely_absent, which is not installed: pip install surely_absent"
    extra = registry.Entry("step", "s", "m:A", requires=("json", "surely_absent"), extra="openvino")
    assert extra.missing() == "needs surely_absent, which is not installed: pip install 'mlflow-mlbench[openvino]'"
    assert registry.Entry("step", "s", "m:A", requires=("json",)).missing() is None


def test_loading_a_part_whose_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_BUILTIN", (registry.Entry("step", "s", "m:A", requires=("surely_absent",)),))
    registry.entries.cache_clear()
    with pytest.raises(InputError, match=r"^step 's' needs surely_absent, which is not installed"):
        registry.load("step", "s")
    registry.entries.cache_clear()


def test_third_parties_register_parts(third_party: dict[str, str]) -> None:
    third_party["fractions"] = "fractions:Fraction"
    entry = registry.entries("step")["fractions"]
    assert (entry.provider, entry.summary) == ("tiny-parts", "from tiny-parts")
    assert registry.load("step", "fractions") is importlib.import_module("fractions").Fraction


def test_third_parties_shadow_nothing(third_party: dict[str, str]) -> None:
    third_party["delay"] = "fractions:Fraction"
    assert registry.entries("step")["delay"].provider == "mlbench"
    assert registry.load("step", "delay").__module__ == "mlbench.variants.delay"


@pytest.mark.parametrize("target", ["surely_absent:A", "fractions:Absent"])
def test_a_broken_third_party_is_named(third_party: dict[str, str], target: str) -> None:
    third_party["broken"] = target
    with pytest.raises(
        MlbenchError, match=rf"^step 'broken' of tiny-parts \({target}\) cannot be imported: "
    ) as caught:
        registry.load("step", "broken")
    assert not isinstance(caught.value, InputError)


def test_suggestions() -> None:
    assert registry.suggest("digit", ["digits", "npz"]) == "did you mean digits?"
    assert registry.suggest("zzz", ["b", "a"]) == "known: a, b"
    assert registry.suggest("zzz", []) == "known: none"
