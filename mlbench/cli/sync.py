"""``mlbench sync``: what MLflow does not have yet."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from mlbench.errors import ExitCode, InputError

if TYPE_CHECKING:
    from mlbench.sync import Synced
    from mlbench.waiting import Waiting

_MIB = 1 << 20
_DAY = 86_400


def do_sync(chosen: argparse.Namespace) -> int:
    """Deliver what was not delivered, and say of every journal what became of it; or only list or discard journals."""
    if chosen.older_than is not None and not chosen.discard:
        raise InputError("sync --older-than says what to discard: give --discard with it")
    if chosen.list or chosen.discard:
        return _journals(chosen)
    from mlbench.cli.commands import only_our_output
    from mlbench.endings import terminable
    from mlbench.measurement.guarding import guarded
    from mlbench.sync import sync
    from mlbench.variants.store import Store

    with only_our_output(), terminable(), guarded():  # models are written by a process of its own
        found = sync(Store(chosen.cache_dir), chosen.study, chosen.tracking_uri)
    _print(chosen, found, text(found))
    return int(ExitCode.FAILURE if any(item.state in ("failed", "damaged") for item in found) else ExitCode.DONE)


def _journals(chosen: argparse.Namespace) -> int:
    from mlbench.cli.commands import only_our_output
    from mlbench.variants.store import Store
    from mlbench.waiting import discard, journals_kept

    root = Store(chosen.cache_dir).root
    with only_our_output():
        if chosen.discard:
            found = discard(root, chosen.study, chosen.older_than, chosen.tracking_uri)
        else:
            found = journals_kept(root, chosen.study)
    _print(chosen, found, listing(found))
    return int(ExitCode.FAILURE if any(item.state == "kept" for item in found) else ExitCode.DONE)


def _print(chosen: argparse.Namespace, found: Sequence[Synced | Waiting], words: str) -> None:
    if chosen.json:
        words = json.dumps([asdict(item) for item in found], indent=2, ensure_ascii=False) + "\n"
    sys.stdout.write(words)


def text(found: Sequence[Synced]) -> str:
    """The result for a terminal, one line per journal."""
    lines = [f"{item.state:<11}  {item.run_id}  {item.name}: {item.detail}" for item in found]
    if not any(item.state in ("delivered", "failed", "damaged") for item in found):
        lines.append("nothing to deliver")
    return "\n".join(lines) + "\n"


def listing(found: Sequence[Waiting]) -> str:
    """Journals for a terminal, one line each: state, run, size, age in days, study."""
    lines = [
        f"{item.state:<11}  {item.run_id}  {item.size_bytes / _MIB:7.1f} MiB  {item.age_s / _DAY:5.1f} d  "
        f"{item.name}: {item.detail}"
        for item in found
    ]
    return "\n".join(lines or ["no journal is kept"]) + "\n"
