"""A torch module that came as a pickle: its structure without its weights, for a factory to make it again.

What a pickled module is, only its pickle knows. So its structure is kept as a pickle too, on torch's ``meta`` device,
where tensors have no values; it is small enough to stand among the factory's arguments. The weights are kept as those
of every other module are, and every step that takes a module takes this one. A skeleton is made of a module that the
user trusts, and is read from mlbench's own store.
"""

from __future__ import annotations

import base64
import copy
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from mlbench.errors import WorkerError

if TYPE_CHECKING:
    from torch import nn

FACTORY = "mlbench.workloads.skeletons:rebuild"
_MOST_BYTES = 8 << 20


def skeleton(module: nn.Module, code: Path | None = None) -> str:
    """The module's structure as text, without the values of its parameters and buffers.

    Args:
        module: Any module that cloudpickle can write.
        code: Directory of modules that came with the model; their code becomes part of the skeleton.

    Raises:
        WorkerError: It cannot be written, or holds much more than parameters and buffers.
    """
    import cloudpickle

    try:
        with _by_value(code):
            pickled = cloudpickle.dumps(copy.deepcopy(module).to("meta"))
    except Exception as error:  # whatever the module's parts raise when they are copied or pickled
        raise WorkerError(
            f"the structure of {type(module).__name__} cannot be kept: {type(error).__name__}: {error}"
        ) from error
    if len(pickled) > _MOST_BYTES:
        raise WorkerError(
            f"{type(module).__name__} holds {len(pickled) >> 20} MiB besides its parameters and buffers; register its "
            "tensors as buffers"
        )
    return base64.b64encode(pickled).decode("ascii")


def rebuild(pickled: str) -> nn.Module:
    """The module of a skeleton, with parameters and buffers of any value; the caller puts the weights in."""
    module: nn.Module = pickle.loads(base64.b64decode(pickled))  # noqa: S301 - made by skeleton(), see above
    return module.to_empty(device="cpu")


@contextmanager
def _by_value(code: Path | None) -> Iterator[None]:
    """Pickle the modules below a directory with their code: workers do not have that directory."""
    import cloudpickle

    own = [module for module in list(sys.modules.values()) if code is not None and _is_below(module, code)]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def _is_below(module: ModuleType, code: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and Path(file).resolve().is_relative_to(code.resolve())
