"""One study, from configuration to evidence: the whole order of work, readable from top to bottom.

Only this module knows the order. Every stage takes and returns frozen records; nothing reaches back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from shlex import quote
from typing import Any

import mlbench
from mlbench import noise as machine_noise
from mlbench.analysis import analyse
from mlbench.comparison import undecided
from mlbench.compose import Composition
from mlbench.config import ProtocolConfig, StudyConfig, TrackingConfig
from mlbench.delivery import Delivered, deliver, persist
from mlbench.endings import journaled, keeper, keeping, noting, terminable
from mlbench.environment import environment
from mlbench.errors import BuildError, ExitCode, InputError, MlbenchError, TrackingError
from mlbench.journal import Begun, Conclusion, Journal, JournaledArm, Planned
from mlbench.measurement import alone, budget
from mlbench.measurement.coordinator import Coordinator, TrialOver
from mlbench.measurement.cpus import usable_cpus
from mlbench.measurement.machine_lock import MachineLock
from mlbench.measurement.plan import make_plan
from mlbench.policy import decide
from mlbench.probes.energy_model import modelled
from mlbench.probes.started import started
from mlbench.progress import Progress
from mlbench.quality import Task
from mlbench.quality.judging import decided, loss_notices, qualities, ready_task
from mlbench.recipes import recipes
from mlbench.records import (
    Arm,
    ArmResult,
    Measurement,
    Notice,
    Plan,
    Recipe,
    Role,
    Study,
)
from mlbench.sync import close_abandoned, settle
from mlbench.tracking import OpenStudy, Promotion, Tracker, connect, study_url
from mlbench.tracking.content import public
from mlbench.tracking.names import redact
from mlbench.variants.build import build
from mlbench.variants.store import Store
from mlbench.variants.weights import counted
from mlbench.workloads import Data, Workload
from mlbench.workloads.prepare import prepare, read_data


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a study left behind.

    Attributes:
        run_id: The study's run in MLflow.
        study: The record, as it is stored there.
        exit_code: What the command should exit with.
        links: Where to look next, one line each.
        promotion: What happened in the registry, if anything was to happen.
        undelivered: MLflow did not take it; the study's journal has it.
    """

    run_id: str
    study: Study
    exit_code: ExitCode
    links: tuple[str, ...]
    promotion: Promotion | None = None
    undelivered: bool = False


def run_study(composition: Composition, progress: Progress, *, wait: bool = True) -> Outcome:
    """Run a study: build the arms, measure them side by side, decide, and leave everything in MLflow.

    An interruption (Ctrl-C or SIGTERM) while measuring ends the workers, keeps what was measured, and closes the runs
    as KILLED. Whatever is measured is in the study's journal from the end of each trial until MLflow has it, so that an
    MLflow that is not there in the meantime loses nothing.

    Args:
        composition: The validated configuration.
        progress: Told what is going on.
        wait: Wait while another study is measured on this machine; otherwise refuse.

    Raises:
        InputError: MLflow cannot be reached, or the data is not fit. Nothing was measured.
        MachineBusyError: Another study is being measured, and this one was not to wait.
        MlbenchError: The baseline cannot be built.
        KeyboardInterrupt: Interrupted before there was anything to keep.
    """
    config = composition.config
    progress.phase("Reading the data")
    data = read_data(config.workload)  # wrong data is told before anything is opened or left behind
    check_lengths(config, data)
    tracker = connect(config.tracking)
    store = Store(config.cache_dir)
    close_abandoned(tracker, store.root, progress.notice)
    with terminable(), MachineLock(wait=wait, say=progress.notice) as machine:
        begun, created = time.monotonic(), datetime.now(UTC)
        name = config.name or f"{config.workload.name}-{created:%Y%m%d-%H%M%S}"
        runs = tracker.open_study(name, composition.record, composition.overrides)
        with journaled(runs, store.root, _begun(composition, name, created, tracker, runs), progress) as journal:
            progress.phase("Preparing the workload")
            workload = prepare(config.workload, store, progress.step, data)
            arms, failed = _build_arms(config, workload, store, progress, runs)
            composition = _within_budget(composition, arms, workload, progress, begun)
            config = composition.config
            task = ready_task(workload.info.task, arms[0], workload.data.train.inputs, workload.data.train.labels)
            plan = _plan(config, arms)
            journal.plan(Planned(plan, tuple(map(_journaled, arms))))
            measurement = measure(plan, arms, workload, config, progress, keeper(journal, progress))
            machine.release()
            with keeping(measurement, runs, journal, progress):
                progress.phase("Deciding")
                spent = time.monotonic() - begun
                measurement = decided(measurement, task)
                study = _conclude(composition, name, created, workload, arms, failed, measurement, task, store, spent)
                conclusion = _conclusion(study, config, workload)
                noting(progress, partial(journal.conclude, conclusion, measurement))
            progress.phase("Publishing to MLflow")
            send = partial(deliver, tracker, runs.run_id, conclusion, measurement, {arm.name: arm for arm in arms})
            try:
                delivered = persist(send, config.tracking.attempts, progress.notice)
            except MlbenchError as error:
                return _undelivered(runs, journal, study, error, progress)
            noting(progress, partial(settle, journal, resumable=study.status == "interrupted"))
    links = _links(tracker, runs, study, delivered)
    return Outcome(runs.run_id, study, _exit_code(study, config), links, delivered.promotion)


