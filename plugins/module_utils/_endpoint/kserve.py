# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An instance of KServe in a cluster: is its data connection there, has KServe rolled it out, where is it asked?"""

from __future__ import annotations

import base64
import dataclasses
import json
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._endpoint.rollout import PART_OF
from ansible_collections.modelops.serving.plugins.module_utils._endpoint.smoke import Endpoint, EndpointError
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Object, Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import ApiError, InputError
from ansible_collections.modelops.serving.plugins.module_utils._kube.evidence import ready
from ansible_collections.modelops.serving.plugins.module_utils._kube.kinds import assess
from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import INSTANCE_LABEL, prepare
from ansible_collections.modelops.serving.plugins.module_utils._kube.wait import Target
from ansible_collections.modelops.serving.plugins.module_utils._model_source import required_connection
from ansible_collections.modelops.serving.plugins.module_utils._serving import kserve
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Connection, Instance

KINDS = kserve.KINDS
#: The Secret that KServe reads data connections from, one JSON object per connection, and the labels of those that
#: OpenShift AI copies into it. https://github.com/opendatahub-io/odh-model-controller/blob/main/internal/controller/core/secret_controller.go
_STORAGE = "storage-config"
_COPIED = {"opendatahub.io/managed": "true", **kserve.DASHBOARD}


def is_there(client: Client, name: str, namespace: str) -> bool:
    """Whether the instance of that name is one of KServe. Who may not look has none."""
    if not client.serves(kserve.SERVICE_API, "InferenceService"):
        return False
    try:
        found = client.get(_ref(name, namespace))
    except ApiError as error:
        if error.status != 403:
            raise
        return False
    return found is not None and (found["metadata"].get("labels") or {}).get(INSTANCE_LABEL) == name


def check_connection(client: Client, instance: Instance) -> None:
    """Would KServe find the data connection?

    :raises KubeError: it would not, or its Secrets may not be read.
    """
    weights = instance.model.weights
    if not isinstance(weights, Connection):
        return
    namespace, name = instance.namespace, weights.secret
    stored = client.get(Ref("v1", "Secret", _STORAGE, namespace))
    entry = ((stored or {}).get("data") or {}).get(name)
    if entry is not None:
        _check_entry(entry, f"The key {name} of Secret {namespace}/{_STORAGE}")
        return
    missing = required_connection(name, namespace)
    found = client.get(Ref("v1", "Secret", name, namespace))
    if found is None:
        raise InputError(f"There is no data connection: Secret {namespace}/{name} is not there.", hint=missing)
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_S3_BUCKET", "AWS_S3_ENDPOINT")
    lacking = [key for key in keys if not (found.get("data") or {}).get(key)]
    if lacking:
        raise InputError(f"Secret {namespace}/{name} lacks {', '.join(lacking)}.", hint=missing)
    if not _COPIED.items() <= (found["metadata"].get("labels") or {}).items():
        labels = " ".join(f"{key}={value}" for key, value in _COPIED.items())
        raise InputError(
            f"KServe does not find the data connection {name}: Secret {namespace}/{_STORAGE} has no such key.",
            hint="OpenShift AI adds it when the Secret is labelled: "
            f"kubectl label secret --namespace {namespace} {name} {labels}",
        )


def _check_entry(entry: str, what: str) -> None:
    """What KServe reads is JSON with a bucket; an empty one has it look into none."""
    try:
        connection = json.loads(base64.b64decode(entry))
    except ValueError:
        connection = None
    if not isinstance(connection, dict) or not connection.get("bucket"):
        raise InputError(
            f"{what} does not name a bucket.",
            hint="Let modelops.serving.model_sync_job or OpenShift AI write it from the data connection.",
        )


# -- ready -------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class RolledOut:
    """The Deployment of KServe has all Pods of one definition, and they are ready.

    An InferenceService stays Ready while that is on its way, with Pods of before.
    """

    definition: str

    def __str__(self) -> str:
        return f"rolled out as definition {self.definition}"

    def met(self, obj: Object) -> bool:
        """Whether the object meets it."""
        annotations = (obj["spec"]["template"].get("metadata") or {}).get("annotations") or {}
        return annotations.get(kserve.DEFINITION) == self.definition and assess(obj).state == "ready"


def rolled_out(objects: t.Iterable[Object]) -> Target:
    """What to wait for beside the InferenceService."""
    (service,) = (obj for obj in objects if obj["kind"] == "InferenceService")
    metadata = service["metadata"]
    ref = Ref("apps/v1", "Deployment", kserve.deployment(metadata["name"]), metadata["namespace"])
    return Target(ref, RolledOut(service["spec"]["predictor"]["annotations"][kserve.DEFINITION]))


# -- asked -------------------------------------------------------------------------------------------------------------


def url(service: Object) -> str:
    """Where clients ask; empty while KServe has not told it. A Route comes first, then the address in the cluster.

    ``status.url`` in the cluster lacks the port of a Service without an address of its own.
    """
    status = service.get("status") or {}
    exposed = (service["metadata"].get("labels") or {}).get("networking.kserve.io/visibility") == "exposed"
    inside = (status.get("address") or {}).get("url")
    return str((status.get("url") if exposed else inside or status.get("url")) or "")


def endpoint(client: Client, instance: Instance) -> Endpoint:
    """A Pod that is ready: beside the proxy, which asks for a token that the API server does not pass on.

    :raises EndpointError: there is no such Pod, or nothing asks for the token.
    """
    if instance.kserve and instance.kserve.auth == "proxy":
        service = client.get(_ref(instance.name, instance.namespace)) or {}
        inside = ((service.get("status") or {}).get("address") or {}).get("url") or "no address"
        if not inside.startswith("https://"):
            raise EndpointError(
                f"InferenceService {instance.namespace}/{instance.name} serves everybody, at {inside}: "
                "nothing in front of it asks for a token.",
                hint="The proxy that does is part of OpenShift AI. With another KServe take kserve.auth authorino or none.",
            )
    labels = f"serving.kserve.io/inferenceservice={instance.name}"
    pods = [pod for pod in client.list("v1", "Pod", instance.namespace, labels=labels) if _serves(pod)]
    if not pods:
        raise EndpointError(
            f"No Pod of InferenceService {instance.namespace}/{instance.name} is ready, although it says that it is.",
            hint=f"See kubectl get pods --namespace {instance.namespace} --selector {labels}",
        )
    newest = max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
    return Endpoint.of(instance)._replace(pod=newest["metadata"]["name"])


def _serves(pod: Object) -> bool:
    return ready(pod) and "deletionTimestamp" not in pod["metadata"]


def endpoint_secret(client: Client, instance: Instance, hide: t.Callable[[str], None]) -> list[Object]:
    """The Secret for workbenches, if one is wanted, with what is known by now: KServe tells the address when it is ready.

    :param hide: told the token before anything is done with it.
    :raises KubeError: the API server refuses.
    """
    asked = instance.kserve
    if asked is None or not asked.endpoint_secret:
        return []
    service = client.get(_ref(instance.name, instance.namespace))
    where, token = url(service) if service else "", ""
    if asked.token:
        found = client.get(Ref("v1", "Secret", kserve.token_secret(instance), instance.namespace)) or {}
        token = base64.b64decode((found.get("data") or {}).get("token") or "").decode()
        if token:
            hide(token)
        else:
            where = ""
    made = kserve.endpoint_secret(instance, where, token)
    return prepare([made], instance=instance.name, part_of=PART_OF, namespaced=lambda *_kind: True)


def _ref(name: str, namespace: str) -> Ref:
    return Ref(kserve.SERVICE_API, "InferenceService", name, namespace)
