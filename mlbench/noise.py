"""A verdict on the machine: quiet, noisy or unusable, from what was seen before, during and after the turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlbench.probes.nvml import HEAT
from mlbench.records import Level, MachineLook, Moment, Neighbour, Noise, NoiseMoment, Notice, Turn

NOISY_OTHERS = 0.25  # CPUs taken by other processes
UNUSABLE_OTHERS_SHARE = 0.9  # of the CPUs that may be used
NOISY_STEAL = 0.02  # CPUs stolen by the hypervisor
NOISY_WAITING = 0.05  # share of time in which some task waited for a CPU
UNUSABLE_WAITING = 0.5
NOISY_THROTTLED = 0.02  # share of time in which the control group was stopped by its CPU limit
UNUSABLE_THROTTLED = 0.5

_UNWATCHED = "the machine was not watched: the probe 'machine' is off or not available"
_WHEN: Mapping[Moment, str] = {"before": "before the first turn", "after": "after the last turn"}
_ORDER: Mapping[Level, int] = {"quiet": 0, "noisy": 1, "unusable": 2}


def judge(turns: Sequence[Turn], cpus: int, looks: Sequence[MachineLook] = ()) -> Noise:
    """The machine while it was measured, and right before and after.

    The level is that of the turns. A machine that was quiet during them but not before or after is noisy and never
    unusable: what was measured was not touched, but something came or went.

    Args:
        turns: All turns of a study that count.
        cpus: CPUs that may be used.
        looks: The looks of :class:`mlbench.probes.watch.MachineWatch`; those of trials without a turn are left out.
    """
    before, after = ([_around(look, cpus) for look in looks if look.moment == name] for name in ("before", "after"))
    trials = {turn.trial for turn in turns}
    during = _during(turns, cpus, [look for look in looks if look.moment == "during" and look.trial in trials])
    level, evidence = during.level, list(during.evidence)
    for moment in (*before, *after):
        if moment.level != "quiet":
            level = _worse(level, "noisy")
            evidence.append(f"{_WHEN[moment.moment]} it was {moment.level} ({moment.evidence[0]})")
    return Noise(level, tuple(evidence), (*before, during, *after))


def by_trial(turns: Sequence[Turn], cpus: int, looks: Sequence[MachineLook] = ()) -> dict[int, NoiseMoment]:
    """The machine during each trial, by trial from 0; a trial that was not watched is left out.

    Args:
        turns: All turns of a study.
        cpus: CPUs that may be used.
        looks: As for :func:`judge`.
    """
    found = {}
    for trial in sorted({turn.trial for turn in turns if "machine_busy_s" in turn.hardware}):
        mine = [turn for turn in turns if turn.trial == trial]
        moment = _during(mine, cpus, [look for look in looks if look.moment == "during" and look.trial == trial])
        found[trial] = moment
    return found


def early(looks: Sequence[MachineLook], cpus: int) -> str:
    """What to tell whoever starts a measurement on a machine that is busy already; nothing where it is quiet."""
    loud = [moment for moment in (_around(look, cpus) for look in looks) if moment.level != "quiet"]
    if not loud:
        return ""
    found = f"the machine is {loud[-1].level} before the first turn ({', '.join(loud[-1].evidence)})"
    return f"{found}; stop other work, or expect no clear answer"


def notices(noise: Noise) -> list[Notice]:
    """What to tell the reader about a machine that was not quiet, or of which that is not known."""
    found = []
    if any(_UNWATCHED in moment.evidence for moment in noise.moments):
        message = f"{_UNWATCHED}, so other work beside the turns would not have been noticed"
        found.append(Notice("machine-not-watched", message, "leave 'machine' in probes.names"))
    if noise.level != "quiet":
        message = f"the machine was {noise.level} while it was measured: {'; '.join(noise.evidence)}"
        action = "stop other work on this machine and run the study again, or raise protocol.trials"
        found.append(Notice("noisy_machine" if noise.level == "noisy" else "unusable_machine", message, action))
    return found


def _during(turns: Sequence[Turn], cpus: int, looks: Sequence[MachineLook]) -> NoiseMoment:
    """The machine during the turns: other processes' share is what all were busy less what the worker used."""
    watched = [turn for turn in turns if "machine_busy_s" in turn.hardware]
    # counters are read a little before and after the turn; where that was not kept, the turn is taken for it
    wall = sum(turn.hardware.get("machine_window_s", (turn.end_ns - turn.start_ns) / 1e9) for turn in watched)
    if wall <= 0:
        return NoiseMoment("during", "quiet", (_UNWATCHED if turns else "there was no turn to watch",))
    own = sum(turn.cpu_ns * (turn.end_ns - turn.start_ns) / max(turn.wall_ns, 1) for turn in watched) / 1e9

    def rate(name: str) -> float | None:
        if any(name not in turn.hardware for turn in watched):
            return None
        return sum(turn.hardware[name] for turn in watched) / wall

    others = max(0.0, (rate("machine_busy_s") or 0.0) - own / wall)
    level, evidence = _contention(others, cpus, rate("machine_steal_s"), rate("cpu_pressure_s"), "during the turns")
    throttled, hot = rate("cgroup_throttled_s"), sum(turn.hardware.get("thermal_throttles", 0.0) for turn in watched)
    if throttled is not None:
        evidence.append(f"the CPU limit of the container stopped it {100 * throttled:.1f} % of the time")
        level = _worse(level, _level(throttled, NOISY_THROTTLED, UNUSABLE_THROTTLED))
    if hot > 0:
        evidence.append(f"CPUs slowed down {hot:.0f} times because of heat")
        level = _worse(level, "noisy")
    hot_gpu = sum(bool(int(turn.hardware.get("gpu_throttle_reasons", 0)) & HEAT) for turn in watched)
    if hot_gpu:
        evidence.append(f"the GPU was slowed down by heat at the end of {hot_gpu} of {len(watched)} turns")
        level = _worse(level, "noisy")
    switches = rate("involuntary_switches")
    if switches is not None:
        evidence.append(f"the workers were preempted {switches:.0f} times a second")
    evidence += _named(_over_trials(looks))
    return NoiseMoment("during", level, tuple(evidence))


