"""How often each class occurs in each split, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from mlbench.records import DataInfo
from mlbench.reporting import text

MOST_NAMED = 12  # of more classes the smallest, the largest and the median are told; study.json has them all


def balance(data: DataInfo) -> tuple[tuple[str, str], ...]:
    """Label and value for each split; nothing for labels that are no classes.

    Items are counted, tokens where those have the labels; an item with several labels counts for each of them.
    """
    counts = data.class_counts.items()
    return tuple((f"classes in {text.plain(split)}", _told(found)) for split, found in counts if found)


def _told(counts: Mapping[str, int]) -> str:
    """``no 12, yes 15``; ``10 classes of 72 each``; ``150 classes: 2 (rare) to 90 (common), median 30``."""
    if len(counts) > 1 and len(set(counts.values())) == 1:
        return f"{len(counts):,} classes of {next(iter(counts.values())):,} each"
    if len(counts) <= MOST_NAMED:
        return ", ".join(f"{text.plain(name)} {count:,}" for name, count in counts.items())
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    return (
        f"{len(counts):,} classes: {counts[least]:,} ({text.plain(least)}) to {counts[most]:,} ({text.plain(most)}), "
        f"median {median(counts.values()):,.0f}"
    )
