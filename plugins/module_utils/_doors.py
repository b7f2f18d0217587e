# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules share between their options and the packages below."""

from __future__ import annotations

import contextlib
import json
import os
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.text.formatters import human_to_bytes

from ansible_collections.modelops.serving.plugins.module_utils._auth import google_credentials
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    InputError,
    TransferError,
    describe_error,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.hub import find_token

if t.TYPE_CHECKING:
    from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient

SYNC: dict[str, dict[str, t.Any]] = {
    "prune": {"type": "bool", "default": False},
    "prune_max": {"type": "int", "default": 100},
    "require_config": {"type": "bool", "default": True},
    "side_by_side": {"type": "bool", "default": False},
    "server_side_copy": {"type": "bool", "default": True},
    "workers": {"type": "int", "default": 4},
    "part_size": {"type": "str", "default": "16MiB"},
    "interval": {"type": "float", "default": 10},
    "progress_file": {"type": "path"},
}
_PLAIN = ("prune", "prune_max", "require_config", "side_by_side", "server_side_copy", "workers", "interval")


def sync_options(module: AnsibleModule) -> dict[str, t.Any]:
    """How the engine is to sync, from the module's options.

    :raises InputError: part_size is not a size.
    """
    return {key: module.params[key] for key in _PLAIN} | {"part_size": parse_size(module.params["part_size"])}


def control_options(module: AnsibleModule) -> dict[str, t.Any]:
    """The engine's limits of one run from the module's options."""
    return {key: module.params[key] for key in ("timeout", "stall_timeout", "attempts")}


def hub_token(module: AnsibleModule) -> str | None:
    """The token that the options HUGGINGFACE of :mod:`_auth` or the environment give; kept out of everything from here on.

    :raises InputError: it cannot be read or is not one.
    """
    # Nothing but white space is no secret, and would make every message unreadable.
    module.no_log_values.difference_update([value for value in module.no_log_values if not value.strip()])
    token, warning = find_token(module.params["token"], module.params["token_file"])
    if token:
        module.no_log_values.add(token)
    if warning:
        module.warn(warning)
    return token


def google_client(module: AnsibleModule) -> GoogleClient:
    """The client that the options GCP, TLS and CONTROL of :mod:`_auth` describe.

    :raises InputError: options that contradict each other or lack what they need.
    """
    from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient

    params = module.params
    return GoogleClient(
        google_credentials(module),
        Control(**control_options(module)),
        endpoints={name: str(address) for name, address in params["endpoints"].items()},
        impersonate=[name.strip() for name in params["impersonate_service_account"] or () if name.strip()],
        validate_certs=params["validate_certs"] is not False,
        ca_bundle=params["ca_bundle"],
    )


def fail(module: AnsibleModule, error: TransferError | KubeError, **result: t.Any) -> t.NoReturn:
    """End the module with what went wrong, where, and what to do about it."""
    module.fail_json(msg=str(error), error=describe_error(t.cast("TransferError", error)), **result)


def parse_size(text: str) -> int:
    """Bytes of a size such as 16MiB, 16M or 16777216; units are powers of 1024.

    :raises InputError: it is not a size.
    """
    try:
        # Ansible knows M and MB, and means MiB.
        return int(human_to_bytes(re.sub(r"(?<=[KMGTPEZY])iB$", "", text.strip())))
    except ValueError as error:
        raise InputError(f"part_size {text!r} is not a size.", hint="Give one such as 16MiB.") from error


class ProgressFile:
    """Appends progress to a file. Trouble with it is told once and never ends the run.

    The file stays open: should it be removed meanwhile, it does not come back.
    """

    def __init__(self, path: str, warn: t.Callable[[str], None]) -> None:
        self._path = path
        self._warn = warn
        self._file: int | None = None
        with self._errors():
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextlib.contextmanager
    def _errors(self) -> t.Iterator[None]:
        try:
            yield
        except OSError as error:
            self._file = None
            self._warn(f"Progress cannot be written to {self._path}: {error.strerror}.")

    def __call__(self, progress: t.Mapping[str, t.Any]) -> None:
        if self._file is not None:
            line = json.dumps(progress) + "\n"
            with self._errors():
                os.write(self._file, line.encode())


def progress_lines(module: AnsibleModule) -> t.Callable[[str], None] | None:
    """What writes lines of text to ``progress_file``; None where there is none, and in check mode."""
    path = module.params["progress_file"]
    if not path or module.check_mode:
        return None
    report = ProgressFile(path, module.warn)
    return lambda line: report({"text": line})
