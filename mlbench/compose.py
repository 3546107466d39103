"""From YAML files and overrides to a validated configuration, with every problem reported together.

Hydra ends here: the groups of ``conf/`` (and the user's own directories before it) are composed, resolved, validated
into :class:`mlbench.config.StudyConfig` and checked for impossible combinations. Nothing is instantiated and no Hydra
job runs. Imports hydra.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version as installed_version
from os import PathLike
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra import version as hydra_version
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from mlbench import checks, overrides, schema, tree
from mlbench.config import RecipeConfig, StudyConfig
from mlbench.config_files import SCHEME, UserFiles
from mlbench.errors import InputError
from mlbench.interpolations import hide_secrets
from mlbench.masking import redact, redacted
from mlbench.outside import LimitError, read_yaml
from mlbench.records import Notice

_RAISED = re.compile(r"^\w+ raised while resolving interpolation: ")
_REGISTERED = re.compile(r"models:/([^/@]+)[/@]")  # by alias or version; models:/m-... is a logged model
_NOISE = re.compile(r"\s*(Config search path:|Search path:|Set the environment variable HYDRA_FULL_ERROR).*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Composition:
    """A configuration, ready to run, and what it was made from.

    Attributes:
        config: Validated, every interpolation resolved.
        overrides: As the user wrote them, credentials in URLs masked.
        record: The composed configuration as plain values for the record: interpolations such as ``${oc.env:X}`` as
            they were written, credentials in URLs masked.
        yaml: ``record`` as YAML text.
        warnings: What the user should know before the study starts.
    """

    config: StudyConfig
    overrides: tuple[str, ...]
    record: dict[str, Any]
    yaml: str
    warnings: tuple[Notice, ...] = ()


def compose(
    requested: Sequence[str] = (), config_dirs: Sequence[str | PathLike[str]] = (), *, trusted: bool = True
) -> Composition:
    """Compose, validate and check a study's configuration.

    Args:
        requested: Overrides in Hydra's syntax.
        config_dirs: The user's configuration directories; a file there wins over the packaged one of the same name.
        trusted: False when somebody else wrote the overrides, see :func:`mlbench.overrides.read`.

    Raises:
        InputError: Something is wrong; the error holds every problem that was found.
    """
    directories, problems = tree.look(config_dirs)
    read = [overrides.read(text, trusted=trusted) for text in requested]
    problems += [item for item in read if isinstance(item, str)]
    composed, more, notices = _compose([item for item in read if not isinstance(item, str)], directories)
    problems += more
    if composed is None:
        raise InputError(list(dict.fromkeys(map(redact, problems))))
    _come_home(composed)
    hide_secrets(composed)
    config, more = _validate(composed)
    problems += more
    if config is None or problems:
        raise InputError(list(dict.fromkeys(map(redact, problems))))
    record: dict[str, Any] = redacted(OmegaConf.to_container(composed, resolve=False))
    return Composition(
        config=config,
        overrides=tuple(map(redact, requested)),
        record=record,
        yaml=yaml.safe_dump(record, sort_keys=False, allow_unicode=True, width=120),
        warnings=tuple(
            replace(notice, message=redact(notice.message)) for notice in (*notices, *checks.warnings(config))
        ),
    )


# ---------------------------------------------------------------------------------------------------------------------
# composing


class _UserDirectories(SearchPathPlugin):  # type: ignore[misc] # hydra publishes no types
    """Puts the user's directories before the packaged tree; without effect outside of :func:`_hydra`."""

    current: tuple[Path, ...] = ()

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra whenever somebody's search path is made."""
        for path in self.current:
            search_path.prepend("mlbench", f"{SCHEME}://{path}", anchor=SearchPathQuery("main", None))


@contextmanager
def _hydra(directories: Sequence[Path]) -> Iterator[Callable[[Sequence[str]], DictConfig]]:
    """A function that composes overrides; a Hydra that the calling program has set up is left as it was."""
    *user, packaged = directories
    outer, base = GlobalHydra.instance().hydra, hydra_version.VersionBase.instance().version_base
    GlobalHydra.instance().clear()
    Plugins.instance().register(_UserDirectories)
    Plugins.instance().register(UserFiles)
    _UserDirectories.current = tuple(user)
    # Hydra 1.4 deprecates version_base, Hydra 1.3 warns without it
    options = {"version_base": "1.3"} if installed_version("hydra-core").startswith("1.3") else {}
    try:
        with initialize_config_dir(str(packaged), job_name="mlbench", **options):
            yield lambda given: hydra_compose("config", overrides=list(given))
    finally:
        _UserDirectories.current = ()
        GlobalHydra.instance().hydra = outer
        hydra_version.VersionBase.instance().version_base = base


