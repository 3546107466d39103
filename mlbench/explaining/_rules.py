"""Rules, each of which reads one kind of evidence and says what it shows, or nothing. None of them guesses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mlbench.explaining._evidence import (
    CONVERTING,
    CONVOLUTIONS,
    PRODUCTS,
    WEIGHTS_ONLY,
    Pair,
    bits,
    counted,
    counts,
    of_family,
    total,
)
from mlbench.handicap import handicap
from mlbench.records import ArmResult, OperatorTime, Profile

Rule = Callable[[Pair], Iterator[str]]
_NOTABLE = 0.05  # share of an operator time that is worth a sentence
_MOSTLY = 0.5
_SHOWN = 3
_KERNELS = {"int8": ("i8", "u8"), "bfloat16": ("bf16",), "float16": ("f16",)}


def same_model(pair: Pair) -> Iterator[str]:
    """Nothing was changed at all."""
    mine, theirs = pair.arm.artifact, pair.parent.artifact
    alike = all(len(set(pair.facts(name))) == 1 for name in ("runtime", "threads", "precision", "matmul_precision"))
    if mine is not None and theirs is not None and mine.digest == theirs.digest and alike:
        yield f"it is the artifact of {pair.parent.name}, served in the same way"


def delay(pair: Pair) -> Iterator[str]:
    """The step ``delay`` makes calls longer."""
    mine, theirs = pair.facts("delay_percent")
    if mine and mine != theirs:
        yield f"its recipe makes every call {mine:g} % longer (delay)"


def told_by_steps(pair: Pair) -> Iterator[str]:
    """What steps have said themselves."""
    for step in pair.own_steps:
        if "notice" in step.changed:
            yield f"{step.name}: {step.changed['notice']}"


def partly_quantized(pair: Pair) -> Iterator[str]:
    """Convolutions and matrix products that were left as they were, by the counts of any step that has them."""
    for step in pair.own_steps:
        there = counts(step, "layers")
        if not there or not isinstance(step.changed.get("quantized_nodes"), dict):
            continue
        before, after = counted(there), counted(counts(step, "quantized_nodes"))
        left = {kind: count - min(after[kind], count) for kind, count in before.items()}
        if any(left.values()):
            parts = [f"{before[kind] - left[kind]} of {before[kind]} {kind}" for kind in sorted(before)]
            yield f"{step.name} quantized only {' and '.join(parts)}"


def weights_only(pair: Pair) -> Iterator[str]:
    """Weights that are small where they are stored, of an arm whose parent has larger ones."""
    mine, theirs = pair.facts("precision")
    if mine != theirs and str(mine).endswith(WEIGHTS_ONLY):
        kind = str(mine).removesuffix(WEIGHTS_ONLY)
        yield f"only its weights are {kind}, which saves memory rather than arithmetic"


def kernel_types(pair: Pair) -> Iterator[str]:
    """One precision in name, kernels of another in fact (OpenVINO tells them)."""
    precision, kernels = str(pair.arm.effective.get("precision")), str(pair.arm.effective.get("kernels", ""))
    wanted = _KERNELS.get(precision, ())
    found = {item.partition(":")[0].strip() for item in kernels.split(",")}
    if wanted and kernels and not found.intersection(wanted):
        yield f"no kernel computes in {precision} ({kernels})"


def precision_asked(pair: Pair) -> Iterator[str]:
    """A precision that the recipe asks for, where another one is in effect."""
    in_effect, options = pair.arm.effective, pair.arm.recipe.runtime.options
    for option, fact in (("precision", "inference_precision"), ("matmul_precision", "matmul_precision")):
        asked, found = options.get(option), in_effect.get(fact)
        if asked is not None and found is not None and str(asked) != str(found):
            yield f"its recipe asks for {option}: {asked}, but {found} is in effect"
    for step in pair.own_steps:
        asked = step.params.get("autocast") or step.params.get("weights") if step.name == "precision" else None
        computed = counts(step, "layers_computing_in") if asked else {}
        others = {kind: count for kind, count in computed.items() if kind != asked}
        if others:
            whole = sum(computed.values())
            parts = " and ".join(f"{count} of {whole} layers in {kind}" for kind, count in others.items())
            yield f"its recipe asks for {asked}, but computes {parts}"


def wider_precision(pair: Pair) -> Iterator[str]:
    """More bits than the parent's, of whatever runtime."""
    for name, what in (("precision", "it computes in"), ("inference_precision", "what is not quantized computes in")):
        mine, theirs = pair.facts(name)
        ours, others = bits(mine), bits(theirs)
        if ours and others and ours > others:
            yield f"{what} {mine}, {pair.parent.name} in {theirs}"
            return


def threads(pair: Pair) -> Iterator[str]:
    """Another number of threads."""
    mine, theirs = pair.facts("threads")
    if isinstance(mine, int) and isinstance(theirs, int) and mine < theirs:
        yield f"it has {mine} thread{'s' if mine > 1 else ''}, {pair.parent.name} {theirs}"


def fell_back(pair: Pair) -> Iterator[str]:
    """Operators that ran on another execution provider than the first one."""
    first = str(pair.arm.effective.get("providers", "")).partition(",")[0]
    for mine in pair.arm.profiles[:1]:
        elsewhere = tuple(item for item in mine.operators if item.where.endswith("Provider") and item.where != first)
        if first and elsewhere:
            yield (
                f"operators that {first} does not have ran on {elsewhere[0].where}: "
                f"{_listed(elsewhere)}, {_share(total(elsewhere), mine)}"
            )


