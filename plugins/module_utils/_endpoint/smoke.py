# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does the server serve? One real completion, asked through the API server, so that it works from anywhere."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError
from ansible_collections.modelops.serving.plugins.module_utils._serving.build import engine_of
from ansible_collections.modelops.serving.plugins.module_utils._serving.engine import Api
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Instance

_PROMPT = "Hello"
_EXCERPT = 200


class EndpointError(KubeError):
    """The endpoint answers, and what it answers is not what a server of models says."""


class Endpoint(t.NamedTuple):
    """Where an instance is asked, and how."""

    namespace: str
    service: str
    port: int
    api: Api
    pod: str | None = None  # asked in place of the Service

    @classmethod
    def of(cls, instance: Instance) -> Endpoint:
        """The endpoint of an instance that has been checked."""
        engine = engine_of(instance)
        return cls(instance.namespace, engine.workloads(instance)[0].name, engine.port.number, engine.api)

    @property
    def url(self) -> str:
        """Address in the cluster. Without the domain of the cluster, which differs."""
        return f"http://{self.service}.{self.namespace}.svc:{self.port}"

    def ask(self, client: Client, path: str, body: dict[str, t.Any] | None = None) -> bytes:
        """What it answers.

        :raises KubeError: nobody answers.
        """
        kind = "Pod" if self.pod else "Service"
        return client.ask(self.namespace, self.pod or self.service, self.port, path, body, kind=kind)


def list_models(client: Client, endpoint: Endpoint) -> list[str] | None:
    """Names of the models that are served; None where the API has no such list.

    :raises KubeError: nobody answers.
    :raises EndpointError: the answer is no list of models.
    """
    if endpoint.api != "openai":
        return None
    path = "/v1/models"
    answer = endpoint.ask(client, path)
    try:
        return [str(model["id"]) for model in json.loads(answer)["data"]]
    except (ValueError, TypeError, KeyError) as error:
        raise _odd(endpoint, path, "a list of models", answer) from error


def complete(client: Client, endpoint: Endpoint, model: str) -> str | None:
    """The text of a completion of one token; None where the API cannot be asked without further ado.

    Saxml serves no model before one is published to its cell.

    :raises KubeError: nobody answers.
    :raises EndpointError: the answer is no completion, whatever its status.
    """
    if endpoint.api == "saxml":
        return None
    openai = endpoint.api == "openai"
    path = "/v1/completions" if openai else "/generate"
    question = {"prompt": _PROMPT, "max_tokens": 1}
    answer = endpoint.ask(client, path, {"model": model, **question} if openai else question)
    try:
        said = json.loads(answer)
        text = _completed(said) if openai else said["response"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        text = None
    if not isinstance(text, str):
        raise _odd(endpoint, path, "a completion", answer)
    return text


def _completed(said: t.Any) -> str | None:
    """The text of the first choice. It may be empty, for a token that shows nothing, if the tokens were counted."""
    text = said["choices"][0]["text"]
    counted = (said.get("usage") or {}).get("completion_tokens", 0)
    return text if text or counted else None


def _odd(endpoint: Endpoint, path: str, wanted: str, answer: bytes) -> EndpointError:
    said = " ".join(answer[:_EXCERPT].decode("utf-8", errors="replace").split()) or "nothing"
    return EndpointError(
        f"{endpoint.url}{path} answers with success, but without {wanted}: {said}",
        hint="See what the server says: "
        f"kubectl logs --namespace {endpoint.namespace} --selector app.kubernetes.io/instance={endpoint.service}",
    )
