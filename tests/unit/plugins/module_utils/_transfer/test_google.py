# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Acting as a service account: which accounts can be meant, and what a refusal says."""

from __future__ import annotations

import json

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    InputError,
    TransientError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.google import (
    GoogleAuth,
    GoogleCredentials,
    Impersonation,
    _not_impersonated,
)

FIRST, SECOND = "first@p.iam.gserviceaccount.com", "second@p.iam.gserviceaccount.com"
ONE, CHAIN = Impersonation((SECOND,)), Impersonation((FIRST, SECOND))


def told(code, message="Denied.\nMore."):
    """What google-auth raises, by the answer it got."""
    return ("Unable to acquire impersonated credentials", json.dumps({"error": {"code": code, "message": message}}))


def test_who_is_asked_for_a_role_on_whom():
    assert CHAIN.names[1] == f"projects/-/serviceAccounts/{SECOND}"
    for impersonation, asking in ((ONE, "the credentials in use"), (CHAIN, f"{FIRST}, and each account")):
        error = _not_impersonated(impersonation, told(403))
        assert isinstance(error, AccessError)
        assert error.message == f"Google gave no access token for {SECOND}: Denied (403)."
        assert (
            error.hint.startswith(f"Give {asking}")
            and f"roles/iam.serviceAccountTokenCreator on {SECOND}" in error.hint
        )


@pytest.mark.parametrize("code", [429, 500, 503])
def test_what_may_go_better_later(code):
    assert isinstance(_not_impersonated(ONE, told(code)), TransientError)


@pytest.mark.parametrize(
    "args", [(), ("text",), ("text", "<html>"), ("text", '{"error": "invalid_grant"}'), ("text", "[]")]
)
def test_refusals_of_others_are_left_to_others(args):
    assert _not_impersonated(ONE, args) is None


@pytest.mark.parametrize("account", ["deployer", "", f"{FIRST}:x", f"projects/-/serviceAccounts/{FIRST}"])
def test_what_is_no_account(account):
    with pytest.raises(InputError, match="cannot be impersonated"):
        Impersonation((account,))


def test_nobody_cannot_impersonate():
    with pytest.raises(InputError, match="Without credentials"):
        GoogleAuth(GoogleCredentials("anonymous"), None, scope="s", impersonation=ONE)
