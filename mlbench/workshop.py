"""Where a study's arms come from: data, model and artifacts, made in a process that is gone when measuring begins.

The libraries that make them weigh more than all that is measured, and some of them crash; neither is the coordinator's.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mlbench.config import StudyConfig
from mlbench.errors import BuildError, InputError, MlbenchError, WorkerGoneError
from mlbench.measurement.apart import Apart
from mlbench.measurement.interpreters import examine
from mlbench.quality import Probing, Task
from mlbench.quality.judging import ready_task
from mlbench.records import Arm, Artifact, Collation, Recipe, Role, WorkloadInfo
from mlbench.registry import load
from mlbench.variants.build import build
from mlbench.variants.store import Store
from mlbench.variants.weights import counted
from mlbench.workloads import Data, Split, Workload
from mlbench.workloads.prepare import prepare, read_data

if TYPE_CHECKING:
    from mlbench.tracking import Champion, Tracker

Tell = Callable[[str], None]

_STEP = re.compile(r", step (\d+) of \d+: ")  # as mlbench.variants.build says which step it is at


@dataclass(frozen=True, slots=True)
class Prepared:
    """A workload as it is measured: what it is, the items of the test split, and what is done to those of a batch."""

    info: WorkloadInfo
    test: Split
    collation: Collation


class Workshop:
    """Makes the arms of one study, in a process of its own that is there from the first question until it is closed.

    A context manager. Where a step takes that process with it, the arm under way has failed, and a new process goes on
    with what the store has of the others.

    Args:
        config: The study.
        tell: Told what is being done.
    """

    def __init__(self, config: StudyConfig, tell: Tell) -> None:
        self._config = config
        owner = secrets.token_hex(8)
        self._store = Store(config.cache_dir, owner=owner)
        self._apart = Apart(_Craft, config, owner, tell=self._told)
        self._tell = tell
        self._last_told = ""
        self._prepared: Prepared | None = None
        self._notices: dict[str, None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._apart.close(hurry=error is not None)
        self._store.abandon()

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user must know of the store's use, as :attr:`mlbench.variants.store.Store.notices` has it."""
        return tuple(self._notices)

    def read(self) -> None:
        """Read the data, so that what is wrong with it is told before anything is opened.

        Raises:
            InputError: It cannot be read, or is not fit.
            MlbenchError: The process ended over it.
        """
        self._required("the data cannot be read", "read")

    def prepare(self) -> Prepared:
        """Build the workload's own model, or take it from the store.

        Raises:
            InputError: The configuration or the data is not fit.
            MlbenchError: It cannot be built; the process may have ended over it.
        """
        self._prepared = self._required("the workload cannot be prepared", "prepare")
        assert self._prepared is not None
        return self._prepared

    def build(self, recipe: Recipe, role: Role) -> Arm:
        """An arm, with its artifact.

        Raises:
            BuildError: A step could not do it; the message is the tool's own, or says how the process ended over it.
            InputError: The recipe does not fit the model.
            WorkerError: Its interpreter has not what it asks for; or the process ended, and over no step.
            MlbenchError: After an arm that has ended the process, the workload cannot be prepared as it was.
        """
        self._last_told = ""
        try:
            artifact: Artifact = self._ask("build", recipe)
        except WorkerGoneError as error:
            begun = _STEP.search(self._last_told)
            if begun is None:
                raise
            raise BuildError(recipe.steps[int(begun[1]) - 1].name, str(error)) from error
        arm: Arm = self._ask("finish", recipe, role, artifact)
        return arm

    def fit_incumbent(self, champion: Champion | None) -> None:
        """See that the champion can take part; see :func:`mlbench.incumbent.fit_incumbent`."""
        if self._takes_part(champion):
            self._required("the champion cannot be looked at", "fit_incumbent", champion)

    def incumbent(self, champion: Champion | None) -> tuple[Arm, ...]:
        """The champion as an arm; see :func:`mlbench.incumbent.incumbent`."""
        if not self._takes_part(champion):
            return ()
        arms: tuple[Arm, ...] = self._required("the champion cannot take part", "incumbent", champion)
        return arms

    def task(self, baseline: Arm) -> Task:
        """The workload's task, made ready with what the baseline answers for the training split.

        Raises:
            MlbenchError: The baseline cannot be served here.
        """
        task: Task = load("task", self._config.workload.task)()
        if isinstance(task, Probing):
            task = self._required("the task cannot be made ready", "task", baseline)
        return task

    def close(self) -> None:
        """End the process: what it has loaded is not there when something is measured."""
        self._apart.close()

    def _told(self, text: str) -> None:
        self._last_told = text
        self._tell(text)

    def _takes_part(self, champion: Champion | None) -> bool:
        return self._config.incumbent and champion is not None and champion.version is not None

    def _required(self, what: str, method: str, *args: Any) -> Any:
        """Ask what the study cannot go on without."""
        try:
            return self._ask(method, *args)
        except WorkerGoneError as error:
            raise MlbenchError(f"{what}: {error}") from error

    def _ask(self, method: str, *args: Any) -> Any:
        if self._prepared is not None and not self._apart.begun:
            self._prepare_again(self._prepared.info)
        try:
            return self._apart.ask(method, *args)
        finally:
            if not self._apart.begun:
                self._store.abandon()
            else:
                self._notices |= dict.fromkeys(self._apart.ask("notices"))

    def _prepare_again(self, info: WorkloadInfo) -> None:
        """Have a new process where the last one ended, with what that one had."""
        try:
            self._apart.ask("read")
            again: WorkloadInfo = self._apart.ask("prepare").info
        except MlbenchError as error:
            self._apart.close()
            raise MlbenchError(f"the workload cannot be prepared once more: {error}") from error
        if (again.data.digest, again.model_digest) != (info.data.digest, info.model_digest):
            raise MlbenchError("the data, or the workload's model, is not what it was when the study began")


