# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances that cannot become ready: how long until tpu_serving says why, and until it gives up."""

from __future__ import annotations

import dataclasses
import datetime
import json
import threading
import time
import typing as t

from kube_proxy import ApiProxy
from places import Places

from playbooks import Object, Runner

#: Seconds of wait_timeout: longer than anything takes that ends by itself, and enough for what does not.
_LONG, _SHORT = 300, 60


@dataclasses.dataclass(frozen=True)
class Failure:
    """Options that make an instance fail, and what has to be said of it."""

    title: str
    options: Object
    cause: str
    wait_timeout: int = _LONG


@dataclasses.dataclass
class Seen:
    """What a run of a :class:`Failure` showed. Times are seconds since the epoch."""

    #: Of the first Warning Event of a Pod, or the first end of a container with an error.
    first: float = 0.0
    #: The first line of progress with the cause.
    named: float = 0.0
    ended: float = 0.0
    message: str = ""
    requests: int = 0

    @property
    def gave_up(self) -> bool:
        """Whether it ended before ``wait_timeout``."""
        return "is not ready after" not in self.message


def failures(image: str) -> dict[str, Failure]:
    """By the name of the instance. Without TPUs, the stand-in for vLLM finds no model and ends.

    :param image: with the stand-in; without it only failures that come before any container.
    """
    tpu = {"generation": "v6e", "topology": "2x4"}
    keys = {"url": "s3://models/org/model", "credentials_secret": "absent"}
    never = {"image": "registry.invalid/none:1", "image_pull_policy": "Never"}
    found = {
        "no-node": Failure(
            "no node with the TPU", {"accelerator": tpu, "check_nodes": False}, "cloud.google.com/gke-tpu", _SHORT
        ),
        "absent-image": Failure("image that is never pulled and not there", never, "Image registry.invalid/none:1"),
        "no-registry": Failure(
            "registry that is not reached",
            {"image": "registry.invalid/none:1"},
            "The node cannot reach the registry",
            _SHORT,
        ),
    }
    if image:
        found |= {
            "no-secret": Failure(
                "Secret that is missing", {"model": {"name": "org/model", "stream": keys}}, "absent does not exist"
            ),
            "crash": Failure("crash at the start", {}, "There is no config.json"),
            "argument": Failure(
                "unknown argument", {"args": ["--no-such-option"]}, "unrecognized arguments: --no-such-option"
            ),
        }
    return found


def provoke(places: Places, runner: Runner, kubeconfig: str) -> dict[str, tuple[Failure, Seen]]:
    """All failures, at the same time, so that the whole takes as long as the slowest."""
    wanted = failures(places.image)
    namespace = places.namespace("failures")
    seen = {name: Seen() for name in wanted}
    threads = []
    for name, failure in wanted.items():
        options = {
            "name": name,
            "namespace": namespace,
            "model": {"name": "org/model"},
            "accelerator": {"type": "cpu"},
            "image": places.image or "registry.invalid/none:1",
            "termination_grace_period": 0,
            "wait_timeout": failure.wait_timeout,
            **failure.options,
        }
        runner.write(name, [{"modelops.serving.tpu_serving": options}])
        threads.append(
            threading.Thread(target=_follow, args=(runner, name, kubeconfig, failure, seen[name]), daemon=True)
        )
    for thread in threads:
        thread.start()
        time.sleep(2)  # so that starts of ansible-playbook do not slow each other down
    while any(thread.is_alive() for thread in threads):
        _note_ends(places, namespace, seen)
        time.sleep(0.5)
    _note_events(places, namespace, seen)
    for name, failure in wanted.items():
        if not seen[name].message:
            raise SystemExit(f"The instance {name} ({failure.title}) did not fail.")
    return {name: (failure, seen[name]) for name, failure in wanted.items()}


def _follow(runner: Runner, name: str, kubeconfig: str, failure: Failure, seen: Seen) -> None:
    """Run a playbook and note when it says what."""
    folder = runner.folder / f"proxy-{name}"
    folder.mkdir()
    with ApiProxy(kubeconfig, folder) as proxy:
        process = runner.start(name, str(proxy.kubeconfig))
        for line in t.cast("t.TextIO", process.stdout):
            if not seen.named and "waiting for" in line and failure.cause in line:
                seen.named = time.time()
            if line.startswith("fatal: "):
                seen.ended = time.time()
                seen.message = str(json.loads(line.partition(" => ")[2])["msg"])
        process.wait()
        seen.requests = len(proxy.passed)


def _note_ends(places: Places, namespace: str, seen: t.Mapping[str, Seen]) -> None:
    """The first end of each server: its status keeps only the last one."""
    for pod in places.core.list_namespaced_pod(namespace).items:
        for status in pod.status.container_statuses or ():
            for state in (status.last_state, status.state):
                if state.terminated and state.terminated.exit_code:
                    _note(seen, pod.metadata.name, state.terminated.finished_at)


def _note_events(places: Places, namespace: str, seen: t.Mapping[str, Seen]) -> None:
    for event in places.core.list_namespaced_event(namespace, field_selector="type=Warning").items:
        if event.involved_object.kind == "Pod":
            _note(seen, event.involved_object.name, event.event_time or event.first_timestamp)


def _note(seen: t.Mapping[str, Seen], pod: str, when: datetime.datetime) -> None:
    """Keep the earliest of all that is known of the Pods of an instance."""
    instance = pod.rsplit("-", 2)[0]
    known = seen[instance]
    known.first = min(known.first or when.timestamp(), when.timestamp())
