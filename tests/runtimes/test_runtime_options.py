"""Options of runtimes: what fits, and the sentence for what does not."""

from __future__ import annotations

from typing import Any

import pytest

from mlbench.runtimes.options import Option, option_problems, read_options

KNOWN = {
    "level": Option("all", ("none", "all")),
    "fast": Option(default=False, values=(True, False)),
    "names": Option(None, texts=True),
    "streams": Option(1, (1, 2)),
}


@pytest.mark.parametrize(
    "options", [{}, {"level": "none"}, {"fast": True}, {"names": ["a"]}, {"names": ("a", "b")}, {"streams": 2}]
)
def test_what_fits(options: dict[str, Any]) -> None:
    assert option_problems(KNOWN, options) == []
    assert read_options(KNOWN, options) == {"level": "all", "fast": False, "names": None, "streams": 1, **options}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"levle": "all"}, "runtime.options: unknown option 'levle'; did you mean level?"),
        ({"level": "some"}, "runtime.options: 'level' is 'some', but must be one of none, all"),
        ({"fast": 1}, "runtime.options: 'fast' is 1, but must be one of true, false"),
        ({"streams": True}, "runtime.options: 'streams' is True, but must be one of 1, 2"),
        ({"names": "a"}, "runtime.options: 'names' is 'a', but must be a list of names"),
        ({"names": []}, "runtime.options: 'names' is [], but must be a list of names"),
        ({"names": [1]}, "runtime.options: 'names' is [1], but must be a list of names"),
    ],
)
def test_what_does_not(options: dict[str, Any], sentence: str) -> None:
    assert option_problems(KNOWN, options) == [sentence]
