# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer import meter as meter_module
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransientError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.meter import Meter


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(meter_module, "time", clock)
    return clock


def test_reports_come_at_most_once_per_interval_and_at_each_phase(clock):
    reports = []
    meter = Meter(Control(), reports.append, interval=10)
    for step in (1, 8, 2, 1, 8, 2):
        clock.now += step
        meter.report()
    meter.enter("verify")
    assert [(report.phase, report.elapsed) for report in reports] == [("plan", 11), ("plan", 22), ("verify", 22)]


def test_a_report_holds_the_counts(clock):
    reports = []
    control = Control()
    meter = Meter(control, reports.append, interval=10)
    meter.bytes_total, meter.files_total = 1000, 3
    control.note_retry(TransientError("again", stalled=True))
    control.note_retry(TransientError("again"))
    clock.now += 2
    meter.read(400)
    meter.done(count=200)
    meter.done(files=1)
    meter.enter("move")
    (report,) = reports
    assert (report.bytes_done, report.bytes_total, report.files_done, report.files_total) == (200, 1000, 1, 3)
    assert (report.bytes_read, report.retries, report.stalls) == (400, 2, 1)
    assert report.rate == 200
    assert report.remaining == 4


def test_the_rate_is_that_of_the_last_seconds(clock):
    reports = []
    meter = Meter(Control(), reports.append, interval=1)
    meter.bytes_total = 10**6
    for second in range(60):
        clock.now += 1
        meter.read(1000 if second < 30 else 10)
        meter.report()
    assert reports[20].rate == 1000
    assert reports[-1].rate == 10


def test_nothing_is_promised_before_a_byte_has_moved(clock):
    reports = []
    meter = Meter(Control(), reports.append, interval=1)
    meter.bytes_total = 1000
    meter.enter("plan")
    assert (reports[0].rate, reports[0].remaining) == (0, None)


def test_nobody_has_to_listen(clock):
    meter = Meter(Control(), None, interval=1)
    meter.read(5)
    meter.enter("move")
    assert (meter.bytes_read, meter.phase) == (5, "move")
