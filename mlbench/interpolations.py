"""What a configuration takes from the environment (``${oc.env:NAME}``): used as it is, shown only as it was written.

Names are exempt, since they are made to be seen: of studies, experiments, registered models and workloads; and so is
what belongs to mlbench's own vocabulary, such as a step's name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any, get_args

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mlbench import registry
from mlbench.masking import hide, hide_marked
from mlbench.metrics import NAMES
from mlbench.parts import Kind
from mlbench.records import fixed_words

_SHOWN_SECTIONS = ("cache_dir", "name", "registry", "tracking")  # tracking.uri: what is secret in it is masked anyway
_NAMED = re.compile(r"oc\.env:\s*([^,}\s]+)")

Path = tuple[str | int, ...]


def hide_secrets(composed: DictConfig) -> None:
    """Have every value hidden that a free-form key takes from the environment, or whose key calls it a secret."""
    plain: Any = OmegaConf.to_container(composed, resolve=False)
    hide_marked(plain)
    variants = plain.get("variants")
    public = {*_vocabulary(), *(variants if isinstance(variants, dict) else ())}
    found: dict[str, str] = {}
    for path, written, value in _interpolated(composed, ()):
        if "oc.env" not in written:
            continue
        taken = dict.fromkeys(_texts(value), written)
        taken |= {os.environ[name]: f"${{oc.env:{name}}}" for name in _names(written) if name in os.environ}
        if path[0] in _SHOWN_SECTIONS or path[-1] == "name":
            public |= set(taken)
        else:
            found |= taken
    for text, written in found.items():
        if not _is_part(text, public):
            hide(text, written)


def _names(written: str) -> list[str]:
    """The variables that an interpolation names in words."""
    return [name.strip("'\"") for name in _NAMED.findall(written)]


def _is_part(text: str, public: Collection[Any]) -> bool:
    return any(text in str(word) for word in public)


@cache
def _vocabulary() -> frozenset[str]:
    parts = (name for kind in get_args(Kind) for name in registry.entries(kind))
    return frozenset({*fixed_words(), *NAMES, *parts})


def _interpolated(node: Any, path: Path) -> Iterator[tuple[Path, str, Any]]:
    """Every value that is an interpolation: where it is, how it is written, and what it comes to."""
    keys: Any = list(node) if isinstance(node, DictConfig) else range(len(node)) if isinstance(node, ListConfig) else ()
    for key in keys:
        if OmegaConf.is_missing(node, key):
            continue
        try:
            value = node[key]
        except OmegaConfBaseException:  # told when everything is resolved
            continue
        if OmegaConf.is_interpolation(node, key):
            written: Any = OmegaConf.to_container(node, resolve=False)
            yield (*path, key), str(written[key]), value
        else:
            yield from _interpolated(value, (*path, key))


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, DictConfig):
        yield from (text for key in value for text in _texts(value[key]))
    elif isinstance(value, ListConfig | list):
        yield from (text for item in value for text in _texts(item))


__all__ = ["hide_secrets"]
