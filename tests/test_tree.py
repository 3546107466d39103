"""Which configuration directories count, and in which order."""

import os
import shutil
from pathlib import Path

import pytest

from mlbench import tree
from mlbench.errors import InputError, MlbenchError


@pytest.fixture(autouse=True)
def _no_directories_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tree.PATH_VARIABLE, raising=False)


def test_packaged_tree_is_the_one_beside_the_package() -> None:
    beside = Path(tree.__file__).resolve().parents[1] / "conf"
    assert tree.packaged() == beside
    assert tree.directories() == (beside,)


def test_a_wheel_holds_the_tree_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "mlbench"
    shutil.copytree(tree.packaged(), package / "conf")
    shutil.copytree(tree.packaged(), tmp_path / "site" / "conf")
    monkeypatch.setattr(tree, "__file__", str(package / "tree.py"))
    assert tree.packaged() == package / "conf"


def test_a_broken_installation_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "__file__", str(tmp_path / "mlbench" / "tree.py"))
    with pytest.raises(MlbenchError, match="install mlflow-mlbench again"):
        tree.packaged()


def test_the_users_directories_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    for path in (one, two, three):
        path.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(tree.PATH_VARIABLE, os.pathsep.join((str(two), "", str(three), str(one))))
    assert tree.directories(["one", two]) == (one, two, three, tree.packaged())


def test_every_missing_directory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file.yaml"
    file.touch()
    monkeypatch.setenv(tree.PATH_VARIABLE, "/surely/not/there")
    with pytest.raises(InputError) as caught:
        tree.directories([file, "nowhere"])
    assert caught.value.problems == (
        f"configuration directory '{file}' (--config-dir) is not a directory",
        "configuration directory 'nowhere' (--config-dir) does not exist",
        "configuration directory '/surely/not/there' (MLBENCH_CONFIG_PATH) does not exist",
    )
