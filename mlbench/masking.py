"""What nobody is to read: credentials in addresses and settings, and secrets of the environment, wherever they turn up.

Whatever leaves this process in words passes through :func:`redact`: tags, parameters, records, reports, journals, the
terminal. A secret of the environment is one of a variable whose name says so (``MLFLOW_TRACKING_PASSWORD``,
``HF_TOKEN``), and one that the configuration took from the environment (``${oc.env:NAME}``) and :func:`hide` was told
of. Both belong to the process, like the environment itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

HIDDEN = "***"
_SHORTEST = 4  # what is shorter stands in every other word

_KEYS = (
    r"(?:\w+[_-])?(?:password|passwd|passphrase|secret|(?:api|access|secret|private)[_-]?key|credentials?)"
    r"|(?:(?:access|api|auth|bearer|github|gitlab|hf|hub|refresh|session)[_-]?)?token"
)
_USER_INFO = re.compile(r"(?<=://)[^/\s@]*(?:@[^/\s@]*)*@(?=[^/\s])")
_ASSIGNED = re.compile(rf"(?i)\b({_KEYS})=[^&\s;\"']+")
_IN_MAPPING = re.compile(rf"(?i)([{{,]\s*[\"']?(?:{_KEYS})[\"']?\s*:\s*)(?:(\")[^\"]*\"|(')[^']*'|[^,}}\s\"']+)")
_HEADER = re.compile(r"(?i)(\bauthorization[\"']?\s*[:=]\s*[\"']?(?:bearer |basic )?)[^\s\"',]+")
_SECRET_KEY = re.compile(rf"(?i){_KEYS}")
_SECRET_VARIABLE = re.compile(
    r"(?i)(?:^|_)(?:pass(?:word|wd|phrase)?|secret|token|credentials?|api_?key|access_?key(?:_id)?|private_?key"
    r"|connection_string)(?:_|$)"
)
_PLAIN = re.compile(r"(?i)[+-]?[\d.]+(?:e[+-]?\d+)?|true|false|null|none|auto")

_hidden: dict[str, str] = {}


def hide(value: str, shown: str = HIDDEN) -> None:
    """From now on, show something else where this value turns up; a number or a very short text is no secret."""
    if _could_be_secret(value):
        _hidden[value] = shown


def hide_marked(value: Any) -> None:
    """From now on, hide every text in plain values whose key says that it is a secret, wherever else it turns up."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        if _is_marked(key, item):
            hide(item)
        else:
            hide_marked(item)


def redact(text: str) -> str:
    """The text without user names, passwords and tokens in addresses and settings, and without secrets.

    >>> redact("http://me:secret@host:5000/x?token=abc")
    'http://***@host:5000/x?token=***'
    >>> redact("{user: me, password: 'x y'}")
    "{user: me, password: '***'}"
    """
    return _masker()(text)


def redacted(value: Any, keep: Collection[str] = ()) -> Any:
    """The same plain values with every text redacted, whole where its key says that it is a secret; tuples are lists.

    Args:
        value: Plain values.
        keep: Texts that stay as they are: words of a fixed vocabulary, which say nothing of anybody's secret.
    """
    return _redacted(value, _masker(), keep)


def _redacted(value: Any, mask: Callable[[str], str], keep: Collection[str]) -> Any:
    if isinstance(value, str):
        return value if value in keep else mask(value)
    if isinstance(value, Mapping):
        return {
            str(key): HIDDEN if _is_marked(key, item) else _redacted(item, mask, keep) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_redacted(item, mask, keep) for item in value]
    return value


def _quoted(mark: str) -> str:
    return f"{mark}{HIDDEN}{mark}"


def _is_marked(key: object, value: object) -> bool:
    """Whether the key says that it is a secret, and the value stands there itself, not where it is to be taken from."""
    return (
        isinstance(value, str)
        and bool(value)
        and not value.startswith("${")
        and _SECRET_KEY.fullmatch(str(key)) is not None
    )


def _could_be_secret(value: str) -> bool:
    return len(value) >= _SHORTEST and not _PLAIN.fullmatch(value) and HIDDEN not in value


def _masker() -> Callable[[str], str]:
    """What redacts a text, by the secrets that there are now."""
    of_the_environment = {
        value: HIDDEN for name, value in os.environ.items() if _SECRET_VARIABLE.search(name) and _could_be_secret(value)
    }
    secrets = {**of_the_environment, **_hidden}
    longest_first = sorted(secrets, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first))) if secrets else None

    def mask(text: str) -> str:
        text = _USER_INFO.sub(f"{HIDDEN}@", text)
        text = _ASSIGNED.sub(rf"\1={HIDDEN}", text)
        text = _IN_MAPPING.sub(lambda found: f"{found[1]}{_quoted(found[2] or found[3] or '')}", text)
        text = _HEADER.sub(rf"\g<1>{HIDDEN}", text)
        if pattern is None:
            return text
        for _ in range(2):  # how one secret was written may hold another one
            text = pattern.sub(lambda found: secrets[found[0]], text)
        return text

    return mask
