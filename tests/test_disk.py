"""Directories of files with checksums."""

from pathlib import Path

from mlbench.disk import files_in, flush, sha256


def test_files_are_listed_relative_and_sorted_without_folders(tmp_path: Path) -> None:
    for name in ("b", "a/z", "a/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert files_in(tmp_path) == ["a/c", "a/z", "b"]


def test_the_checksum_is_the_one_of_the_standard(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_files_and_folders_can_be_flushed(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    flush(tmp_path / "abc")
    flush(tmp_path)
    assert (tmp_path / "abc").read_bytes() == b"abc"
