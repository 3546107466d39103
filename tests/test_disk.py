"""Directories of files with checksums, and names that may not lead out of them."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.disk import OutsideError, discard, files_in, flush, inside, is_private, no_room, sha256

PARTS = st.one_of(st.sampled_from(["..", ".", "", "a", "a.b", "...", "~", "\0", "C:"]), st.text(max_size=12))


def test_files_are_listed_relative_and_sorted_without_folders(tmp_path: Path) -> None:
    for name in ("b", "a/z", "a/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert files_in(tmp_path) == ["a/c", "a/z", "b"]


def test_links_are_listed_wherever_they_lead_and_never_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("x")
    for name, target in (("folder", "real"), ("file", "real/file"), ("nowhere", "gone")):
        (tmp_path / name).symlink_to(target)
    assert files_in(tmp_path) == ["file", "folder", "nowhere", "real/file"]
    with pytest.raises(OSError, match="file is a symbolic link"):
        sha256(tmp_path / "file")


def test_the_checksum_is_the_one_of_the_standard(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_files_and_folders_can_be_flushed(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    flush(tmp_path / "abc")
    flush(tmp_path)
    assert (tmp_path / "abc").read_bytes() == b"abc"


@pytest.mark.parametrize("name", ["model.onnx", "data/model.pt2", "a/./b", "..a", "a..b/c"])
def test_names_that_stay_inside(tmp_path: Path, name: str) -> None:
    assert inside(tmp_path, name).resolve() == (tmp_path / name).resolve()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/../../x", "a/..", "/etc/passwd", "//x", "a\0b", "x" * 300, "a/" * 3000 + "b"]
)
def test_names_that_would_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutsideError):
        inside(tmp_path, name)


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "folder" / "file").symlink_to(tmp_path / "secret")
    (tmp_path / "folder" / "up").symlink_to(tmp_path)
    for name in ("file", "up/secret"):
        with pytest.raises(OutsideError, match="symbolic link"):
            inside(tmp_path / "folder", name)


@given(st.lists(PARTS, max_size=6).map("/".join))
def test_whatever_the_name_it_stays_inside_or_is_refused(name: str) -> None:
    folder = Path("/surely/not/there")
    try:
        found = inside(folder, name)
    except OutsideError:
        return
    assert Path(os.path.normpath(found)).is_relative_to(folder)
    assert found != folder
    assert not set(found.parts) & {".."}


def test_private_is_ones_own_and_nobody_elses(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    assert is_private(folder)
    for mode, answer in ((0o755, True), (0o775, False), (0o777, False), (0o702, False)):
        folder.chmod(mode)
        assert is_private(folder) is answer, oct(mode)
    folder.chmod(0o700)
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "file").touch(0o600)
    assert not is_private(tmp_path / "link")
    assert not is_private(tmp_path / "file")


def test_what_somebody_else_owns_is_not_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert is_private(tmp_path) is (mine == 0)  # the administrator's is as good as one's own


def test_a_full_disk_is_told_whatever_was_raised_on_top_of_it() -> None:
    told = RuntimeError("it did not work")
    told.__cause__ = OSError(errno.ENOSPC, "No space left on device", "samples.parquet")
    assert no_room(told) == "no space is left on the disk of samples.parquet"
    assert no_room(OSError(errno.EACCES, "Permission denied")) == ""


def test_errors_that_go_round_in_a_circle_are_looked_at_once() -> None:
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__context__ = other, one
    assert no_room(one) == ""


def test_a_directory_is_discarded_whole_and_nothing_else(tmp_path: Path) -> None:
    place, kept, link = tmp_path / "place", tmp_path / "kept", tmp_path / "link"
    for folder in (place, kept):
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "file").touch()
    link.symlink_to(kept)
    (tmp_path / "file").touch()
    for name in ("place", "link", "file"):
        discard(tmp_path / name)
    assert files_in(tmp_path) == ["kept/sub/file"]
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    with pytest.raises(FileNotFoundError):
        discard(place)
