"""Composition: files and overrides to one validated configuration, and every problem told together."""

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from hydra import initialize_config_dir
from hydra import version as hydra_version
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from mlbench import compose as module
from mlbench import tree
from mlbench.compose import compose
from mlbench.config import ProtocolConfig
from mlbench.errors import InputError
from mlbench.recipes import recipes
from mlbench.records import Notice

Write = Callable[..., Path]
OLD = version("hydra-core").startswith("1.3")  # Hydra 1.4 knows no other behaviour than its own


@pytest.fixture(autouse=True)
def _no_directories_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tree.PATH_VARIABLE, raising=False)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a user's configuration files, given by path and text, and returns their directory."""

    def made(**files: str | bytes) -> Path:
        for name, content in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return made


def problems(*requested: str, config_dirs: tuple[Path, ...] = (), trusted: bool = True) -> list[str]:
    with pytest.raises(InputError) as caught:
        compose(requested, config_dirs, trusted=trusted)
    return list(caught.value.problems)


def test_the_default_study() -> None:
    composition = compose()
    config = composition.config
    assert config.workload.name == "digits"
    assert list(config.variants) == [
        "torch_int8",
        "pruned",
        "onnx_fp32",
        "onnx_int8_dynamic",
        "onnx_int8_static",
        "pruned_onnx_int8",
    ]
    assert config.protocol == ProtocolConfig()
    assert [arm.name for arm in recipes(config)] == ["baseline", *config.variants]
    assert composition.overrides == ()
    assert not [notice for notice in composition.warnings if notice.code != "threads"]


def test_overrides_of_every_kind() -> None:
    config = compose(
        [
            "protocol=quick",
            "variants=[pruned,onnx_fp32]",
            "~variants.onnx_fp32",
            "+variants.twin={steps: []}",
            "variants.twin.runtime.threads=1",
            "variants.pruned.steps.0.ratio=0.7",
            "workload.data.rows=500",
            "workload.model.train.epochs=2",
            "scenario.batch_sizes=[1,8]",
            "name='a, b'",
            "tracking.experiment=2024",
            "protocol={rounds: 4}",
        ]
    ).config
    assert list(config.variants) == ["pruned", "twin"]
    assert config.variants["twin"].runtime.threads == 1
    assert config.variants["pruned"].steps[0] == {"name": "prune_structured", "ratio": 0.7, "round_to": 8}
    assert (config.workload.data.rows, config.workload.model.train and config.workload.model.train.epochs) == (500, 2)
    assert config.scenario.batch_sizes == (1, 8)
    assert (config.name, config.tracking.experiment) == ("a, b", "2024")
    assert (config.protocol.trials, config.protocol.rounds) == (6, 4)


def test_no_variants_at_all() -> None:
    composition = compose(["variants=[]"])
    assert composition.config.variants == {}
    assert [notice.code for notice in composition.warnings] == ["no-variants"]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    found = problems(
        "workload=digit",
        "variants=[onnx_fp23,pruned]",
        "protocol.trails=3",
        "protocol.rounds=7",
        "foo",
        "scenario.batch_sizes=[1,abc,0]",
        "policy.constraints.0.min=x",
        "name=${oc.env:SURELY_NOT_SET}",
        "+variants.odd={steps: [{name: delai}]}",
        "registry.alias=latest",
        "seed=true",
        "tracking.experiment=???",
    )
    starts = [
        "'foo' is not an override",
        "workload=digit: unknown workload 'digit'; did you mean digits?",
        "variants=[onnx_fp23,pruned]: unknown variant 'onnx_fp23'; did you mean onnx_fp32",
        "protocol.trails: no such key; did you mean protocol.trials?",
        "tracking.experiment: has no value (???): give one, tracking.experiment=...",
        "name: '${oc.env:SURELY_NOT_SET}' cannot be resolved: Environment variable 'SURELY_NOT_SET' not found",
        "seed: true is not a whole number",
        "scenario.batch_sizes[1]: 'abc' is not a whole number of at least 1",
        "scenario.batch_sizes[2]: 0 is not a whole number of at least 1",
        "policy.constraints[0].min: 'x' is not a number, or null",
        "variant 'odd': step 1: unknown step 'delai'; did you mean delay?",
        "protocol.rounds: 7 is odd; rounds come in pairs, an order and its reverse: 6 or 8",
        "registry.alias 'latest' is reserved",
    ]
    missing = [start for start in starts if not any(sentence.startswith(start) for sentence in found)]
    assert missing == []
    assert len(found) == len(starts)


