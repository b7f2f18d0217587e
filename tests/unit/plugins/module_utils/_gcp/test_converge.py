# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import RateLimitError
from ansible_collections.modelops.serving.plugins.module_utils._gcp.converge import converge, explained
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    ConflictError,
    InputError,
    NotFoundError,
    StoreError,
    TransientError,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import FakeControl

CONFLICT = ConflictError("Google refused to write: too slow (ABORTED).")
LOST = TransientError("no answer.")


class Thing:
    """Holds a set of names, and goes wrong as told: an error, and whether it was written all the same or what others did."""

    def __init__(self, *names):
        self.names = set(names)
        self.troubles = []
        self.writes = 0

    def write(self, _before, after):
        self.writes += 1
        if not self.troubles:
            self.names = set(after)
            return set(self.names)
        error, happens = self.troubles.pop(0)
        if callable(happens):
            happens(self.names)
        elif happens:
            self.names = set(after)
        raise error

    def add(self, name, *, check=False, attempts=3):
        self.control = FakeControl(attempts=attempts)
        return converge(
            self.control, read=lambda: set(self.names), plan=lambda found: found | {name}, write=self.write, check=check
        )


def test_written_once_and_only_where_something_differs():
    thing = Thing("a")
    assert thing.add("b") == ({"a"}, {"a", "b"})
    assert thing.add("b") == ({"a", "b"}, {"a", "b"})
    assert thing.writes == 1


def test_check():
    thing = Thing("a")
    assert thing.add("b", check=True) == ({"a"}, {"a", "b"})
    assert (thing.writes, thing.names) == (0, {"a"})


def test_others_keep_what_they_wrote_meanwhile():
    thing = Thing("a")
    thing.troubles = [(CONFLICT, lambda names: names.add("x"))]
    assert thing.add("b") == ({"a", "x"}, {"a", "b", "x"})
    assert (thing.writes, len(thing.control.slept)) == (2, 1)


def test_others_did_it_meanwhile():
    thing = Thing("a")
    thing.troubles = [(CONFLICT, lambda names: names.add("b"))]
    before, after = thing.add("b")
    assert before == after == {"a", "b"}
    assert thing.writes == 1


def test_a_lost_answer_after_the_write():
    thing = Thing("a")
    thing.troubles = [(LOST, True)]
    assert thing.add("b") == ({"a"}, {"a", "b"})
    assert thing.writes == 1


def test_a_lost_request():
    thing = Thing("a")
    thing.troubles = [(LOST, False)]
    assert thing.add("b") == ({"a"}, {"a", "b"})
    assert thing.writes == 2


@pytest.mark.parametrize(("trouble", "hint"), [(CONFLICT, "changed it 3 times"), (LOST, "is not known")])
def test_not_forever(trouble, hint):
    thing = Thing("a")
    thing.troubles = [(trouble, False)] * 9
    with pytest.raises(type(trouble)) as found:
        thing.add("b")
    assert found.value.message == trouble.message and hint in found.value.hint
    assert thing.writes == 3


def test_too_many_requests_were_waited_for_already():
    thing = Thing("a")
    error = RateLimitError("Google refused to write: slow down (RESOURCE_EXHAUSTED).")
    thing.troubles = [(error, False)]
    with pytest.raises(RateLimitError) as found:
        thing.add("b")
    assert found.value is error and thing.writes == 1


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (AccessError("Google refused: no (PERMISSION_DENIED).", hint="Look."), "Look. It takes the permission a.b.c."),
        (AccessError("Google refused: no (403).", hint="Look."), "Look. It takes the permission a.b.c."),
        (AccessError("Google refused: needs a.b.c (403).", hint="Look."), "Look."),
        (AccessError("Google refused: who? (UNAUTHENTICATED).", hint="Log in."), "Log in."),
        (NotFoundError("Google refused: nothing (NOT_FOUND)."), "Create it."),
        (InputError("Google refused: no member (INVALID_ARGUMENT)."), "Check it."),
        (StoreError("Google refused: constraint (FAILED_PRECONDITION)."), "Check it."),
        (StoreError("Google refused: constraint (412).", hint="Known."), "Known."),
        (CONFLICT, ""),
    ],
)
def test_the_next_step(error, hint):
    with pytest.raises(type(error)) as found, explained(permission="a.b.c", absent="Create it.", refused="Check it."):
        raise error
    assert (found.value.message, found.value.hint) == (error.message, hint)
