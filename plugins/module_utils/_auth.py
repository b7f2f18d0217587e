# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One layer of options per place where models come from or go to: argument specs, environment, secrets.

Option names and their environment variables are those of amazon.aws and google.cloud, so that what AWX injects works.
The environment is read by the AWS SDK and by the engine where no option is given. What is left for here does not go
through ``env_fallback``, because it must only count for its own type: ``AWS_URL`` says nothing about a bucket of Google.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.common.parameters import env_fallback

from ansible_collections.modelops.serving.plugins.module_utils._transfer.google import AUTH_KINDS, GoogleCredentials
from ansible_collections.modelops.serving.plugins.module_utils._transfer.hub import find_token

Spec: t.TypeAlias = "dict[str, dict[str, t.Any]]"

HUGGINGFACE: Spec = {
    "endpoint": {"type": "str"},
    "token": {"type": "str", "no_log": True, "aliases": ["hf_token"]},
    "token_file": {"type": "path", "no_log": False},
}
KAGGLE: Spec = {  # beside endpoint, token and token_file
    "username": {"type": "str"},
    "key": {"type": "str", "no_log": True},
    "kaggle_config": {"type": "path"},
}
S3: Spec = {
    "endpoint_url": {"type": "str", "aliases": ["aws_endpoint_url"]},
    "region": {"type": "str", "aliases": ["aws_region"]},
    "access_key": {"type": "str", "no_log": False, "aliases": ["aws_access_key_id", "aws_access_key"]},
    "secret_key": {"type": "str", "no_log": True, "aliases": ["aws_secret_access_key", "aws_secret_key"]},
    "session_token": {"type": "str", "no_log": True, "aliases": ["aws_session_token"]},
    "profile": {"type": "str", "aliases": ["aws_profile"]},
    "anonymous": {"type": "bool"},
    "validate_certs": {"type": "bool"},
    "ca_bundle": {"type": "path", "aliases": ["aws_ca_bundle"]},
}
GCS: Spec = {
    "auth_kind": {"type": "str", "choices": list(AUTH_KINDS)},
    "service_account_file": {"type": "path"},
    "service_account_contents": {"type": "jsonarg", "no_log": True},
    "access_token": {"type": "str", "no_log": True},
}
GCP: Spec = {
    "project": {"type": "str", "fallback": (env_fallback, ["GCP_PROJECT", "GOOGLE_CLOUD_PROJECT"])},
    "endpoints": {"type": "dict", "default": {}},
    # Of Terraform and of gcloud; the latter takes a chain with commas, as lists of Ansible do.
    "impersonate_service_account": {
        "type": "list",
        "elements": "str",
        "fallback": (
            env_fallback,
            ["GOOGLE_IMPERSONATE_SERVICE_ACCOUNT", "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT"],
        ),
    },
    **GCS,
}
TLS: Spec = {"validate_certs": {"type": "bool"}, "ca_bundle": {"type": "path", "aliases": ["aws_ca_bundle"]}}
IBM_COS: Spec = {
    "api_key": {"type": "str", "no_log": True, "aliases": ["ibmcloud_api_key"]},
    "iam_token": {"type": "str", "no_log": True},
    "iam_refresh_token": {"type": "str", "no_log": True},
    "iam_endpoint": {"type": "str"},
    "instance_crn": {"type": "str"},
}
SOURCE: Spec = {
    "type": {
        "type": "str",
        "choices": ["huggingface", "kaggle", "s3", "gcs", "ibm_cos", "local", "in_place"],
        "default": "huggingface",
    },
    "repo": {"type": "str"},
    "revision": {"type": "str"},
    "bucket": {"type": "str"},
    "prefix": {"type": "str"},
    "paths": {"type": "list", "elements": "path"},
    "allow_patterns": {"type": "list", "elements": "str"},
    "ignore_patterns": {"type": "list", "elements": "str"},
    **HUGGINGFACE,
    **KAGGLE,
    **S3,
    **GCS,
    **IBM_COS,
}
DESTINATION: Spec = {
    "type": {"type": "str", "choices": ["s3", "gcs", "ibm_cos", "local"], "default": "s3"},
    "bucket": {"type": "str"},
    "prefix": {"type": "str"},
    "path": {"type": "path"},
    **S3,
    **GCS,
    **IBM_COS,
}

_EXCLUSIVE = [
    ("profile", "access_key", "anonymous"),
    ("service_account_file", "service_account_contents", "access_token"),
    ("access_key", "api_key", "iam_token"),
    ("access_key", "api_key", "iam_refresh_token"),
]
_TOGETHER = [("access_key", "secret_key")]
_REQUIRED_BY = {"session_token": ("access_key",)}

