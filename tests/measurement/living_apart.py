"""Objects for a process of their own: one that answers, and ways to go."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import BuildError, InputError


class Guest:
    """Answers, remembers, and breaks in every way."""

    def __init__(self, name: str, tell: Callable[[str], None]) -> None:
        if name == "impossible":
            raise InputError(["one", "two"])
        self.name = name
        self.tell = tell
        self.asked = 0

    def greet(self, whom: str) -> tuple[str, int, int]:
        self.asked += 1
        self.tell(f"{self.name} is asked")
        self.tell("and thinks")
        return f"{self.name} greets {whom}", self.asked, os.getpid()

    def double(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return 2 * values

    def speak(self) -> None:
        print("printed")  # noqa: T201 - as libraries do
        os.write(1, b"written past Python\n")
        sys.stderr.write("warned\n")

    def environment(self, name: str) -> str | None:
        return os.environ.get(name)

    def fail(self, kind: str) -> None:
        if kind == "build":
            raise BuildError("prune", "it broke")
        if kind == "input":
            raise InputError(["one", "two"])
        if kind == "foreign":
            raise ZeroDivisionError("by somebody else")

        class LocalError(Exception):
            pass

        raise LocalError("cannot travel")

    def unportable(self) -> Any:
        return lambda: None

    def crash(self) -> None:
        os.write(2, b"the tool was here\n")
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(60)

    def leave(self, code: int) -> None:
        os._exit(code)

    def leave_a_helper(self) -> int:
        """A forked process that keeps the pipe, and outlives this one."""
        helper = os.fork()
        if helper == 0:
            time.sleep(120)
            os._exit(0)
        return helper

    def work(self, mark: str) -> None:
        """Leave a mark for as long as it works."""
        try:
            Path(mark).touch()
            self.tell("working")
            time.sleep(60)
        finally:
            Path(mark).unlink()

    def work_on(self) -> None:
        """Do not hear that it is interrupted."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.tell("working")
        time.sleep(60)

    def many(self) -> int:
        return int(np.arange(10).sum())