class _Craft:
    """What the workshop's process does.

    Args:
        config: The study.
        owner: Of what is being built in the store.
        tell: Told what is being done.
    """

    def __init__(self, config: StudyConfig, owner: str, tell: Tell) -> None:
        self._config = config
        self._tell = tell
        self._store = Store(config.cache_dir, owner=owner)
        self._data: Data | None = None
        self._workload: Workload | None = None

    def notices(self) -> tuple[str, ...]:
        return self._store.notices

    def read(self) -> None:
        config = self._config
        if "mlflow" in (config.workload.model.source, config.workload.data.source):
            from mlbench.tracking import look_into

            look_into(config.tracking, config.workload)
        self._data = read_data(config.workload)
        check_lengths(config, self._data)

    def prepare(self) -> Prepared:
        self._workload = workload = prepare(self._config.workload, self._store, self._tell, self._data)
        return Prepared(workload.info, workload.data.test, workload.data.collation)

    def build(self, recipe: Recipe) -> Artifact:
        return build(recipe, self._ready, self._store, self._tell)

    def finish(self, recipe: Recipe, role: Role, artifact: Artifact) -> Arm:
        arm = Arm(recipe.name, role, recipe, counted(artifact), recipe.runtime)
        examine(arm, self._ready.data.collation)  # what it lacks is told before anything is measured
        return arm

    def fit_incumbent(self, champion: Champion) -> None:
        from mlbench.incumbent import fit_incumbent  # MLflow takes a second to import, and most studies need none here

        fit_incumbent(self._config, self._tracker(), champion, self._ready)

    def incumbent(self, champion: Champion) -> tuple[Arm, ...]:
        from mlbench.incumbent import incumbent

        return incumbent(self._config, self._tracker(), champion, self._ready, self._store, self._tell)

    def task(self, baseline: Arm) -> Task:
        train = self._ready.data.train
        return ready_task(self._ready.info.task, baseline, train.inputs, train.labels)

    @property
    def _ready(self) -> Workload:
        if self._workload is None:
            raise MlbenchError("the workload is not prepared")
        return self._workload

    def _tracker(self) -> Tracker:
        from mlbench.tracking import connect

        return connect(self._config.tracking, create=False)


def check_lengths(config: StudyConfig, data: Data) -> None:
    """Input lengths can be asked of sequences only.

    Raises:
        InputError: They are asked for, and no input of the data is a sequence, or each batch has a length of its own.
    """
    if config.scenario.input_lengths and (data.collation.tokenizer or data.collation.trim):
        option = "timing=end-to-end" if data.collation.tokenizer else "padding=batch"
        raise InputError(
            f"scenario.input_lengths: with workload.model.options.{option} the texts of a batch decide its length, so "
            "no other can be asked for; leave one of the two"
        )
    if config.scenario.input_lengths and all(spec.shape[1:2] != (None,) for spec in data.info.inputs):
        raise InputError(
            "scenario.input_lengths: no input of the data is a sequence "
            f"({', '.join(spec.name for spec in data.info.inputs)}), so its length cannot be varied; leave it empty"
        )
