"""The parts that come with mlbench: what a configuration selects by short name, and where it is.

Each is listed as ``module:attribute`` and imported when it is first used, so that listing them costs nothing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["model", "dataset", "task", "step", "runtime", "probe"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered part.

    Attributes:
        target: ``module:attribute``, imported by :func:`load`.
        summary: One line for ``mlbench list``.
        requires: Modules that must be importable.
        extra: The extra of mlflow-mlbench that installs them, or None where the core does.
        provider: ``mlbench``, or the distribution that registered it.
    """

    kind: Kind
    name: str
    target: str
    summary: str = ""
    requires: tuple[str, ...] = ()
    extra: str | None = None
    provider: str = "mlbench"

    def missing(self) -> str | None:
        """Why this part cannot be used here, naming what to install; None when it can."""
        absent = [name for name in self.requires if importlib.util.find_spec(name) is None]
        if not absent:
            return None
        install = f"pip install 'mlflow-mlbench[{self.extra}]'" if self.extra else f"pip install {' '.join(absent)}"
        return f"needs {', '.join(absent)}, which is not installed: {install}"


def _builtin(
    kind: Kind, name: str, target: str, summary: str, requires: Iterable[str] = (), extra: str | None = None
) -> Entry:
    return Entry(kind, name, target, summary, tuple(requires), extra)