def test_a_wrong_section_hides_nothing_in_the_others() -> None:
    found = problems("protocol.trials=abc", "+variants.bad={steps: x}", "variants.pruned.steps.0.name=nope")
    assert [sentence.partition(" is ")[0] for sentence in found[:2]] == [
        "variants.bad.steps: 'x'",
        "protocol.trials: 'abc'",
    ]
    assert found[2].startswith("variant 'pruned': step 1: unknown step 'nope'")
    assert len(found) == 3


def test_an_override_that_hydra_alone_refuses_is_named() -> None:
    found = problems("seed=3", "protocol.trials={a: 1}", "workload={data: 3}")
    assert len(found) >= 2
    assert any(sentence.startswith("protocol.trials: {a: 1} is not a whole number") for sentence in found)
    assert any("workload" in sentence for sentence in found)


def test_a_list_is_empty_or_its_items_are_wrong_and_not_both() -> None:
    assert problems("scenario.batch_sizes=[0]") == [
        "scenario.batch_sizes[0]: 0 is not a whole number of at least 1",
    ]
    assert problems("scenario.batch_sizes=[]") == [
        "scenario.batch_sizes: [] is not a list of whole numbers of at least 1 (not empty)",
    ]


def test_what_hydra_alone_refuses_is_told_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.overrides, "check_value", lambda *_: None)
    assert problems("seed=3", "~nothing", "protocol.trails=3") == [
        "'~nothing' cannot be applied: Could not delete from config. 'nothing' does not exist",
        "protocol.trails: no such key; did you mean protocol.trials?",
    ]


# ---------------------------------------------------------------------------------------------------------------------
# the user's own files


def test_a_users_file_wins_and_adds(write: Write) -> None:
    folder = write(
        protocol__quick="defaults: [default]\nname: quick\ntrials: 8\n",
        variants__mine="mine: {steps: []}\n",
    )
    config = compose(["protocol=quick", "variants=[mine,pruned]"], [folder]).config
    assert config.protocol.trials == 8
    assert config.protocol.calls == 10
    assert list(config.variants) == ["mine", "pruned"]


def test_directories_of_the_environment_count(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tree.PATH_VARIABLE, str(write(variants__mine="mine: {steps: []}\n")))
    assert list(compose(["variants=[mine]"]).config.variants) == ["mine"]


def test_the_first_directory_wins(tmp_path: Path) -> None:
    for name, trials in (("one", 7), ("two", 8)):
        (tmp_path / name / "protocol").mkdir(parents=True)
        (tmp_path / name / "protocol" / "p.yaml").write_text(f"trials: {trials}\n")
    assert compose(["protocol=p"], [tmp_path / "one", tmp_path / "two"]).config.protocol.trials == 7
    assert compose(["protocol=p"], [tmp_path / "two", tmp_path / "one"]).config.protocol.trials == 8


def test_paths_with_blanks_and_signs(tmp_path: Path) -> None:
    folder = tmp_path / "it's a $dir = {x}"
    (folder / "protocol").mkdir(parents=True)
    (folder / "protocol" / "p.yaml").write_text("trials: 7\n")
    assert compose(["protocol=p"], [folder]).config.protocol.trials == 7


def test_a_group_of_ones_own(write: Write) -> None:
    folder = write(experiment__a="# @package _global_\ndefaults:\n  - override /protocol: quick\nseed: 4\n")
    config = compose(["+experiment=a"], [folder]).config
    assert (config.seed, config.protocol.name) == (4, "quick")
    assert problems("+experiment=b", config_dirs=(folder,)) == ["+experiment=b: unknown experiment 'b'; known: a"]
    (without,) = problems("experiment=a", config_dirs=(folder,))
    assert "use +experiment=a" in without


