"""The instruction set that Optimum's presets are named by."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlbench.variants.cpu import cpu_flags, instruction_set


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", {"avx2"}, "avx2"),
        ("x86_64", {"avx2", "avx512f"}, "avx512"),
        ("x86_64", {"avx2", "avx512f", "avx512_vnni"}, "avx512_vnni"),
        ("AMD64", {"avx2", "avx_vnni"}, "avx512_vnni"),
        ("x86_64", {"sse2"}, None),
        ("aarch64", set(), "arm64"),
        ("arm64", set(), "arm64"),
        ("ppc64le", set(), "ppc64le"),
        ("riscv64", set(), None),
    ],
)
def test_each_cpu_has_its_preset(machine: str, flags: set[str], expected: str | None) -> None:
    assert instruction_set(machine, frozenset(flags)) == expected


def test_flags_come_from_the_system(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512_vnni\n\nprocessor\t: 1\nflags\t\t: other\n")
    assert cpu_flags(cpuinfo) == {"fpu", "avx2", "avx512_vnni"}
    cpuinfo.write_text("processor\t: 0\n")
    assert cpu_flags(cpuinfo) == frozenset()
    assert cpu_flags(tmp_path / "absent") == frozenset()
