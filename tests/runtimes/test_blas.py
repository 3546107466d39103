"""What multiplies matrices: MKL's protocol is read right, and the numbers of a real call are possible ones."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import torch

from mlbench.runtimes.blas import MklUse, _printed, mkl_use, numpy_blas, torch_blas

HEAD = (
    "MKL_VERBOSE oneMKL 2024.0 Update 2 Product build 20240605 for Intel(R) 64 architecture {kernels} processors, "
    "Lnx 2.60GHz gnu_thread\n"
)
AVX2 = "Intel(R) Advanced Vector Extensions 2 (Intel(R) AVX2) enabled"
CALL = (
    "MKL_VERBOSE SGEMM(T,N,384,64,384,0x7ffd,0x55,384,0x56,384,0x7ffe,0x57,384) {took} CNR:OFF Dyn:1 FastMM:1 TID:0\n"
)

with_mkl = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="this torch has no MKL")


def test_every_call_counts_with_its_time_and_unit() -> None:
    printed = HEAD.format(kernels=AVX2) + CALL.format(took="12.50us") + CALL.format(took="1.5ms") + "something else\n"
    found = mkl_use(printed)
    assert (found.calls, found.kernels, found.threading) == (2, "AVX2", "gnu_thread")
    assert found.seconds == pytest.approx(1.5125e-3)


@pytest.mark.parametrize(
    ("kernels", "short"),
    [
        (AVX2, "AVX2"),
        ("Intel(R) Advanced Vector Extensions 512 (Intel(R) AVX-512) with support for INT8 enabled", "AVX-512"),
        ("Intel(R) Architecture", "Intel Architecture"),
    ],
)
def test_the_instruction_set_in_short(kernels: str, short: str) -> None:
    assert mkl_use(HEAD.format(kernels=kernels)).kernels == short


def test_without_calls_there_is_nothing() -> None:
    assert mkl_use("") == MklUse(0, 0.0)


def test_what_c_code_prints_is_caught_and_standard_output_is_given_back(capfd: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        os.write(1, b"hidden\n")
        raise KeyError

    assert _printed(lambda: os.write(1, b"from below\n")) == "from below\n"
    with pytest.raises(KeyError):
        _printed(fails)
    os.write(1, b"seen\n")
    sys.stdout.flush()
    assert capfd.readouterr().out == "seen\n"


@with_mkl
def test_a_model_of_matrix_products_is_mostly_mkl() -> None:
    with torch.inference_mode():
        big = torch.rand(512, 512)
        found = torch_blas(lambda: [big @ big for _ in range(4)])
    assert found["blas"] == "mkl"
    assert str(found["blas_version"]) in torch.__config__.show()
    assert str(found["onednn"]) in torch.__config__.show()
    assert found["thread_layer"] == "OpenMP"
    assert found["blas_calls"] == 4
    assert 10 < float(str(found["blas_time_pct"])) <= 100


@with_mkl
def test_a_model_without_matrix_products_calls_nothing() -> None:
    values = torch.rand(1000)
    found = torch_blas(lambda: values.exp().sum())
    assert (found["blas_calls"], found["blas_time_pct"]) == (0, 0.0)


def test_numpys_library_is_found_by_name_version_and_kernels() -> None:
    np.ones((2, 2)) @ np.ones((2, 2))
    found = numpy_blas()
    assert found["blas"] in {"openblas", "mkl", "blis", "openblas, mkl"}
    assert all(found.values())
    assert {"blas", "blas_version", "thread_layer"} <= set(found)