def test_an_own_default_study(write: Write) -> None:
    groups = "workload: digits, baseline: native, scenario: batches, protocol: quick, probes: default"
    groups += ", policy: keep_accuracy, tracking: default, registry: default"
    defaults = "".join(f"  - {group}\n" for group in groups.split(", "))
    folder = write(config=f"defaults:\n{defaults}  - _self_\nvariants: {{a: {{}}}}\n")
    assert list(compose([], [folder]).config.variants) == ["a"]


def test_hydras_own_warnings_are_kept_as_notices(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    real = module.hydra_compose

    def warn(*given: object, **more: object) -> object:
        module.warnings.warn("two\n lines", UserWarning, stacklevel=1)
        return real(*given, **more)

    monkeypatch.setattr(module, "hydra_compose", warn)
    assert compose().warnings[0] == Notice("configuration", "two lines")


@pytest.mark.parametrize(
    ("content", "position", "words"),
    [
        ("name: mine\nmodel: {factory: a\n", ", line 3, column 1", "flow mapping"),
        ("name: mine\nname: x\n", ", line 2, column 1", "found duplicate key name"),
        ("a: b\n\tc: d\n", ", line 2, column 1", r"'\t'" if OLD else "tab"),
        (b"name: \xff\xfe", "", "can't decode byte"),
    ],
)
def test_files_that_are_no_yaml(write: Write, content: str | bytes, position: str, words: str) -> None:
    folder = write(workload__mine=content)
    (sentence,) = problems("workload=mine", config_dirs=(folder,))
    assert sentence.startswith(f"{folder / 'workload' / 'mine.yaml'}{position}: this is not valid YAML: ")
    assert words in sentence


def test_every_broken_file_is_named(write: Write) -> None:
    folder = write(workload__mine="a: [", protocol__mine="a: {")
    found = problems("workload=mine", "protocol=mine", config_dirs=(folder,))
    assert [sentence.partition(", line")[0] for sentence in found] == [
        str(folder / "protocol" / "mine.yaml"),
        str(folder / "workload" / "mine.yaml"),
    ]


def test_a_broken_file_hides_no_wrong_override(write: Write) -> None:
    folder = write(workload__mine="a: [")
    given = ("workload=mine", "protocol.trials=abc", "protocol.nothing=1", "policy=surely_not", "workload.own=1")
    said = "\n".join(problems(*given, config_dirs=(folder,)))
    for words in ("mine.yaml, line", "unknown policy 'surely_not'", "protocol.trials", "protocol.nothing"):
        assert said.count(words) == 1, said
    assert "workload.own" not in said  # whether there is such a key is in the file


def test_where_nothing_can_be_composed_the_broken_file_is_told_alone(write: Write) -> None:
    folder = write(config="a: [")
    (sentence,) = problems("protocol.trials=abc", config_dirs=(folder,))
    assert "config.yaml, line" in sentence


def test_a_directory_that_is_missing_hides_no_wrong_override(tmp_path: Path) -> None:
    missing, *others = problems("protocol.trials=abc", "workload=digit", "a b", config_dirs=(tmp_path / "nowhere",))
    assert "does not exist" in missing
    for words in ("protocol.trials", "unknown workload 'digit'", "a b"):
        assert sum(words in sentence for sentence in others) == 1, others
    with pytest.raises(InputError, match="does not exist"):
        compose([], [tmp_path / "nowhere"])


def test_a_file_that_cannot_be_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(workload__mine="name: mine\n")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "hydra_compose", refuse)
    (sentence,) = problems("workload=mine", config_dirs=(folder,))
    assert sentence == "the configuration cannot be read: [Errno 13] Permission denied"
    monkeypatch.setattr(OmegaConf, "load", refuse)
    assert f"{folder / 'workload' / 'mine.yaml'}: cannot be read: Permission denied" in problems(config_dirs=(folder,))


