# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the Hub is asked about a token, with what, and what its answers mean for a Job."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._hub import token as hub_token
from ansible_collections.modelops.serving.plugins.module_utils._hub.token import Identity, ModelAccess, TokenInfo
from ansible_collections.modelops.serving.plugins.module_utils._sync_job import preflight
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    InputError,
    StoreError,
    TransientError,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._sync_job import options

NAME = options.HUB["repo"]
READER = Identity("reader", "alice", "user", "read", None, (), None)


@pytest.fixture
def hub(monkeypatch):
    """Calls of the Hub, and the ``answer`` or error that it gives next."""

    class Hub:
        def __init__(self):
            self.answer, self.errors, self.asked = "yes", [], []

        def look_up(self, **asked):
            self.asked.append(asked)
            for error in self.errors:
                raise error
            identity = None if self.answer == "revoked" else READER
            model = ModelAccess(NAME, "https://hub.test/page", self.answer, f"why {self.answer}.", "Do this.")
            return TokenInfo("https://hub.test", True, identity, (model,))

    found = Hub()
    monkeypatch.setattr(hub_token, "look_up", found.look_up)
    return found


def assembled(**given):
    return options.assembled(
        {"hub": {"token": "t-secret\n"}}, **{"source": {**options.HUB, "token": "t-value"}, **given}
    )


@pytest.mark.parametrize(
    ("given", "token"),
    [
        ({}, "t-value"),
        ({"source": options.HUB, "token_secret": {"name": "hub"}}, "t-secret"),
        ({"source": {**options.HUB, "credentials_secret": "hub"}}, "t-secret"),
    ],
)
def test_what_is_asked(hub, given, token):
    assert preflight.check_token(assembled(**given)) is None
    (asked,) = hub.asked
    assert (asked["token"], asked["models"]) == (token, [NAME])
    assert asked["endpoint"] == "https://huggingface.co" and asked["validate_certs"] is True


def test_the_hub_and_the_file_that_are_given(hub, tmp_path):
    (tmp_path / "token").write_text("t-file\n")
    source = {
        **options.HUB,
        "token_file": str(tmp_path / "token"),
        "endpoint": "https://hub.test",
        "validate_certs": False,
    }
    assert preflight.check_token(assembled(source=source)) is None
    (asked,) = hub.asked
    assert (asked["token"], asked["endpoint"], asked["validate_certs"]) == ("t-file", "https://hub.test", False)


@pytest.mark.parametrize(
    "given",
    [
        {"source": options.HUB},
        {"source": options.HUB, "token_secret_provider_class": {"provider": "gke"}},
        {"source": {"type": "s3", "bucket": "b"}, "name": "n"},
    ],
)
def test_without_a_token_that_is_known_here_nothing_is_asked(hub, given):
    assert preflight.check_token(assembled(**given)) is None
    assert hub.asked == []


@pytest.mark.parametrize("answer", ["gated", "pending", "not_found", "revoked"])
def test_a_token_that_may_not_read_the_model(hub, answer):
    hub.answer = answer
    with pytest.raises(AccessError, match=f"why {answer}"):
        preflight.check_token(assembled())


@pytest.mark.parametrize("errors", [[], [TransientError("why unknown")], [StoreError("why unknown")]])
def test_a_hub_that_does_not_say(hub, errors):
    hub.answer, hub.errors = "unknown", errors
    warning = preflight.check_token(assembled())
    assert warning.startswith("The token was not checked: why unknown")


def test_a_wrong_name_is_wrong(hub):
    hub.errors = [InputError("no repository id")]
    with pytest.raises(InputError):
        preflight.check_token(assembled())