SOURCE_OPTION: dict[str, t.Any] = {
    "type": "dict",
    "options": SOURCE,
    "mutually_exclusive": [
        ("token", "token_file", "username", "kaggle_config"),
        ("token", "token_file", "key", "kaggle_config"),
        *_EXCLUSIVE,
    ],
    "required_together": [("username", "key"), *_TOGETHER],
    "required_by": _REQUIRED_BY,
    "required_if": [
        ("type", "huggingface", ("repo",)),
        ("type", "kaggle", ("repo",)),
        ("type", "s3", ("bucket",)),
        ("type", "gcs", ("bucket",)),
        ("type", "ibm_cos", ("bucket",)),
        ("type", "local", ("paths",)),
    ],
}
DESTINATIONS_OPTION: dict[str, t.Any] = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": DESTINATION,
    "mutually_exclusive": _EXCLUSIVE,
    "required_together": _TOGETHER,
    "required_by": _REQUIRED_BY,
    "required_if": [
        ("type", "s3", ("bucket",)),
        ("type", "gcs", ("bucket",)),
        ("type", "ibm_cos", ("bucket",)),
        ("type", "local", ("path",)),
    ],
}
_CREDENTIALS_SECRET: Spec = {"credentials_secret": {"type": "str", "no_log": False}}
# The same where the sync runs in a cluster.
JOB_SOURCE_OPTION = {**SOURCE_OPTION, "options": {**SOURCE, **_CREDENTIALS_SECRET}}
JOB_DESTINATIONS_OPTION = {
    **DESTINATIONS_OPTION,
    "required": False,
    "options": {**DESTINATION, **_CREDENTIALS_SECRET},
}
NOTIFY_OPTION: dict[str, t.Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "type": {"type": "str", "choices": ["webhook", "slack", "sns"], "required": True},
        "url": {"type": "str", "no_log": True},
        "topic_arn": {"type": "str"},
        "region": {"type": "str"},
        "endpoint_url": {"type": "str"},
        "on": {
            "type": "list",
            "elements": "str",
            "choices": ["success", "failure"],
            "default": ["success", "failure"],
        },
        "on_unchanged": {"type": "bool", "default": False},
    },
    "required_if": [("type", "webhook", ("url",)), ("type", "slack", ("url",)), ("type", "sns", ("topic_arn",))],
}
CONTROL: Spec = {
    "timeout": {"type": "float"},
    "stall_timeout": {"type": "float", "default": 30},
    "attempts": {"type": "int", "default": 6},
}

# What the AWS SDK does not read itself, or not from there.
_S3_ENVIRONMENT = {
    "endpoint_url": ("AWS_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
}
_PASTED = (
    "access_key",
    "secret_key",
    "session_token",
    "access_token",
    "api_key",
    "iam_token",
    "iam_refresh_token",
    "key",
)
# Secrets that the libraries read from the environment themselves. They are kept out of results all the same.
_SECRET_VARIABLES = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "GCP_ACCESS_TOKEN",
    "IBMCLOUD_API_KEY",
    "IBM_API_KEY_ID",
)

_LIBRARIES = {
    "huggingface": (("huggingface_hub", "huggingface_hub >= 1.0"),),
    "s3": (("botocore", "boto3"),),
    "ibm_cos": (("botocore", "boto3"),),
    "gcs": (("google.auth", "google-auth"), ("google_crc32c", "google-crc32c")),
    "gcp": (("google.auth", "google-auth"),),
}


def source_data(module: AnsibleModule, given: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The engine's description of a source from the option ``source``.

    :raises TransferError: credentials cannot be read, or are none.
    """
    data = _complete(module, given, SOURCE)
    if data["type"] == "huggingface":
        token, warning = find_token(data.get("token"), data.pop("token_file", None))
        if warning:
            module.warn(warning)
        if token:
            # Found in a file, in the environment, or without its white space: not the value that Ansible knows.
            module.no_log_values.add(token)
            data["token"] = token
    elif data["type"] == "kaggle":
        from ansible_collections.modelops.serving.plugins.module_utils._transfer.kaggle import find_credentials

        given = {key: data.pop(key, None) for key in ("token", "token_file", "username", "key")}
        found = find_credentials(**given, config=data.pop("kaggle_config", None))
        module.no_log_values.update(found.secrets)
        data.update({key: value for key, value in dataclasses.asdict(found).items() if value})
    return data


def destinations_data(module: AnsibleModule, given: t.Sequence[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """The engine's descriptions of destinations from the option ``destinations``."""
    return [_complete(module, item, DESTINATION) for item in given]


def google_credentials(module: AnsibleModule) -> GoogleCredentials:
    """What the options of :data:`GCP` say of credentials. Secrets among them are hidden from here on."""
    _require(module, "gcp")
    given = {key: module.params[key] for key in GCS if module.params[key] is not None}
    module.no_log_values.update(_secrets(given))
    return GoogleCredentials(**given)


def _complete(module: AnsibleModule, given: t.Mapping[str, t.Any], spec: Spec) -> dict[str, t.Any]:
    # Aliases stay among the parameters beside the names they stand for.
    data = {key: given[key] for key in spec if given.get(key) is not None}
    kind = data["type"]
    _require(module, kind)
    if kind == "s3":
        for key, variables in _S3_ENVIRONMENT.items():
            data.setdefault(key, next((os.environ[name] for name in variables if os.environ.get(name)), None))
    for key in _PASTED:
        if isinstance(data.get(key), str) and data[key] != data[key].strip():
            data[key] = data[key].strip()
            module.warn(f"The {key} had white space around it, which was removed.")
    module.no_log_values.update(_secrets(data))
    # Nothing but white space is no secret, and would make every message unreadable.
    module.no_log_values.difference_update([value for value in module.no_log_values if not value.strip()])
    return data


def _require(module: AnsibleModule, kind: str) -> None:
    for name, package in (("urllib3", "urllib3 >= 2"), *_LIBRARIES.get(kind, ())):
        try:
            found = importlib.util.find_spec(name) is not None
        except ImportError:  # the package around it is missing already
            found = False
        if not found:
            module.fail_json(msg=missing_required_lib(package, reason=f"for type={kind}"))


def _secrets(data: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    yield from (data[key] for key in _PASTED if key != "access_key" and data.get(key))
    yield from (os.environ[name].strip() for name in _SECRET_VARIABLES if os.environ.get(name, "").strip())
    for contents in (data.get("service_account_contents"), os.environ.get("GCP_SERVICE_ACCOUNT_CONTENTS")):
        if contents:
            yield contents
            with contextlib.suppress(ValueError, KeyError, TypeError):  # not a key; the store says so
                yield json.loads(contents)["private_key"]
