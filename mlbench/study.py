"""One study, from configuration to evidence: the whole order of work, readable from top to bottom.

Only this module knows the order. Every stage takes and returns frozen records; nothing reaches back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from mlbench import __version__, handicap
from mlbench import noise as machine_noise
from mlbench.analysis import analyse
from mlbench.comparison import undecided
from mlbench.compose import Composition
from mlbench.config import ProtocolConfig, StudyConfig
from mlbench.delivery import conclusion_of, deliver, persist
from mlbench.endings import journaled, keeper, keeping, noting, terminable
from mlbench.environment import environment
from mlbench.errors import BuildError, InputError, MlbenchError, WorkerError
from mlbench.explaining import explained, to_profile
from mlbench.incumbent import absence
from mlbench.journal import Begun, Journal, Planned
from mlbench.measurement import alone, budget, lost_trials
from mlbench.measurement.coordinator import Coordinator, TrialOver
from mlbench.measurement.cpus import usable_cpus
from mlbench.measurement.guarding import guarded
from mlbench.measurement.limits import Limits
from mlbench.measurement.machine_lock import MachineLock
from mlbench.measurement.plan import make_plan
from mlbench.measurement.profiling import take_profiles
from mlbench.outcome import Outcome, exit_code, links, undelivered
from mlbench.policy import decide
from mlbench.probes.energy_model import modelled
from mlbench.probes.started import started
from mlbench.progress import Progress
from mlbench.quality import Task
from mlbench.quality.judging import decided, deltas_against, loss_notices, qualities
from mlbench.recipes import recipes
from mlbench.records import (
    Arm,
    ArmResult,
    Measurement,
    Noise,
    Notice,
    Plan,
    Quality,
    Role,
    Study,
    trials_in,
)
from mlbench.resuming import check_same_arms, journaled_arm, measured_before, notices, open_runs
from mlbench.sittings import dated, epoch
from mlbench.sync import close_abandoned, settle
from mlbench.tracking import OpenStudy, connect
from mlbench.variants.store import Store
from mlbench.workshop import Prepared, Workshop


def run_study(
    composition: Composition, progress: Progress, *, wait: bool = True, resume: Journal | None = None
) -> Outcome:
    """Run a study: build the arms, measure them side by side, decide, and leave everything in MLflow.

    An interruption (Ctrl-C or SIGTERM) while measuring ends the workers, keeps what was measured, and closes the runs
    as KILLED. Whatever is measured is in the study's journal from the end of each trial until MLflow has it, so that an
    MLflow that is not there in the meantime loses nothing.

    Args:
        composition: The validated configuration.
        progress: Told what is going on.
        wait: Wait while another study is measured on this machine; otherwise refuse.
        resume: Journal of the study that goes on, see :func:`mlbench.resuming.resume`; its lock is given back.

    Raises:
        InputError: MLflow cannot be reached, or the data is not fit. Nothing was measured.
        MachineBusyError: Another study is being measured, and this one was not to wait.
        MlbenchError: The baseline cannot be built.
        KeyboardInterrupt: Interrupted before there was anything to keep.
    """
    config = composition.config
    with terminable(), guarded(), Workshop(config, progress.step) as workshop:
        progress.phase("Reading the data")
        workshop.read()  # wrong data is told before anything is opened or left behind
        tracker = connect(config.tracking)
        store = Store(config.cache_dir)
        close_abandoned(tracker, store.root, progress.notice)
        with MachineLock(wait=wait, say=progress.notice) as machine:
            begun = time.monotonic()
            runs, heading = open_runs(composition, tracker, resume)
            with journaled(runs, store.root, heading, progress, resume) as journal:
                progress.phase("Preparing the workload")
                workload = workshop.prepare()
                arms, failed = _build_arms(config, workshop, progress, runs)
                task = workshop.task(arms[0])
                workshop.close()
                composition, planned = _planned(composition, arms, workload, progress, journal, begun)
                config = composition.config
                before = measured_before(journal, planned, progress.notice)
                measurement = measure(planned.plan, arms, workload, config, progress, keeper(journal, progress), before)
                with keeping(measurement, runs, journal, progress):
                    progress.phase("Deciding")
                    measurement = decided(measurement, task)
                    judged = _judge(config, workload, arms, measurement, task)
                    why = _explain(config, workload, arms, judged.arms, measurement.plan, progress)
                    judged = replace(judged, arms=why)
                    machine.release()
                    spent, found = time.monotonic() - begun, workshop.notices
                    study = _conclude(composition, heading, workload, arms, failed, measurement, judged, found, spent)
                    study = replace(study, warnings=(*study.warnings, *notices(measurement.plan, before)))
                    conclusion = conclusion_of(study, config, workload.test.inputs)
                    study = conclusion.study  # from here on, what may be shown
                    noting(progress, partial(journal.conclude, conclusion, measurement))
                progress.phase("Publishing to MLflow")
                send = partial(deliver, tracker, runs.run_id, conclusion, measurement, {arm.name: arm for arm in arms})
                try:
                    delivered = persist(send, config.tracking.attempts, progress.notice)
                except MlbenchError as error:
                    return undelivered(runs, journal, study, config, error, progress)
                noting(progress, partial(settle, journal, resumable=study.status == "interrupted"))
    found = links(tracker, runs, study, delivered)
    return Outcome(runs.run_id, study, exit_code(study, config), found, delivered.promotion)


# ---------------------------------------------------------------------------------------------------------------------
# the stages


def _build_arms(
    config: StudyConfig, workshop: Workshop, progress: Progress, runs: OpenStudy
) -> tuple[list[Arm], list[ArmResult]]:
    """Every arm that can be built, the baseline first, and a failed result for every one that cannot.

    The champion comes last, where it is to take part.

    Raises:
        InputError: The baseline's recipe does not fit the model; or the champion cannot take part.
        MlbenchError: The baseline cannot be built.
    """
    arms: list[Arm] = []
    failed: list[ArmResult] = []
    silent = ""
    workshop.fit_incumbent(runs.champion)  # what is wrong with it is told before anything is built
    wanted = recipes(config)
    for number, recipe in enumerate(wanted):
        role: Role = "variant" if number else "baseline"
        progress.phase(f"Building {recipe.name} ({number + 1} of {len(wanted)})")
        refusal = runs.announce_arm(recipe.name, role)
        if refusal and not silent:
            progress.notice(f"{refusal}; the study goes on, and is delivered when it is over")
        silent = silent or refusal
        try:
            arms.append(workshop.build(recipe, role))
        except InputError as error:  # what could not be checked before the format of the model was known
            if role == "baseline":
                raise
            said = "; ".join(error.problems)
        except (BuildError, WorkerError) as error:
            if role == "baseline":
                raise MlbenchError(f"the baseline cannot be built: {error}") from error
            said = str(error)
        else:
            continue
        progress.notice(f"{recipe.name} failed: {said}")
        failed.append(ArmResult(recipe.name, role, recipe, status="failed", failure=said))
    reigning = workshop.incumbent(runs.champion)
    for arm in reigning:
        runs.announce_arm(arm.name, arm.role)
    for notice in absence(config, reigning):
        progress.notice(notice.message)
    return [*arms, *reigning], failed


def _within_budget(
    composition: Composition, arms: Sequence[Arm], workload: Prepared, progress: Progress, begun: float
) -> Composition:
    """The configuration with a protocol that fits into the time there is, which takes a short pilot to know."""
    config = composition.config
    if config.protocol.budget_minutes is None:
        return composition
    progress.phase("Sizing the plan to the time budget")

    def pilot(protocol: ProtocolConfig) -> Measurement:
        small = replace(config, protocol=protocol)
        return _coordinator(_plan(small, arms), arms, workload, small, retry=False).run()

    protocol, notices = budget.sized(config.protocol, pilot, begun, time.monotonic)
    for notice in notices:
        progress.notice(f"{notice.message} ({notice.action})")
    warnings = (*composition.warnings, *notices)
    return replace(composition, config=replace(config, protocol=protocol), warnings=warnings)


def _planned(
    composition: Composition,
    arms: Sequence[Arm],
    workload: Prepared,
    progress: Progress,
    journal: Journal,
    begun: float,
) -> tuple[Composition, Planned]:
    """The order of work, fixed now and kept, or the one of the study that is resumed; and the protocol behind it."""
    planned = journal.planned()
    if planned is None:
        composition = _within_budget(composition, arms, workload, progress, begun)
        config = composition.config
        planned = Planned(_plan(config, arms), config.protocol, tuple(map(journaled_arm, arms)))
        journal.plan(planned)
    check_same_arms(planned, arms)
    return replace(composition, config=replace(composition.config, protocol=planned.protocol)), planned


def _plan(config: StudyConfig, arms: Sequence[Arm]) -> Plan:
    names = [arm.name for arm in arms]
    return make_plan(names, names[0], config.scenario, config.protocol, config.seed, usable_cpus())


def measure(
    plan: Plan,
    arms: Sequence[Arm],
    workload: Prepared,
    config: StudyConfig,
    progress: Progress,
    keep: TrialOver = lambda _trial, _part: None,
    before: Sequence[Measurement] = (),
) -> Measurement:
    """Measure the plan on the test split, with every probe that is available.

    Args:
        plan: The order of work.
        arms: The arms of the plan.
        workload: What is measured on.
        config: Protocol and probes.
        progress: Told how far it is.
        keep: Given every trial that is over.
        before: Trials that were measured earlier, as ``keep`` was given them.
    """
    progress.phase("Measuring")
    begun, done = time.monotonic(), trials_in(plan, before)

    def report(trial: int, share: float) -> None:
        spent = time.monotonic() - begun
        # where there are looks, the next one may be the last
        goal = next((look for look in plan.looks if look > trial), plan.trials)
        share *= plan.trials / goal
        # the first trial's share of the work says little: its workers took their time to start
        left = spent * (1 - share) / (share - done / goal) if trial > done else None
        progress.trial(trial + 1, goal, share, left)

    def settled(look: int, measured: Measurement) -> bool:
        still = undecided(measured, config.protocol)
        found = f"open for {', '.join(still)}" if still else "open for no variant, this is the end"
        progress.notice(f"look {look} of {len(plan.looks)}, after {plan.looks[look - 1]} trials: p50 is {found}")
        return not still

    def with_energy(measured: Measurement) -> Measurement:
        if hardware.energy_source != "modelled" or config.probes.energy_model is None:
            return measured
        return replace(measured, turns=modelled(measured.turns, config.probes.energy_model.watts_per_cpu))

    def over(trial: int, part: Measurement) -> None:
        seen = len(hardware.watch.looks)
        hardware.watch.trial_over(trial)
        keep(trial, dated(replace(with_energy(part), machine_looks=hardware.watch.looks[seen:]), epoch()))

    with started(config.probes) as hardware:
        hardware.watch.before()
        loud = machine_noise.early(hardware.watch.looks, len(os.sched_getaffinity(0)))
        if loud:
            progress.notice(loud)
        measured = _coordinator(
            plan,
            arms,
            workload,
            config,
            probes=hardware.probes,
            report=report,
            settled=settled,
            trial_over=over,
            before=before,
            lost=lambda loss: progress.notice(lost_trials.sentence(loss, plan)),
        ).run(absent=hardware.absent, energy_source=hardware.energy_source)
        measured = replace(
            with_energy(measured),
            complete=measured.complete and hardware.watch.after(),
            machine_looks=(*(look for part in before for look in part.machine_looks), *hardware.watch.looks),
        )
        return dated(measured, epoch())


def _coordinator(
    plan: Plan, arms: Sequence[Arm], workload: Prepared, config: StudyConfig, **options: Any
) -> Coordinator:
    test, protocol = workload.test, config.protocol
    limits = Limits(floor_s=protocol.hang_floor_s, unknown_s=protocol.turn_timeout_s)
    collation = workload.collation
    items = test.originals if collation.begins else test.inputs
    return Coordinator(plan, arms, items, test.labels, limits=limits, collation=collation, **options)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What the measurement says of the machine, of every arm that was measured, and of the quality of its answers."""

    noise: Noise
    qualities: dict[str, Quality]
    arms: tuple[ArmResult, ...]


