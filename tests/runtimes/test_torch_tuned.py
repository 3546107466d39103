"""Modules called in another precision: arrays stay float32 outside, and everything else stays as it was."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from mlbench.records import Artifact
from mlbench.runtimes.torch_tuned import Tuned, autocast_type, has_channels_last, load_tuned, weight_types


class Echo(nn.Module):
    """Says what it was given."""

    def forward(self, values: torch.Tensor, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        self.seen = (values.dtype, tokens.dtype)
        return {"values": values * 2, "tokens": tokens}


def test_only_floating_point_is_cast_and_it_comes_back() -> None:
    echo = Echo()
    values, tokens = Tuned(echo, torch.bfloat16, None)(torch.ones(2), torch.arange(2))
    assert echo.seen == (torch.bfloat16, torch.int64)
    assert (values.dtype, tokens.dtype) == (torch.float32, torch.int64)


def test_autocast_is_on_only_inside() -> None:
    layer = nn.Linear(4, 2)
    seen = []
    layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    result = Tuned(layer, torch.float32, torch.bfloat16)(torch.ones(1, 4))
    assert (seen, result.dtype) == ([torch.bfloat16], torch.float32)
    assert not torch.is_autocast_enabled("cpu")


def test_a_module_without_tuning_is_itself(module_artifact: Artifact) -> None:
    assert not isinstance(load_tuned(module_artifact), Tuned)
    last = load_tuned(replace(module_artifact, meta={**module_artifact.meta, "tuning": {"channels_last": True}}))
    assert has_channels_last(last)
    assert not has_channels_last(load_tuned(module_artifact))
    assert weight_types(last) == "float32"


def test_autocast_is_seen_in_the_module_that_is_called_and_in_an_exported_graph() -> None:
    half = Tuned(nn.Sequential(nn.Linear(4, 2)), torch.float32, torch.bfloat16).eval()
    full = Tuned(nn.Sequential(nn.Linear(4, 2)), torch.bfloat16, None).eval()
    assert (autocast_type(half), autocast_type(full), autocast_type(full.module)) == ("bfloat16", "", "")
    programs = [torch.export.export(module, (torch.zeros(2, 4),)).module() for module in (half, full)]
    assert [autocast_type(program) for program in programs] == ["bfloat16", ""]
    assert autocast_type(len) == ""