# ---------------------------------------------------------------------------------------------------------------------
# the stages


def check_lengths(config: StudyConfig, data: Data) -> None:
    """Input lengths can be asked of sequences only.

    Raises:
        InputError: They are asked for, and no input of the data is a sequence.
    """
    if config.scenario.input_lengths and all(spec.shape[1:2] != (None,) for spec in data.info.inputs):
        raise InputError(
            "scenario.input_lengths: no input of the data is a sequence "
            f"({', '.join(spec.name for spec in data.info.inputs)}), so its length cannot be varied; leave it empty"
        )


def _build_arms(
    config: StudyConfig, workload: Workload, store: Store, progress: Progress, runs: OpenStudy
) -> tuple[list[Arm], list[ArmResult]]:
    """Every arm that can be built, the baseline first, and a failed result for every one that cannot."""
    arms: list[Arm] = []
    failed: list[ArmResult] = []
    silent = ""
    wanted = recipes(config)
    for number, recipe in enumerate(wanted):
        role: Role = "variant" if number else "baseline"
        progress.phase(f"Building {recipe.name} ({number + 1} of {len(wanted)})")
        refusal = runs.announce_arm(recipe.name, role)
        if refusal and not silent:
            progress.notice(f"{refusal}; the study goes on, and is delivered when it is over")
        silent = silent or refusal
        try:
            arms.append(_arm(recipe, role, workload, store, progress.step))
        except BuildError as error:
            if role == "baseline":
                raise MlbenchError(f"the baseline cannot be built: {error}") from error
            progress.notice(f"{recipe.name} failed: {error}")
            failed.append(ArmResult(recipe.name, role, recipe, status="failed", failure=str(error)))
    return arms, failed


def _begun(composition: Composition, name: str, created: datetime, tracker: Tracker, runs: OpenStudy) -> Begun:
    return Begun(
        run_id=runs.run_id,
        name=name,
        created=created.isoformat(timespec="seconds"),
        version=mlbench.__version__,
        tracking_uri=redact(tracker.location.uri),
        experiment=tracker.experiment,
        config=composition.record,
        overrides=composition.overrides,
    )


def _journaled(arm: Arm) -> JournaledArm:
    return JournaledArm(arm.name, arm.role, arm.recipe, arm.settings, arm.artifact.digest)


def _conclusion(study: Study, config: StudyConfig, workload: Workload) -> Conclusion:
    return Conclusion(
        study=public(study),
        log_models=config.tracking.log_models,
        registry=config.registry if config.registry.promote else None,
        example={key: values[:3] for key, values in workload.data.test.inputs.items()},
    )


