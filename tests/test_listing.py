"""What there is to choose from, and why some of it cannot be used here."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from mlbench import listing, registry, tree
from mlbench.errors import InputError
from mlbench.listing import Item, items
from mlbench.parts import Entry


@pytest.fixture(autouse=True)
def _no_directories_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tree.PATH_VARIABLE, raising=False)


def find(kind: str, name: str, *folders: Path) -> Item:
    return next(item for item in items(kind, folders) if item.name == name)


@pytest.mark.parametrize("kind", listing.KINDS)
def test_every_kind_lists_something_of_ours(kind: str) -> None:
    found = items(kind)
    assert found
    for item in found:
        assert item.provider == "mlbench"
        assert item.summary, item.name
        assert item.available == (item.reason == "")
        if kind != "probes":  # those depend on the machine
            assert item.available or "pip install 'mlflow-mlbench[" in item.reason, item.reason


def test_parts_are_the_registrys() -> None:
    assert [item.name for item in items("steps")] == list(registry.entries("step"))


def test_configurations_are_the_trees() -> None:
    for kind, group in (("workloads", "workload"), ("variants", "variants"), ("policies", "policy")):
        assert [item.name for item in items(kind)] == sorted(
            path.stem for path in (tree.packaged() / group).glob("*.yaml")
        )


def test_a_probe_says_itself_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlbench.probes.gpu import GpuProbe

    monkeypatch.setattr(GpuProbe, "available", lambda _: "there is none")
    assert find("probes", "gpu").reason == "there is none"
    monkeypatch.setattr(GpuProbe, "available", lambda _: None)
    assert find("probes", "gpu").available


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry("step", "watts", "m:A", "words", requires=("surely_absent",), extra="power")
    monkeypatch.setattr(registry, "BUILTIN", (entry,))
    registry.entries.cache_clear()
    reason = "needs surely_absent, which is not installed: pip install 'mlflow-mlbench[power]'"
    assert items("steps")[0] == Item("watts", "words", available=False, reason=reason)
    registry.entries.cache_clear()


def test_a_third_partys_part_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    class Distribution:
        name = "tiny-parts"

    points = [("good", "fractions:Fraction"), ("broken", "surely_absent:A")]
    monkeypatch.setattr(
        registry,
        "entry_points",
        lambda group: [EntryPoint(*point, group)._for(Distribution()) for point in points],  # type: ignore[attr-defined]
    )
    registry.entries.cache_clear()
    good, broken = find("steps", "good"), find("steps", "broken")
    registry.entries.cache_clear()
    assert (good.available, good.provider) == (True, "tiny-parts")
    assert (broken.available, broken.provider) == (False, "tiny-parts")
    assert "cannot be imported: ModuleNotFoundError" in broken.reason


# ---------------------------------------------------------------------------------------------------------------------
# the user's own files


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def test_a_users_file_is_listed_and_wins(tmp_path: Path) -> None:
    written(tmp_path, "protocol/quick", "# Mine, with more trials. And more.\ntrials: 9\n")
    written(tmp_path, "protocol/mine", "trials: 9\n")
    assert find("protocols", "quick", tmp_path) == Item(
        "quick", "Mine, with more trials. And more", provider=str(tmp_path)
    )
    assert find("protocols", "mine", tmp_path) == Item("mine", "", provider=str(tmp_path))
    assert find("protocols", "default", tmp_path).provider == "mlbench"


def test_a_missing_directory_is_wrong_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        items("protocols", [tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("content", "place"), [("a: [", ", line 1"), ("a: b\n c: d: e", ", line 2"), (b"\xff\xfe\x00", "")]
)
def test_a_broken_file_is_listed_as_broken(tmp_path: Path, content: str | bytes, place: str) -> None:
    item = find("variants", "mine", written(tmp_path, "variants/mine", content))
    assert (item.available, item.reason) == (False, f"{tmp_path}/variants/mine.yaml{place}: this is not valid YAML")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("mine: {steps: [{name: delay, percent: 1}]}", ""),
        ("mine: {steps: [{name: '${oc.env:STEP}'}], runtime: {name: auto}}", ""),
        (
            "mine: {steps: [{name: delai}], runtime: {name: torh}}",
            "unknown step 'delai'; did you mean delay?; unknown ",
        ),
        ("mine: {steps: {name: delay}, runtime: torch}", ""),  # `run` says what is wrong with these
        ("mine: {steps: [delay, {percent: 3}]}", ""),
        ("mine: 3\nother: {steps: [{name: delai}, {name: delai}]}", "unknown step 'delai'; did you mean delay?"),
        ("- a list", ""),
        ("", ""),
    ],
)
def test_what_a_variant_needs(tmp_path: Path, content: str, reason: str) -> None:
    item = find("variants", "mine", written(tmp_path, "variants/mine", content))
    assert item.available == (reason == "")
    assert item.reason.startswith(reason)
    assert item.reason.count("unknown step") <= 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("model: {source: torch_factory}\ndata: {source: npz}\ntask: classification", ""),
        ("model: {factory: 'a:b'}\ndata: npz", ""),
        (
            "model: {source: torch_factry}\ndata: {source: nps}\ntask: classificatio",
            (
                "unknown task 'classificatio'; did you mean classification or token_classification?; unknown model 'torch_factry'; did you mean "  # noqa: E501 - one sentence, as the user reads it
                "torch_factory?; unknown dataset 'nps'; did you mean npz?"
            ),
        ),
    ],
)
def test_what_a_workload_needs(tmp_path: Path, content: str, reason: str) -> None:
    assert find("workloads", "mine", written(tmp_path, "workload/mine", content)).reason == reason


def test_a_missing_library_of_a_recipe_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry("step", "delay", "m:A", requires=("surely_absent",))
    monkeypatch.setattr(registry, "BUILTIN", (entry,))
    item = find("variants", "mine", written(tmp_path, "variants/mine", "mine: {steps: [{name: delay}]}"))
    assert item.reason == "step 'delay' needs surely_absent, which is not installed: pip install surely_absent"