BUILTIN: tuple[Entry, ...] = (
    _builtin(
        "model",
        "torch_factory",
        "mlbench.workloads.torch_factory:TorchFactory",
        "a torch module from a factory function, trained here or with saved weights",
        ("torch",),
    ),
    _builtin(
        "model",
        "sklearn",
        "mlbench.workloads.sklearn_factory:SklearnFactory",
        "a scikit-learn estimator from a factory function, fitted here, or a file that you trust",
        ("sklearn", "joblib"),
    ),
    _builtin(
        "model",
        "onnx",
        "mlbench.workloads.onnx_file:OnnxFile",
        "an ONNX file, weights beside it included",
        ("onnx", "onnxruntime"),
    ),
    _builtin(
        "model",
        "huggingface",
        "mlbench.workloads.huggingface_model:HuggingFaceModel",
        "a Hugging Face text model with its tokenizer, by hub id, folder or package",
        ("torch", "transformers"),
    ),
    _builtin(
        "model",
        "mlflow",
        "mlbench.tracking.logged_model:LoggedModel",
        "a model in MLflow by URI (models:/name@alias, runs:/...): natively where it can be, else through pyfunc",
    ),
    _builtin(
        "dataset",
        "digits",
        "mlbench.workloads.datasets:Digits",
        "scikit-learn's handwritten digits, 1,797 images of 8x8",
        ("sklearn",),
    ),
    _builtin(
        "dataset", "npz", "mlbench.workloads.datasets:Npz", "a NumPy archive with one array per input and one of labels"
    ),
    _builtin(
        "dataset",
        "sklearn",
        "mlbench.workloads.datasets:SklearnSets",
        "a table that comes with scikit-learn: breast_cancer, diabetes, digits, iris, wine",
        ("sklearn",),
    ),
    _builtin("dataset", "csv", "mlbench.workloads.files:Csv", "CSV files, columns as inputs and labels"),
    _builtin(
        "dataset",
        "parquet",
        "mlbench.workloads.files:Parquet",
        "Parquet files, columns as inputs and labels",
        ("pyarrow",),
    ),
    _builtin("dataset", "jsonl", "mlbench.workloads.files:JsonLines", "JSON Lines files, keys as inputs and labels"),
    _builtin(
        "dataset",
        "images",
        "mlbench.workloads.images:Images",
        "images in folders, one for each class",
        ("PIL",),
        "images",
    ),
    _builtin(
        "dataset",
        "huggingface",
        "mlbench.workloads.huggingface_data:Hub",
        "a dataset of the Hugging Face hub, or a folder of that library",
        ("datasets",),
        "huggingface",
    ),
    _builtin(
        "dataset",
        "mlflow",
        "mlbench.tracking.logged_data:LoggedData",
        "a dataset that a run in MLflow has logged: a CSV, Parquet or JSON Lines file, columns as inputs and labels",
        ("mlflow",),
    ),
    _builtin(
        "task",
        "classification",
        "mlbench.quality.classification:Classification",
        "one class per item: accuracy, precision, recall, F1",
        ("sklearn",),
    ),
    _builtin(
        "task",
        "binary",
        "mlbench.quality.binary:Binary",
        "one of two classes per item: precision, recall, F1, ROC AUC of the second",
    ),
    _builtin(
        "task",
        "multilabel",
        "mlbench.quality.multilabel:Multilabel",
        "any number of classes per item: F1 over pairs and classes, exact matches",
    ),
    _builtin("task", "regression", "mlbench.quality.regression:Regression", "one number per item: R2, MAE, RMSE"),
    _builtin(
        "task",
        "embedding",
        "mlbench.quality.embedding:Embedding",
        "vectors: closeness to the baseline's, and a linear probe shared by all arms",
        ("sklearn",),
    ),
    _builtin(
        "task",
        "token_classification",
        "mlbench.quality.tokens:TokenClassification",
        "one class per token: accuracy, precision, recall, F1",
    ),
    _builtin(
        "step",
        "delay",
        "mlbench.variants.delay:Delay",
        "adds a true, stated share of work to each call; for self-checks",
    ),
    _builtin(
        "step",
        "as_pyfunc",
        "mlbench.variants.as_pyfunc:AsPyfunc",
        "a workload's MLflow model as it was logged, through pyfunc",
        ("mlflow",),
    ),
    _builtin(
        "step",
        "prune_structured",
        "mlbench.variants.prune:PruneStructured",
        "removes whole channels by dependency graph (torch-pruning)",
        ("torch", "torch_pruning"),
    ),
    _builtin(
        "step",
        "prune_unstructured",
        "mlbench.variants.sparsify:PruneUnstructured",
        "makes the smallest single weights zero; no smaller, no faster",
        ("torch",),
    ),
    _builtin(
        "step",
        "prune_semi_structured",
        "mlbench.variants.sparsify:PruneSemiStructured",
        "2:4 sparsity of linear layers, CUDA only",
        ("torch",),
    ),
    _builtin(
        "step",
        "prune_iterative",
        "mlbench.variants.prune_iterative:PruneIterative",
        "pruning in stages, with training in between that stops early",
        ("torch", "torch_pruning"),
    ),
    _builtin(
        "step",
        "distil",
        "mlbench.variants.distil:Distil",
        "short training towards the baseline's own outputs",
        ("torch",),
    ),
    _builtin(
        "step", "fine_tune", "mlbench.variants.fine_tune:FineTune", "short training on the training split", ("torch",)
    ),
    _builtin(
        "step",
        "precision",
        "mlbench.variants.precision:Precision",
        "bfloat16 or float16 weights or arithmetic, channels last, in PyTorch",
        ("torch",),
    ),
    _builtin(
        "step",
        "compile",
        "mlbench.variants.compile_torch:Compile",
        "torch.compile (inductor) in the worker, in one graph or not at all",
        ("torch",),
    ),
    _builtin(
        "step",
        "export_torch",
        "mlbench.variants.compile_torch:ExportTorch",
        "torch.export: one traced graph (.pt2), outputs compared with the source",
        ("torch",),
    ),
    _builtin(
        "step",
        "aot_inductor",
        "mlbench.variants.compile_torch:AotInductor",
        "an exported program compiled ahead of time (AOTInductor)",
        ("torch",),
    ),
    _builtin(
        "step",
        "quantize_torchao",
        "mlbench.variants.quantize_torchao:QuantizeTorchao",
        "int8 linear layers, dynamic or weights only (torchao); let compile follow",
        ("torch", "torchao"),
        "torchao",
    ),
    _builtin(
        "step",
        "quantize_pt2e",
        "mlbench.variants.quantize_torchao:QuantizePt2e",
        "static int8 of an exported graph (torchao PT2E, x86); let compile follow",
        ("torch", "torchao"),
        "torchao",
    ),
    _builtin(
        "step",
        "quantize_torch_int8",
        "mlbench.variants.quantize_torch:QuantizeTorchInt8",
        "static int8 through torch.ao FX graph mode (deprecated in torch), served as TorchScript",
        ("torch",),
    ),
    _builtin(
        "step",
        "export_onnx",
        "mlbench.variants.export_onnx:ExportOnnx",
        "torch.onnx.export (dynamo) or Optimum's exporter, outputs compared with the source",
        ("torch", "onnx", "onnxscript", "onnxruntime"),
    ),
    _builtin(
        "step",
        "optimize_onnx",
        "mlbench.variants.optimize_onnx:OptimizeOnnx",
        "ONNX Runtime's graph optimizations, done ahead of time",
        ("onnx", "onnxruntime"),
    ),
    _builtin(
        "step",
        "slim_onnx",
        "mlbench.variants.optimize_onnx:SlimOnnx",
        "a graph without redundant nodes (onnxslim)",
        ("onnx", "onnxruntime", "onnxslim"),
        "onnxslim",
    ),
    _builtin(
        "step",
        "fuse_onnx",
        "mlbench.variants.optimize_onnx:FuseOnnx",
        "transformer fusions: attention, layer normalization, GELU (optimum O1 to O4)",
        ("onnx", "onnxruntime", "optimum.onnxruntime"),
    ),
    _builtin(
        "step",
        "convert_onnx_fp16",
        "mlbench.variants.shrink_onnx:ConvertOnnxFp16",
        "float16 weights and arithmetic, inputs and outputs unchanged",
        ("onnx", "onnxruntime"),
    ),
    _builtin(
        "step",
        "quantize_onnx_weights",
        "mlbench.variants.shrink_onnx:QuantizeOnnxWeights",
        "weights of linear layers in blocks of 4 or 8 bits (MatMulNBits)",
        ("onnx", "onnxruntime"),
    ),
    _builtin(
        "step",
        "export_sklearn_onnx",
        "mlbench.variants.export_sklearn:ExportSklearnOnnx",
        "skl2onnx, scores compared with the source",
        ("sklearn", "skl2onnx", "onnx", "onnxruntime"),
        "sklearn",
    ),
    _builtin(
        "step",
        "quantize_onnx_dynamic",
        "mlbench.variants.quantize_onnx:QuantizeOnnxDynamic",
        "int8 weights, activations quantized at run time (optimum)",
        ("onnxruntime", "optimum.onnxruntime"),
    ),
    _builtin(
        "step",
        "quantize_onnx_static",
        "mlbench.variants.quantize_onnx:QuantizeOnnxStatic",
        "int8 weights and activations, calibrated (optimum)",
        ("onnxruntime", "optimum.onnxruntime"),
    ),
    _builtin(
        "step",
        "convert_openvino",
        "mlbench.variants.openvino_steps:ConvertOpenVino",
        "an ONNX file as an OpenVINO model, outputs compared with the source",
        ("openvino", "onnxruntime"),
        "openvino",
    ),
    _builtin(
        "step",
        "quantize_openvino",
        "mlbench.variants.openvino_steps:QuantizeOpenVino",
        "int8 weights and activations, calibrated (NNCF)",
        ("openvino", "nncf"),
        "openvino",
    ),
    _builtin(
        "step",
        "compress_openvino",
        "mlbench.variants.openvino_steps:CompressOpenVino",
        "weights in 8 or 4 bits (NNCF)",
        ("openvino", "nncf"),
        "openvino",
    ),
    _builtin(
        "step",
        "export_executorch",
        "mlbench.variants.export_executorch:ExportExecutorch",
        "an ExecuTorch program (.pte) on XNNPACK, in float32 or int8",
        ("executorch", "torchao"),
        "executorch",
    ),
    _builtin(
        "runtime",
        "torch",
        "mlbench.runtimes.torch_runtime:TorchRuntime",
        "PyTorch: modules (also compiled), exported programs, AOTInductor packages, TorchScript",
        ("torch",),
    ),
    _builtin(
        "runtime",
        "sklearn",
        "mlbench.runtimes.sklearn_runtime:SklearnRuntime",
        "scikit-learn estimators",
        ("sklearn", "joblib"),
    ),
    _builtin("runtime", "onnxruntime", "mlbench.runtimes.onnx_runtime:OnnxRuntime", "ONNX Runtime", ("onnxruntime",)),
    _builtin(
        "runtime",
        "pyfunc",
        "mlbench.runtimes.pyfunc_runtime:PyfuncRuntime",
        "MLflow's own wrapper, for models of any flavour; its checks and conversions are timed with the model",
        ("mlflow",),
    ),
    _builtin(
        "runtime", "openvino", "mlbench.runtimes.openvino_runtime:OpenVino", "OpenVINO, CPU", ("openvino",), "openvino"
    ),
    _builtin(
        "runtime",
        "executorch",
        "mlbench.runtimes.executorch_runtime:Executorch",
        "ExecuTorch with XNNPACK, CPU",
        ("executorch",),
        "executorch",
    ),
    _builtin(
        "probe",
        "machine",
        "mlbench.probes.machine:MachineProbe",
        "busy and stolen CPU time, pressure, and other busy programs",
    ),
    _builtin(
        "probe",
        "cgroup",
        "mlbench.probes.cgroup:CgroupProbe",
        "time in which a container's CPU limit stopped it",
    ),
    _builtin(
        "probe",
        "frequency",
        "mlbench.probes.frequency:FrequencyProbe",
        "clock of the CPUs in use",
    ),
    _builtin(
        "probe",
        "thermal",
        "mlbench.probes.thermal:ThermalProbe",
        "how often a CPU slowed down because of heat",
    ),
    _builtin(
        "probe",
        "gpu",
        "mlbench.probes.gpu:GpuProbe",
        "NVIDIA GPU through NVML: utilisation, memory, power",
        ("pynvml",),
    ),
    _builtin("probe", "energy", "mlbench.probes.energy:EnergyProbe", "energy counters: NVML or RAPL (powercap)"),
)
