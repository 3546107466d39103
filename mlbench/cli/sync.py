"""``mlbench sync``: what MLflow does not have yet."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from mlbench.errors import ExitCode

if TYPE_CHECKING:
    from mlbench.sync import Synced


def do_sync(chosen: argparse.Namespace) -> int:
    """Deliver what was not delivered, and say of every journal what became of it."""
    from mlbench.cli.commands import only_our_output
    from mlbench.sync import sync
    from mlbench.variants.store import Store

    with only_our_output():
        found = sync(Store(chosen.cache_dir), chosen.study, chosen.tracking_uri)
    if chosen.json:
        sys.stdout.write(json.dumps([asdict(item) for item in found], indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(text(found))
    return int(ExitCode.FAILURE if any(item.state in ("failed", "damaged") for item in found) else ExitCode.DONE)


def text(found: Sequence[Synced]) -> str:
    """The result for a terminal, one line per journal."""
    lines = [f"{item.state:<11}  {item.run_id}  {item.name}: {item.detail}" for item in found]
    if not any(item.state in ("delivered", "failed", "damaged") for item in found):
        lines.append("nothing to deliver")
    return "\n".join(lines) + "\n"
