# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same server by KServe: a ServingRuntime and an InferenceService, and what OpenShift AI looks for beside them. Pure.

The deployment mode is RawDeployment, which OpenShift AI 2.x and 3.x both know: a Deployment and the Service
``<name>-predictor``, without Knative. Sources: https://github.com/kserve/kserve (pkg/apis/serving),
https://github.com/opendatahub-io/kserve (pkg/constants/constants_odh.go, the proxy of ``enable-auth``),
https://github.com/opendatahub-io/odh-model-controller (Route of ``visibility``, ``storage-config`` of data connections),
https://github.com/opendatahub-io/odh-dashboard (packages/model-serving/src/concepts/auth.ts: names of accounts and tokens).
"""

from __future__ import annotations

import hashlib
import json
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._serving.engine import Workload
from ansible_collections.modelops.serving.plugins.module_utils._serving.extras import Extras
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import (
    Connection,
    Instance,
    KServe,
    Object,
    check_name,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

AUTH = ("proxy", "authorino", "none")
SERVICE_API, RUNTIME_API = "serving.kserve.io/v1beta1", "serving.kserve.io/v1alpha1"
#: Annotation of the Pods that tells which definition they were made of.
DEFINITION = "modelops.serving/definition"
#: Label that the dashboard of OpenShift AI finds its objects by.
DASHBOARD = {"opendatahub.io/dashboard": "true"}
_FORMAT = "vLLM"  # that of the runtimes of OpenShift AI
#: Kinds of which an instance has objects only with KServe.
KINDS = (
    (SERVICE_API, "InferenceService"),
    (RUNTIME_API, "ServingRuntime"),
    ("v1", "Secret"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("authorino.kuadrant.io/v1beta3", "AuthConfig"),
)


def token_secret(instance: Instance) -> str:
    """Name of the Secret with the token."""
    return f"token-{_client(instance)}"


def deployment(name: str) -> str:
    """Name of the Deployment and of the Service that KServe makes."""
    return f"{name}-predictor"


# -- what is checked ---------------------------------------------------------------------------------------------------


def check(instance: Instance, workload: Workload, wanted: Extras) -> None:
    """Raise unless KServe can make the instance.

    :raises InputError: it cannot.
    """
    asked = _asked(instance)
    if instance.engine != "vllm" or workload.controller != "deployment":
        raise InputError(
            f"{instance.name} is not one vLLM on one host, and KServe makes no other.",
            hint="Leave out kserve, or take engine vllm and a slice of one host.",
        )
    for option in ("autoscaling", "route"):
        if getattr(wanted, option):
            raise InputError(
                f"The option {option} is for objects that KServe makes itself.",
                hint="Leave it out; kserve.exposed makes a Route.",
            )
    if instance.replicas < 1:
        raise InputError("KServe does not keep a server with 0 replicas.", hint="Give at least 1, or state: absent.")
    if not (instance.cpu and instance.memory):
        # https://github.com/kserve/kserve/blob/master/config/configmap/inferenceservice.yaml
        raise InputError(
            "KServe limits a server without cpu and memory to 1 CPU and 2Gi.", hint="Give both, such as 8 and 32Gi."
        )
    _check_access(asked)
    if "{{" in json.dumps([workload.containers, instance.args]):
        raise InputError(
            "KServe takes {{ in arguments and variables for a template of its own.",
            hint="Put what has it into a file of the model or the image, and name the file.",
        )


def _check_access(asked: KServe) -> None:
    if asked.auth not in AUTH:
        raise InputError(f"auth {asked.auth!r} is not known.", hint=f"Use one of {', '.join(AUTH)}.")
    if asked.token and asked.auth == "none":
        raise InputError("Nobody asks for the token.", hint="Leave out token, or take auth: proxy.")
    if asked.endpoint_secret:
        check_name("endpoint_secret", asked.endpoint_secret)
        if asked.auth != "none" and not asked.token:
            raise InputError(
                f"The Secret {asked.endpoint_secret} would have no token, and the server asks for one.",
                hint="Set token: true, or leave endpoint_secret out.",
            )


def _asked(instance: Instance) -> KServe:
    if instance.kserve is None:
        raise InputError(f"{instance.name} is not served by KServe.", hint="Give kserve.")
    return instance.kserve


# -- objects -----------------------------------------------------------------------------------------------------------


def objects(instance: Instance, template: Object, pace: Object) -> list[Object]:
    """The runtime, the service and who may ask it.

    :param template: of the Pods, as a Deployment would have it.
    :param pace: of an update, as ``rollingUpdate`` of a Deployment has it.
    """
    asked = _asked(instance)
    found = [_runtime(instance, template), _service(instance, asked, template, pace)]
    if asked.auth == "authorino":
        found.append(_auth_config(instance))
    return found + (_token(instance) if asked.token else [])


def _runtime(instance: Instance, template: Object) -> Object:
    """Everything of the container that does not differ between services."""
    pod: Object = template["spec"]
    (container,) = pod["containers"]
    container = {key: value for key, value in container.items() if key != "resources"}
    spec: Object = {
        "multiModel": False,
        "supportedModelFormats": [{"name": _FORMAT, "autoSelect": False}],
        "containers": [{**container, "name": "kserve-container"}],
        **{key: pod[key] for key in ("volumes", "imagePullSecrets") if key in pod},
    }
    metadata: Object = {"labels": DASHBOARD, "annotations": {"openshift.io/display-name": instance.name}}
    return _object(RUNTIME_API, "ServingRuntime", instance.name, instance, metadata, spec=spec)


def _service(instance: Instance, asked: KServe, template: Object, pace: Object) -> Object:
    pod: Object = template["spec"]
    # The proxy looks tokens up with the account of the Pod.
    own = {**pod, "automountServiceAccountToken": asked.auth == "proxy"}
    of_runtime = ("containers", "volumes", "imagePullSecrets")
    predictor: Object = {
        **{key: value for key, value in own.items() if key not in of_runtime},
        "minReplicas": instance.replicas,
        "maxReplicas": instance.replicas,
        "deploymentStrategy": {"type": "RollingUpdate", "rollingUpdate": pace},
        "labels": template["metadata"]["labels"],
        "model": _model(instance, pod["containers"][0]["resources"]),
    }
    annotations = template["metadata"].get("annotations") or {}
    definition = json.dumps([predictor, annotations, pod], sort_keys=True)
    mark = hashlib.sha256(definition.encode()).hexdigest()[:16]
    predictor["annotations"] = {**annotations, DEFINITION: mark}
    metadata: Object = {
        "labels": {**DASHBOARD, **({"networking.kserve.io/visibility": "exposed"} if asked.exposed else {})},
        "annotations": {
            "openshift.io/display-name": instance.name,
            # KServe from 0.16 calls it Standard, and still knows this name.
            "serving.kserve.io/deploymentMode": "RawDeployment",
            "security.opendatahub.io/enable-auth": str(asked.auth == "proxy").lower(),
        },
    }
    return _object(SERVICE_API, "InferenceService", instance.name, instance, metadata, spec={"predictor": predictor})


def _model(instance: Instance, resources: Object) -> Object:
    # Without a limit of CPU KServe would set one, below what is requested.
    limited = {**resources, "limits": {**resources["limits"], "cpu": instance.cpu}}
    model: Object = {"modelFormat": {"name": _FORMAT}, "runtime": instance.name, "resources": limited}
    weights = instance.model.weights
    if isinstance(weights, Connection):
        model["storage"] = {"key": weights.secret, "path": weights.path.strip("/")}
    return model


def _auth_config(instance: Instance) -> Object:
    """Authorino: a token of this cluster, of somebody who may ``get`` the InferenceService."""
    where = [f"{name}.{instance.namespace}" for name in (deployment(instance.name), instance.name)]
    review = {
        "group": "serving.kserve.io",
        "resource": "inferenceservices",
        "verb": "get",
        "namespace": instance.namespace,
        "name": instance.name,
    }
    spec = {
        "hosts": [f"{host}{domain}" for host in where for domain in ("", ".svc", ".svc.cluster.local")],
        "authentication": {
            "kubernetes-user": {"kubernetesTokenReview": {"audiences": ["https://kubernetes.default.svc"]}}
        },
        "authorization": {
            "kubernetes-rbac": {
                "kubernetesSubjectAccessReview": {
                    "user": {"selector": "auth.identity.user.username"},
                    "resourceAttributes": {key: {"value": value} for key, value in review.items()},
                }
            }
        },
    }
    # Which instance of Authorino it is for: that of OpenShift AI looks for this label.
    metadata = {"labels": {"security.opendatahub.io/authorization-group": "default"}}
    return _object("authorino.kuadrant.io/v1beta3", "AuthConfig", instance.name, instance, metadata, spec=spec)


def _client(instance: Instance) -> str:
    """The account that asks, as the dashboard of OpenShift AI names it. It is not that of the Pods, which may do more."""
    return f"{instance.name}-sa"


def _token(instance: Instance) -> list[Object]:
    """An account, what it may, and a token of it, which Kubernetes puts into the Secret."""
    account, group = _client(instance), "rbac.authorization.k8s.io"
    rule = {
        "apiGroups": ["serving.kserve.io"],
        "resources": ["inferenceservices"],
        "resourceNames": [instance.name],
        "verbs": ["get"],
    }
    role = f"{instance.name}-view-role"
    binding: Object = {
        "roleRef": {"apiGroup": group, "kind": "Role", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": instance.namespace}],
    }
    told = {
        "labels": DASHBOARD,
        "annotations": {"kubernetes.io/service-account.name": account, "openshift.io/display-name": instance.name},
    }
    kind = "kubernetes.io/service-account-token"
    return [
        _object("v1", "ServiceAccount", account, instance, automountServiceAccountToken=False),
        _object(f"{group}/v1", "Role", role, instance, rules=[rule]),
        _object(f"{group}/v1", "RoleBinding", f"{instance.name}-view", instance, **binding),
        _object("v1", "Secret", token_secret(instance), instance, told, type=kind),
    ]


def endpoint_secret(instance: Instance, url: str, token: str) -> Object:
    """What a workbench takes into its environment: for clients of OpenAI's API, and for AnythingLLM.

    The variables of AnythingLLM are those of https://github.com/Mintplex-Labs/anything-llm/blob/master/docker/.env.example.

    :param url: of the server; without it nothing is known yet, and the Secret is empty.
    """
    asked, model = _asked(instance), instance.model.served_name or instance.model.name
    base = f"{url.rstrip('/')}/v1"
    data = {
        "OPENAI_BASE_URL": base,
        "OPENAI_API_KEY": token,
        "OPENAI_MODEL": model,
        "LLM_PROVIDER": "generic-openai",
        "GENERIC_OPEN_AI_BASE_PATH": base,
        "GENERIC_OPEN_AI_API_KEY": token,
        "GENERIC_OPEN_AI_MODEL_PREF": model,
        **_limit(instance),
    }
    data = {key: value for key, value in data.items() if value}
    annotations = {"openshift.io/display-name": f"Endpoint of {instance.name}"}
    if asked.connection_type:
        annotations["opendatahub.io/connection-type-ref"] = asked.connection_type
    metadata: Object = {"labels": DASHBOARD, "annotations": annotations}
    content: Object = {"type": "Opaque", "stringData": data if url else {}}
    return _object("v1", "Secret", asked.endpoint_secret or "", instance, metadata, **content)


def _limit(instance: Instance) -> dict[str, str]:
    longest = instance.settings.get("max_model_len")
    return {"GENERIC_OPEN_AI_MODEL_TOKEN_LIMIT": str(longest)} if longest else {}


def _object(
    api_version: str, kind: str, name: str, instance: Instance, metadata: Object | None = None, **content: t.Any
) -> Object:
    place = {"name": name, "namespace": instance.namespace, **(metadata or {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": place, **content}
