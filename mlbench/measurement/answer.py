"""Whether a model's answer is one: as many rows as were asked, of the declared kind and shape, all of it numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import WorkerError
from mlbench.records import TensorSpec

_REAL, _WHOLE = "real numbers", "whole numbers"
_PREFIXES = {"float": _REAL, "bfloat": _REAL, "int": _WHOLE, "uint": _WHOLE, "bool": _WHOLE}


def require_answer(outputs: tuple[npt.NDArray[Any], ...], rows: int, spec: TensorSpec | None, *, exact: bool) -> None:
    """See that the first output can be scored and compared.

    Axes of length 1 do not count, since one number per item comes with and without them. Infinity is refused like NaN,
    also the minus infinity of a masked class: it has no difference to the baseline's answer, and no share in a loss.

    Args:
        outputs: What the model answered.
        rows: Items that it was given.
        spec: The first output as the workload's model has it; None where that is not known.
        exact: Every axis is as declared; otherwise (sequences of any length) the last one only.

    Raises:
        WorkerError: It is no such answer; the message says what it is instead.
    """
    if not outputs:
        raise WorkerError("the model returned nothing")
    first = outputs[0]
    if first.ndim == 0 or first.shape[0] != rows:
        raise WorkerError(f"the model returned shape {list(first.shape)} for a batch of {rows} items")
    kind = _kind(first.dtype.name)
    if kind is None:
        raise WorkerError(f"the model returned {first.dtype}, which is neither real nor whole numbers")
    if spec is not None:
        _require_spec(first, kind, spec, exact=exact)
    if kind == _REAL:
        _require_finite(first)


def _require_spec(first: npt.NDArray[Any], kind: str, spec: TensorSpec, *, exact: bool) -> None:
    declared = _kind(spec.dtype)
    if declared is not None and kind != declared:
        raise WorkerError(
            f"the model returned {first.dtype}, where the workload's model gives {declared} ({spec.dtype})"
        )
    found, wanted = ([size for size in shape[1:] if size != 1] for shape in (first.shape, spec.shape))
    if not exact:
        found, wanted = found[-1:], wanted[-1:]
    if len(found) != len(wanted) or any(size not in (None, given) for given, size in zip(found, wanted, strict=True)):
        shape = ["items", *("any" if size is None else size for size in spec.shape[1:])]
        raise WorkerError(
            f"the model returned shape {list(first.shape)}, where the workload's model gives "
            f"[{', '.join(map(str, shape))}]"
        )


def _require_finite(first: npt.NDArray[Any]) -> None:
    bad = ~np.isfinite(first)
    if not bad.any():
        return
    tests: dict[str, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.bool_]]] = {
        "NaN": np.isnan,
        "infinity": np.isposinf,
        "minus infinity": np.isneginf,
    }
    values = first[bad].astype(np.float64)
    names = " and ".join(name for name, test in tests.items() if test(values).any())
    items = bad.reshape(len(bad), -1).any(axis=1)
    raise WorkerError(
        f"the model returned values that are not finite ({names}) for {int(items.sum())} of {len(items)} items"
    )


def _kind(dtype: str) -> str | None:
    """Real or whole numbers, from the name of a type; None for anything else. NumPy does not know all short floats."""
    return next((kind for prefix, kind in _PREFIXES.items() if dtype.startswith(prefix)), None)
