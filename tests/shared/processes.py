"""Processes that are not the test's own children."""

from __future__ import annotations

import time

import psutil


def gone(number: int, seconds: float = 5.0) -> bool:
    """Whether a process ends within so many seconds, be it that nobody has taken leave of it yet."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if psutil.Process(number).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def guardians(word: str) -> list[int]:
    """Guardians with this on their command line: the number of a coordinator, or a mark."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if any(word.endswith("guardian.py") for word in command) and word in command:
            found.append(process.pid)
    return found
