"""What each command does: the work is done elsewhere, this prints it."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlbench.errors import ExitCode, InputError

if TYPE_CHECKING:
    from mlbench.compose import Composition
    from mlbench.tracking import Promotion, Tracker
    from mlbench.variants.store import StoreEntry


def do_run(chosen: argparse.Namespace) -> int:
    """``mlbench run``: a study, or with ``--dry-run`` its plan; or one that goes on."""
    from mlbench.compose import compose

    journal = None
    if chosen.resume is not None:
        from mlbench.resuming import resume

        if chosen.dry_run:
            raise InputError("--resume and --dry-run: the plan of a study that is resumed is fixed already")
        journal, composition = resume(chosen.resume, chosen.overrides, chosen.config_dir, chosen.tracking_uri)
    else:
        composition = compose([*chosen.overrides, *_tracking_overrides(chosen)], chosen.config_dir)
    if chosen.dry_run:
        return _dry_run(composition, as_json=chosen.json)
    from mlbench.outcome import unenforced
    from mlbench.progress import Progress
    from mlbench.records import to_dict
    from mlbench.reporting.terminal import print_study, result_console
    from mlbench.study import run_study

    with only_our_output(), Progress() as progress:
        for notice in composition.warnings:
            progress.notice(f"{notice.message} ({notice.action})" if notice.action else notice.message)
        outcome = run_study(composition, progress, wait=not chosen.no_wait, resume=journal)
        lenient = "" if outcome.undelivered else unenforced(outcome.study, composition.config)
        if lenient:
            progress.notice(lenient)
    if chosen.json:
        _print_json({"study": outcome.run_id, **to_dict(outcome.study.decision)})
    else:
        print_study(outcome.study, result_console(), outcome.links)
        _print(f"study {outcome.run_id}")
    return int(outcome.exit_code)


def _tracking_overrides(chosen: argparse.Namespace) -> list[str]:
    given = {"tracking.uri": chosen.tracking_uri, "tracking.experiment": chosen.experiment}
    return [f"{key}={_quoted(value)}" for key, value in given.items() if value is not None]


def _quoted(text: str) -> str:
    """Text as a quoted value in Hydra's syntax, taken literally: neither quotation marks nor ``${`` mean anything."""
    quoted = re.sub(r"(\\*)(\$\{|'|$)", lambda found: 2 * found[1] + (found[2] and f"\\{found[2]}"), text)
    return f"'{quoted}'"


def _dry_run(composition: Composition, *, as_json: bool) -> int:
    from mlbench.measurement.cpus import usable_cpus
    from mlbench.measurement.plan import make_plan
    from mlbench.recipes import INCUMBENT, recipes
    from mlbench.records import to_dict
    from mlbench.reporting.terminal import print_plan, result_console

    config = composition.config
    arms = [*(recipe.name for recipe in recipes(config)), *([INCUMBENT] if config.incumbent else [])]
    plan = make_plan(arms, arms[0], config.scenario, config.protocol, config.seed, usable_cpus())
    if as_json:
        notices = [to_dict(notice) for notice in composition.warnings]
        _print_json({"config": composition.record, "plan": to_dict(plan), "warnings": notices})
        return ExitCode.DONE
    notes = [notice.message for notice in composition.warnings if notice.code != "few-trials"]  # print_plan says that
    if config.protocol.budget_minutes is not None:
        notes.append(f"this is the most: a pilot sizes it to protocol.budget_minutes={config.protocol.budget_minutes}")
    if config.incumbent:
        notes.append(f"'{INCUMBENT}' is the current champion, where there is one")
    print_plan(plan, result_console(), workload=config.workload.name, notes=notes)
    return ExitCode.DONE


def do_list(chosen: argparse.Namespace) -> int:
    """``mlbench list``: what there is, of one kind or of all."""
    from mlbench import listing

    kinds = [chosen.kind] if chosen.kind else listing.KINDS
    found = {kind: listing.items(kind, chosen.config_dir) for kind in kinds}
    if chosen.json:
        _print_json({kind: [asdict(item) for item in items] for kind, items in found.items()})
        return ExitCode.DONE
    for number, (kind, items) in enumerate(found.items()):
        if len(found) > 1:
            _print(("\n" if number else "") + kind)
        width = max((len(item.name) for item in items), default=0)
        for item in items:
            origin = "" if item.provider == "mlbench" else f" [{item.provider}]"
            _print(f"  {item.name:<{width}}  {'yes' if item.available else 'no ':<3}  {item.summary}{origin}".rstrip())
            if not item.available:
                _print(f"  {'':<{width}}       {item.reason}")
    return ExitCode.DONE


def do_show(chosen: argparse.Namespace) -> int:
    """``mlbench show``: a study's table and decision, or its record."""
    from mlbench.records import to_json
    from mlbench.reporting.terminal import print_study, result_console
    from mlbench.tracking import load_study

    study = load_study(_tracker(chosen), chosen.study).study
    if chosen.json:
        _print(to_json(study))
    else:
        print_study(study, result_console())
    return ExitCode.DONE


