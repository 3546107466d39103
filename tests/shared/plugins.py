"""Third parties' packages, as pip leaves them behind: a module, and the metadata of its distribution."""

from __future__ import annotations

from pathlib import Path


def install(folder: Path, module: str, source: str, entry_points: str) -> Path:
    """Leave a package in a folder, which is made where it is not there, for whoever has that on the import path."""
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{module}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    return folder
