# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._endpoint import smoke
from ansible_collections.modelops.serving.plugins.module_utils._endpoint.smoke import Endpoint, EndpointError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.fakes import Answer, FakeApi
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving.instances import cpu

VLLM = Endpoint.of(cpu())
JETSTREAM = VLLM._replace(api="jetstream")
PROXY = "/api/v1/namespaces/serving/services/gemma:8000/proxy"


class Server(FakeApi):
    """Answers all the same."""

    def __init__(self, body):
        super().__init__()
        self.rules.append(lambda _asked: Answer(200, body))


def test_address():
    assert VLLM == ("serving", "gemma", 8000, "openai", None)
    assert VLLM.url == "http://gemma.serving.svc:8000"


def test_completion_of_one_token():
    api = Server({"choices": [{"text": " world"}]})
    assert smoke.complete(api.client(), VLLM, "m") == " world"
    (asked,) = api.asked
    assert (asked.method, asked.path) == ("POST", f"{PROXY}/v1/completions")
    assert asked.body == {"model": "m", "prompt": "Hello", "max_tokens": 1}


def test_a_token_may_show_nothing():
    answer = {"choices": [{"text": ""}], "usage": {"completion_tokens": 1}}
    assert smoke.complete(Server(answer).client(), VLLM, "m") == ""


def test_jetstream_is_asked_in_its_own_words():
    api = Server({"response": "x"})
    assert smoke.complete(api.client(), JETSTREAM, "m") == "x"
    assert (api.asked[0].path, api.asked[0].body) == (f"{PROXY}/generate", {"prompt": "Hello", "max_tokens": 1})
    assert smoke.list_models(api.client(), JETSTREAM) is None


def test_saxml_is_not_asked():
    api = Server({})
    assert smoke.complete(api.client(), VLLM._replace(api="saxml"), "m") is None
    assert not api.asked


@pytest.mark.parametrize(
    "body",
    [{}, [], b"", b"<html>", {"choices": []}, {"choices": [{}]}, {"choices": [{"text": ""}]}, {"choices": ["x"]}],
)
def test_success_without_a_completion_is_a_failure(body):
    with pytest.raises(EndpointError, match="/v1/completions answers with success, but without a completion") as error:
        smoke.complete(Server(body).client(), VLLM, "m")
    assert "kubectl logs --namespace serving" in error.value.hint


def test_models():
    api = Server({"data": [{"id": "a"}, {"id": "b"}]})
    assert smoke.list_models(api.client(), VLLM) == ["a", "b"]
    assert (api.asked[0].method, api.asked[0].path) == ("GET", f"{PROXY}/v1/models")
    with pytest.raises(EndpointError, match="without a list of models"):
        smoke.list_models(Server({"data": None}).client(), VLLM)
