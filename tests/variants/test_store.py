"""The store: built once, whole or not at all, checked at every reuse, safe between processes."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlbench.errors import InputError, MlbenchError
from mlbench.records import Artifact, StepRecord, TensorSpec
from mlbench.variants.store import MANIFEST, Store, StoreError, default_root, digest_of

KEY = {"kind": "test", "number": 1}
SPEC = (TensorSpec("x", "float32", (None, 3)),)


class Maker:
    """Writes two files, and counts how often."""

    def __init__(self, text: str = "weights") -> None:
        self.calls = 0
        self.text = text

    def __call__(self, out: Path) -> Artifact:
        self.calls += 1
        (out / "model.bin").write_text(self.text)
        (out / "sub").mkdir()
        (out / "sub" / "more.txt").write_text("more")
        return Artifact("", "onnx", str(out), "model.bin", SPEC, SPEC, 0, (StepRecord("export_onnx", {}, "f"),))


class Clock:
    """Seconds since the epoch, as the test says."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Store:
    return Store(tmp_path / "store", clock)


def left_behind(store: Store) -> list[str]:
    return [path.name for path in (store.root / "artifacts").iterdir() if path.name.startswith(".")]


def test_an_artifact_is_built_once(store: Store) -> None:
    make = Maker()
    first = store.build(KEY, make)
    again = store.build(KEY, make)
    assert make.calls == 1
    assert again == first
    assert first.digest == digest_of(KEY)
    assert first.path == str(store.root / "artifacts" / first.digest)
    assert first.size_bytes == len("weights") + len("more")
    assert first.steps[0].name == "export_onnx"
    assert store.notices == ()
    assert left_behind(store) == []


def test_the_key_decides_and_its_order_does_not() -> None:
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})
    assert digest_of({"a": "é"}) == digest_of({"a": "\u00e9"})
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_of({"a": float("nan")})


def test_only_the_user_may_read(store: Store) -> None:
    artifact = store.build(KEY, Maker())
    assert Path(artifact.path).stat().st_mode & 0o777 == 0o700


def test_a_failed_build_leaves_nothing(store: Store) -> None:
    def fails(out: Path) -> Artifact:
        (out / "half").write_text("x")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        store.build(KEY, fails)
    assert store.entries() == []
    assert left_behind(store) == []


def test_an_interrupted_build_leaves_nothing(store: Store) -> None:
    def interrupted(out: Path) -> Artifact:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.build(KEY, interrupted)
    assert left_behind(store) == []


def test_a_build_without_its_file_is_refused(store: Store) -> None:
    def empty(out: Path) -> Artifact:
        return replace(Maker()(out), entry="other.bin")

    with pytest.raises(StoreError, match=r"was built without its file other\.bin"):
        store.build(KEY, empty)
    assert store.entries() == []


def _cut(place: Path) -> None:
    (place / "model.bin").write_text("weig")


def _flip(place: Path) -> None:
    (place / "model.bin").write_text("Weights")


def _lose(place: Path) -> None:
    (place / "sub" / "more.txt").unlink()


def _add(place: Path) -> None:
    (place / "stranger.py").write_text("")


def _lose_manifest(place: Path) -> None:
    (place / MANIFEST).unlink()


def _cut_manifest(place: Path) -> None:
    text = (place / MANIFEST).read_text()
    (place / MANIFEST).write_text(text[: len(text) // 2])


def _age_manifest(place: Path) -> None:
    (place / MANIFEST).write_text(json.dumps({**json.loads((place / MANIFEST).read_text()), "schema": 0}))


def _swap_manifest(place: Path) -> None:
    (place / MANIFEST).write_text(json.dumps({**json.loads((place / MANIFEST).read_text()), "digest": "other"}))


def _empty_manifest(place: Path) -> None:
    (place / MANIFEST).write_text(json.dumps({**json.loads((place / MANIFEST).read_text()), "artifact": {}}))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_cut, "model.bin has changed"),
        (_flip, "model.bin has changed"),
        (_lose, "sub/more.txt is missing"),
        (_add, "stranger.py is not part of it"),
        (_lose_manifest, "its manifest is missing"),
        (_cut_manifest, "its manifest cannot be read"),
        (_age_manifest, "its manifest was written by another version"),
        (_swap_manifest, "its manifest is of another artifact"),
        (_empty_manifest, "its manifest does not describe an artifact"),
    ],
)
def test_damage_is_found_told_and_repaired(store: Store, damage: Callable[[Path], None], reason: str) -> None:
    make, said = Maker(), []
    artifact = store.build(KEY, make)
    damage(Path(artifact.path))
    again = store.build(KEY, make, said.append)
    assert make.calls == 2
    assert said == [f"the stored artifact {artifact.digest[:12]} is damaged ({reason}); building it again"]
    assert store.notices == tuple(said)
    assert again == artifact
    assert (Path(again.path) / "model.bin").read_text() == "weights"
    assert store.build(KEY, make) == artifact
    assert make.calls == 2
    assert left_behind(store) == []


