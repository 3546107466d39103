"""What lives in a process of its own, in this one: so that a test can change what it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self


class Here:
    """As :class:`mlbench.measurement.apart.Apart`."""

    def __init__(self, make: Callable[..., Any], *args: Any, tell: Callable[[str], None] = lambda _text: None) -> None:
        self._made = make(*args, tell)
        self.begun = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self) -> None:
        """It is there."""

    def ask(self, method: str, *args: Any) -> Any:
        return getattr(self._made, method)(*args)

    def close(self, *, hurry: bool = False) -> None:
        self.begun = False
