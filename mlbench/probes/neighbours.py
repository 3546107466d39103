"""Who else uses the CPUs: other processes by name, from the kernel's process table.

Walking the table takes milliseconds, so it is never done while a turn is under way. Command lines and users are not
read: only the name of the program, as the kernel states it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlbench.records import Neighbour

MOST = 3
LEAST_CPUS = 0.05

_Key = tuple[int, int]  # a number is given to another process later; together with its start it is unique


@dataclass(frozen=True, slots=True)
class _Process:
    name: str
    parent: int
    ticks: int


class Neighbours:
    """CPU time of other processes between two looks.

    Args:
        proc: The proc file system.
        ticks_per_second: Unit of its times.
        own: This process; it and what it started are not neighbours.
    """

    def __init__(
        self, proc: Path = Path("/proc"), ticks_per_second: float | None = None, own: int | None = None
    ) -> None:
        self._proc = proc
        self._tick = 1.0 / (ticks_per_second or os.sysconf("SC_CLK_TCK"))
        self._own = own if own is not None else os.getpid()
        self._last: Mapping[_Key, _Process] = {}

    def begin(self) -> None:
        """Remember what every process has used so far."""
        self._last = self._table()

    def busiest(self, seconds: float) -> tuple[Neighbour, ...]:
        """The programs that used most CPU time since the last look, and look again.

        A process that came and went in between is not seen.

        Args:
            seconds: How long that was.

        Returns:
            At most :data:`MOST`, processes of one name together, with at least :data:`LEAST_CPUS`; the busiest first.
        """
        before, self._last = self._last, self._table()
        own = self._family()
        used: dict[str, float] = {}
        for key, process in self._last.items():
            if key[0] not in own:
                ticks = process.ticks - (before[key].ticks if key in before else 0)
                used[process.name] = used.get(process.name, 0.0) + ticks * self._tick / seconds
        ranked = sorted(used.items(), key=lambda item: (-item[1], item[0]))
        return tuple(Neighbour(name, round(cpus, 3)) for name, cpus in ranked[:MOST] if cpus >= LEAST_CPUS)

    def _family(self) -> set[int]:
        """This process and its descendants."""
        parents = {number: process.parent for (number, _), process in self._last.items()}
        family = {self._own}
        for number in parents:
            line = [number]
            while line[-1] in parents and line[-1] not in family and len(line) <= len(parents):
                line.append(parents[line[-1]])
            if line[-1] in family:
                family.update(line)
        return family

    def _table(self) -> dict[_Key, _Process]:
        found = {}
        for entry in os.scandir(self._proc):
            if entry.name.isdigit():
                try:
                    text = (self._proc / entry.name / "stat").read_text(errors="replace")
                except OSError:
                    continue  # gone since the directory was read
                # "pid (name) state ppid ...": the name may hold blanks and brackets; utime and stime are fields 14, 15
                name, _, rest = text.partition("(")[2].rpartition(")")
                fields = rest.split()
                found[int(entry.name), int(fields[19])] = _Process(
                    name, int(fields[1]), int(fields[11]) + int(fields[12])
                )
        return found
