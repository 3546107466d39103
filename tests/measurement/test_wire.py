import os
from dataclasses import asdict

import numpy as np
import pytest
from fakes import make_arm
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mlbench.measurement.wire import (
    Channel,
    ChannelClosedError,
    ChannelTimeoutError,
    artifact_from_dict,
    settings_from_dict,
)
from mlbench.records import RuntimeSettings, StepRecord


def pair() -> tuple[Channel, Channel]:
    a_read, b_write = os.pipe()
    b_read, a_write = os.pipe()
    return Channel(a_read, a_write), Channel(b_read, b_write)


@given(
    st.dictionaries(st.text(max_size=8), st.one_of(st.integers(), st.text(max_size=20), st.booleans(), st.none())),
    npst.arrays(st.sampled_from([np.int64, np.float32]), npst.array_shapes(min_dims=1, max_dims=3, max_side=5)),
)
def test_message_arrives_as_it_was_sent(header: dict[str, object], array: np.ndarray) -> None:
    one, other = pair()
    try:
        one.send(header, {"first": array, "empty": np.zeros((0, 3), np.int64)})
        received, arrays = other.receive(5)
    finally:
        one.close()
        other.close()
    assert received == header
    assert arrays["first"].dtype == array.dtype
    np.testing.assert_array_equal(arrays["first"], array)
    assert arrays["empty"].shape == (0, 3)


def test_gone_peer_is_told_to_the_reader_and_the_writer() -> None:
    one, other = pair()
    other.close()
    with pytest.raises(ChannelClosedError):
        one.receive()
    with pytest.raises(ChannelClosedError):
        one.send({})
    one.close()


def test_silence_ends_in_a_timeout() -> None:
    one, other = pair()
    with pytest.raises(ChannelTimeoutError):
        one.receive(0.0)
    one.close()
    other.close()


def test_half_a_message_ends_in_a_timeout_too() -> None:
    one, other = pair()
    os.write(other._writer, b"\0\0\0\x09")
    with pytest.raises(ChannelTimeoutError):
        one.receive(0.0)
    one.close()
    other.close()
    other.close()  # closing twice is harmless


def test_artifact_and_settings_come_through_plain_values() -> None:
    arm = make_arm("a")
    artifact = arm.artifact.__class__(
        **{
            **{name: getattr(arm.artifact, name) for name in arm.artifact.__slots__},
            "steps": (StepRecord("delay", {"percent": 10}, "f", {"a": 1}, 0.5),),
        }
    )
    assert artifact_from_dict(asdict(artifact)) == artifact
    settings = RuntimeSettings("torch", 2, 1, "cpu", {"channels_last": True})
    assert settings_from_dict(asdict(settings)) == settings
