"""The registry: third parties may add but not shadow, mistakes are explained."""

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from mlbench import registry
from mlbench.errors import InputError, MlbenchError
from mlbench.parts import Entry, Kind

KINDS = tuple(registry.GROUPS)


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


def test_listing_imports_no_part() -> None:
    before = set(sys.modules)
    for kind in KINDS:
        registry.entries.cache_clear()
        registry.entries(kind)
    assert not [name for name in set(sys.modules) - before if name.startswith("mlbench.")]


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_names_get_the_nearest_ones(kind: Kind) -> None:
    known = next(iter(registry.entries(kind)))
    with pytest.raises(InputError, match=f"^unknown {kind} '{known}x'; did you mean .*{known}"):
        registry.find(kind, f"{known}x")
    with pytest.raises(InputError, match=rf"unknown {kind} '????'; known: .*{known}".replace("?", r"\?")):
        registry.load(kind, "????")


def test_loading_a_part_whose_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "BUILTIN", (Entry("step", "s", "m:A", requires=("surely_absent",)),))
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