def test_listings_show_use_and_damage(store: Store, clock: Clock) -> None:
    first = store.build(KEY, Maker())
    clock.now += 10
    second = store.build({"other": 1}, Maker())
    clock.now += 10
    store.build(KEY, Maker())
    entries = store.entries()
    assert [entry.digest for entry in entries] == [first.digest, second.digest]
    assert [entry.last_used for entry in entries] == [clock.now, clock.now - 10]
    assert entries[0].format == "onnx"
    assert entries[0].steps == ("export_onnx",)
    assert entries[0].size_bytes > first.size_bytes  # with the manifest
    _lose_manifest(Path(first.path))
    damaged = next(entry for entry in store.entries() if entry.digest == first.digest)
    assert (damaged.format, damaged.damaged) == ("", "its manifest is missing")


def test_nothing_stored_nothing_listed(store: Store) -> None:
    assert store.entries() == []
    assert store.prune(everything=True) == []
    assert not store.root.exists()


def test_pruning_by_age_size_and_all(store: Store, clock: Clock) -> None:
    artifacts = []
    for number in range(4):
        artifacts.append(store.build({"number": number}, Maker()))
        clock.now += 100
    assert store.prune() == []
    removed = store.prune(older_than_s=350)
    assert [entry.digest for entry in removed] == [artifacts[0].digest]
    assert not Path(artifacts[0].path).exists()
    size = store.entries()[0].size_bytes
    removed = store.prune(max_bytes=2 * size)
    assert [entry.digest for entry in removed] == [artifacts[1].digest]
    assert {entry.digest for entry in store.prune(everything=True)} == {item.digest for item in artifacts[2:]}
    assert store.entries() == []