def _arm(recipe: Recipe, role: Role, workload: Workload, store: Store, step: Callable[[str], None]) -> Arm:
    return Arm(recipe.name, role, recipe, counted(build(recipe, workload, store, step)), recipe.runtime)


def _within_budget(
    composition: Composition, arms: Sequence[Arm], workload: Workload, progress: Progress, begun: float
) -> Composition:
    """The configuration with a protocol that fits into the time there is, which takes a short pilot to know."""
    config = composition.config
    if config.protocol.budget_minutes is None:
        return composition
    progress.phase("Sizing the plan to the time budget")

    def pilot(protocol: ProtocolConfig) -> Measurement:
        small = replace(config, protocol=protocol)
        return _coordinator(_plan(small, arms), arms, workload, small).run()

    protocol, notices = budget.sized(config.protocol, pilot, begun, time.monotonic)
    for notice in notices:
        progress.notice(f"{notice.message} ({notice.action})")
    warnings = (*composition.warnings, *notices)
    return replace(composition, config=replace(config, protocol=protocol), warnings=warnings)


def _plan(config: StudyConfig, arms: Sequence[Arm]) -> Plan:
    names = [arm.name for arm in arms]
    return make_plan(names, names[0], config.scenario, config.protocol, config.seed, usable_cpus())


def measure(
    plan: Plan,
    arms: Sequence[Arm],
    workload: Workload,
    config: StudyConfig,
    progress: Progress,
    keep: TrialOver = lambda _trial, _part: None,
) -> Measurement:
    """Measure the plan on the test split, with every probe that is available; ``keep`` is given every trial."""
    progress.phase("Measuring")
    begun = time.monotonic()

    def report(trial: int, share: float) -> None:
        spent = time.monotonic() - begun
        # where there are looks, the next one may be the last
        goal = next((look for look in plan.looks if look > trial), plan.trials)
        share *= plan.trials / goal
        # the first trial's share of the work says little: its workers took their time to start
        left = spent / share - spent if trial else None
        progress.trial(trial + 1, goal, share, left)

    def settled(look: int, measured: Measurement) -> bool:
        still = undecided(measured, config.protocol)
        found = f"open for {', '.join(still)}" if still else "open for no variant, this is the end"
        progress.notice(f"look {look} of {len(plan.looks)}, after {plan.looks[look - 1]} trials: p50 is {found}")
        return not still

    def over(trial: int, part: Measurement) -> None:
        hardware.watch.trial_over(trial)
        keep(trial, part)

    with started(config.probes) as hardware:
        hardware.watch.before()
        measured = _coordinator(
            plan,
            arms,
            workload,
            config,
            probes=hardware.probes,
            report=report,
            settled=settled,
            trial_over=over,
        ).run(absent=hardware.absent, energy_source=hardware.energy_source)
        if hardware.energy_source == "modelled" and config.probes.energy_model is not None:
            measured = replace(measured, turns=modelled(measured.turns, config.probes.energy_model.watts_per_cpu))
        measured = replace(
            measured,
            complete=measured.complete and hardware.watch.after(),
            machine_looks=hardware.watch.looks,
            epoch_ns=time.time_ns() - time.perf_counter_ns(),
        )
    for loss in measured.lost:
        progress.notice(f"{loss.arm}, trial {loss.trial + 1} of {plan.trials} lost: {loss.reason}")
    return measured


def _coordinator(
    plan: Plan, arms: Sequence[Arm], workload: Workload, config: StudyConfig, **options: Any
) -> Coordinator:
    test, timeout = workload.data.test, config.protocol.turn_timeout_s
    return Coordinator(plan, arms, test.inputs, test.labels, turn_timeout_s=timeout, **options)


