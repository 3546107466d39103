"""Puts the default study into README.md: the table and decision as the terminal shows them, and a picture.

    make bench                                     # on a machine with nothing else to do
    python docs/make_default_study.py latest       # takes that study over: record, picture, README
    python docs/make_default_study.py              # the README again, from the record kept here

The record is kept in docs/default-study/, so that a test can hold the README against it. The picture needs Chromium.
"""

from __future__ import annotations

import gzip
import io
import shutil
import sys
from pathlib import Path

from mlbench import load_study
from mlbench.records import Study, from_json, to_json
from mlbench.reporting.terminal import print_study, result_console

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RECORD = ROOT / "docs" / "default-study" / "study.json.gz"
PICTURE = ROOT / "docs" / "default-study" / "pareto.png"
BEGIN, END = "<!-- default study: begin -->", "<!-- default study: end -->"
WIDTH = 112
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def kept() -> Study:
    """The study that is kept in docs/."""
    return from_json(Study, gzip.decompress(RECORD.read_bytes()))


def section(study: Study) -> str:
    """The README's section on the study."""
    console = result_console(io.StringIO())
    console.width = WIDTH
    print_study(study, console)
    printed = "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())
    where = study.environment
    machine = f"{where['cpu.model']}, {where['cpu.usable']} cores, Python {where['python']}"
    picture = PICTURE.relative_to(ROOT).as_posix()
    return f"""{BEGIN}
```text
{printed}
```

![Latency against accuracy of every arm, each with its 95 % interval]({picture})

Measured on {machine}; yours will differ, which is the point.
{END}"""


def draw(study: Study) -> None:
    """Speed against quality, as the report draws it, photographed by a browser."""
    from playwright.sync_api import sync_playwright

    from mlbench.reporting.drawing import WIDTH as PIXELS
    from mlbench.reporting.figures import pareto

    browser = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if browser is None:
        sys.exit("the picture needs a browser: apt install chromium")
    figure = pareto(study)
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": PIXELS, "height": int(figure.layout.height)}, device_scale_factor=2)
        page.set_content(
            figure.to_html(include_plotlyjs=True, config={"displayModeBar": False}).replace(
                "<body>", '<body style="margin:0">'
            )
        )
        page.wait_for_selector(".main-svg")
        page.screenshot(path=PICTURE)
        chromium.close()


def main(reference: str | None) -> None:
    """Take over the study, if one is named, and write the section."""
    if reference is not None:
        study = load_study(reference).record
        draw(study)
        RECORD.write_bytes(gzip.compress(to_json(study, indent=None).encode(), mtime=0))
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    README.write_text(before + section(kept()) + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