@pytest.mark.parametrize(
    ("files", "sentences"),
    [
        ({"workload__mine": "- a\n"}, ["workload: ['a'] is not a mapping with the keys name, model, data, task"]),
        (
            {"workload__mine": "name: mine\nmodel: {}\ndata: {source: '???', foo: 1}\n"},
            [
                "workload.data.source: has no value (???): give one, workload.data.source=...",
                (
                    "workload.data.foo: no such key; known in workload.data: "
                    "source, options, classes, rows, test_fraction, validation_fraction, seed"
                ),
            ],
        ),
        ({"workload__mine": "defaults: [nope]\n"}, ["In 'workload/mine': Could not load 'workload/nope'"]),
    ],
)
def test_files_with_wrong_content(write: Write, files: dict[str, str], sentences: list[str]) -> None:
    assert problems("workload=mine", config_dirs=(write(**files),)) == sentences


def test_an_empty_file_lacks_everything(write: Write) -> None:
    found = problems("workload=mine", config_dirs=(write(workload__mine=""),))
    assert [sentence.partition(";")[0] for sentence in found] == [
        "workload.name: has no value",
        "workload.model: has no value",
        "workload.data: has no value",
    ]


def test_targets_in_files_are_refused(write: Write) -> None:
    folder = write(variants__x="x: {steps: [{name: delay, percent: 1, _target_: os.system}]}\n")
    assert problems("variants=[x]", config_dirs=(folder,))[0].startswith(
        "variants.x.steps[0]._target_: mlbench makes nothing from a '_target_'"
    )


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    (sentence,) = problems(config_dirs=(tmp_path / "nowhere",))
    assert sentence == f"configuration directory '{tmp_path / 'nowhere'}' (--config-dir) does not exist"


# ---------------------------------------------------------------------------------------------------------------------
# what is recorded


def test_the_record_keeps_interpolations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLBENCH_TEST_SECRET", "hunter2")
    composition = compose(["name=${oc.env:MLBENCH_TEST_SECRET}", "variants=[]", "tracking.experiment='${name}'"])
    assert (composition.config.name, composition.config.tracking.experiment) == ("hunter2", "hunter2")
    assert composition.record["name"] == "${oc.env:MLBENCH_TEST_SECRET}"
    assert yaml.safe_load(composition.yaml) == composition.record
    assert "hunter2" not in composition.yaml + repr(composition.overrides)


def test_the_record_masks_credentials() -> None:
    composition = compose(["tracking.uri=http://me:hunter2@host:5000"])
    assert composition.config.tracking.uri == "http://me:hunter2@host:5000"
    assert composition.record["tracking"]["uri"] == "http://***@host:5000"
    assert composition.overrides == ("tracking.uri=http://***@host:5000",)
    assert "hunter2" not in composition.yaml


def test_the_record_composes_to_the_same_study() -> None:
    first = compose(["protocol=quick", "+variants.twin={steps: []}", "seed=7"])
    again = module.TypeAdapter(module.StudyConfig).validate_python(first.record)
    assert again == first.config


def test_overrides_of_somebody_else() -> None:
    assert compose(["protocol=quick"], trusted=False).config.protocol.trials == 6
    (sentence,) = problems("name=${oc.env:HOME}", trusted=False)
    assert "may not read this machine's environment" in sentence


# ---------------------------------------------------------------------------------------------------------------------
# Hydra itself


def test_a_hydra_of_the_callers_own_is_left_alone(tmp_path: Path, write: Write) -> None:
    (tmp_path / "mine.yaml").write_text("a: 1\n")
    base = hydra_version.VersionBase.instance().version_base
    assert not GlobalHydra.instance().is_initialized()
    with initialize_config_dir(str(tmp_path), **({"version_base": "1.2"} if OLD else {})):
        outer = GlobalHydra.instance().hydra
        theirs = hydra_version.getbase()
        compose(["protocol=quick"], [tmp_path])
        problems("foo", config_dirs=(write(workload__x="a: ["),))
        assert GlobalHydra.instance().hydra is outer
        assert hydra_version.getbase() == theirs
        sources = [source.path for source in outer.config_loader.get_sources()]
        assert str(tree.packaged()) not in sources
    assert not GlobalHydra.instance().is_initialized()
    hydra_version.VersionBase.instance().version_base = base


