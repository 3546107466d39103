"""The schema, the packaged tree and the documentation say the same."""

import importlib
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from mlbench import config, records, registry, schema, tree
from mlbench.runtimes import onnx_runtime, openvino_runtime, torch_runtime
from mlbench.tracking.logged_model import LoggedOptions
from mlbench.workloads.huggingface_model import HuggingFaceOptions
from mlbench.workloads.onnx_file import OnnxOptions

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
RECORDS = [item for item in vars(config).values() if is_dataclass(item) and item.__module__ == config.__name__]


def rows(heading: str) -> dict[str, tuple[str, str]]:
    """Key -> (what it may hold, default) of the tables below a heading of the documentation."""
    level = heading.partition(" ")[0]
    below = re.split(rf"^#{{1,{len(level)}}} ", PAGE.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return {
        key: (expected.strip(), default.strip())
        for key, expected, default in re.findall(
            r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| [^|]+ \|$", below, re.MULTILINE
        )
    }


def of(record: Any) -> dict[str, tuple[str, str]]:
    return {key.path: (key.expected, key.default_text) for key in schema.keys(record)}


def test_every_key_is_documented_and_no_other() -> None:
    sections = ["Study", *(name for name in schema.fields(config.StudyConfig) if schema.is_record([name]))]
    documented: dict[str, tuple[str, str]] = {}
    for section in [*sections, "variants"]:
        documented |= rows(f"## {section}")
    assert documented == of(config.StudyConfig)


@pytest.mark.parametrize("name", list(registry.entries("step")))
def test_every_parameter_of_a_step_is_documented(name: str) -> None:
    module, _, attribute = registry.find("step", name).target.partition(":")
    step = getattr(importlib.import_module(module), attribute)  # whether it can be used here or not
    assert rows(f"### {name}") == of(step.params)


def test_every_option_of_a_dataset_is_documented() -> None:
    for name in registry.entries("dataset"):
        module, _, attribute = registry.find("dataset", name).target.partition(":")
        expected = of(getattr(importlib.import_module(module), attribute).options)  # whether it can be used here or not
        assert (rows(f"### {name}") if expected else {}) == expected


@pytest.mark.parametrize("module", [onnx_runtime, openvino_runtime, torch_runtime])
def test_every_option_of_a_runtime_is_documented(module: Any) -> None:
    name = {onnx_runtime: "onnxruntime", openvino_runtime: "openvino", torch_runtime: "torch"}[module]
    documented = rows(f"### {name}")
    assert list(documented) == list(module.OPTIONS)
    for key, option in module.OPTIONS.items():
        assert documented[key][1] == schema.show(option.default).strip("'")
        for value in option.values:
            assert schema.show(value).strip("'") in documented[key][0].lower()


def test_every_option_of_a_model_is_documented() -> None:
    assert rows("### ONNX file") == of(OnnxOptions)
    assert rows("### MLflow model") == of(LoggedOptions)
    assert rows("### Hugging Face model") == of(HuggingFaceOptions)


def test_every_packaged_file_is_documented() -> None:
    for path in tree.packaged().glob("*/*.yaml"):
        section = PAGE.partition(f"\n## {path.parent.name}\n")[2].partition("\n## ")[0]
        assert f"`{path.stem}`" in section, path


@pytest.mark.parametrize(
    ("group", "record"),
    [
        ("protocol", config.ProtocolConfig),
        ("probes", config.ProbesConfig),
        ("tracking", config.TrackingConfig),
        ("registry", config.RegistryConfig),
    ],
)
def test_default_files_spell_out_the_schemas_defaults(group: str, record: type[Any]) -> None:
    content = yaml.safe_load((tree.packaged() / group / "default.yaml").read_text(encoding="utf-8"))
    assert list(content) == list(schema.fields(record))
    assert TypeAdapter(record).validate_python(content) == record()


def test_scenario_and_baseline_files_spell_out_the_schemas_defaults() -> None:
    batches = yaml.safe_load((tree.packaged() / "scenario" / "batches.yaml").read_text(encoding="utf-8"))
    assert TypeAdapter(config.ScenarioConfig).validate_python(batches) == config.ScenarioConfig()
    native = yaml.safe_load((tree.packaged() / "baseline" / "native.yaml").read_text(encoding="utf-8"))
    validated = TypeAdapter(config.BaselineConfig).validate_python(native)
    assert validated == config.BaselineConfig(description=native["description"])


@pytest.mark.parametrize("name", ["quick", "rigorous"])
def test_other_protocols_differ_in_name_and_trials_alone(name: str) -> None:
    default, other = (
        yaml.safe_load((tree.packaged() / "protocol" / f"{file}.yaml").read_text(encoding="utf-8"))
        for file in ("default", name)
    )
    assert {key for key in default if default[key] != other[key]} == {"name", "trials"}
    assert other["trials"] == {"quick": 6, "rigorous": 20}[name]


def test_names_of_the_tree_are_the_names_inside() -> None:
    for group in ("workload", "protocol", "policy", "scenario"):
        for path in (tree.packaged() / group).glob("*.yaml"):
            assert yaml.safe_load(path.read_text(encoding="utf-8"))["name"] == path.stem
    for path in (tree.packaged() / "variants").glob("*.yaml"):
        assert list(yaml.safe_load(path.read_text(encoding="utf-8"))) == [path.stem]


@pytest.mark.parametrize("record", [*RECORDS, *(item for item in vars(records).values() if is_dataclass(item))])
def test_records_are_frozen_and_slotted(record: Any) -> None:
    assert record.__dataclass_params__.frozen
    assert "__slots__" in vars(record)


@pytest.mark.parametrize("record", RECORDS)
def test_records_refuse_unknown_keys(record: Any) -> None:
    required = {item.name: None for item in fields(record)}
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(record).validate_python(required | {"surely_not_a_key": 1})
    assert any(error["loc"] == ("surely_not_a_key",) for error in caught.value.errors())


def test_numbers_stand_for_text_but_infinity_for_nothing() -> None:
    assert TypeAdapter(config.TrackingConfig).validate_python({"experiment": 2024}).experiment == "2024"
    for value in (float("inf"), float("nan")):
        with pytest.raises(ValidationError):
            TypeAdapter(config.ProtocolConfig).validate_python({"warmup_seconds": value})


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_are_what_numpy_takes(seed: int) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(config.TrainConfig).validate_python({"seed": seed})
    assert TypeAdapter(config.TrainConfig).validate_python({"seed": 2**32 - 1}).seed == 2**32 - 1
