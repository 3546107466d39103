"""Promotions take turns: claims on a registered model, on a fake clock."""

import pytest

from mlbench.errors import TrackingError
from mlbench.tracking.claims import claimed


class FakeRegistry:
    """The four calls that claims make, and somebody else who acts while they wait."""

    def __init__(self, tags=()):
        self.tags = dict(tags)
        self.now = 1000.0
        self.log = []
        self.meanwhile = []

    @property
    def client(self):
        return self

    def create_registered_model(self, name):
        self.log.append(f"create {name}")

    def get_registered_model(self, _name):
        return self

    def set_registered_model_tag(self, _name, key, value):
        self.tags[key] = value
        self.log.append(f"set {key}")

    def delete_registered_model_tag(self, _name, key):
        self.tags.pop(key, None)
        self.log.append(f"delete {key}")

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        if self.meanwhile:
            self.meanwhile.pop(0)(self)

    def claimed(self, claimant):
        return claimed(self, "m", claimant, self.clock, self.sleep)


def test_alone() -> None:
    registry = FakeRegistry()
    with registry.claimed("b"):
        assert list(registry.tags) == ["mlbench.claim.b"]
    assert registry.tags == {}
    assert registry.now == 1000.0


def test_the_smaller_name_keeps_its_claim_and_waits() -> None:
    registry = FakeRegistry({"mlbench.claim.b": "999.0"})
    registry.meanwhile = [lambda _: None, lambda other: other.tags.pop("mlbench.claim.b")]
    with registry.claimed("a"):
        assert list(registry.tags) == ["mlbench.claim.a"]
    assert registry.log == ["create m", "set mlbench.claim.a", "delete mlbench.claim.a"]


def test_the_larger_name_withdraws_until_the_other_is_done() -> None:
    registry = FakeRegistry({"mlbench.claim.a": "999.0"})

    def still_there(other):
        assert "mlbench.claim.b" not in other.tags

    registry.meanwhile = [still_there, lambda other: other.tags.pop("mlbench.claim.a")]
    with registry.claimed("b"):
        assert list(registry.tags) == ["mlbench.claim.b"]
    assert registry.log[1:] == [f"{what} mlbench.claim.b" for what in ("set", "delete", "set", "delete")]


def test_a_claim_of_a_process_that_died_goes_stale() -> None:
    registry = FakeRegistry({"mlbench.claim.a": "800.0", "mlbench.claim.c": "what", "other": "tag"})
    with registry.claimed("b"):
        assert registry.now == 1000.0


@pytest.mark.parametrize("mine", ["a", "c"])
def test_one_that_does_not_end_is_not_waited_for_forever(mine: str) -> None:
    registry = FakeRegistry({"mlbench.claim.b": "1050.0"})
    with (
        pytest.raises(TrackingError, match=r"another promotion does not come to an end \(tag mlbench\.claim\.b"),
        registry.claimed(mine),
    ):
        raise AssertionError("it has no claim")
    assert f"mlbench.claim.{mine}" not in registry.tags


def test_an_error_inside_gives_the_claim_up() -> None:
    registry = FakeRegistry()
    with pytest.raises(KeyError), registry.claimed("a"):
        raise KeyError
    assert registry.tags == {}
