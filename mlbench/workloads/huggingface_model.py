"""Hugging Face models for text and images, by hub id, from a folder or a package, with their own preparation."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge

from mlbench.config import ModelConfig
from mlbench.errors import InputError, MlbenchError
from mlbench.records import Artifact, LabelKind
from mlbench.registry import load
from mlbench.workloads import Data, Progress, RawData, Split
from mlbench.workloads.huggingface_images import processed
from mlbench.workloads.huggingface_labels import class_names, placed, text_classes
from mlbench.workloads.options import parse, problems
from mlbench.workloads.outputs import failure, misfit, specs
from mlbench.workloads.texts import Padding, Timing, Tokenizing, tokenize
from mlbench.workloads.torch_factory import ArtifactStore

if TYPE_CHECKING:
    from torch import nn

_WHERE = "workload.model"
_PACKAGE = "package:"
_FACTORIES = "mlbench.workloads.encoders"
_VERSION = 2
_PROBE_ROWS = 2
_BATCH = 64
_LONGEST = 1 << 20  # tokenizers without a limit say so by a much larger number
_STRENGTH = 10.0  # inverse regularisation of the classifier that is fitted on the vectors
_HEADS = {
    "token": "ForTokenClassification",
    "sequence": "ForSequenceClassification",
    "image": "ForImageClassification",
}
_IMAGE_TASKS = _FITTED = ("classification", "binary")
_WEIGHTS = ("*.safetensors", "*.bin")


@dataclass(frozen=True, slots=True)
class HuggingFaceOptions:
    """How the model is used.

    Attributes:
        head: ``own``: the model's own classifier; ``fitted``: a linear classifier, fitted here on the vectors of the
            training split and then part of the model. Embeddings have none.
        pooling: How token vectors become one: their mean over real tokens, or the first token's.
        normalize: Vectors of length 1.
        max_length: Longer texts are cut to so many tokens; None is as many as the model takes.
        padding: ``longest``: all to the longest text of the data; ``batch``: to the longest of each batch; ``fixed``:
            all to ``max_length``.
        timing: What the clock sees: ``model-only``, or ``end-to-end``, from text, words or image files to scores.
        revision: Commit, tag or branch on the hub.
    """

    head: Literal["own", "fitted"] = "own"
    pooling: Literal["mean", "cls"] = "mean"
    normalize: bool = True
    max_length: Annotated[int, Ge(2)] | None = None
    padding: Padding = "longest"
    timing: Timing = "model-only"
    revision: str | None = None


class HuggingFaceModel:
    """``path`` is a hub id, a folder, or ``package:NAME/FOLDER`` inside an installed package.

    The tokenizer, or image processor, is the model's own. Code that comes with a model is never run.
    """

    format = "torch_module"

    def check(self, config: ModelConfig) -> list[str]:
        """Problems of the configuration, as sentences; imports nothing, reads no weights, asks no hub."""
        found = [
            f"{_WHERE}.{name} is for other sources; a Hugging Face model is named by 'path'"
            for name in ("factory", "weights", "train")
            if getattr(config, name) is not None
        ]
        found += problems(HuggingFaceOptions, config.options, f"{_WHERE}.options")
        if config.path is None:
            return [*found, f"{_WHERE}.path is missing; it names the model: a hub id, or a folder"]
        try:
            place = locate(config.path)
        except InputError as error:
            return [*found, *error.problems]
        if Path(place).is_dir() and not (Path(place) / "config.json").is_file():
            found.append(f"{_WHERE}.path: the folder {place} has no config.json, so it is no Hugging Face model")
        elif not Path(place).is_dir() and place.startswith((".", "/", "~")):
            found.append(f"{_WHERE}.path: {place} does not exist")
        return found

    def encode(self, config: ModelConfig, raw: RawData, classes: tuple[str, ...] | None, task: str) -> RawData:
        """The data with token ids for text, or processed pixels; labels in the order of the model's own classes.

        Raises:
            InputError: The tokenizer or processor cannot be had or does not fit the model, or the data has neither text
                nor images.
        """
        options: HuggingFaceOptions = parse(HuggingFaceOptions, config.options, f"{_WHERE}.options")
        assert config.path is not None  # checked before
        place = locate(config.path)
        model_config = _loaded("AutoConfig", place, options)
        kind: LabelKind = load("task", task).labels
        if _is_for(model_config, "image"):
            if task not in _IMAGE_TASKS:
                raise InputError(
                    f"{_WHERE}.path: {config.path} classifies images, which the task '{task}' does not ask for; "
                    f"workload.task may be {' or '.join(_IMAGE_TASKS)}"
                )
            encoded = _encode_images(config.path, place, options, raw)
            return placed(encoded, kind, class_names(model_config)) if classes is None else encoded
        tokenizer = _loaded("AutoTokenizer", place, options)
        most = min(tokenizer.model_max_length, getattr(model_config, "max_position_embeddings", None) or _LONGEST)
        if options.max_length is not None and options.max_length > most:
            raise InputError(
                f"{_WHERE}.options.max_length: {options.max_length} is more than the {most} tokens that {config.path} "
                "takes"
            )
        names = () if options.head == "fitted" else text_classes(model_config, raw, task, kind)
        how = Tokenizing(options.max_length or most, options.padding, config.path, options.timing)
        encoded = tokenize(raw, tokenizer, how, classes or names)
        highest = int(encoded.inputs["input_ids"].max())
        if highest >= model_config.vocab_size:
            raise InputError(
                f"{_WHERE}.path: the tokenizer of {config.path} does not fit the model: it gives token {highest}, but "
                f"the model knows {model_config.vocab_size}"
            )
        return placed(encoded, kind, names) if names and classes is None else encoded

    def build(self, config: ModelConfig, data: Data, store: ArtifactStore, progress: Progress) -> Artifact:
        """The model as a ``torch_module`` artifact.

        Raises:
            InputError: The model cannot be had, has no head for the task, or does not fit the data.
        """
        found = self.check(config)
        if found or config.path is None:
            raise InputError(found)
        options: HuggingFaceOptions = parse(HuggingFaceOptions, config.options, f"{_WHERE}.options")
        place = locate(config.path)
        folder = _downloaded(place, options, progress)
        key: dict[str, Any] = {
            "kind": "model",
            "source": "huggingface",
            "version": _VERSION,
            "weights": _digest(folder),
            "options": {name: getattr(options, name) for name in ("head", "pooling", "normalize")},
            "inputs": [asdict(spec) for spec in data.info.inputs],
            "classes": len(data.info.classes),
            "task": data.train.task,
            "libraries": {name: version(name) for name in ("torch", "transformers")},
        }
        if options.head == "fitted":
            key["data"] = data.info.digest
        return store.build(key, lambda out: _make(str(folder), options, data, out, progress), progress)


def _encode_images(path: str, place: str, options: HuggingFaceOptions, raw: RawData) -> RawData:
    """The images as the model takes them.

    Raises:
        InputError: An option is given that only texts have.
    """
    usual = HuggingFaceOptions(revision=options.revision, timing=options.timing)
    odd = [item.name for item in fields(usual) if getattr(options, item.name) != getattr(usual, item.name)]
    if odd:
        raise InputError(f"{_WHERE}.options.{odd[0]} is for texts, but {path} classifies images; leave it out")
    # the variant of the processor that works as workers do, in Pillow, where the library has another one too
    plain = {"use_fast": False} if options.timing == "end-to-end" else {}
    return processed(raw, _loaded("AutoImageProcessor", place, options, **plain), path, options.timing)


def locate(path: str) -> str:
    """A hub id as it is, or the folder that is meant.

    Raises:
        InputError: A package is not installed, or has no such folder.
    """
    if not path.startswith(_PACKAGE):
        return str(Path(path).expanduser()) if Path(path).expanduser().is_dir() else path
    name, _, inner = path.removeprefix(_PACKAGE).partition("/")
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or spec.origin is None:
        raise InputError(f"{_WHERE}.path: the package '{name}' is not installed: pip install {name.replace('_', '-')}")
    folder = Path(spec.origin).parent / inner
    if not folder.is_dir() or ".." in Path(inner).parts or Path(inner).is_absolute():
        raise InputError(f"{_WHERE}.path: the package '{name}' has no folder '{inner}'")
    return str(folder)


def _loaded(auto: str, place: str, options: HuggingFaceOptions, **more: Any) -> Any:
    """What transformers makes of a folder or hub id; no code that comes with it runs, and weights are tensors only."""
    safely: dict[str, Any] = {**more, "trust_remote_code": False}
    if auto.startswith("AutoModel"):
        safely["weights_only"] = True
    try:
        with _quietly():
            import transformers

            return getattr(transformers, auto).from_pretrained(place, revision=options.revision or "main", **safely)
    except Exception as error:  # the library and the hub raise what they like
        reason = next(iter(str(error).strip().splitlines()), "")
        raise InputError(f"{_WHERE}.path: {place} cannot be loaded: {type(error).__name__}: {reason}") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the warnings of libraries that transformers imports besides, where they are installed."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _is_for(config: Any, kind: str) -> bool:
    """Whether the model was saved with a head of that kind."""
    return any(name.endswith(_HEADS[kind]) for name in config.architectures or [])


def _downloaded(place: str, options: HuggingFaceOptions, progress: Progress) -> Path:
    """The model's folder; one on the hub is fetched into the library's own cache."""
    if Path(place).is_dir():
        return Path(place)
    from huggingface_hub import snapshot_download

    progress(f"downloading {place}")
    try:
        return Path(snapshot_download(place, revision=options.revision, allow_patterns=["*.json", "*.txt", *_WEIGHTS]))
    except Exception as error:  # as above
        reason = next(iter(str(error).strip().splitlines()), "")
        raise InputError(f"{_WHERE}.path: {place} cannot be downloaded: {type(error).__name__}: {reason}") from error


def _digest(folder: Path) -> str:
    """SHA-256 over configuration and weights."""
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for pattern in _WEIGHTS:
        for path in sorted(folder.glob(pattern)):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# the module


def _make(place: str, options: HuggingFaceOptions, data: Data, out: Path, progress: Progress) -> Artifact:
    from mlbench.runtimes.torch_module import WEIGHTS, save_module

    vectors = data.train.task == "embedding" or options.head == "fitted"
    make = _encoder if vectors else _classifier
    module, factory, args = make(place, options, data, progress)
    results = _tried(module, data)
    reason = misfit(results[0].shape, _PROBE_ROWS, data)
    if reason is not None:
        raise InputError(f"{_WHERE}: {reason}")
    try:
        meta = save_module(module, out, factory, args)
    except MlbenchError as error:
        raise InputError(f"{_WHERE}: {error}") from error
    return Artifact(
        digest="",
        format=HuggingFaceModel.format,
        path=str(out),
        entry=WEIGHTS,
        inputs=data.info.inputs,
        outputs=specs([(result.dtype.name, result.shape) for result in results], data.train.task),
        size_bytes=0,
        meta={**meta, "parameters": sum(parameter.numel() for parameter in module.parameters())},
    )


def _tried(module: nn.Module, data: Data) -> tuple[npt.NDArray[Any], ...]:
    """What the module gives for the first validation items.

    Raises:
        InputError: It fails on them: images of another size, inputs that it does not take, or whatever it raises.
    """
    from mlbench.workloads.training import call

    batch = {name: array[:_PROBE_ROWS] for name, array in data.validation.inputs.items()}
    try:
        return call(module, batch)
    except MlbenchError as error:
        raise InputError(f"{_WHERE}: {error}") from error
    except Exception as error:  # a model may raise what it likes
        raise failure(batch, error) from error


def _plain(config: Any) -> dict[str, Any]:
    """The configuration as plain values, without what belongs to the folder it came from."""
    import json

    values: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return {key: value for key, value in values.items() if not key.startswith("_") and key != "transformers_version"}


def _encoder(
    place: str, options: HuggingFaceOptions, data: Data, progress: Progress
) -> tuple[nn.Module, str, dict[str, Any]]:
    from mlbench.workloads.encoders import Encoder, encoder, pooler_free

    model = pooler_free(_loaded("AutoModel", place, options))
    args: dict[str, Any] = {"config": _plain(model.config), "pooling": options.pooling, "normalize": options.normalize}
    plain = encoder(**args)
    assert isinstance(plain, Encoder)
    plain.model.load_state_dict(model.state_dict())
    plain.eval()
    factory = f"{_FACTORIES}:encoder"
    if data.train.task == "embedding" or options.head == "own":
        return plain, factory, args
    if data.train.task not in _FITTED:
        raise InputError(
            f"{_WHERE}.options.head: a classifier is fitted for {' or '.join(_FITTED)}, not for the task "
            f"'{data.train.task}'"
        )
    args["classes"] = len(data.info.classes)
    module = encoder(**args)
    assert isinstance(module, Encoder)
    module.model.load_state_dict(plain.model.state_dict())
    _tried(plain, data)  # before all texts go through it
    _fit_head(module.eval(), plain, data.train, progress)
    return module, factory, args


def _vectors(plain: nn.Module, split: Split) -> npt.NDArray[np.float32]:
    """Vectors of all items. Short texts go together, without the padding that only longer ones need."""
    from mlbench.workloads.training import call

    lengths = split.inputs["attention_mask"].sum(axis=1)
    order = np.argsort(lengths, kind="stable")
    parts = []
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        longest = int(lengths[rows].max())
        parts.append(call(plain, {name: array[rows, :longest] for name, array in split.inputs.items()})[0])
    vectors = np.concatenate(parts).astype(np.float32)
    found = np.empty_like(vectors)
    found[order] = vectors
    return found


def _fit_head(module: Any, plain: nn.Module, train: Split, progress: Progress) -> None:
    """Put a logistic regression on the training split's vectors into the module's head."""
    import torch
    from sklearn.linear_model import LogisticRegression

    from mlbench.workloads.training import deterministic

    progress(f"fitting a classifier on the vectors of {len(train)} texts")
    with deterministic(0, strict=False):
        vectors = _vectors(plain, train)
    fitted = LogisticRegression(C=_STRENGTH, max_iter=2000).fit(vectors, train.labels)
    weights, bias = fitted.coef_, fitted.intercept_
    if len(weights) == 1:  # two classes have one row, for the second
        weights, bias = np.vstack([np.zeros_like(weights), weights]), np.concatenate([np.zeros(1), bias])
    rows, offsets = np.zeros(module.head.weight.shape), np.full(module.head.bias.shape, bias.min() - 100.0)
    rows[fitted.classes_], offsets[fitted.classes_] = weights, bias  # a class without items is never answered
    with torch.no_grad():
        module.head.weight.copy_(torch.from_numpy(rows))
        module.head.bias.copy_(torch.from_numpy(offsets))


def _classifier(
    place: str,
    options: HuggingFaceOptions,
    data: Data,
    progress: Progress,  # noqa: ARG001 - as the other maker
) -> tuple[nn.Module, str, dict[str, Any]]:
    from mlbench.workloads.encoders import Classifier, ImageClassifier, classifier

    config = _loaded("AutoConfig", place, options)
    architectures = config.architectures or []
    kind = "token" if data.train.task == "token_classification" else "sequence"
    if _is_for(config, "image"):
        kind = "image"
    if not _is_for(config, kind):
        fits = data.train.task in _FITTED
        advice = f"; {_WHERE}.options.head=fitted fits one on the training split" if fits else ""
        raise InputError(
            f"{_WHERE}.path: {place} is {', '.join(architectures) or 'of no stated architecture'}, which has no head "
            f"for the task '{data.train.task}'{advice}"
        )
    model = _loaded(f"AutoModel{_HEADS[kind]}", place, options)
    args: dict[str, Any] = {"config": _plain(model.config), "kind": kind}
    module = classifier(**args)
    assert isinstance(module, Classifier | ImageClassifier)
    module.model.load_state_dict(model.state_dict())
    return module.eval(), f"{_FACTORIES}:classifier", args