def _around(look: MachineLook, cpus: int) -> NoiseMoment:
    """The idle machine: nothing of ours runs, so all that is busy is somebody else."""
    figures = look.figures
    where = f"in {look.seconds:.1f} s"
    level, evidence = _contention(figures["busy_cpus"], cpus, figures["steal_cpus"], figures.get("cpu_waiting"), where)
    evidence.append(f"load average {figures['load_1m']:.1f}")
    return NoiseMoment(look.moment, level, tuple(evidence + _named(look.others)))


def _contention(
    others: float, cpus: int, steal: float | None, waiting: float | None, when: str
) -> tuple[Level, list[str]]:
    """The level from what others took, in CPUs, and the share of time in which tasks waited."""
    evidence = [f"other processes used {others:.2f} CPUs {when}"]
    level = _level(others, NOISY_OTHERS, UNUSABLE_OTHERS_SHARE * max(1, cpus))
    if steal is not None:
        evidence.append(f"steal {100 * steal:.1f} %")
        level = _worse(level, _level(steal, NOISY_STEAL, float("inf")))
    if waiting is not None:
        evidence.append(f"tasks waited for a CPU {100 * waiting:.1f} % of the time")
        level = _worse(level, _level(waiting, NOISY_WAITING, UNUSABLE_WAITING))
    return level, evidence


def _level(value: float, noisy: float, unusable: float) -> Level:
    return "unusable" if value > unusable else "noisy" if value > noisy else "quiet"


def _worse(one: Level, other: Level) -> Level:
    return max(one, other, key=_ORDER.__getitem__)


def _over_trials(looks: Sequence[MachineLook]) -> list[Neighbour]:
    """The busiest other programs, over all trials together."""
    seconds = sum(look.seconds for look in looks)
    used: dict[str, float] = {}
    for look in looks:
        for other in look.others:
            used[other.name] = used.get(other.name, 0.0) + other.cpus * look.seconds / seconds
    ranked = sorted(used.items(), key=lambda item: (-item[1], item[0]))
    return [Neighbour(name, cpus) for name, cpus in ranked]


def _named(others: Sequence[Neighbour], most: int = 3) -> list[str]:
    if not others:
        return []
    return ["busiest others: " + ", ".join(f"{other.name} {other.cpus:.2f} CPUs" for other in others[:most])]
