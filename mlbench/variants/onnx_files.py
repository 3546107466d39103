"""What the steps on ONNX files share: asking a file for answers, and counting what is in it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlbench.records import Artifact

if TYPE_CHECKING:
    from mlbench.variants.closeness import Outputs

FILE = "model.onnx"
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def source_of(artifact: Artifact) -> Path:
    """The file of an ``onnx`` artifact."""
    return Path(artifact.path) / artifact.entry


def outputs_of(path: Path) -> Outputs:
    """A function from inputs to every output, through ONNX Runtime on one thread."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = {item.name for item in session.get_inputs()}
    return lambda inputs: tuple(session.run(None, {name: array for name, array in inputs.items() if name in names}))


def answer_of(path: Path) -> Any:
    """A function from inputs to the first output, as evidence wants it."""
    outputs = outputs_of(path)
    return lambda inputs: outputs(inputs)[0]


def operators(path: Path) -> dict[str, int]:
    """Nodes by operator, sorted by name."""
    import onnx

    counts = Counter(node.op_type for node in onnx.load(path, load_external_data=False).graph.node)
    return dict(sorted(counts.items()))


def layers(counts: dict[str, int]) -> dict[str, int]:
    """Of nodes by operator, the convolutions and matrix products."""
    return {name: count for name, count in counts.items() if name in _LAYERS}


def gained(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Operators that there are more of than before: what a tool has put in."""
    return {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}
