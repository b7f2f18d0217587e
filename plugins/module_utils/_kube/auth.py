# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the options of a module to a client: the options and environment variables of kubernetes.core.

That includes what AWX sets for its credential type "OpenShift or Kubernetes API Bearer Token".
"""

from __future__ import annotations

import contextlib
import gc
import os
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from .client import Client
from .errors import KubeError

# kubernetes.core hides the whole kubeconfig option, so that no message could name the file. Only what is secret in it
# is hidden here: see connect().
ARGUMENTS: dict[str, t.Any] = {**AUTH_ARG_SPEC, "kubeconfig": {"type": "raw", "no_log": False}}

_SECRET_KEYS = {
    "access-token",
    "client-certificate-data",
    "client-key-data",
    "client-secret",
    "id-token",
    "password",
    "refresh-token",
    "token",
}


def connect(module: AnsibleModule) -> Client:
    """The client that the options, ``K8S_AUTH_*``, the pod's service account or the kubeconfig give, in this order.

    :raises KubeError: the package is missing or the configuration cannot be used.
    """
    hide_kubeconfig(module)
    with _no_collection():
        try:
            import kubernetes.client
            import kubernetes.config
            import yaml
        except ImportError as error:
            trouble = traceback.format_exception_only(error)[-1].strip()
            raise KubeError(missing_required_lib("kubernetes >= 28.1"), hint=trouble) from error
        # After the check above: imports the package too, and goes on without it.
        from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client as core

    auth = core._create_auth_spec(module)
    try:
        configuration = core._create_configuration(auth)
        api = kubernetes.client.ApiClient(configuration)
        api.user_agent = "modelops.serving"
        for name, value in core._create_headers(module).items():
            core._set_header(api, name, value)
        _check_files(configuration)
    except (
        kubernetes.config.ConfigException,
        yaml.YAMLError,
        OSError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise KubeError(
            f"No connection can be made to a cluster from {_source(auth)}: {error}.",
            hint="Give a kubeconfig and a context of it, or host and api_key.",
        ) from error
    return Client(api)


@contextlib.contextmanager
def _no_collection() -> t.Iterator[None]:
    """Imports without garbage collection: the package has some 800 modules, and a sixth of the time went into looking for
    garbage among what stays."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def hide_kubeconfig(module: AnsibleModule) -> None:
    """Let Ansible hide what is secret in a kubeconfig that is given as a dictionary."""
    kubeconfig = module.params.get("kubeconfig")
    if isinstance(kubeconfig, dict):
        module.no_log_values.update(_secrets(kubeconfig))


def _check_files(configuration: t.Any) -> None:
    """A missing file would only show as a connection that fails, and without its name."""
    for path in (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file):
        if path:
            with open(path, "rb"):
                pass


def _secrets(value: t.Any, *, secret: bool = False) -> t.Iterator[str]:
    if isinstance(value, dict):
        # The variables of an exec plug-in are of unknown kinds: {"name": ..., "value": ...}
        variable = set(value) == {"name", "value"}
        for key, item in value.items():
            yield from _secrets(item, secret=key in _SECRET_KEYS or (variable and key == "value"))
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item, secret=secret)
    elif secret and value:
        yield str(value)


def _source(auth: t.Mapping[str, t.Any]) -> str:
    """Where the configuration was looked for."""
    kubeconfig = auth.get("kubeconfig")
    if isinstance(kubeconfig, dict):
        source = "the kubeconfig given as a dictionary"
    else:
        source = f"the kubeconfig {kubeconfig or os.environ.get('KUBECONFIG') or '~/.kube/config'}"
    if auth.get("context"):
        source += f", context {auth['context']}"
    if auth.get("host"):
        source += f", host {auth['host']}"
    return source