def _compose(
    requests: Sequence[overrides.Request], directories: Sequence[Path]
) -> tuple[DictConfig | None, list[str], list[Notice]]:
    """The composed tree (with what could be applied), the problems, and Hydra's own warnings."""
    with warnings.catch_warnings(record=True) as caught, _hydra(directories) as composed_from:
        warnings.simplefilter("always")
        loader = GlobalHydra.instance().config_loader()
        options = {group: loader.get_group_options(group) for group in _groups(loader)}
        choices = [item for item in requests if _selects(item, options)]
        values = [item for item in requests if item not in choices]
        problems: list[str] = []
        selected: list[str] = []
        for item in choices:
            wrong = overrides.check_group(item, options[item.key])
            problems += wrong
            selected += [] if wrong else [item.text]
        composed, more = _attempt(composed_from, selected, directories)
        problems += more
        if composed is None:
            problems += _besides(composed_from, selected, choices, values, options.get(overrides.MANY, []))
        else:
            composed, more = _apply(composed_from, composed, selected, values, options.get(overrides.MANY, []))
            problems += more
    said = dict.fromkeys(" ".join(str(item.message).split()) for item in caught if item.category is UserWarning)
    return composed, problems, [Notice("configuration", message) for message in said]


def _groups(loader: Any, parent: str = "") -> list[str]:
    found = []
    for name in loader.list_groups(parent):
        group = f"{parent}/{name}" if parent else name
        if group != "hydra":
            found += [group, *_groups(loader, group)]
    return found


def _selects(request: overrides.Request, options: Mapping[str, Any]) -> bool:
    """Whether the override selects from a group (``protocol=quick``), not sets values (``protocol={trials: 8}``)."""
    return request.key in options and (request.key == overrides.MANY or not isinstance(request.value, Mapping))


def _attempt(
    composed_from: Callable[[Sequence[str]], DictConfig], given: Sequence[str], directories: Sequence[Path]
) -> tuple[DictConfig | None, list[str]]:
    try:
        return composed_from(given), []
    except (HydraException, OmegaConfBaseException) as error:
        return None, [_plain(error)]
    except (yaml.YAMLError, OSError, ValueError) as error:  # Hydra lets what is wrong in a file through as it came
        return None, _broken_files(directories) or [f"the configuration cannot be read: {error}"]


def _besides(
    composed_from: Callable[[Sequence[str]], DictConfig],
    selected: Sequence[str],
    choices: Sequence[overrides.Request],
    values: Sequence[overrides.Request],
    variants: Sequence[str],
) -> list[str]:
    """What is wrong with values, where files that were selected cannot be read: told without those files.

    Values of a section that was to come from such a file are left out, and all where there is nothing sound left.
    """

    def composes(given: Sequence[str]) -> bool:
        return _attempt(composed_from, given, ())[0] is not None

    sound = [text for text in selected if composes([text])]
    lost = {item.key.partition("/")[0] for item in choices if item.text not in sound}
    if not composes(sound):
        return []
    others = [item for item in values if re.split(r"[./@]", item.key, maxsplit=1)[0] not in lost]
    composed, problems = _apply(composed_from, composed_from(sound), sound, others, variants)
    hide_secrets(composed)
    return problems + _typed(composed)[2]


def _apply(
    composed_from: Callable[[Sequence[str]], DictConfig],
    composed: DictConfig,
    selected: Sequence[str],
    values: Sequence[overrides.Request],
    variants: Sequence[str],
) -> tuple[DictConfig, list[str]]:
    """The tree with every value that can be set, and why the others cannot."""
    expected = _plain_values(composed)
    problems = []
    sound = []
    for item in values:
        wrong = overrides.check_value(item, expected, variants)
        if wrong is None:
            overrides.foresee(item, expected)
            sound.append(item)
        else:
            problems.append(wrong)
    if not sound:
        return composed, problems
    try:
        return composed_from([*selected, *map(overrides.for_hydra, sound)]), problems
    except (HydraException, OmegaConfBaseException):
        pass  # one of them cannot be applied after all: find out which, and why
    applied = list(selected)
    for item in sound:
        try:
            composed = composed_from([*applied, overrides.for_hydra(item)])
            applied.append(overrides.for_hydra(item))
        except (HydraException, OmegaConfBaseException) as error:
            problems.append(f"'{item.text}' cannot be applied: {_plain(error)}")
    return composed, problems


def _plain_values(composed: DictConfig) -> Any:
    return OmegaConf.to_container(composed, resolve=False)


def _plain(error: BaseException) -> str:
    """Hydra's message on one line, without its hints for programmers."""
    texts = [str(error)]
    if isinstance(error.__cause__, OmegaConfBaseException):
        texts.append(str(error.__cause__).split("\n    full_key", maxsplit=1)[0])
    return ": ".join(" ".join(_NOISE.sub("", text).split()).rstrip(".") for text in texts if text)


