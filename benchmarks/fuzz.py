"""Fuzzing for as long as one likes: readers of records, tables and configuration, guided by coverage.

``tests/test_fuzz.py`` does a few hundred examples of the same in every run of the tests. This one needs atheris, which
is no dependency of mlbench:

    pip install atheris
    python benchmarks/fuzz.py records -max_total_time=600      # or: tables, overrides, files

Whatever is no error of mlbench itself ends it with a traceback, and the input is in a file ``crash-...``; that input
then becomes a test.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from mlbench import overrides, tables
from mlbench.compose import compose
from mlbench.errors import InputError
from mlbench.records import Plan, RecordError, Study, from_json


def records(data: bytes) -> None:
    for kind in (Study, Plan):
        try:
            from_json(kind, data)
        except RecordError:
            continue


def in_a_table(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.parquet"
        path.write_bytes(data)
        for read in (tables.read_samples, tables.read_hardware, tables.read_predictions):
            try:
                read(path)
            except RecordError:
                continue


def an_override(data: bytes) -> None:
    overrides.read(data.decode(errors="replace"), trusted=False)


def a_file(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "protocol" / "theirs.yaml"
        path.parent.mkdir()
        path.write_bytes(data)
        try:
            compose(["protocol=theirs"], [folder])
        except InputError:
            return


TARGETS: dict[str, Callable[[bytes], None]] = {
    "records": records,
    "tables": in_a_table,
    "overrides": an_override,
    "files": a_file,
}


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python benchmarks/fuzz.py {'|'.join(TARGETS)} [libFuzzer options]")
    try:
        import atheris
    except ImportError:
        sys.exit("this needs atheris: pip install atheris")
    target = TARGETS[sys.argv.pop(1)]
    atheris.instrument_all()  # all that is imported already, mlbench and pydantic's Python part among it
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
