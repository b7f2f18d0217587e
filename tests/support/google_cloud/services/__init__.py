# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which function carries out which method. Each module of ``services`` is one API and is imported when it is asked for.

To add behaviour: write ``services/<api>.py`` and decorate functions with the ids of the methods they carry out. Other
methods of such an API are answered with 501, except for those of IAM policies. An API without a module is left to
``standard``.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import TypeVar

from .. import policies, standard
from ..state import Call, Resource

Handler = Callable[[Call], "Resource | None"]
_Handler = TypeVar("_Handler", bound=Handler)

_handlers: dict[str, Handler] = {}


def carries_out(*methods: str) -> Callable[[_Handler], _Handler]:
    """For functions that carry out methods with these ids. They return the answer, or None for 204."""

    def register(handler: _Handler) -> _Handler:
        for method in methods:
            _handlers[method] = handler
        return handler

    return register


def handler_of(api: str, method: str) -> Handler:
    """What carries out a method; it raises 501 where nothing does."""
    module = f"{__name__}.{api}"
    known = importlib.util.find_spec(module) is not None
    if known:
        importlib.import_module(module)
    return _handlers.get(method) or policies.handler_of(method) or (not_implemented if known else standard.carry_out)


def not_implemented(call: Call) -> Resource:
    """:raises ApiError: 501."""
    raise standard.not_implemented(call)
