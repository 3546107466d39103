"""Writing MLflow models in a process of its own: what serves them, to prove that they answer alike, is not loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow.models import Model

from mlbench.errors import WorkerGoneError
from mlbench.measurement.apart import Apart
from mlbench.tracking.calls import quiet
from mlbench.tracking.forms import Content, Form, UnfitError, save_verified
from mlbench.variants.quiet import quiet as captured

Save = Callable[[Form, Content, Path], Model]
"""Writes a model as :func:`mlbench.tracking.forms.save_verified` does."""


@contextmanager
def saving_apart(*, soon: bool = False) -> Iterator[Save]:
    """Have models written by a process that is there from the first one on, until this is over.

    Args:
        soon: There will be one, so that the process may start at once.
    """
    with Apart(_Saving) as process:
        if soon:
            process.begin()

        def save(form: Form, content: Content, path: Path) -> Model:
            try:
                process.ask("save", form, content, path)
            except WorkerGoneError as error:  # the next form may do
                raise UnfitError(str(error)) from error
            return Model.load(str(path))

        yield save


def save_here(form: Form, content: Content, path: Path) -> Model:
    """Write a model in this process, and let no library speak."""
    with quiet(), captured("mlflow", "torch", "torch.export"):
        model = save_verified(form, content, path)
    for compiled in list(path.rglob("__pycache__")):  # of the model's own code, when it was loaded to be proven
        shutil.rmtree(compiled)
    return model


class _Saving:
    """What that process does."""

    def __init__(self, _tell: Callable[[str], None]) -> None: ...

    def save(self, form: Form, content: Content, path: Path) -> None:
        save_here(form, content, path)