def _judge(
    config: StudyConfig, workload: Prepared, arms: Sequence[Arm], measurement: Measurement, task: Task
) -> _Judged:
    """From measurement to verdicts."""
    classes = workload.info.data.classes
    noise = machine_noise.judge(measurement.turns, len(os.sched_getaffinity(0)), measurement.machine_looks)
    found = qualities(measurement, task, classes, config.seed)
    reigning = next((arm.name for arm in arms if arm.role == "incumbent"), None)
    deltas = deltas_against(measurement, task, classes, config.seed, reigning)
    return _Judged(noise, found, analyse(measurement, arms, found, config.protocol, noise, deltas))


def _explain(
    config: StudyConfig,
    workload: Prepared,
    arms: Sequence[Arm],
    results: tuple[ArmResult, ...],
    plan: Plan,
    progress: Progress,
) -> tuple[ArmResult, ...]:
    """Why arms are not faster than what they extend, with profiles of their calls where those are wanted."""
    wanted = to_profile(results)
    if not config.profile:
        return explained(results, {}, dict.fromkeys(wanted, "profile=false"))
    if wanted:
        progress.phase("Looking where the time goes")
    profiled = [arm for arm in arms if arm.name in wanted]
    profiles = take_profiles(plan, profiled, workload.test.inputs, trim=workload.collation.trim)
    return explained(results, profiles.taken, profiles.absent)


def _conclude(
    composition: Composition,
    heading: Begun,
    workload: Prepared,
    arms: Sequence[Arm],
    failed: Sequence[ArmResult],
    measurement: Measurement,
    judged: _Judged,
    cache_notes: Sequence[str],
    wall_seconds: float,
) -> Study:
    """From verdicts to decision."""
    config = composition.config
    results = (*judged.arms, *failed)
    data_notes = (Notice("data", note) for note in workload.info.data.notes)
    store_notes = (Notice("cache", note) for note in cache_notes)
    step_notes = _step_notices(arms)
    return Study(
        name=heading.name,
        created=heading.created,
        version=__version__,
        config=composition.record,
        overrides=composition.overrides,
        workload=workload.info,
        plan=measurement.plan,
        environment=environment(),
        arms=results,
        decision=decide(config.policy, results, measurement.plan.look_alpha(1.0)),
        noise=judged.noise,
        warnings=(
            *composition.warnings,
            *data_notes,
            *store_notes,
            *step_notes,
            *loss_notices(judged.qualities),
            *absence(config, arms),
            *machine_noise.notices(judged.noise),
            *alone.notices(measurement.turns),
            *lost_trials.notices(measurement),
            *handicap.notices(results),
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
