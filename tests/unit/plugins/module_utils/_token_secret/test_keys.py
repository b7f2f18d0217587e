# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._token_secret.keys import check_keys
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError


def test_the_usual_keys_and_others():
    assert check_keys(None) == ("token", "HUGGINGFACE_TOKEN")
    assert check_keys(["a-b", "_c.d", ".hidden", "x" * 253]) == ("a-b", "_c.d", ".hidden", "x" * 253)


@pytest.mark.parametrize("key", ["", "a/b", "a b", "ü", ".", "..", "..a", "x" * 254, "a\n"])
def test_no_keys(key):
    with pytest.raises(InputError, match="cannot be a key"):
        check_keys(["token", key])


def test_none_and_twice():
    with pytest.raises(InputError, match="no keys"):
        check_keys([])
    with pytest.raises(InputError, match="The key a, b is there twice"):
        check_keys(["b", "a", "c", "a", "b"])
