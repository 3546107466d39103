"""Your own model: any function that returns a torch module. It knows nothing of mlbench."""

from torch import nn


def signal_cnn(width: int = 64, classes: int = 3) -> nn.Module:
    """A convolutional network for signals of shape (items, 1, 256); returns class scores, shape (items, classes)."""

    def block(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv1d(inputs, outputs, 7, padding=3), nn.BatchNorm1d(outputs), nn.ReLU(), nn.MaxPool1d(2)
        )

    return nn.Sequential(
        block(1, width),
        block(width, width),
        block(width, 2 * width),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(2 * width, classes),
    )
