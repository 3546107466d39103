"""Writes vibration.npz: made-up vibration signals of a machine in three states, as a stand-in for your own recordings.

Each signal has 256 samples of a rotating shaft in noise. An imbalance adds to the shaft's own frequency, a damaged
bearing adds short impacts that ring out. Seeded: the same file every time.
"""

import sys
from pathlib import Path

import numpy as np

STATES = ("bearing", "healthy", "imbalance")
SAMPLES = 256


def signal(state: str, rng: np.random.Generator) -> np.ndarray:
    """One recording, shape (1, 256)."""
    time = np.arange(SAMPLES) / SAMPLES
    turns = rng.uniform(6, 9)
    shaft = rng.uniform(0.5, 1.0) + (rng.uniform(0.4, 1.0) if state == "imbalance" else 0.0)
    values = shaft * np.sin(2 * np.pi * (turns * time + rng.uniform()))
    if state == "bearing":
        phase = (time * turns * 3.6 + rng.uniform()) % 1
        values += rng.uniform(1.0, 2.5) * np.exp(-8 * phase) * np.sin(2 * np.pi * 12 * phase)
    return (values + rng.normal(0, 0.4, SAMPLES))[None, :].astype(np.float32)


def main(path: Path, rows: int = 1500) -> None:
    """Write the archive: `signal`, shape (rows, 1, 256), and `labels`, the state of each as text."""
    rng = np.random.default_rng(0)
    states = rng.choice(STATES, size=rows)
    np.savez(path, signal=np.stack([signal(state, rng) for state in states]), labels=states)
    print(f"{path}: {rows} signals of {SAMPLES} samples")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "vibration.npz"))
