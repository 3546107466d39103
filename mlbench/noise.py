"""A verdict on the machine: quiet, noisy or unusable, from what the turns recorded besides the calls."""

from __future__ import annotations

from collections.abc import Sequence

from mlbench.records import Noise, Notice, Turn

NOISY_OTHERS = 0.25  # CPUs taken by other processes, on average over the turns
UNUSABLE_OTHERS_SHARE = 0.9  # of the CPUs that the measured arm leaves free
NOISY_STEAL = 0.02  # CPUs stolen by the hypervisor
NOISY_WAITING = 0.05  # share of time in which some task waited for a CPU
UNUSABLE_WAITING = 0.5


def judge(turns: Sequence[Turn], cpus: int) -> Noise:
    """The machine during the turns.

    Other processes' share is what the whole machine was busy less what the worker used; it needs the ``machine``
    probe, and without its figures nothing can be said.

    Args:
        turns: All turns of a study.
        cpus: CPUs that may be used.
    """
    watched = [turn for turn in turns if "machine_busy_s" in turn.hardware]
    wall = sum(turn.end_ns - turn.start_ns for turn in watched) / 1e9
    if wall <= 0:
        return Noise("quiet", ("the machine was not watched: the probe 'machine' is off or not available",))
    own = sum(turn.cpu_ns * (turn.end_ns - turn.start_ns) / max(turn.wall_ns, 1) for turn in watched) / 1e9
    others = max(0.0, sum(turn.hardware["machine_busy_s"] for turn in watched) - own) / wall
    steal = sum(turn.hardware["machine_steal_s"] for turn in watched) / wall
    evidence = [f"other processes used {others:.2f} CPUs during the turns", f"steal {100 * steal:.1f} %"]
    noisy = others > NOISY_OTHERS or steal > NOISY_STEAL
    unusable = others > UNUSABLE_OTHERS_SHARE * max(1, cpus)
    if all("cpu_pressure_s" in turn.hardware for turn in watched):
        waiting = sum(turn.hardware["cpu_pressure_s"] for turn in watched) / wall
        evidence.append(f"tasks waited for a CPU {100 * waiting:.1f} % of the time")
        noisy = noisy or waiting > NOISY_WAITING
        unusable = unusable or waiting > UNUSABLE_WAITING
    return Noise("unusable" if unusable else "noisy" if noisy else "quiet", tuple(evidence))


def notice(noise: Noise) -> Notice | None:
    """What to tell the reader about a machine that was not quiet."""
    if noise.level == "quiet":
        return None
    return Notice(
        "noisy_machine" if noise.level == "noisy" else "unusable_machine",
        f"the machine was {noise.level} while it was measured: {'; '.join(noise.evidence)}",
        "stop other work on this machine and run the study again, or raise protocol.trials",
    )
