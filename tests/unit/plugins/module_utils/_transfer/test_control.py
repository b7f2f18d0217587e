# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer import control as control_module
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    ConflictError,
    DeadlineError,
    InputError,
    IntegrityError,
    LockedError,
    NotFoundError,
    SourceChangedError,
    StoppedError,
    StoreError,
    TransferError,
    TransientError,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import FakeControl


class Flaky:
    """Fails with each of the errors in turn, then answers."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = []

    def __call__(self, *args, **kwargs):
        self.calls.append((args, kwargs))
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def transient(**options):
    return TransientError("try again", **options)


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when something sleeps."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(control_module, "time", clock)
    return clock


class ClockControl(Control):
    """A real Control on the fake clock: waiting for the stop event moves the clock."""

    def __init__(self, clock, **options):
        super().__init__(**options)
        self.waits = waits = []

        class Event(threading.Event):
            def wait(self, timeout=None):
                waits.append(timeout)
                clock.now += timeout
                return self.is_set()

        self._stop = Event()


# -- retries ---------------------------------------------------------------------------------------------------


def test_an_operation_that_works_is_called_once_with_its_arguments():
    control, operation = FakeControl(), Flaky()
    assert control.retry(operation, 1, two=2) == "answer"
    assert operation.calls == [((1,), {"two": 2})]
    assert (control.retries, control.stalls, control.slept) == (0, 0, [])


@pytest.mark.parametrize("failures", [1, 2, 5])
def test_transient_errors_are_tried_again_and_counted(failures):
    control, operation = FakeControl(attempts=6), Flaky(*[transient()] * failures)
    assert control.retry(operation) == "answer"
    assert len(operation.calls) == failures + 1
    assert control.retries == len(control.slept) == failures


@pytest.mark.parametrize("attempts", [1, 2, 6])
def test_the_last_try_raises_its_own_error(attempts):
    errors = [TransientError(f"number {number}") for number in range(10)]
    control, operation = FakeControl(attempts=attempts), Flaky(*errors)
    with pytest.raises(TransientError) as caught:
        control.retry(operation)
    assert caught.value is errors[attempts - 1]
    assert len(operation.calls) == attempts
    assert control.retries == attempts - 1


@pytest.mark.parametrize(
    "kind",
    [
        AccessError,
        ConflictError,
        DeadlineError,
        InputError,
        IntegrityError,
        LockedError,
        NotFoundError,
        SourceChangedError,
        StoppedError,
        StoreError,
        TransferError,
        ValueError,
    ],
)
def test_nothing_else_is_tried_again(kind):
    control, operation = FakeControl(), Flaky(kind("no"))
    with pytest.raises(kind):
        control.retry(operation)
    assert len(operation.calls) == 1
    assert control.retries == 0


def test_stalls_are_counted_among_the_retries():
    control = FakeControl()
    control.retry(Flaky(transient(stalled=True), transient(), transient(stalled=True)))
    assert (control.retries, control.stalls) == (3, 2)


def test_each_operation_has_tries_of_its_own():
    control = FakeControl(attempts=3)
    for _number in range(4):
        control.retry(Flaky(transient(), transient()))
    assert control.retries == 8


# -- pauses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [0.0, 1.0, 55.0, 300.0])
def test_the_pause_that_a_server_asked_for_is_kept(asked):
    control = FakeControl(attempts=60)
    control.retry(Flaky(*[transient(retry_after=asked)] * 50))
    assert all(asked <= pause <= asked + 0.5 for pause in control.slept)
    assert len(set(control.slept)) > 1


@pytest.mark.parametrize(("attempt", "longest"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (40, 30)])
def test_other_pauses_are_jittered_and_grow_to_thirty_seconds(attempt, longest):
    control = FakeControl(attempts=100)
    for _number in range(300):
        control.pause(attempt, transient())
    assert 0.1 <= min(control.slept) < 0.1 + longest * 0.2
    assert longest * 0.8 < max(control.slept) <= longest


# -- deadline --------------------------------------------------------------------------------------------------


def test_without_a_deadline_nothing_ends(clock):
    control = ClockControl(clock)
    clock.now += 10**9
    control.check()


def test_the_deadline_ends_the_run_with_what_to_do(clock):
    control = ClockControl(clock, timeout=60)
    clock.now += 60
    control.check()
    clock.now += 0.001
    with pytest.raises(DeadlineError, match="deadline of 60 seconds") as caught:
        control.check()
    assert "kept and not done again" in caught.value.hint


def test_the_deadline_cuts_a_pause_short(clock):
    control = ClockControl(clock, timeout=60)
    control.sleep(50)
    with pytest.raises(DeadlineError):
        control.sleep(50)
    assert control.waits == [50, pytest.approx(10, abs=0.01)]


def test_the_deadline_wins_over_a_server_that_asks_for_patience(clock):
    control, operation = ClockControl(clock, timeout=60), Flaky(transient(retry_after=3600))
    with pytest.raises(DeadlineError):
        control.retry(operation)
    assert clock.now == pytest.approx(1060, abs=0.01)
    assert len(operation.calls) == 1


def test_after_the_deadline_nothing_is_tried(clock):
    control, operation = ClockControl(clock, timeout=60), Flaky()
    clock.now += 61
    with pytest.raises(DeadlineError):
        control.retry(operation)
    assert operation.calls == []


# -- stop ------------------------------------------------------------------------------------------------------


def test_the_first_cause_of_a_stop_wins():
    control = Control()
    assert control.cause is None
    first = StoreError("The disk is full.")
    control.stop(first)
    control.stop(AccessError("Something else."))
    assert control.cause is first
    with pytest.raises(StoppedError, match="The disk is full"):
        control.check()


def test_a_stop_wins_over_the_deadline(clock):
    control = ClockControl(clock, timeout=1)
    clock.now += 2
    control.stop(StoreError("The disk is full."))
    with pytest.raises(StoppedError):
        control.check()


def test_a_stopped_run_tries_nothing_more():
    control, operation = FakeControl(), Flaky()
    control.stop(StoreError("The disk is full."))
    with pytest.raises(StoppedError):
        control.retry(operation)
    assert operation.calls == []


def test_a_stop_ends_a_pause_at_once():
    control = Control()
    caught = []

    def wait():
        try:
            control.sleep(600)
        except StoppedError as error:
            caught.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    control.stop(StoreError("The disk is full."))
    thread.join(5)
    assert not thread.is_alive()
    assert len(caught) == 1


# -- errors ----------------------------------------------------------------------------------------------------


def test_an_error_reads_as_message_and_hint():
    assert str(TransferError("What happened.", hint="What to do.")) == "What happened. What to do."
    assert str(TransferError("What happened.")) == "What happened."
