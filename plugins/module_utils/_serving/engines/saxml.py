# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Saxml: a cell of an admin server, model servers and a server that makes gRPC of HTTP (:mod:`saxml_proxy`).

The manifests are those of https://github.com/GoogleCloudPlatform/kubernetes-engine-samples (``llm-serving-gemma/saxml`` on
one host, ``llm-multihost-tpus-saxml`` on several), images and rules of names those of https://github.com/google/saxml.
Servers find each other through files in a bucket, so none but the HTTP server has a Service. Which models the cell serves
is published to it later.
"""

from __future__ import annotations

import inspect
import posixpath
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._serving import parts
from ansible_collections.modelops.serving.plugins.module_utils._serving.conversion import check_bucket
from ansible_collections.modelops.serving.plugins.module_utils._serving.engine import (
    DRAIN,
    Port,
    Setting,
    Workload,
    container_ports,
    http_probe,
    server,
    startup_probe,
)
from ansible_collections.modelops.serving.plugins.module_utils._serving.engines.legacy import Legacy, slice_of
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Bucket, Instance, Object
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

HTTP = Port("http", 8888)
ADMIN = Port("admin", 10000)
MODEL = Port("model", 10001)
_TPU = Port("tpu", 8471)  # libtpu, of hosts among each other
_REGISTRY = "us-docker.pkg.dev/cloud-tpu-images/inference"
IMAGE = f"{_REGISTRY}/sax-model-server:v1.2.0"

#: By generation: what ``saxml/server/proto_util.py`` calls it. It takes any other word for an unknown chip.
CHIPS = {"v4": "tpuv4", "v5e": "tpuv5e", "ct5l": "tpuv5e"}
#: Those that it knows in release 1.2.0, among what GKE has of these chips.
TOPOLOGIES = (
    *("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"),
    *("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x4x16", "4x8x8", "8x8x8", "8x8x12"),
)
# ``saxml/common/naming.go``
_CELL = re.compile(r"/sax/[a-z]+[a-z0-9-_]*")

SETTINGS = {
    "admin_image": Setting(str),
    "api_key_secret": Setting(str),  # a Secret of which clients of the HTTP server have to send the key api_key
    "bucket": Setting(str),  # that the cell keeps its state in; without it that of the weights
    "cell": Setting(str),
    "cpu_node_selector": Setting(dict),  # and cpu_tolerations: of the Pods without chips
    "cpu_tolerations": Setting(list),
    "http_image": Setting(str),
    "privileged": Setting(bool),
    "sax_root": Setting(str),
    "util": Setting(bool),
    "util_image": Setting(str),
}

_KEY_FILE = "/var/run/secrets/modelops.serving/proxy/api_key"

# A name of a Pod of a JobSet: JobSet, job, its number, the Pod's, and five characters at random.
_LONGEST_POD = 63
_RANDOM = 5


class Saxml(Legacy):
    """A cell of Saxml."""

    name = "saxml"
    api = "saxml"
    port = HTTP
    settings = SETTINGS
    images: t.ClassVar[t.Mapping[str, str]] = {
        "admin_image": f"{_REGISTRY}/sax-admin-server:v1.2.0",
        "http_image": f"{_REGISTRY}/sax-http:v1.2.0",
        "util_image": f"{_REGISTRY}/sax-util:v1.1.0",
    }
    deprecated = "saxml has had no release since 2024: take the engine vllm for anything new."

    def default_image(self, instance: Instance) -> str | None:
        """That of the model server."""
        return IMAGE

    def check(self, instance: Instance) -> tuple[str, ...]:
        """Adds to the usual: the cell has a name and a bucket that fit together, and Saxml knows the topology."""
        warnings = super().check(instance)
        check_bucket(bucket(instance))
        _check_root(instance)
        if not _CELL.fullmatch(cell(instance)):
            raise InputError(
                f"{cell(instance)!r} is no cell of Saxml.",
                hint="Give /sax/ and a name of small letters, digits, '-' and '_' that begins with a letter.",
            )
        topology = slice_of(instance).topology
        if topology not in TOPOLOGIES:
            raise InputError(
                f"Saxml does not know the topology {topology}, and would place no model on it.",
                hint=f"Known are {', '.join(TOPOLOGIES)}.",
            )
        _check_pod_names(instance)
        return warnings

    def workloads(self, instance: Instance) -> tuple[Workload, ...]:
        """HTTP, which is asked, the admin server, the model servers, and a shell with saxutil if it is wanted."""
        found = (self._http(instance), self._admin(instance), self._model(instance))
        return (*found, self._util(instance)) if instance.settings.get("util") else found

    def _http(self, instance: Instance) -> Workload:
        """A program of this collection, in the image for the sake of Saxml's client: what else is in there has other forms
        of requests, knows no options, and asks nobody for a key."""
        # http.server takes its time to be imported, which no other engine has to pay.
        from ansible_collections.modelops.serving.plugins.module_utils._serving.engines import saxml_proxy

        key = _key(instance)
        container = _beside(
            instance,
            "sax-http",
            self.beside(instance, "http_image"),
            # Not in a ConfigMap: a Pod whose program has changed has to be another Pod.
            command=("python3", "-c", inspect.getsource(saxml_proxy)),
            args=(f"--port={HTTP.number}", *key.args),
            volumeMounts=key.mounts,
            env=parts.env(SAX_ROOT=root(instance)),
            ports=container_ports((HTTP,)),
            readinessProbe=http_probe("/", HTTP, period=5, failures=3),
            livenessProbe=http_probe("/", HTTP, period=10, failures=6),
            lifecycle={"preStop": {"exec": {"command": ["sleep", str(DRAIN)]}}},
            resources={"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"memory": "2Gi"}},
        )
        return _without_chips(instance, instance.name, container, "http", HTTP, volumes=key.volumes)

    def _admin(self, instance: Instance) -> Workload:
        """Its image makes the places of its state of the bucket by itself. Public manifests have it privileged; a program
        that only talks over the network has no need of that."""
        container = _beside(
            instance,
            "sax-admin-server",
            self.beside(instance, "admin_image"),
            env=parts.env(GSBUCKET=bucket(instance), SAX_CELL=cell(instance)),
            ports=container_ports((ADMIN,)),
            readinessProbe=_tcp_probe(http_probe("/", ADMIN, period=5, failures=3)),
            livenessProbe=_tcp_probe(http_probe("/", ADMIN, period=10, failures=6)),
            resources={"requests": {"cpu": "500m", "memory": "1Gi"}},
        )
        return _without_chips(instance, f"{instance.name}-admin", container, "admin")

    def _model(self, instance: Instance) -> Workload:
        on = slice_of(instance)
        args = [
            f"--port={MODEL.number}",
            f"--sax_cell={cell(instance)}",
            f"--platform_chip={CHIPS[on.generation.name]}",
            f"--platform_topology={on.topology}",
            "--jax_platforms=tpu",
        ]
        env = parts.env(SAX_ROOT=root(instance))
        if on.multi_host:
            # GKE takes several Jobs of a JobSet for one program over several slices, and each is a server of its own.
            env += parts.env(MEGASCALE_NUM_SLICES="")
        cache = parts.Part()
        if instance.compile_cache:
            cache = parts.cache(instance)
            args.append(f"--jax_cache_dir={parts.CACHE}")
        container = server(
            self,
            instance,
            name="sax-model-server",
            args=args,
            env=env,
            mounts=cache.mounts,
            ports=(MODEL, _TPU) if on.multi_host else (MODEL,),
            # It listens on every host once JAX has found all devices of the slice. That a model is loaded, which takes
            # longer, only the admin server can say.
            probes={
                "startupProbe": _tcp_probe(startup_probe("/", MODEL, instance)),
                "readinessProbe": _tcp_probe(http_probe("/", MODEL, period=5, failures=3)),
            },
        )
        if instance.settings.get("privileged", True):
            # libtpu of 2024 opens the devices of the host; there is no public manifest of this image without it.
            container["securityContext"] = {"privileged": True}
        return Workload(
            f"{instance.name}-model",
            (container,),
            "model",
            volumes=cache.volumes,
            replicas=instance.replicas,
            hosts=on.hosts,
            controller="job_set" if on.multi_host else "deployment",
        )

    def _util(self, instance: Instance) -> Workload:
        container = _beside(
            instance,
            "sax-util",
            self.beside(instance, "util_image"),
            command=["tail", "-f", "/dev/null"],
            env=parts.env(SAX_ROOT=root(instance), SAX_CELL=cell(instance)),
            resources={"requests": {"cpu": "100m", "memory": "128Mi"}},
        )
        return _without_chips(instance, f"{instance.name}-util", container, "util")


# -- what follows from the instance ------------------------------------------------------------------------------------


def bucket(instance: Instance) -> str:
    """Where the cell keeps its state.

    :raises InputError: it is not said.
    """
    weights = instance.model.weights
    given = instance.settings.get("bucket") or (weights.bucket if isinstance(weights, Bucket) else None)
    if not given:
        raise InputError("Where the cell keeps its state is not said.", hint="Give the setting bucket.")
    return str(given)


def root(instance: Instance) -> str:
    """The folder that all servers and clients of the cell have to agree on: where the admin server's image puts it."""
    return f"gs://{bucket(instance)}/sax-root"


