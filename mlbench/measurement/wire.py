"""Messages between the coordinator and a worker: a JSON header and numpy arrays, length-prefixed, over two pipes.

Both ends block in ``read``: nobody polls or spins, so a waiting process takes no CPU from the one that is measured.
"""

from __future__ import annotations

import json
import os
import select
import struct
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.records import Artifact, RuntimeSettings, StepRecord, TensorSpec

_LENGTHS = struct.Struct("!II")
TOKENIZER, PROCESSING = "tokenizer.json", "processing.json"
"""Files beside the items, where they are texts, or images, that every call begins with."""

Arrays = Mapping[str, npt.NDArray[Any]]


class ChannelClosedError(Exception):
    """The other end is gone."""


class ChannelTimeoutError(Exception):
    """No complete message came in time."""


class Channel:
    """One end of the conversation.

    Args:
        reader, writer: File descriptors, owned by the channel from here on.
    """

    def __init__(self, reader: int, writer: int) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, header: Mapping[str, Any], arrays: Arrays | None = None) -> None:
        """Write one message.

        Raises:
            ChannelClosedError: The other end is gone.
        """
        blobs = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
        shapes = [[name, blob.dtype.str, list(blob.shape)] for name, blob in blobs.items()]
        head = json.dumps({"header": dict(header), "arrays": shapes}).encode()
        body = b"".join(blob.tobytes() for blob in blobs.values())
        view = memoryview(_LENGTHS.pack(len(head), len(body)) + head + body)
        try:
            while view:
                view = view[os.write(self._writer, view) :]
        except OSError as error:
            raise ChannelClosedError from error

    def ready(self, timeout: float) -> bool:
        """Sleep until there is something to read, or the other end is gone; False when ``timeout`` seconds are over."""
        return bool(select.select([self._reader], [], [], timeout)[0])

    def receive(self, timeout: float | None = None) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Read one message.

        Args:
            timeout: Seconds to wait for the whole message; None waits for ever.

        Raises:
            ChannelClosedError: The other end is gone.
            ChannelTimeoutError: No complete message in time.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        head_length, body_length = _LENGTHS.unpack(self._read(_LENGTHS.size, deadline))
        message = json.loads(self._read(head_length, deadline))
        body = self._read(body_length, deadline)
        arrays: dict[str, npt.NDArray[Any]] = {}
        offset = 0
        for name, dtype, shape in message["arrays"]:
            kind = np.dtype(dtype)
            size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
            arrays[name] = np.frombuffer(body[offset : offset + size], dtype=kind).reshape(shape).copy()
            offset += size
        return message["header"], arrays

    def _read(self, size: int, deadline: float | None) -> bytes:
        parts: list[bytes] = []
        while size:
            if deadline is not None and not self.ready(max(0.0, deadline - time.monotonic())):
                raise ChannelTimeoutError
            part = os.read(self._reader, min(size, 1 << 20))
            if not part:
                raise ChannelClosedError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Close both descriptors; closing twice is harmless."""
        for descriptor in {self._reader, self._writer} - {-1}:
            os.close(descriptor)
        self._reader = self._writer = -1


def artifact_from_dict(data: Mapping[str, Any]) -> Artifact:
    """An artifact from plain values, without the validation library that the worker must not load."""
    return Artifact(
        **{
            **data,
            "inputs": tuple(_tensor(item) for item in data["inputs"]),
            "outputs": tuple(_tensor(item) for item in data["outputs"]),
            "steps": tuple(StepRecord(**item) for item in data["steps"]),
        }
    )


def settings_from_dict(data: Mapping[str, Any]) -> RuntimeSettings:
    """Runtime settings from plain values."""
    return RuntimeSettings(**data)


def _tensor(data: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(data["name"], data["dtype"], tuple(data["shape"]))
