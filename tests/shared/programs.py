"""Programs under test, by what they say."""

from __future__ import annotations

import subprocess

import pytest


def until(process: subprocess.Popen[str], words: str) -> list[str]:
    """The lines on a program's standard error up to the one with these words."""
    assert process.stderr is not None
    said: list[str] = []
    for line in iter(process.stderr.readline, ""):
        said.append(line)
        if words in line:
            return said
    pytest.fail(f"the program ended without saying {words!r}:\n{''.join(said)}")
