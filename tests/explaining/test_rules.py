"""Each rule on evidence that shows its reason, and on evidence that does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from explained_arms import arm, profile, step, verdict

from mlbench.explaining import _rules as rules
from mlbench.explaining._evidence import CONVERTING, CONVOLUTIONS, PRODUCTS, Pair, bits, family
from mlbench.records import ArmResult, Explanation, RuntimeSettings

EXPORT = step("export_onnx")


def said(rule: rules.Rule, mine: ArmResult, theirs: ArmResult) -> list[str]:
    return list(rule(Pair(mine, theirs)))


def onnx(**more: Any) -> ArmResult:
    return arm("onnx", EXPORT, **more)


def int8(*steps: Any, **more: Any) -> ArmResult:
    return arm("int8", EXPORT, *steps, **more)


@pytest.mark.parametrize(
    ("operators", "kind"),
    [
        (["Conv", "FusedConv", "ConvInteger", "QLinearConv", "aten::mkldnn_convolution", "Convolution"], CONVOLUTIONS),
        (["MatMul", "Gemm", "MatMulIntegerToFloat", "MatMulNBits", "aten::addmm", "FullyConnected"], PRODUCTS),
        (["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast", "ReorderInput", "Convert",
          "FakeQuantize", "aten::copy_", "aten::quantize_per_tensor"], CONVERTING),
        (["Relu", "Softmax", "aten::add", "MaxPool"], ""),
    ],
)  # fmt: skip
def test_operators_of_all_runtimes_by_what_they_do(operators: list[str], kind: str) -> None:
    assert {operator: family(operator) for operator in operators} == dict.fromkeys(operators, kind)


def test_a_twin_is_the_same_model() -> None:
    base = arm("baseline", digest="d", threads=1)
    assert said(rules.same_model, arm("twin", digest="d", threads=1), base) == [
        "it is the artifact of baseline, served in the same way"
    ]
    assert said(rules.same_model, arm("twin", digest="d", threads=2), base) == []
    assert said(rules.same_model, arm("twin", digest="e", threads=1), base) == []


def test_a_delay_is_no_riddle() -> None:
    slow = arm("slow", delay_percent=10.0)
    assert said(rules.delay, slow, arm("baseline")) == ["its recipe makes every call 10 % longer (delay)"]
    assert said(rules.delay, slow, arm("other", delay_percent=10.0)) == []


def test_notices_of_its_own_steps_only() -> None:
    export = step("export_onnx", notice="old")
    mine = arm("int8", export, step("quantize", notice="new"))
    assert said(rules.told_by_steps, mine, arm("onnx", export)) == ["quantize: new"]
    assert said(rules.told_by_steps, mine, arm("baseline")) == ["export_onnx: old", "quantize: new"]


@pytest.mark.parametrize(
    ("quantized", "layers", "sentence"),
    [
        ({"Conv": 3, "MatMul": 1}, {"Conv": 5, "Gemm": 1}, ["3 of 5 convolutions and 1 of 1 matrix products"]),
        ({"Conv": 3, "Relu": 7}, {"Conv": 5}, ["3 of 5 convolutions"]),
        ({"ConvInteger": 4, "MatMulInteger": 2}, {"Conv": 4, "Gemm": 2}, []),
        ({"MatMul": 9}, {"MatMul": 6}, []),  # a tool may split what it quantizes
    ],
)  # fmt: skip
def test_layers_that_were_left(quantized: dict[str, int], layers: dict[str, int], sentence: list[str]) -> None:
    mine = int8(step("q", quantized_nodes=quantized, layers=layers))
    assert said(rules.partly_quantized, mine, onnx()) == [f"q quantized only {part}" for part in sentence]


@pytest.mark.parametrize(
    ("name", "quantized", "layers", "sentence"),
    [
        ("quantize_torchao", {"Linear": 6}, {"Conv2d": 2, "Linear": 6},
         "0 of 2 convolutions and 6 of 6 matrix products"),
        ("quantize_torch_int8", {"ConvReLU2d": 1, "LinearReLU": 2}, {"Conv2d": 2, "Linear": 2},
         "1 of 2 convolutions and 2 of 2 matrix products"),
        ("quantize_pt2e", {"linear": 1}, {"linear": 3}, "1 of 3 matrix products"),
        ("quantize_onnx_weights", {"MatMulNBits": 4, "GatherBlockQuantized": 1}, {"Gemm": 1, "MatMul": 5},
         "4 of 6 matrix products"),
        ("quantize_openvino", {"Convolution": 4}, {"Convolution": 4, "GroupConvolution": 2, "MatMul": 1},
         "4 of 6 convolutions and 0 of 1 matrix products"),
        ("compress_openvino", {}, {"MatMul": 2}, "0 of 2 matrix products"),
    ],
)  # fmt: skip
def test_layers_that_were_left_in_the_words_of_every_tool(
    name: str, quantized: dict[str, int], layers: dict[str, int], sentence: str
) -> None:
    mine = int8(step(name, quantized_nodes=quantized, layers=layers))
    assert said(rules.partly_quantized, mine, onnx()) == [f"{name} quantized only {sentence}"]


@pytest.mark.parametrize("changed", [{}, {"quantized_nodes": {"Linear": 1}}, {"layers": {"Linear": 2}}, {"layers": 3}])
def test_what_a_step_has_not_counted_is_not_told(changed: dict[str, Any]) -> None:
    assert said(rules.partly_quantized, int8(step("quantize", **changed)), onnx()) == []


def test_weights_that_are_small_where_they_are_stored() -> None:
    packed = int8(precision="int4 weights")
    assert said(rules.weights_only, packed, onnx(precision="float32")) == [
        "only its weights are int4, which saves memory rather than arithmetic"
    ]
    assert said(rules.weights_only, packed, onnx(precision="int4 weights")) == []
    assert said(rules.weights_only, int8(precision="int8"), onnx(precision="float32")) == []


def test_bits_of_a_precision_by_its_name_in_any_runtime() -> None:
    names: list[Any] = [
        "float64",
        "float32",
        "f32",
        "bfloat16",
        "bf16",
        "f16",
        "float16, int8",
        "int8",
        "u8",
        "int4 weights",
        None,
    ]
    assert [bits(name) for name in names] == [64, 32, 32, 16, 16, 16, 16, 8, 8, 0, 0]


@pytest.mark.parametrize(
    ("mine", "theirs", "sentence"),
    [
        ({"precision": "float32"}, {"precision": "bfloat16"}, ["it computes in float32, onnx in bfloat16"]),
        ({"precision": "int8", "inference_precision": "f32"}, {"precision": "bfloat16", "inference_precision": "bf16"},
         ["what is not quantized computes in f32, onnx in bf16"]),
        ({"precision": "int8", "inference_precision": "f32"}, {"precision": "f32", "inference_precision": "f32"}, []),
        ({"precision": "int8"}, {"precision": "int4 weights"}, []),
        ({"precision": "float32"}, {}, []),
    ],
)  # fmt: skip
def test_more_bits_than_the_parents(mine: dict[str, Any], theirs: dict[str, Any], sentence: list[str]) -> None:
    assert said(rules.wider_precision, int8(**mine), onnx(**theirs)) == sentence


def test_a_precision_that_was_asked_for_and_is_not_in_effect() -> None:
    def served(option: dict[str, Any], **effective: Any) -> ArmResult:
        found = arm("arm", **effective)
        return replace(found, recipe=replace(found.recipe, runtime=RuntimeSettings(options=option)))

    base = arm("baseline")
    assert said(rules.precision_asked, served({"precision": "bf16"}, inference_precision="f32"), base) == [
        "its recipe asks for precision: bf16, but f32 is in effect"
    ]
    assert said(rules.precision_asked, served({"matmul_precision": "medium"}, matmul_precision="highest"), base) == [
        "its recipe asks for matmul_precision: medium, but highest is in effect"
    ]
    assert said(rules.precision_asked, served({"precision": "bf16"}, inference_precision="bf16"), base) == []
    assert said(rules.precision_asked, served({"precision": "bf16"}), base) == []  # nobody tells

    def cast(computed: dict[str, int], **params: Any) -> ArmResult:
        return arm("arm", replace(step("precision", layers_computing_in=computed), params=params))

    partly = cast({"bfloat16": 5, "float32": 1}, weights="float32", autocast="bfloat16")
    assert said(rules.precision_asked, partly, base) == [
        "its recipe asks for bfloat16, but computes 1 of 6 layers in float32"
    ]
    assert said(rules.precision_asked, cast({"float16": 6}, weights="float16", autocast=None), base) == []
    assert said(rules.precision_asked, cast({"float32": 6}, weights="float32", autocast=None), base) == []


def test_kernels_that_are_not_int8() -> None:
    assert said(rules.kernel_types, int8(precision="int8", kernels="f32: 6"), onnx()) == [
        "no kernel computes in int8 (f32: 6)"
    ]
    assert said(rules.kernel_types, int8(precision="int8", kernels="i8: 5, f32: 1"), onnx()) == []
    assert said(rules.kernel_types, int8(precision="int8"), onnx()) == []  # only OpenVINO tells
    assert said(rules.kernel_types, int8(precision="bfloat16", kernels="f32: 6"), onnx()) == [
        "no kernel computes in bfloat16 (f32: 6)"
    ]
    assert said(rules.kernel_types, int8(precision="float16", kernels="bf16: 6"), onnx()) != []
    assert said(rules.kernel_types, int8(precision="bfloat16", kernels="bf16: 6"), onnx()) == []


def test_fewer_threads() -> None:
    assert said(rules.threads, int8(threads=1), onnx(threads=2)) == ["it has 1 thread, onnx 2"]
    assert said(rules.threads, int8(threads=2), onnx(threads=1)) == []


def test_operators_on_another_provider() -> None:
    cuda, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    ran = profile(("Conv", 3.0, 1, cuda), ("NonZero", 1.0, 1, cpu))
    mine = int8(providers=f"{cuda}, {cpu}", profiles=(ran,))
    assert said(rules.fell_back, mine, onnx()) == [
        f"operators that {cuda} does not have ran on {cpu}: NonZero 1 ms, 25 % of the operators' time (1 of 4 ms)"
    ]
    assert said(rules.fell_back, int8(providers=cpu, profiles=(profile(("Conv", 1.0, 1, cpu)),)), onnx()) == []


def test_kernels_that_take_longer_than_the_parents() -> None:
    theirs = onnx(profiles=(profile(("FusedConv", 0.3), ("Gemm", 0.1)),))
    mine = int8(profiles=(profile(("ConvInteger", 0.9), ("MatMulInteger", 0.1)),))
    (sentence,) = said(rules.slower_kernels, mine, theirs)
    assert sentence == (
        "at batch size 1, convolutions take 0.9 ms per call (ConvInteger 0.9 ms), "
        "those of onnx 0.3 ms (FusedConv 0.3 ms)"
    )
    assert said(rules.slower_kernels, theirs, mine) == []
    assert said(rules.slower_kernels, mine, onnx()) == []
    as_fast = replace(mine, why=Explanation("onnx", verdict("equivalent")))
    assert said(rules.slower_kernels, as_fast, theirs) == []


def test_time_that_goes_into_converting() -> None:
    theirs = onnx(profiles=(profile(("FusedConv", 0.3)), profile(("FusedConv", 9.0), batch=32)))
    mine = int8(
        profiles=(
            profile(("QLinearConv", 0.1), ("QuantizeLinear", 0.06, 2), ("DequantizeLinear", 0.04, 2)),
            profile(("QLinearConv", 3.0), ("QuantizeLinear", 0.1, 2), batch=32),
        )
    )
    (sentence,) = said(rules.converting, mine, theirs)
    assert sentence == (
        "at batch size 1, converting takes 50 % of the operators' time (0.1 of 0.2 ms): QuantizeLinear 0.06 ms, "
        "DequantizeLinear 0.04 ms; in onnx 0 ms"
    )


def test_without_a_profile_the_nodes_that_were_put_in_are_told() -> None:
    mine = int8(step("quantize_onnx_static", converting_nodes={"DequantizeLinear": 9, "QuantizeLinear": 4}))
    sentence = ["quantize_onnx_static put in 9 DequantizeLinear, 4 QuantizeLinear"]
    assert said(rules.converting, mine, onnx()) == sentence
    assert said(rules.converting, mine, onnx(profiles=(profile(("Conv", 1.0)),))) == sentence


def test_with_a_profile_the_nodes_that_were_put_in_are_told_where_they_run() -> None:
    put_in = step("quantize_pt2e", converting_nodes={"dequantize_per_tensor": 9, "quantize_per_tensor": 4, "cast": 0})
    ran = profile(("Conv", 9.0), ("quantize_per_tensor", 0.01, 3.0), ("dequantize_per_tensor", 0.01, 2.0))
    theirs = onnx(profiles=(profile(("Conv", 9.0), ("Cast", 0.01, 1.0)),))
    assert said(rules.converting, int8(put_in, profiles=(ran,)), theirs) == [
        "quantize_pt2e put in 9 dequantize_per_tensor, 4 quantize_per_tensor; a call runs 5 conversions, one of onnx 1"
    ]
    fused = profile(("QLinearConv", 9.0), ("QuantizeLinear", 0.01, 1.0))
    assert said(rules.converting, int8(put_in, profiles=(fused,)), theirs) == []


def test_what_runs_is_the_same() -> None:
    same = profile(("FusedConv", 0.3, 4), ("Gemm", 0.1, 2))
    optimized = int8(step("optimize_onnx"), profiles=(profile(("FusedConv", 0.4, 4), ("Gemm", 0.1, 2)),))
    assert said(rules.same_operators, optimized, onnx(profiles=(same,))) == [
        "what runs is the same as in onnx: FusedConv x4, Gemm x2"
    ]
    fewer = onnx(profiles=(profile(("FusedConv", 0.3, 3), ("Gemm", 0.1, 2)),))
    assert said(rules.same_operators, optimized, fewer) == []
    elsewhere = onnx(profiles=(profile(("FusedConv", 0.3, 4), ("Gemm", 0.1, 2), source="another"),))
    assert said(rules.same_operators, optimized, elsewhere) == []


def test_frozen_weights_that_were_not_packed() -> None:
    assert said(rules.nothing_packed, arm("c", freezing=True, packed_layers=0), arm("baseline"))
    assert said(rules.nothing_packed, arm("c", freezing=True, packed_layers=2), arm("baseline")) == []
    assert said(rules.nothing_packed, arm("c", freezing=False, packed_layers=0), arm("baseline")) == []


def test_an_arm_that_mkl_holds_back_where_its_parent_is_not() -> None:
    held: dict[str, Any] = {"blas": "mkl", "blas_time_pct": 60.0, "cpu_vendor": "AuthenticAMD"}
    (sentence,) = said(rules.held_back, arm("pruned", **held), arm("baseline"))
    assert sentence.startswith("it spends 60 % of a call in MKL, which takes slower paths")
    assert sentence.endswith("(here AuthenticAMD)")
    assert said(rules.held_back, arm("pruned", **held), arm("baseline", **held)) == []


def test_a_call_that_is_mostly_fixed_cost() -> None:
    """0.9 ms that stay and 0.1 ms for each item, by construction."""
    mine = int8(by_batch={1: 1.0, 32: 0.9 + 3.2})
    theirs = onnx(by_batch={1: 0.9, 32: 0.5 + 32 * 0.4})
    fixed, later = said(rules.fixed_cost, mine, theirs)
    assert fixed.startswith("by its times at batch sizes 1 and 32, about 90 % of a call at batch size 1 does not grow")
    assert later == "at batch size 32 it is x3.24 as fast as onnx (x0.90 at 1)"


def test_a_call_that_grows_with_its_batch() -> None:
    assert said(rules.fixed_cost, int8(by_batch={1: 1.0, 32: 32.0}), onnx(by_batch={1: 1.0, 32: 31.0})) == []
    assert said(rules.fixed_cost, int8(by_batch={1: 1.0}), onnx(by_batch={1: 1.0})) == []
