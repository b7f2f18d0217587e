# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read, decide, write on condition that nobody was faster; and what a refusal by IAM needs to be understood."""

from __future__ import annotations

import contextlib
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import RateLimitError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    ConflictError,
    InputError,
    NotFoundError,
    StoreError,
    TransferError,
    TransientError,
)

_State = t.TypeVar("_State")


def converge(
    control: Control,
    *,
    read: t.Callable[[], _State],
    plan: t.Callable[[_State], _State],
    write: t.Callable[[_State, _State], _State],
    check: bool,
) -> tuple[_State, _State]:
    """Bring something to the state that ``plan`` makes of the state it is in. Nothing is written where they are equal.

    A write that lost against another one, and one without an answer, is never repeated as it was: the state is read
    and the plan made anew, so that the changes of others stay and what was carried out is not done twice.

    :param write: from the state that was read to the one planned, on condition that it is still as read, and sent only
        once. Returns the new state. :param check: only read.
    :returns: the states before and after.
    :raises ConflictError, TransientError: as often as ``control`` allows, nothing else came out.
    """
    attempt = 0
    unanswered: list[_State] = []
    while True:
        control.check()
        before = read()
        after = plan(before)
        if after == before or check:
            # What is done now was done by the write that nobody answered.
            return (unanswered[0] if unanswered else before), after
        try:
            return before, write(before, after)
        except ConflictError as error:
            refusal: TransferError = error
            hint = f"Others changed it {attempt + 1} times between reading and writing. Run again when they are done."
        except RateLimitError:
            raise  # waited for often enough, and for certain not carried out
        except TransientError as error:
            unanswered.append(before)
            refusal = error
            hint = "Whether the change was carried out is not known. Run again: it is looked at first."
        attempt += 1
        try:
            control.pause(attempt, TransientError(refusal.message))
        except TransientError:
            raise type(refusal)(refusal.message, hint=hint) from refusal


@contextlib.contextmanager
def explained(*, permission: str, absent: str = "", refused: str = "") -> t.Iterator[None]:
    """Add the next step to the errors of a request.

    :param permission: that the request needs. :param absent: what to do where there is nothing of that name.
    :param refused: what to look at where the request was understood and refused.
    """
    try:
        yield
    except AccessError as error:
        # Not for credentials that are wrong themselves: the client ends its message with the status.
        if not re.search(r"\((PERMISSION_DENIED|403)\)\.$", error.message) or permission in str(error):
            raise
        raise AccessError(error.message, hint=f"{error.hint} It takes the permission {permission}.") from error
    except NotFoundError as error:
        raise NotFoundError(error.message, hint=error.hint or absent) from error
    except (InputError, StoreError) as error:
        raise type(error)(error.message, hint=error.hint or refused) from error