def cell(instance: Instance) -> str:
    """The name of the cell. Two of one name in a bucket would be one cell with two admin servers."""
    return str(instance.settings.get("cell", f"/sax/{instance.name}"))


def _check_root(instance: Instance) -> None:
    given = instance.settings.get("sax_root", root(instance))
    if given != root(instance):
        raise InputError(
            f"sax_root {given} is not where the admin server keeps its state: {root(instance)}.",
            hint="Leave it out, or give its bucket as the setting bucket.",
        )


def _check_pod_names(instance: Instance) -> None:
    hosts = slice_of(instance).hosts
    if hosts == 1:
        return
    last = f"{instance.name}-model-model-{max(instance.replicas - 1, 0)}-{hosts - 1}-"
    over = len(last) + _RANDOM - _LONGEST_POD
    if over > 0:
        raise InputError(
            f"Pods of {instance.name} would be called {last}{'x' * _RANDOM}, and names of Pods end at {_LONGEST_POD}.",
            hint=f"Give a name that is shorter by {over}.",
        )


# -- containers --------------------------------------------------------------------------------------------------------


def _beside(instance: Instance, name: str, image: str, **more: t.Any) -> Object:
    """A container without devices."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": instance.image_pull_policy,
        **{field: list(value) if isinstance(value, tuple) else value for field, value in more.items() if value},
        "securityContext": {"allowPrivilegeEscalation": False},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _key(instance: Instance) -> parts.Part:
    """The key that clients have to send, where they have to. It is read from a file on each request."""
    secret = instance.settings.get("api_key_secret")
    if not secret:
        return parts.Part()
    directory, name = posixpath.split(_KEY_FILE)
    items = [{"key": name, "path": name}]
    return parts.Part(
        args=(f"--key-file={_KEY_FILE}",),
        mounts=({"name": "api-key", "mountPath": directory, "readOnly": True},),
        volumes=({"name": "api-key", "secret": {"secretName": secret, "items": items, "defaultMode": 0o440}},),
    )


def _without_chips(
    instance: Instance, name: str, container: Object, component: str, *ports: Port, volumes: tuple[Object, ...] = ()
) -> Workload:
    places = {
        "nodeSelector": instance.settings.get("cpu_node_selector"),
        "tolerations": instance.settings.get("cpu_tolerations"),
    }
    placement = {field: value for field, value in places.items() if value}
    return Workload(name, (container,), component, volumes=volumes, ports=ports, on_devices=False, placement=placement)


def _tcp_probe(probe: Object) -> Object:
    """The same times, for a port that speaks gRPC without its health service: is there someone?"""
    times = {field: value for field, value in probe.items() if field != "httpGet"}
    return {"tcpSocket": {"port": probe["httpGet"]["port"]}, **times}
