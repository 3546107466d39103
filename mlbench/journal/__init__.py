"""The journal of a study under way: on this disk, until MLflow has everything.

A journal is a private directory below the cache directory, named by the study's run. What it holds is written between
trials, never during a turn, and in one piece: a reader finds an entry whole, with the checksum of every file, or not at
all. Credentials are not written. The coordinator holds the journal's lock as long as it lives.
"""

from __future__ import annotations

from mlbench.journal._journal import Journal, JournalBusyError, JournalError, journals
from mlbench.journal._records import Begun, Conclusion, JournaledArm, Planned

__all__ = [
    "Begun",
    "Conclusion",
    "Journal",
    "JournalBusyError",
    "JournalError",
    "JournaledArm",
    "Planned",
    "journals",
]
