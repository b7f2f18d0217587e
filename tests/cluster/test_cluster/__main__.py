# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: create, delete and look at the test cluster of this checkout."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import browser, build, built, given, image, kind
from .common import ClusterError, NoCluster, locked, progress, state_directory, tail
from .state import State

NO_CLUSTER = 3  # exit status


def create(directory: Path) -> State:
    """The cluster of KUBECONFIG, else one of kind, else one built here; what is up already is only looked at.

    :raises NoCluster: none of these. :raises ClusterError: one that should have worked did not.
    """
    if kubeconfig := os.environ.get("KUBECONFIG"):
        return given.state(kubeconfig)
    if found := current(directory):
        return found
    engine = kind.usable()
    state = kind.Kind(directory, engine).create() if engine else built.create(directory)
    state.save(directory)
    return state


def prepare(_directory: Path) -> None:
    """What takes long and is kept for later: a browser, the programs and the image of a cluster that is built here.

    :raises NoCluster: there can be none. :raises ClusterError: it went wrong.
    """
    try:
        browser.chromium()
    except ClusterError as error:
        progress(f"no Chromium: {error}")
    if not os.environ.get("KUBECONFIG") and not kind.usable():
        build.programs()
        image.build()


def current(directory: Path) -> State | None:
    """The state of the cluster if it is up."""
    state = State.load(directory)
    if state is None:
        return None
    up = built.up(directory) if state.provider == "built" else _kind(directory).up()
    return state if up else None


def delete(directory: Path) -> None:
    """Remove all that ``create`` made, whatever became of it. The cluster of KUBECONFIG stays as it is."""
    if os.environ.get("KUBECONFIG"):
        return
    state = State.load(directory)
    # A kind that was killed while creating left no state.
    if kind.usable() and (state is None or state.provider == "kind"):
        _kind(directory).delete()
    if sys.platform == "linux":
        built.delete(directory)


def load_image(directory: Path) -> State:
    """Build the engine's image and give it to the cluster, unless it has it or runs no pods.

    :raises ClusterError: there is no cluster, or it takes no images.
    """
    if kubeconfig := os.environ.get("KUBECONFIG"):
        return given.state(kubeconfig)
    state = current(directory)
    if state is None:
        raise ClusterError("the cluster is not up. Next step: create")
    if not state.nodes:
        progress(f"no image, since the cluster runs no pods: {state.nodes_reason}")
    elif state.image != image.name():
        if state.provider == "kind":
            _kind(directory).load_image(image.name())
        else:
            built.import_image(directory, image.build())
        state = dataclasses.replace(state, image=image.name(), image_has_requirements=True)
        state.save(directory)
    return state


def logs(directory: Path) -> str:
    state = State.load(directory)
    if state is not None and state.provider == "kind":
        return _kind(directory).logs()
    return "\n".join(f"== {path.name}\n{tail(path)}" for path in sorted((directory / "logs").glob("*.log")))


def _kind(directory: Path) -> kind.Kind:
    return kind.Kind(directory, kind.engine())


def _delete(directory: Path) -> None:
    delete(directory)
    progress("deleted")


def _status(directory: Path) -> State:
    kubeconfig = os.environ.get("KUBECONFIG")
    state = given.state(kubeconfig) if kubeconfig else current(directory)
    if state is None:
        raise NoCluster("it is not up")
    return state


_COMMANDS: dict[str, tuple[str, Callable[[Path], State | str | None]]] = {
    "prepare": ("make beforehand what is kept for later", prepare),
    "create": ("bring it up and wait until it is ready", create),
    "image": ("give it the image of the engine", load_image),
    "status": ("say what it is", _status),
    "logs": ("show the end of all logs", logs),
    "delete": ("remove it with all that belongs to it", _delete),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. State goes to standard output as JSON; exit status 3: there is and can be no cluster."""
    parser = argparse.ArgumentParser(prog="python -m test_cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (text, _function) in _COMMANDS.items():
        commands.add_parser(name, help=text)
    command = parser.parse_args(arguments).command
    directory = state_directory()
    try:
        if command in ("status", "logs"):
            result = _COMMANDS[command][1](directory)
        else:
            with locked(directory.parent):
                result = _COMMANDS[command][1](directory)
    except NoCluster as error:
        print(f"no test cluster: {error}", file=sys.stderr)
        return NO_CLUSTER
    except ClusterError as error:
        print(f"test cluster: {error}", file=sys.stderr)
        return 1
    if isinstance(result, State):
        result = json.dumps(dataclasses.asdict(result), indent=2)
    if result:
        print(result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