def _broken_files(directories: Sequence[Path]) -> list[str]:
    """A sentence with file and line for every YAML file that cannot be read."""
    problems = []
    for path in sorted({path for directory in directories for path in directory.rglob("*.yaml")}):
        try:
            read_yaml(path)
            OmegaConf.load(path)
        except LimitError:
            continue  # said where it is read, if it is
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            what = " ".join(part for part in (error.context, error.problem) if part)
            problems.append(f"{path}{line}: this is not valid YAML: {what}")
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            problems.append(f"{path}: this is not valid YAML: {' '.join(str(error).split())}")
        except OSError as error:
            problems.append(f"{path}: cannot be read: {error.strerror or error}")
    return problems


def _come_home(composed: DictConfig) -> None:
    """Where a workload is a registered model and the registry gives no name, winners become versions of that model.

    So a study of ``models:/NAME@champion`` challenges the champion of NAME, and not one of a model of its own.
    """

    def value(key: str) -> Any:
        return OmegaConf.select(composed, key, throw_on_resolution_failure=False)

    source, path = value("workload.model.source"), value("workload.model.path")
    registered = _REGISTERED.match(path) if source == "mlflow" and isinstance(path, str) else None
    if registered and value("registry.model_name") is None:
        OmegaConf.update(composed, "registry.model_name", registered.group(1))


# ---------------------------------------------------------------------------------------------------------------------
# resolving and validating


def _validate(composed: DictConfig) -> tuple[StudyConfig | None, list[str]]:
    config, values, problems = _typed(composed)
    sections = _sections(config) if config is not None else _sound_sections(values)
    return config, problems + checks.problems(sections)


def _typed(composed: DictConfig) -> tuple[StudyConfig | None, Any, list[str]]:
    """The configuration where every value is of its type, the plain values, and what is wrong with them."""
    problems: list[str] = []
    unresolved: set[str] = set()
    values = _resolved(composed, (), problems, unresolved)
    problems += [f"{schema.dotted(path)}: {overrides.NO_TARGET}" for path in _paths_of(values, "_target_")]
    problems += list(schema.booleans(values))
    config: StudyConfig | None = None
    try:
        config = TypeAdapter(StudyConfig).validate_python(values)
    except ValidationError as error:
        problems += [text for text in schema.problems(error) if text.partition(": ")[0] not in unresolved]
    return config, values, problems


def _sections(config: StudyConfig) -> dict[str, Any]:
    """The sections of a configuration by name."""
    return {name: getattr(config, name) for name in schema.fields(StudyConfig)}


def _sound_sections(values: Mapping[str, Any]) -> dict[str, Any]:
    """The sections, and the variants, that are right by themselves, so that they can be checked further."""
    sound: dict[str, Any] = {}
    for name, annotation in schema.fields(StudyConfig).items():
        try:
            sound[name] = TypeAdapter(annotation).validate_python(values.get(name))
        except ValidationError:
            if name == overrides.MANY and isinstance(values.get(name), Mapping):
                sound[name] = _sound_variants(values[name])
    return sound


def _sound_variants(values: Mapping[str, Any]) -> dict[str, RecipeConfig]:
    adapter, sound = TypeAdapter(RecipeConfig), {}
    for name, value in values.items():
        try:
            sound[str(name)] = adapter.validate_python(value)
        except ValidationError:
            continue  # reported already, with the whole configuration
    return sound


def _resolved(node: Any, path: tuple[str | int, ...], problems: list[str], unresolved: set[str]) -> Any:
    """Plain values with every interpolation resolved; what cannot be is reported and left out."""
    if isinstance(node, DictConfig):
        got = {str(key): _item(node, key, (*path, str(key)), problems, unresolved) for key in node}
        return {key: value for key, value in got.items() if value is not _ABSENT}
    if isinstance(node, ListConfig):
        items = [_item(node, index, (*path, index), problems, unresolved) for index in range(len(node))]
        return [value for value in items if value is not _ABSENT]
    return node


_ABSENT: Any = object()


def _item(
    node: DictConfig | ListConfig, key: Any, path: tuple[str | int, ...], problems: list[str], unresolved: set[str]
) -> Any:
    name = schema.dotted(path)
    if OmegaConf.is_missing(node, key):
        unresolved.add(name)
        problems.append(f"{name}: has no value (???): give one, {name}=...")
        return _ABSENT
    try:
        value = node[key]
    except OmegaConfBaseException as error:
        unresolved.add(name)
        written: Any = OmegaConf.to_container(node, resolve=False)
        why = _RAISED.sub("", str(error).partition("\n")[0]).strip('".')
        problems.append(f"{name}: {schema.show(written[key])} cannot be resolved: {why}")
        return _ABSENT
    return _resolved(value, path, problems, unresolved)


def _paths_of(value: Any, wanted: str, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    parts: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        parts = list(value.items())
    elif isinstance(value, list):
        parts = list(enumerate(value))
    for key, item in parts:
        if key == wanted:
            yield (*path, key)
        yield from _paths_of(item, wanted, (*path, key))