def test_a_disk_without_room_for_a_directory_can_be_pruned(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = store.build(KEY, Maker())

    def full(*_args: Any, **_options: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    monkeypatch.setattr(os, "mkdir", full)
    assert [entry.digest for entry in store.prune(everything=True)] == [artifact.digest]
    assert list((store.root / "artifacts").iterdir()) == []


def test_what_interrupted_builds_left_is_swept_when_old(store: Store, clock: Clock) -> None:
    store.build(KEY, Maker())
    old, young = (store.root / "artifacts" / f".building-{name}-1" for name in ("old", "young"))
    for path, age in ((old, 25 * 3600), (young, 60)):
        path.mkdir()
        os.utime(path, (clock.now - age, clock.now - age))
    store.prune()
    assert left_behind(store) == [young.name]
    store.prune(everything=True)
    assert left_behind(store) == []


def test_a_root_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        InputError, match=r"cache_dir: artifacts cannot be kept in .*/file \(.*\); name another directory"
    ):
        Store(tmp_path / "file").build(KEY, Maker())


def test_a_root_without_permission(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlbench.variants.store.os.access", lambda path, mode: False)
    with pytest.raises(InputError, match="no permission to write"):
        store.build(KEY, Maker())


def test_a_disk_that_is_full(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mlbench.variants.store.flush", full)
    with pytest.raises(StoreError, match=r"cannot be written: .*No space left on device"):
        store.build(KEY, Maker())
    assert store.entries() == []
    assert issubclass(StoreError, MlbenchError)


def test_a_directory_that_cannot_be_moved_into_place(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_rename(path: Path, target: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "rename", no_rename)
    with pytest.raises(StoreError, match="Input/output error"):
        store.build(KEY, Maker())
    assert store.entries() == []


def test_damage_is_noted_also_without_progress(store: Store) -> None:
    _cut(Path(store.build(KEY, Maker()).path))
    store.build(KEY, Maker())
    assert "is damaged (model.bin has changed); building it again" in store.notices[0]


def test_where_it_is_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLBENCH_CACHE_DIR", str(tmp_path))
    assert Store().root == default_root() == tmp_path
    monkeypatch.delenv("MLBENCH_CACHE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_root() == tmp_path / "home" / ".cache" / "mlbench"


def test_the_slower_builder_takes_the_winners(store: Store) -> None:
    winner = Maker("winner")

    def slower(out: Path) -> Artifact:
        Store(store.root).build(KEY, winner)
        return Maker("loser")(out)

    artifact = store.build(KEY, slower)
    assert (Path(artifact.path) / "model.bin").read_text() == "winner"
    assert left_behind(store) == []


def test_a_damaged_winner_is_replaced(store: Store) -> None:
    def slower(out: Path) -> Artifact:
        _cut(Path(Store(store.root).build(KEY, Maker("winner")).path))
        return Maker("second")(out)

    artifact = store.build(KEY, slower)
    assert (Path(artifact.path) / "model.bin").read_text() == "second"
    assert left_behind(store) == []


def test_two_processes_at_once(tmp_path: Path) -> None:
    """Both wait inside their build until the other is there too, so they truly overlap."""
    code = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from mlbench.records import Artifact, TensorSpec
        from mlbench.variants.store import Store
        root, me, other = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
        def make(out):
            (root / me).touch()
            while not (root / other).exists():
                time.sleep(0.001)
            (out / "model.bin").write_bytes(me.encode() * 200_000)
            spec = (TensorSpec("x", "float32", (None,)),)
            return Artifact("", "onnx", str(out), "model.bin", spec, spec, 0)
        artifact = Store(root / "store").build({"k": 1}, make)
        print(artifact.path, set((Path(artifact.path) / "model.bin").read_text()))
        """
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), *names],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for names in (("a", "b"), ("b", "a"))
    ]
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert said[0][0] == said[1][0]  # the same path, and the same winner's bytes in both
    store = Store(tmp_path / "store")
    assert [entry.damaged for entry in store.entries()] == [""]
    assert left_behind(store) == []


# ---------------------------------------------------------------------------------------------------------------------
# what may be loaded from it


def test_an_artifact_that_others_can_write_to_is_refused(store: Store) -> None:
    make = Maker()
    place = Path(store.build(KEY, make).path)
    place.chmod(0o777)
    with pytest.raises(InputError, match=r"cache_dir: .* others can write there, and what they write may run"):
        store.build(KEY, make)
    with pytest.raises(InputError, match="others can write there"):
        store.find(place.name)
    place.chmod(0o755)
    assert store.find(place.name) is not None
    assert make.calls == 1


def _link_file(place: Path) -> None:
    (place / "elsewhere").write_text("weights")
    (place / "model.bin").unlink()
    (place / "model.bin").symlink_to(place / "elsewhere")


def _link_folder(place: Path) -> None:
    (place / "sub").rename(place.parent / ".moved-sub")
    (place / "sub").symlink_to(place.parent / ".moved-sub")


def _edit(place: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((place / MANIFEST).read_text())
    change(manifest)
    (place / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "damage",
    [
        _link_file,
        _link_folder,
        lambda place: _edit(place, lambda manifest: manifest["artifact"].update(entry="../../../../etc/passwd")),
        lambda place: _edit(place, lambda manifest: manifest["artifact"].update(entry="")),
        lambda place: _edit(place, lambda manifest: manifest["files"].update({"model.bin": None})),
    ],
)
def test_nothing_is_taken_through_links_or_from_elsewhere(store: Store, damage: Callable[[Path], None]) -> None:
    make = Maker()
    damage(Path(store.build(KEY, make).path))
    again = store.build(KEY, make)
    assert make.calls == 2
    assert not any(path.is_symlink() for path in Path(again.path).rglob("*"))


@pytest.mark.parametrize("entry", ["../other.bin", "/etc/hostname", ""])
def test_a_build_whose_file_lies_elsewhere_is_refused(store: Store, entry: str) -> None:
    def elsewhere(out: Path) -> Artifact:
        (out.parent / "other.bin").write_text("x")
        return replace(Maker()(out), entry=entry)

    with pytest.raises(StoreError, match="was built without its file"):
        store.build(KEY, elsewhere)
