# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTML report in a real browser: laid out, drawn, legible on a phone, in light and dark, without complaint."""

from __future__ import annotations

import html
import json
import os
import re
import struct
import subprocess
import zlib

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench.html.page import render
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.html.sample import sample

_WIDTHS = (360, 1280)
#: The report runs no script, so this page measures it from outside: one frame for every width.
_MEASURE = """<!DOCTYPE html><body>%s<pre id="found"></pre><script>
addEventListener("load", () => {
  const measure = frame => {
    const page = frame.contentDocument, edge = frame.clientWidth;
    const box = found => found.getBoundingClientRect();
    const inside = found => found.closest(".scroll") !== null;
    const plots = [...page.querySelectorAll("svg[role=img]")];
    return {
      width: page.documentElement.scrollWidth,
      beyond: [...page.body.querySelectorAll("*")].filter(found => !inside(found) && box(found).right > edge + 1)
        .map(found => found.tagName + " " + found.textContent.slice(0, 40)),
      plots: plots.map(plot => {
        const frame = box(plot), title = plot.querySelector("title").textContent;
        const marks = [...plot.querySelectorAll("path.line, circle, rect.cell")].map(box);
        const words = [...plot.querySelectorAll("text")];
        return {
          title, width: frame.width, height: frame.height,
          marks: marks.length, left: Math.min(...marks.map(mark => mark.left)) - frame.left,
          across: Math.max(...marks.map(mark => mark.right)) - Math.min(...marks.map(mark => mark.left)),
          letters: Math.min(...words.map(word => parseFloat(page.defaultView.getComputedStyle(word).fontSize)))
            * frame.width / 560,
          narrowest: Math.min(...words.map(word => box(word).width)),
          outside: words.filter(word => box(word).left < frame.left - 1 || box(word).right > frame.right + 1
            || box(word).top < frame.top - 1 || box(word).bottom > frame.bottom + 1).map(word => word.textContent),
        };
      }),
      tables: [...page.querySelectorAll(".scroll")].map(found => ({
        right: box(found).right, rows: found.querySelectorAll("tbody tr").length, height: box(found).height,
      })),
    };
  };
  document.getElementById("found").textContent = JSON.stringify([...document.querySelectorAll("iframe")].map(measure));
});
</script></body>"""


@pytest.fixture(scope="module")
def report():
    """A run with everything there is to show."""
    return render(sample(seconds=20, queue=10))


@pytest.fixture
def browser(chromium, tmp_path):
    """Runs Chromium to its end. Returns the process, with what it printed."""

    def run(*arguments):
        command = [
            chromium.command,
            "--headless",
            # CI runs as root in a container, where Chromium's own sandbox cannot be made.
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-background-networking",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            *arguments,
        ]
        environment = os.environ | chromium.environment
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)

    return run


def console(process):
    """What the page, not Chromium itself, had to complain of."""
    return [line for line in process.stderr.splitlines() if "CONSOLE" in line]


def test_layout_on_phone_and_desktop(report, browser, tmp_path):
    frames = "".join(
        f'<iframe width="{width}" height="800" srcdoc="{html.escape(report)}"></iframe>' for width in _WIDTHS
    )
    page = tmp_path / "measure.html"
    page.write_text(_MEASURE % frames, encoding="utf-8")
    process = browser("--dump-dom", page.as_uri())
    found = re.search(r'<pre id="found">(.+?)</pre>', process.stdout, re.DOTALL)
    assert found, process.stderr
    assert console(process) == []
    for width, layout in zip(_WIDTHS, json.loads(html.unescape(found[1])), strict=True):
        # What the frame's border takes belongs to no page.
        assert layout["width"] <= width, layout["beyond"]
        assert layout["beyond"] == []
        assert len(layout["plots"]) == 15
        for plot in layout["plots"]:
            assert plot["width"] > 300 and plot["height"] > 100, plot
            assert plot["marks"], plot
            assert plot["letters"] >= 9, plot
            # Without a font, words have no width.
            assert plot["narrowest"] > 2, plot
            assert plot["outside"] == [], plot
            assert plot["left"] > 0 and plot["across"] > plot["width"] / 4, plot
        assert all(table["rows"] and table["height"] > 40 for table in layout["tables"])


@pytest.mark.parametrize(("scheme", "paper"), [("0", "13171c"), ("1", "ffffff")], ids=["dark", "light"])
def test_pictures_in_dark_and_light(report, browser, tmp_path, scheme, paper):
    page, picture = tmp_path / "index.html", tmp_path / "report.png"
    page.write_text(report, encoding="utf-8")
    process = browser(
        f"--blink-settings=preferredColorScheme={scheme}",
        "--window-size=800,1200",
        f"--screenshot={picture}",
        page.as_uri(),
    )
    assert console(process) == []
    width, height, corner, rows = look(picture.read_bytes())
    assert (width, height) == (800, 1200)
    assert corner == paper
    # A row that is as the one above adds none; an empty page has two or three.
    assert rows > 200


def look(png):
    """Width, height, the colour of the first pixel, and how many rows differ from each other as they are stored."""
    width, height, depth, colour = struct.unpack(">IIBB", png[16:26])
    assert (depth, colour) in {(8, 2), (8, 6)}, "neither RGB nor RGBA"
    at, packed = 8, b""
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            packed += png[at + 8 : at + 8 + size]
        at += size + 12
    raw = zlib.decompress(packed)
    stride = 1 + width * (3 if colour == 2 else 4)
    # Whatever filter its row has, the first pixel is stored as it is: https://www.w3.org/TR/png-3/#9Filters
    return width, height, raw[1:4].hex(), len({raw[row : row + stride] for row in range(0, len(raw), stride)})
