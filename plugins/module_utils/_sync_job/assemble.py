# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From options, and the Secrets they name, to one sync in the cluster."""

from __future__ import annotations

import dataclasses
import typing as t
import urllib.parse

from ansible_collections.modelops.serving.plugins.module_utils._auth import SOURCE
from ansible_collections.modelops.serving.plugins.module_utils._model_source import (
    Parsed,
    complete,
    data_connection,
    mounted,
    parse,
    required_connection,
    required_secret,
    secret_keys,
    storage_config_entry,
)
from ansible_collections.modelops.serving.plugins.module_utils._mounts import (
    ProviderClass,
    SecretKey,
    TokenMount,
    find_profile,
    token_mount,
)
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.pack import (
    Parcel,
    choose_keys,
    how_to_create,
    pack,
)
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.spec import JobSpec, PodOptions, job_name
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.request import default_name

Data: t.TypeAlias = "t.Mapping[str, t.Any]"
# Names of files.
REFRESH_TOKEN = "source-iam_refresh_token"  # noqa: S105
PASSCODE_DIGEST = "source-passcode_digest"
_STARTUP = 600  # seconds for pulling the image and installing requirements, on top of the engine's own deadline


class Reader(t.Protocol):
    """Reads a Secret of the namespace: its decoded values, or None where Secrets cannot be read."""

    def __call__(self, name: str, *, missing: str) -> dict[str, str] | None:
        """:param missing: what to do when it is not there."""


@dataclasses.dataclass(frozen=True)
class Passcode:
    """A temporary passcode that has to be exchanged for a token before the Job is made."""

    value: str = dataclasses.field(repr=False)
    crn: str | None
    iam_endpoint: str | None
    validate_certs: bool = True


@dataclasses.dataclass(frozen=True)
class Assembled:
    """A sync, and what is to be done beside it.

    ``hub``: options of a source on the Hub with its token in clear, to look up the commit from here; None for others.
    ``storage_config``: entry of KServe's Secret, with credentials.
    """

    spec: JobSpec
    hub: dict[str, t.Any] | None = dataclasses.field(repr=False)
    passcode: Passcode | None
    storage_config: dict[str, str] | None = dataclasses.field(repr=False)
    warnings: tuple[str, ...]


def assemble(params: Data, options: Data, read: Reader) -> Assembled:
    """One sync from the options of the module.

    :param options: of the engine.
    :raises InputError: they do not fit together, or a Secret is missing or lacks keys.
    """
    return _Assembly(params, read).run(options)


