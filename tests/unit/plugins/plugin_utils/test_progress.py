# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress lines. How they come about during real runs is tested in tests/integration."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from ansible_collections.modelops.serving.plugins.plugin_utils import _progress

REPORT = {
    "phase": "move",
    "bytes_done": 1_200_000_000,
    "bytes_total": 2_400_000_000,
    "files_done": 12,
    "files_total": 26,
    "bytes_read": 1_300_000_000,
    "rate": 210_000_000.0,
    "remaining": 5.7,
    "elapsed": 6.0,
    "retries": 0,
    "stalls": 0,
}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "move 1.2/2.4 GB (50 %), 12/26 files, 210 MB/s, 6 s left"),
        ({"remaining": 200.0}, "move 1.2/2.4 GB (50 %), 12/26 files, 210 MB/s, 3 min 20 s left"),
        ({"remaining": 7500.0}, "move 1.2/2.4 GB (50 %), 12/26 files, 210 MB/s, 2 h 5 min left"),
        ({"remaining": None}, "move 1.2/2.4 GB (50 %), 12/26 files, 210 MB/s"),
        ({"rate": 0.0, "remaining": None}, "move 1.2/2.4 GB (50 %), 12/26 files"),
        ({"retries": 3}, "move 1.2/2.4 GB (50 %), 12/26 files, 210 MB/s, 6 s left, 3 retries"),
        ({"bytes_done": 0, "files_done": 0}, "move 0.0/2.4 GB (0 %), 0/26 files"),
        ({"bytes_total": 810_000_000_000}, "move 1/810 GB (0 %), 12/26 files"),
        ({"bytes_done": 7, "bytes_total": 9}, "move 7/9 B (77 %), 12/26 files, 210 MB/s, 6 s left"),
        ({"bytes_done": 0, "bytes_total": 0}, "move 0/0 B (100 %), 12/26 files, 210 MB/s, 6 s left"),
        ({"rate": 1_500_000.0}, "move 1.2/2.4 GB (50 %), 12/26 files, 1.5 MB/s, 6 s left"),
        ({"phase": "publish"}, "publish 1.2/2.4 GB (50 %), 12/26 files"),
        ({"phase": "plan"}, None),
        ({"phase": "verify"}, None),
        ({"files_total": 0}, None),
    ],
)
def test_lines(changes, line):
    assert _progress.format_progress({**REPORT, **changes}) == line


def test_tail_shows_whole_new_lines(tmp_path):
    path = tmp_path / "progress"
    path.write_text("from an earlier run\n")
    shown = []
    with _progress._Tail(str(path), shown.append), path.open("a") as stream:
        stream.write("one\ntw")
        stream.flush()
        deadline = time.monotonic() + 5
        while not shown and time.monotonic() < deadline:
            time.sleep(0.01)
        assert shown == ["one"]
        stream.write("o\nthree\nhalf")
    assert shown == ["one", "two", "three"]


def test_tail_waits_for_a_file(tmp_path):
    path = tmp_path / "progress"
    shown = []
    with _progress._Tail(str(path), shown.append):
        path.write_text("one\n")
    assert shown == ["one"]


def test_a_signal_passes_when_no_line_is_being_shown(tmp_path, monkeypatch):
    path, begun, events = tmp_path / "progress", threading.Event(), []
    monkeypatch.setattr(_progress, "_TAIL_SECONDS", 5)

    def show(line):
        begun.set()
        time.sleep(0.2)
        events.append(line)

    before = signal.signal(signal.SIGTERM, lambda *_arguments: events.append("SIGTERM"))
    try:
        tail = _progress._Tail(str(path), show)
        path.write_text("one\n")
        with tail:
            tail._done.set()  # it reads at once
            assert begun.wait(5)
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert events == ["one", "SIGTERM", "SIGTERM"]


def test_signals_are_left_to_the_main_thread(tmp_path):
    masks = []
    path = tmp_path / "progress"
    tail = _progress._Tail(str(path), lambda _line: masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
    path.write_text("one\n")
    with tail:
        pass
    assert {signal.SIGINT, signal.SIGTERM} <= masks[0]
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGTERM}
