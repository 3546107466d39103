from collections.abc import Mapping

from mlbench.probes.readings import Readings


class Fake:
    """A probe that fails where it is told to."""

    name, provides = "fake", ()

    def __init__(self, figure: str, fails: str = "") -> None:
        self.figure, self.fails = figure, fails

    def begin(self) -> None:
        if self.fails == "begin":
            raise OSError("gone")

    def end(self, pid: int) -> Mapping[str, float]:
        if self.fails == "end":
            raise RuntimeError("the driver was unloaded")
        return {self.figure: float(pid)}


def test_what_fails_is_missing_for_that_turn_and_the_rest_is_read() -> None:
    early, late, sound = Fake("a"), Fake("b"), Fake("c")
    readings = Readings([early, late, sound])  # type: ignore[list-item]
    early.fails, late.fails = "begin", "end"
    readings.begin()
    assert readings.end(7) == {"c": 7.0}
    early.fails = late.fails = ""
    readings.begin()
    assert readings.end(8) == {"a": 8.0, "b": 8.0, "c": 8.0}