def do_compare(chosen: argparse.Namespace) -> int:
    """``mlbench compare``: several studies side by side."""
    from mlbench.reporting.across import as_record, print_comparison
    from mlbench.reporting.terminal import result_console
    from mlbench.tracking import load_study

    tracker = _tracker(chosen)
    loaded = [load_study(tracker, reference) for reference in chosen.study]
    studies = {item.run_id: item.study for item in loaded}
    if len(studies) < 2:
        raise InputError(f"compare needs at least two different studies, not {', '.join(chosen.study)} alone")
    if chosen.json:
        _print_json(as_record(studies))
    else:
        print_comparison(studies, result_console())
    return ExitCode.DONE


def do_promote(chosen: argparse.Namespace) -> int:
    """``mlbench promote``: the winner into the registry."""
    from mlbench.tracking import load_study, promote, registry_of

    tracker = _tracker(chosen)
    loaded = load_study(tracker, chosen.study)
    config = registry_of(loaded.study, chosen.model_name, chosen.alias)
    with only_our_output():
        promotion = promote(tracker, loaded.run_id, config, dry_run=chosen.dry_run)
    _print_promotion(promotion, as_json=chosen.json)
    return ExitCode.DONE


def do_rollback(chosen: argparse.Namespace) -> int:
    """``mlbench rollback``: the alias back to where it was."""
    from mlbench.tracking import rollback

    promotion = rollback(_tracker(chosen), chosen.model, chosen.alias, dry_run=chosen.dry_run)
    _print_promotion(promotion, as_json=chosen.json)
    return ExitCode.DONE


def _print_promotion(promotion: Promotion, *, as_json: bool) -> None:
    if as_json:
        _print_json(asdict(promotion))
    else:
        _print(promotion.sentence)
        if promotion.dry_run:
            for write in promotion.writes:
                _print(f"  - {write}")


def do_report(chosen: argparse.Namespace) -> int:
    """``mlbench report``: the report pages as files."""
    from mlbench.delivery import report_page
    from mlbench.reporting import render_markdown
    from mlbench.tracking import load_measurement, load_study

    folder = Path(chosen.output).expanduser()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output {chosen.output}: is there already and is no directory")
    tracker = _tracker(chosen)
    loaded = load_study(tracker, chosen.study)
    pages = {
        "report.html": report_page(loaded.study, load_measurement(tracker, loaded)),
        "report.md": render_markdown(loaded.study),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, page in pages.items():
            (folder / name).write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--output {chosen.output}: cannot be written: {error.strerror}") from error
    written = {name: str(folder / name) for name in pages}
    if chosen.json:
        _print_json({"study": loaded.run_id, "pages": written})
    else:
        _print("\n".join(written.values()))
    return ExitCode.DONE


def do_cache_list(chosen: argparse.Namespace) -> int:
    """``mlbench cache list``: what the artifact store keeps."""
    from mlbench.variants.store import Store

    store = Store(chosen.cache_dir)
    entries = store.entries()
    if chosen.json:
        _print_json([asdict(entry) for entry in entries])
        return ExitCode.DONE
    for entry in entries:
        used = datetime.fromtimestamp(entry.last_used, UTC).strftime("%Y-%m-%d %H:%M")
        made = " > ".join(entry.steps) or "model"
        damaged = f"  damaged: {entry.damaged}" if entry.damaged else ""
        _print(f"{entry.digest[:12]}  {entry.size_bytes / 2**20:9.2f} MiB  {used}  {entry.format}: {made}{damaged}")
    _print(_total(store.root, entries, "kept"))
    return ExitCode.DONE


def do_cache_prune(chosen: argparse.Namespace) -> int:
    """``mlbench cache prune``: make room in the artifact store."""
    from mlbench.variants.store import Store

    if not chosen.all and chosen.older_than is None and chosen.max_size is None:
        raise InputError("cache prune removes nothing unless told what: --all, --older-than 30d or --max-size 2GB")
    store = Store(chosen.cache_dir)
    removed = store.prune(older_than_s=chosen.older_than, max_bytes=chosen.max_size, everything=chosen.all)
    if chosen.json:
        _print_json([asdict(entry) for entry in removed])
    else:
        _print(_total(store.root, removed, "removed"))
    return ExitCode.DONE


def _total(root: Path, entries: Sequence[StoreEntry], what: str) -> str:
    number = f"{len(entries)} artifact" + ("" if len(entries) == 1 else "s")
    return f"{root}: {number} {what}, {sum(entry.size_bytes for entry in entries) / 2**20:.2f} MiB"


def do_ui(chosen: argparse.Namespace) -> int:
    """``mlbench ui``: MLflow's pages."""
    from mlbench.tracking import load_study, ui

    tracker = _tracker(chosen)
    run_id = load_study(tracker, chosen.study).run_id if chosen.study is not None else None

    def say(line: str) -> None:
        _print(line)
        sys.stdout.flush()  # whoever waits for the address reads a pipe

    ui(tracker, port=chosen.port, open_browser=not chosen.no_browser, run_id=run_id, say=say)
    return ExitCode.DONE


def _tracker(chosen: argparse.Namespace) -> Tracker:
    from mlbench.config import TrackingConfig
    from mlbench.tracking import connect

    given = {"uri": chosen.tracking_uri, "experiment": chosen.experiment}
    return connect(TrackingConfig(**{key: value for key, value in given.items() if value is not None}), create=False)


# ---------------------------------------------------------------------------------------------------------------------
# output


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _print_json(value: Any) -> None:
    _print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


@contextmanager
def only_our_output() -> Iterator[None]:
    """Standard output is the result alone: what libraries print meanwhile goes to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)  # for what is not written through Python, and for child processes
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