def test_users_directories_are_in_nobody_elses_search_path(write: Write, tmp_path: Path) -> None:
    folder = write(variants__mine="mine: {steps: []}\n")
    compose(["variants=[mine]"], [folder])
    empty = tmp_path / "empty"
    empty.mkdir()
    with initialize_config_dir(str(empty), **({"version_base": "1.3"} if OLD else {})):
        loader = GlobalHydra.instance().config_loader()
        assert str(folder) not in [source.path for source in loader.get_sources()]


def test_composing_imports_neither_torch_nor_mlflow() -> None:
    code = (
        "import sys; from mlbench.compose import compose; compose([]);"
        "heavy = ('torch', 'mlflow', 'pandas', 'onnx', 'onnxruntime', 'sklearn');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_registered_model_by_the_short_key_and_its_own_registry() -> None:
    composed = compose(["workload=mlflow_model", "model.uri=models:/churn@champion"])
    model = composed.config.workload.model
    assert (model.source, model.path) == ("mlflow", "models:/churn@champion")
    assert composed.config.variants == {}
    assert composed.config.registry.model_name == "churn"  # what wins becomes a version of what it challenged
    assert composed.record["registry"]["model_name"] == "churn"
    assert composed.overrides[1] == "model.uri=models:/churn@champion"
    again = compose(["workload=mlflow_model", "model.uri=models:/churn/3", "variants=[onnx_int8_static]"])
    assert again.config.workload.model.path == "models:/churn/3"
    assert list(again.config.variants) == ["onnx_int8_static"]
    assert again.config.registry.model_name == "churn"


def test_a_transformers_variants_fit_it_and_a_convolutions_stay_static() -> None:
    config = compose(["workload=intent", "workload.model.path=a/b"]).config
    assert list(config.variants) == ["onnx_fp32", "onnx_optimized", "onnx_int8_dynamic"]
    (_, quantized) = config.variants["onnx_int8_dynamic"].steps
    assert quantized == {"name": "quantize_onnx_dynamic", "per_channel": True}
    assert "onnx_int8_static" in compose([]).config.variants
    named = compose(["workload=intent", "workload.model.path=a/b", "variants=[onnx_fp32,onnx_int8_static]"]).config
    assert list(named.variants) == ["onnx_fp32", "onnx_int8_static"]
    more = compose(["workload=intent", "workload.model.path=a/b", "+variants.twin={steps: []}"]).config
    assert list(more.variants) == ["onnx_fp32", "onnx_optimized", "onnx_int8_dynamic", "twin"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["model.uri=models:/churn@champion", "registry.model_name=mine"], "mine"),
        (["model.uri=models:/m-0123456789abcdef"], None),  # a logged model, which is registered nowhere
        (["model.uri=runs:/0123/model"], None),
    ],
)
def test_only_a_registered_model_has_a_registry_of_its_own(given: list[str], expected: str | None) -> None:
    assert compose(["workload=mlflow_model", *given]).config.registry.model_name == expected


def test_without_a_uri_it_is_asked_for() -> None:
    assert problems("workload=mlflow_model") == [
        "workload.model.path is missing; it names the model: models:/<name>@<alias>, or runs:/<id>/<path>"
    ]
    assert "workload.model.path" in problems("workload=mlflow_model", "model.uri=churn")[0]
    assert "cannot be resolved" in problems("workload=mlflow_model", "model.uri=${oc.env:SURELY_ABSENT}")[0]


def test_pytorch_at_its_best_becomes_the_baseline_by_one_override() -> None:
    config = compose(["baseline=torch_tuned", "variants=[torch_tuned]", "baseline.name=best"]).config
    tuned = config.variants["torch_tuned"]
    assert (config.baseline.steps, config.baseline.runtime) == (tuned.steps, tuned.runtime)
    precision, compiling = tuned.steps
    assert (precision["weights"], precision["channels_last"]) == ("bfloat16", None)
    assert compiling == {"name": "compile", "freezing": True, "dynamic": False, "tolerance": 0.1}
    assert tuned.runtime.options == {"matmul_precision": "medium"}


def test_the_baselines_linear_layers_go_to_onednn_by_one_override() -> None:
    config = compose(["baseline.runtime.options.matmul_precision=medium"]).config
    assert config.baseline.runtime.options == {"matmul_precision": "medium"}
    assert (config.baseline.name, config.baseline.steps) == ("baseline", ())