def _conclude(
    composition: Composition,
    name: str,
    created: datetime,
    workload: Workload,
    arms: Sequence[Arm],
    failed: Sequence[ArmResult],
    measurement: Measurement,
    task: Task,
    store: Store,
    wall_seconds: float,
) -> Study:
    """From measurement to decision."""
    config = composition.config
    noise = machine_noise.judge(measurement.turns, len(os.sched_getaffinity(0)), measurement.machine_looks)
    found = qualities(measurement, task, workload.info.data.classes, config.seed)
    results = (*analyse(measurement, arms, found, config.protocol, noise), *failed)
    loud = machine_noise.notice(noise)
    data_notes = (Notice("data", note) for note in workload.info.data.notes)
    store_notes = (Notice("cache", note) for note in store.notices)
    step_notes = _step_notices(arms)
    return Study(
        name=name,
        created=created.isoformat(timespec="seconds"),
        version=mlbench.__version__,
        config=composition.record,
        overrides=composition.overrides,
        workload=workload.info,
        plan=measurement.plan,
        environment=environment(),
        arms=results,
        decision=decide(config.policy, results, measurement.plan.look_alpha(1.0)),
        noise=noise,
        warnings=(
            *composition.warnings,
            *data_notes,
            *store_notes,
            *step_notes,
            *loss_notices(found),
            *([loud] if loud else []),
            *alone.notices(measurement.turns),
            *(notice for arm in results for notice in arm.warnings),
        ),
        wall_seconds=round(wall_seconds, 3),
        energy_source=measurement.energy_source,
        status="finished" if measurement.complete else "interrupted",
    )


def _step_notices(arms: Sequence[Arm]) -> list[Notice]:
    """What steps said of their own result that the reader must know; once where arms share the step."""
    found: dict[tuple[str, str], list[str]] = {}
    for arm in arms:
        for step in arm.artifact.steps:
            if "notice" in step.changed:
                found.setdefault((step.fingerprint, f"{step.name}: {step.changed['notice']}"), []).append(arm.name)
    return [Notice("step", f"{', '.join(names)}: {text}") for (_, text), names in found.items()]


def _exit_code(study: Study, config: StudyConfig) -> ExitCode:
    if study.status == "interrupted":
        return ExitCode.INTERRUPTED
    if study.baseline.status == "failed":
        return ExitCode.FAILURE
    if not config.policy.enforce:
        return ExitCode.DONE
    codes = {"promote": ExitCode.DONE, "hold": ExitCode.POLICY_NOT_MET, "inconclusive": ExitCode.INCONCLUSIVE}
    return codes[study.decision.outcome]


def _links(tracker: Tracker, runs: OpenStudy, study: Study, delivered: Delivered) -> tuple[str, ...]:
    """Where to look next: commands that work as they are printed, and the page."""
    elsewhere = (
        "" if tracker.experiment == TrackingConfig().experiment else f" --experiment {quote(tracker.experiment)}"
    )
    if tracker.location.origin == "tracking.uri" and redact(tracker.location.uri) == tracker.location.uri:
        elsewhere += f" --tracking-uri {quote(tracker.location.uri)}"
    lines = [f"mlbench show {quote(study.name)}{elsewhere}", f"mlbench ui {quote(study.name)}{elsewhere}"]
    with suppress(TrackingError):  # it was there a moment ago, and the commands above say the same
        lines.append(study_url(tracker, runs.run_id))
    return (*lines, *delivered.sentences)


def _undelivered(runs: OpenStudy, journal: Journal, study: Study, error: MlbenchError, progress: Progress) -> Outcome:
    """MLflow did not take it: the result is shown all the same, and said to be still here."""
    with suppress(TrackingError):
        runs.fail(error)
    later = f"mlbench sync {runs.run_id}"
    if journal.is_concluded:
        progress.notice(f"{error}; nothing is lost: {later} delivers it later")
    else:
        progress.notice(f"{error}; and its journal is not complete: what is printed here is kept nowhere else")
    code = ExitCode.INTERRUPTED if study.status == "interrupted" else ExitCode.FAILURE
    return Outcome(runs.run_id, study, code, (later,) if journal.is_concluded else (), undelivered=True)
