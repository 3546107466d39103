"""Files of a configuration directory: nothing in them is for Hydra itself, and none of them is a bomb."""

from pathlib import Path

import pytest

from mlbench import cli
from mlbench.compose import compose
from mlbench.errors import InputError
from mlbench.listing import items

BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
EVIL = "import pathlib; pathlib.Path({!r}).touch()\n"


def problems(folder: Path, *overrides: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        compose(overrides, [folder])
    return list(caught.value.problems)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("hydra: {callbacks: {x: {_target_: os.system}}}\n", "'hydra'"),
        ("# @package hydra.callbacks\nx: {_target_: os.system}\n", "'@package hydra.callbacks'"),
        ("# @package _global_.hydra\nsweeper: {}\n", "'@package _global_.hydra'"),
        ("# @package _global_\nhydra: {job_logging: {}}\n", "'hydra'"),
        ("defaults:\n  - override /hydra/launcher: basic\n", "'override /hydra/launcher' among the defaults"),
        ("defaults:\n  - /protocol@hydra.callbacks: quick\n", "'/protocol@hydra.callbacks' among the defaults"),
        ("defaults:\n  - optional hydra/job_logging: none\n", "'optional hydra/job_logging' among the defaults"),
        ("defaults:\n  - default@_global_.hydra\n", "'default@_global_.hydra' among the defaults"),
    ],
)
def test_nothing_in_a_file_is_for_hydra_itself(tmp_path: Path, text: str, place: str) -> None:
    folder = write(tmp_path, "protocol/theirs", text)
    (sentence,) = problems(folder, "protocol=theirs")
    assert sentence.startswith(f"{folder}/protocol/theirs.yaml: {place} is refused: mlbench composes its configuration")


def test_a_search_path_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra imports the package that ``pkg://`` names as soon as it looks into it."""
    (tmp_path / "modules" / "evil_package").mkdir(parents=True)
    (tmp_path / "modules" / "evil_package" / "__init__.py").write_text(EVIL.format(str(tmp_path / "ran")))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    folder = write(tmp_path / "conf", "config", "hydra: {searchpath: ['pkg://evil_package']}\ndefaults: [_self_]\n")
    assert "'hydra' is refused" in problems(folder)[0]
    assert not (tmp_path / "ran").exists()


def test_words_that_only_look_like_it_are_fine(tmp_path: Path) -> None:
    folder = write(tmp_path, "variants/hydraulic", "hydraulic: {description: about hydra, steps: []}\n")
    assert list(compose(["variants=[hydraulic]"], [folder]).config.variants) == ["hydraulic"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BOMB, "it holds more than 100,000 values, aliases included"),
        ("x: " + "[" * 100 + "]" * 100, "it is nested more than 64 deep"),
        ("x: &a [*a]\n", "its alias *a stands for nothing, or for something that holds itself"),
        ("# " + "x" * (1 << 20) + "\na: 1\n", "at most 1,048,576 are read"),
    ],
)
def test_bombs_do_not_go_off(tmp_path: Path, text: str, why: str) -> None:
    folder = write(tmp_path, "protocol/theirs", text)
    (sentence,) = problems(folder, "protocol=theirs")
    assert sentence.startswith(f"{folder}/protocol/theirs.yaml: it is not read: ")
    assert why in sentence
    (listed,) = [item for item in items("protocols", [folder]) if item.name == "theirs"]
    assert why in listed.reason


def test_a_file_outside_of_the_directory_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, "outside", "trials: 7\n")
    folder = write(tmp_path / "conf", "protocol/theirs", "defaults:\n  - ../../outside\n")
    assert any("outside" in sentence for sentence in problems(folder, "protocol=theirs"))


@pytest.mark.parametrize(
    "entrance", [("run",), ("run", "--overrides"), ("gate",), ("gate", "--overrides"), ("selfcheck",)]
)
def test_every_entrance_refuses_what_is_for_hydra(
    entrance: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """``run --overrides`` is what ``mlflow run`` calls, ``gate`` what CI does."""
    refused = [
        "hydra/job_logging=none",
        "hydra/launcher=basic",
        "+hydra.callbacks.x=1",
        "+hydra.sweeper.x=1",
        "+hydra.searchpath=[x]",
        "protocol@hydra.callbacks=quick",
        "+workload.model.args._target_=os.system",
    ]
    given = [" ".join(refused)] if len(entrance) == 2 else refused
    assert cli.main([*entrance, *given]) == 2
    said = capsys.readouterr().err
    assert [text for text in refused if f"'{text}' is refused" not in said] == []
