# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A SecretProviderClass: which secret of a cloud becomes which files of a Pod. Pure.

One secret becomes files of several names, because programs look for their token under different ones. Of Secret Manager
each file is the secret itself. The provider of AWS refuses to fetch one secret twice, so there the secret is a JSON
object with one key per file, as the module hf_token_secret writes it.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

Object: t.TypeAlias = "dict[str, t.Any]"

API_VERSION = "secrets-store.csi.x-k8s.io/v1"
KIND = "SecretProviderClass"
#: How a cluster comes to serve the kind, and to the CSI driver behind it.
INSTALL = {
    "gke": "Enable the Secret Manager add-on: `gcloud container clusters update CLUSTER --location=LOCATION"
    " --enable-secret-manager`.",
    "aws": "Install the AWS Secrets and Configuration Provider: `aws eks create-addon --cluster-name CLUSTER"
    " --addon-name aws-secrets-store-csi-driver-provider`.",
}

_FILE = re.compile(r"(?!\.\.|\.$)[A-Za-z0-9._-]{1,253}")
# https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets
_GOOGLE_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_GOOGLE_NAME = re.compile(
    r"(projects/[^/]+(?:/locations/[a-z0-9-]+)?/secrets/[A-Za-z0-9_-]{1,255})(?:/versions/([^/]+))?"
)
_GOOGLE_VERSION = re.compile(r"[1-9][0-9]*|[A-Za-z][A-Za-z0-9_-]{0,62}")  # a number, "latest" or another alias
# https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
_AWS_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
_AWS_ARN = re.compile(r"arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+")
_AWS_VERSION_ID = re.compile(r"[0-9A-Fa-f-]{32,64}")
_JMES_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def build(
    name: str,
    namespace: str,
    provider: str,
    parameters: t.Mapping[str, str],
    *,
    labels: t.Mapping[str, str],
    annotations: t.Mapping[str, str],
) -> Object:
    """The object.

    :param provider: ``gke`` or ``aws``.
    :param parameters: from :func:`gke_parameters` or :func:`aws_parameters`.
    """
    metadata: Object = {"name": name, "namespace": namespace, "labels": {**labels}, "annotations": {**annotations}}
    spec = {"provider": provider, "parameters": {**parameters}}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}


def gke_parameters(
    secret: str, paths: t.Sequence[str], *, project: str | None = None, version: str | None = None
) -> dict[str, str]:
    """Parameters for the managed add-on of GKE: each file is the secret.

    :param secret: id of a secret of ``project``, or a full resource name with or without a version.
    :param version: number or alias; ``latest`` when missing.
    :raises InputError: they do not fit together, or one of them is not valid.
    """
    _check_paths(paths)
    base, named = _google_name(secret, project)
    if named and version and named != version:
        raise InputError(
            f"The secret {secret} names the version {named}, and version is {version}.", hint="Give one of them."
        )
    wanted = named or version or "latest"
    if not _GOOGLE_VERSION.fullmatch(wanted):
        raise InputError(f"{wanted!r} is not a version of a secret.", hint="Give its number, or latest.")
    resource = f"{base}/versions/{wanted}"
    return {"secrets": _yaml([{"resourceName": resource, "path": path} for path in paths])}


def _google_name(secret: str, project: str | None) -> tuple[str, str | None]:
    full = _GOOGLE_NAME.fullmatch(secret)
    if full:
        if project:
            raise InputError(f"The secret {secret} names its project already.", hint="Leave out project.")
        return full[1], full[2]
    if not _GOOGLE_ID.fullmatch(secret):
        raise InputError(
            f"{secret!r} is not a secret of Secret Manager.",
            hint="Give its id, or its full name such as projects/PROJECT/secrets/SECRET.",
        )
    if not project:
        raise InputError(f"The project of the secret {secret} is not known.", hint="Give project, or a full name.")
    return f"projects/{project}/secrets/{secret}", None


def aws_parameters(
    secret: str,
    paths: t.Sequence[str],
    *,
    version: str | None = None,
    region: str | None = None,
    use_pod_identity: bool = False,
) -> dict[str, str]:
    """Parameters for the AWS Secrets and Configuration Provider: each file is the value of its key in the secret.

    Names, and what they may not be, are those of the provider's SecretDescriptor,
    https://github.com/aws/secrets-store-csi-driver-provider-aws

    :param secret: name or ARN.
    :param version: id or staging label of a version; what is labelled AWSCURRENT when missing.
    :raises InputError: they do not fit together, or one of them is not valid.
    """
    _check_paths(paths)
    arn = _AWS_ARN.fullmatch(secret)
    if not arn and not _AWS_NAME.fullmatch(secret):
        raise InputError(f"{secret!r} is not a secret of AWS Secrets Manager.", hint="Give its name or its ARN.")
    if arn and region and arn[1] != region:
        raise InputError(f"The secret {secret} is in {arn[1]}, and region is {region}.", hint="Leave out region.")
    # The provider writes the whole secret as well, under its name.
    if secret.replace("/", "_") in paths:
        raise InputError(
            f"The secret {secret} has the name of one of its paths, which the provider refuses.",
            hint="Give its ARN, or other paths.",
        )
    wanted: Object = {"objectName": secret, "objectType": "secretsmanager"}
    if version:
        wanted["objectVersion" if _AWS_VERSION_ID.fullmatch(version) else "objectVersionLabel"] = version
    wanted["jmesPath"] = [{"path": _jmes_path(path), "objectAlias": path} for path in paths]
    parameters = {"objects": _yaml([wanted])}
    if region or arn:
        parameters["region"] = region or (arn[1] if arn else "")
    if use_pod_identity:
        parameters["usePodIdentity"] = "true"
    return parameters


def _jmes_path(key: str) -> str:
    """The expression for one key of an object, https://jmespath.org/specification.html#identifiers"""
    return key if _JMES_IDENTIFIER.fullmatch(key) else json.dumps(key)


def _check_paths(paths: t.Sequence[str]) -> None:
    if not paths:
        raise InputError("There are no paths.", hint="Give the names of the files that the token is to be in.")
    for path in paths:
        if not _FILE.fullmatch(path):
            raise InputError(
                f"{path!r} in paths is not the name of a file.", hint="Use letters, digits, '-', '_' and '.'."
            )
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        raise InputError(f"{', '.join(twice)} is in paths more than once.")


def _yaml(value: list[Object]) -> str:
    import yaml

    return str(yaml.safe_dump(value, default_flow_style=False, sort_keys=False, width=10_000))
