"""How many calls a worker has behind it, seen from outside while it makes them: in memory that it shares.

The array that the times of a turn are written to anyway lies in a file that has no name, which the worker maps and the
coordinator reads when it wonders. So no message, thread or alarm is needed, and what is timed stays as it is.
"""

from __future__ import annotations

import mmap
import os

import numpy as np
import numpy.typing as npt

_OPEN = -1  # in the cell of a call that is not over: no call takes less than no time
_CELL = np.dtype(np.int64)


class Cells:
    """The worker's side: 64-bit numbers in the file, or in memory of its own where nobody gave it one.

    Args:
        descriptor: Of the file, mapped and grown from here on; None for a worker that nobody looks at.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        self._cells = self._mapped(1)
        self.cleared(0)

    def cleared(self, calls: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Begin anew: no call is over.

        Every page has been written to when this returns, so that none is missing when a call is timed.

        Args:
            calls: How many times there must be room for.

        Returns:
            One cell that holds how many calls are over, for calls that are counted; and one cell each for calls whose
            times are written there, which say by it that they are over. Both are only good until the next time.
        """
        if len(self._cells) < 1 + calls:
            self._cells = self._mapped(1 + calls)
        self._cells[0] = 0
        self._cells[1:] = _OPEN
        return self._cells[:1], self._cells[1 : 1 + calls]

    def _mapped(self, count: int) -> npt.NDArray[np.int64]:
        size = -(-count * _CELL.itemsize // mmap.PAGESIZE) * mmap.PAGESIZE
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, size)
        return np.frombuffer(mmap.mmap(-1 if self._descriptor is None else self._descriptor, size), dtype=_CELL)


def calls_over(descriptor: int) -> int | None:
    """The coordinator's side: calls that are over since the worker began with what it was last asked.

    None for a worker that does not show them, since it has never mapped the file.
    """
    size = os.fstat(descriptor).st_size
    if not size:
        return None
    cells = np.frombuffer(os.pread(descriptor, size, 0), dtype=_CELL)
    return int(cells[0]) + int(np.count_nonzero(cells[1:] != _OPEN))