class _Assembly:
    def __init__(self, params: Data, read: Reader) -> None:
        self._params = params
        self._namespace = str(params["namespace"])
        self._read = read
        self._parcel = Parcel()
        self._token: TokenMount | None = None
        self._hub_token: str | None = None  # of a Secret that could be read
        self._parsed: Parsed | None = None
        self._passcode: Passcode | None = None
        self._connection: tuple[dict[str, t.Any], dict[str, str]] | None = None

    def run(self, options: Data) -> Assembled:
        params = self._params
        if params["parallelism"] < 1:
            raise InputError(f"parallelism is {params['parallelism']}.", hint="Give the number of Pods, at least 1.")
        source = self._source()
        if params["parallelism"] > 1 and source["type"] == "in_place":
            raise InputError("A model that is in its place already is looked at by one Pod.", hint="Use parallelism 1.")
        name = params["name"] or default_name(source)
        destinations = self._destinations()
        parsed = self._parsed
        request = {
            "name": name,
            "source": source,
            "destinations": destinations,
            "options": {**options, **(parsed.options if parsed else {}), "shards": params["parallelism"]},
            "notify": [self._hook(number, hook) for number, hook in enumerate(params["notify"], 1)],
        }
        spec = JobSpec(
            name=params["job_name"] or job_name(name),
            namespace=self._namespace,
            model=name,
            request=request,
            files=self._parcel.files,
            credentials=self._parcel.credentials,
            mounts=tuple(self._parcel.mounts),
            token=self._token,
            parallelism=params["parallelism"],
            schedule=params["schedule"],
            suspend=params["suspend"],
            service_account=params["service_account"],
            service_account_annotations=params["service_account_annotations"],
            backoff_limit=params["backoff_limit"],
            deadline=None if options.get("timeout") is None else round(options["timeout"]) + _STARTUP,
            ttl=params["ttl_seconds_after_finished"],
            pod=_pod(params),
        )
        return Assembled(
            spec=spec,
            hub=self._hub(),
            passcode=self._passcode,
            storage_config=self._storage_config(),
            warnings=parsed.warnings if parsed else (),
        )

    # -- source ------------------------------------------------------------------------------------------------

    def _source(self) -> dict[str, t.Any]:
        given = self._params["source"]
        source = self._contract() if given is None else self._packed(given, "source")
        for option, mounted_token in (
            ("token_secret", self._token_of_secret),
            ("token_secret_provider_class", self._token_of_class),
        ):
            token = self._params[option]
            if token is not None:
                if source["type"] != "huggingface" or "token" in source:
                    raise InputError(f"{option} is for a source on the Hub that has no other token.")
                self._token = mounted_token(token)
                if self._token.file:
                    source["token"] = {"from_file": self._token.file}
        return source

    def _packed(self, given: Data, where: str) -> dict[str, t.Any]:
        """One source or destination, with the keys of the Secret that it names."""
        kind, name = given["type"], given["credentials_secret"]
        if name is None:
            return pack(given, where, self._parcel)
        values = self._read(name, missing=how_to_create(kind, name, self._namespace))
        keys = choose_keys(kind, name, self._namespace, values)
        if kind == "huggingface" and values is not None:
            self._hub_token = values[keys[0].name]
        return pack(given, where, self._parcel, keys)

    def _contract(self) -> dict[str, t.Any]:
        """The source that a Secret describes."""
        name = self._params["source_secret"]
        if name is None:
            raise InputError("There is no source.", hint="Give source or source_secret.")
        values = self._read(name, missing=required_secret(None, name, self._namespace))
        if values is None:
            raise InputError(f"Secret {self._namespace}/{name} has to be read, and there is no cluster to ask.")
        self._parsed = parsed = parse(values, secret=name, namespace=self._namespace)
        source = self._mounted(parsed.source, name, "source")
        if parsed.passcode_key:
            if self._params["schedule"]:
                raise InputError(
                    f"Secret {self._namespace}/{name} has a temporary passcode, which no schedule can live on.",
                    hint="Use an API key or HMAC credentials.",
                )
            self._passcode = Passcode(
                values[parsed.passcode_key].strip(),
                source.get("instance_crn"),
                source.get("iam_endpoint"),
                validate_certs=source.get("validate_certs", True),
            )
            source["iam_refresh_token"] = self._parcel.reserve(REFRESH_TOKEN)
            self._parcel.reserve(PASSCODE_DIGEST)
        return source

    def _mounted(self, options: Data, secret: str, where: str) -> dict[str, t.Any]:
        """Options with the files of a mounted Secret in place of references to its keys."""
        keys = secret_keys(options)
        if not keys:
            return dict(options)
        return mounted(options, self._parcel.mount(secret, where, sorted(set(keys.values()))))

    def _token_of_secret(self, given: Data) -> TokenMount:
        name, key = given["name"], given["key"]
        command = f"kubectl create secret generic {name} --namespace {self._namespace} --from-file={key}=FILE"
        found = self._read(name, missing=f"Create it with `{command}`.")
        if found is not None:
            self._hub_token = found.get(key, "").strip()
            if not self._hub_token:
                there = ", ".join(sorted(found)) or "nothing"
                raise InputError(
                    f"Secret {self._namespace}/{name} has no token under {key}; it has {there}.",
                    hint=f"Give the right key, or delete the Secret and create it with `{command}`.",
                )
        return token_mount(SecretKey(name, key), find_profile(given["mount"], given["path"]))

    def _token_of_class(self, given: Data) -> TokenMount:
        """Only Pods see the token of a SecretProviderClass: from here, nothing can be asked with it."""
        source = ProviderClass(given["name"], given["provider"], tuple(given["paths"]))
        return token_mount(source, find_profile(given["mount"], given["path"]))

    def _hub(self) -> dict[str, t.Any] | None:
        """What is needed to ask the Hub from here; None for other sources, and with a token that is not known here."""
        given = self._params["source"]
        if given is None or given["type"] != "huggingface":
            return None
        hub = {key: given[key] for key in SOURCE if given.get(key) is not None}
        if given["credentials_secret"] or self._token:
            return {**hub, "token": self._hub_token} if self._hub_token else None
        return hub

    # -- destinations ------------------------------------------------------------------------------------------

    def _destinations(self) -> list[dict[str, t.Any]]:
        given = self._params["destinations"]
        if given:
            return [self._packed(item, f"destination-{number}") for number, item in enumerate(given, 1)]
        place = self._connected() | self._described()
        if "bucket" not in place:
            raise InputError("There is no destination.", hint="Give destinations, or a data_connection.")
        return [complete(place)]

    def _connected(self) -> dict[str, t.Any]:
        name = self._params["data_connection"]
        if name is None:
            return {}
        values = self._read(name, missing=required_connection(name, self._namespace))
        if values is None:
            raise InputError(f"Secret {self._namespace}/{name} has to be read, and there is no cluster to ask.")
        place = dict(data_connection(values, secret=name, namespace=self._namespace))
        self._connection = place, values
        return {**self._mounted(place, name, "destination"), "prefix": self._params["data_connection_prefix"]}

    def _described(self) -> dict[str, t.Any]:
        """What the Secret of the source says of the destination."""
        if self._parsed is None or not self._parsed.destination:
            return {}
        return self._mounted(self._parsed.destination, self._params["source_secret"], "described")

    def _storage_config(self) -> dict[str, str] | None:
        if self._params["storage_config"] is None:
            return None
        if self._connection is None:
            raise InputError("storage_config needs a data_connection.")
        place, values = self._connection
        credentials = {option: values[key] for option, key in secret_keys(place).items()}
        return storage_config_entry(place, credentials)

    def _hook(self, number: int, given: Data) -> dict[str, t.Any]:
        hook = {key: value for key, value in given.items() if value is not None}
        if "url" in hook:
            hook["url"] = self._parcel.keep(f"notify-{number}-url", hook["url"])
        return hook


def _pod(params: Data) -> PodOptions:
    if "@" in urllib.parse.urlsplit(params["index_url"] or "").netloc:
        raise InputError("index_url holds a user name or password, which everybody who sees the Pod would see.")
    return PodOptions(
        image=params["image"],
        image_pull_policy=params["image_pull_policy"],
        image_pull_secrets=tuple(params["image_pull_secrets"]),
        requirements=params["install_requirements"],
        index_url=params["index_url"],
        trusted_host=params["trusted_host"],
        cpu=params["cpu"],
        memory=params["memory"],
        user=None if params["platform"] == "openshift" else PodOptions.user,
        env={key: str(value) for key, value in params["env"].items()},
        node_selector={key: str(value) for key, value in params["node_selector"].items()},
        tolerations=tuple(params["tolerations"]),
        labels={key: str(value) for key, value in params["labels"].items()},
        annotations={key: str(value) for key, value in params["annotations"].items()},
    )
