import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fake_nvml import FakeNvml, NVMLError

from mlbench.probes.nvml import Device, NoDeviceError, find_device, throttle_words

MIXED = ("NVIDIA A100-SXM4-40GB", "NVIDIA T4")


def found(nvml: FakeNvml, visible: str | None = None, **environ: str) -> Device:
    return find_device(nvml, environ if visible is None else {"CUDA_VISIBLE_DEVICES": visible, **environ})


def refusal(nvml: FakeNvml, visible: str | None = None) -> str:
    with pytest.raises(NoDeviceError) as caught:
        found(nvml, visible)
    return str(caught.value)


@pytest.mark.parametrize(
    ("visible", "handle"),
    [
        (None, "gpu0"),
        ("2", "gpu2"),
        (" 1 ,0", "gpu1"),
        ("GPU-2aaa-bbbb", "gpu2"),
        ("GPU-1", "gpu1"),  # any beginning that is unique
    ],
)
def test_cuda_number_0_is_the_first_visible_one(visible: str | None, handle: str) -> None:
    assert found(FakeNvml(count=3), visible) == Device(handle, handle, mig=False)


@pytest.mark.parametrize("visible", ["", "-1", "none"])
def test_hidden_gpus(visible: str) -> None:
    assert "hides every GPU" in refusal(FakeNvml(), visible)


def test_gpus_that_are_not_there() -> None:
    assert refusal(FakeNvml(count=0)) == "NVML sees no GPU"
    assert "there is no number 5" in refusal(FakeNvml(count=2), "5")
    assert "fits 0 of 2" in refusal(FakeNvml(count=2), "GPU-7")
    assert "fits 2 of 2" in refusal(FakeNvml(count=2), "GPU-")


def test_between_different_models_nothing_is_guessed() -> None:
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in refusal(FakeNvml(count=2, names=MIXED), "1")
    assert found(FakeNvml(count=2, names=MIXED), "1", CUDA_DEVICE_ORDER="PCI_BUS_ID").handle == "gpu1"
    assert found(FakeNvml(count=2, names=MIXED), "GPU-1").handle == "gpu1"  # a UUID is the same everywhere


def test_mig_by_name_and_as_what_cuda_takes_on_a_partitioned_gpu() -> None:
    nvml = FakeNvml(count=2, mig=(3, 5))
    assert found(nvml) == Device("gpu0/3", "gpu0", mig=True)
    assert found(nvml, "MIG-77") == Device("instance MIG-77", "gpu0", mig=True)
    assert found(nvml, "1") == Device("gpu1", "gpu1", mig=False)
    assert "has no instance" in refusal(FakeNvml(mig=()))


def test_a_refusal_of_nvml_is_its_own_error() -> None:
    with pytest.raises(NVMLError, match="Insufficient Permissions"):
        found(FakeNvml(broken=("handle",), error="Insufficient Permissions"))


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (0, ()),
        (0x1, ("idle",)),
        (0x44, ("power cap", "heat (hardware)")),
        (0x400, ("reason 0x400",)),
    ],
)
def test_reasons_in_words(mask: int, words: tuple[str, ...]) -> None:
    assert throttle_words(mask) == words


def test_words_are_those_of_the_library() -> None:
    import pynvml

    named = {
        pynvml.nvmlClocksEventReasonGpuIdle: "idle",
        pynvml.nvmlClocksEventReasonSwPowerCap: "power cap",
        pynvml.nvmlClocksEventReasonHwSlowdown: "hardware slowdown",
        pynvml.nvmlClocksEventReasonSwThermalSlowdown: "heat (driver)",
        pynvml.nvmlClocksEventReasonHwThermalSlowdown: "heat (hardware)",
        pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown: "power brake",
        pynvml.nvmlClocksEventReasonSyncBoost: "sync boost",
        pynvml.nvmlClocksEventReasonDisplayClockSetting: "display clocks",
        pynvml.nvmlClocksEventReasonApplicationsClocksSetting: "clocks set by an application",
    }
    assert {throttle_words(mask): word for mask, word in named.items()} == {(word,): word for word in named.values()}


def test_the_library_has_every_function_that_is_used() -> None:
    import pynvml

    for name in (name for name in dir(FakeNvml) if name.startswith(("nvml", "NVML"))):
        assert hasattr(pynvml, name), name