def converting(pair: Pair) -> Iterator[str]:
    """Nodes that convert and were put in, and time that goes into converting, where the parent has less of it."""
    ran = [sum(item.calls for item in of_family(profile, CONVERTING)) for profile in pair.headline or ()]
    for step in pair.own_steps if not ran or ran[0] > ran[1] else ():  # else the runtime fused them away again
        nodes = counts(step, "converting_nodes")
        if nodes:
            run = f"; a call runs {ran[0]:.0f} conversions, one of {pair.parent.name} {ran[1]:.0f}" if ran else ""
            yield f"{step.name} put in {', '.join(f'{count} {name}' for name, count in nodes.items())}{run}"
    for mine, theirs in pair.profiles:
        spent, before = of_family(mine, CONVERTING), of_family(theirs, CONVERTING)
        if total(spent) - total(before) >= _NOTABLE * mine.total_ms > 0:
            yield (
                f"at batch size {mine.batch_size}, converting takes {_share(total(spent), mine)}: {_listed(spent)}; in "
                f"{pair.parent.name} {total(before):.3g} ms"
            )


def slower_kernels(pair: Pair) -> Iterator[str]:
    """Convolutions or matrix products that take longer than the parent's, of an arm that is not shown to be as fast."""
    if pair.arm.why is not None and pair.arm.why.verdict.call == "equivalent":
        return
    for mine, theirs in pair.profiles:
        for kind in (CONVOLUTIONS, PRODUCTS):
            ours, others = of_family(mine, kind), of_family(theirs, kind)
            if others and total(ours) - total(others) >= _NOTABLE * theirs.total_ms > 0:
                yield (
                    f"at batch size {mine.batch_size}, {kind} take {total(ours):.3g} ms per call ({_listed(ours)}), "
                    f"those of {pair.parent.name} {total(others):.3g} ms ({_listed(others)})"
                )


def same_operators(pair: Pair) -> Iterator[str]:
    """The same operators run, as often as before."""
    if pair.headline is None or pair.own_steps == ():
        return
    mine, theirs = ({(item.operator, round(item.calls)) for item in profile.operators} for profile in pair.headline)
    if mine == theirs and pair.headline[0].source == pair.headline[1].source:
        yield f"what runs is the same as in {pair.parent.name}: {_runs(pair.headline[0].operators)}"


def nothing_packed(pair: Pair) -> Iterator[str]:
    """Frozen weights of which none was packed for the processor."""
    if pair.arm.effective.get("freezing") and pair.arm.effective.get("packed_layers") == 0:
        yield "it is compiled with frozen weights, but no layer's weights were packed"


def held_back(pair: Pair) -> Iterator[str]:
    """MKL on a processor of another maker, where the parent has none of it."""
    found = handicap(pair.arm)
    if found and not handicap(pair.parent):
        yield f"it {found.partition(', so that')[0]}"


def fixed_cost(pair: Pair) -> Iterator[str]:
    """Time of a call that does not grow with the batch, so that less computing cannot shorten it."""
    mine, theirs = _by_batch(pair.arm), _by_batch(pair.parent)
    sizes = sorted(set(mine) & set(theirs))
    if len(sizes) < 2:
        return
    small, large = sizes[0], sizes[-1]
    fixed = 1 - small * (mine[large] - mine[small]) / ((large - small) * mine[small])
    if fixed >= _MOSTLY:
        yield (
            f"by its times at batch sizes {small} and {large}, about {100 * min(fixed, 1):.0f} % of a call at batch "
            f"size {small} does not grow with the batch, and computing less hardly shortens it"
        )
    before, after = (theirs[size] / mine[size] for size in (small, large))
    if after > max(before, 1) * (1 + _NOTABLE):
        yield f"at batch size {large} it is x{after:.2f} as fast as {pair.parent.name} (x{before:.2f} at {small})"


RULES: tuple[Rule, ...] = (
    same_model,
    delay,
    told_by_steps,
    partly_quantized,
    weights_only,
    kernel_types,
    precision_asked,
    wider_precision,
    threads,
    fell_back,
    slower_kernels,
    converting,
    held_back,
    nothing_packed,
    same_operators,
    fixed_cost,
)


def _by_batch(arm: ArmResult) -> dict[int, float]:
    """Median time of a call by batch size, milliseconds."""
    return {point.step: point.estimate.value for point in arm.series.get("by_batch/p50_ms", ())}


def _share(ms: float, profile: Profile) -> str:
    return f"{100 * ms / profile.total_ms:.0f} % of the operators' time ({ms:.3g} of {profile.total_ms:.3g} ms)"


def _listed(operators: tuple[OperatorTime, ...]) -> str:
    shown = [f"{item.operator} {item.ms:.3g} ms" for item in operators[:_SHOWN]]
    return ", ".join(shown) + (" ..." if len(operators) > _SHOWN else "")


def _runs(operators: tuple[OperatorTime, ...]) -> str:
    shown = [f"{item.operator} x{item.calls:.0f}" for item in operators[: 2 * _SHOWN]]
    return ", ".join(shown) + (" ..." if len(operators) > 2 * _SHOWN else "")
