#!/usr/bin/env python
# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands for Saxml in the image of the test cluster: the command saxutil, and a cell for it to talk to.

``saxutil serve`` is the admin server and one model server in one process: it keeps the published models, gives the server to
one of them, "loads" that and writes into its log what a model server writes, and each write that it was asked for. Everything
else is the command line of saxutil 1.1.0 with its output, its exit statuses and its way to log (glog). Nothing is computed.

- STANDIN_CELL: host:port of the cell, for the command line.
- SAX_CELL: name of the cell, for ``serve``.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable

PORT = 10000
#: The models that the server knows, and the type of each of their settings.
KNOWN = {"saxml.server.pax.lm.params.lm_cloud.LmCloudSpmd2BTest": {"BATCH_SIZE": list, "MAX_DECODE_STEPS": int}}
UNSUPPORTED = "saxml.server.pax.lm.params.lm_cloud.LmCloudSpmd175B"
# Seconds: until a model is loaded, and until the name of one that was unpublished is free again.
LOADING, FREEING = 0.3, 0.5
OK, FAILURE, USAGE = 0, 1, 2


class Refusal(Exception):
    """What the admin server answers instead of doing it."""


def log(severity: str, place: str, text: str, to: object = None) -> None:
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%m%d %H:%M:%S.%f")
    print(f"{severity}{now} {os.getpid():7} {place}] {text}", file=to or sys.stdout, flush=True)


# -- the cell ----------------------------------------------------------------------------------------------------------


class Cell:
    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._models: dict[str, dict] = {}
        self._freed: dict[str, float] = {}
        self._busy = ""  # the model that the server has
        for path in KNOWN:
            log("I", "model_service_base.py:1003", f"Servable model {path}")
        log("I", "model_service_base.py:1001", f"Skipping unsupported model {UNSUPPORTED}, topology 1x1 is too small")
        log("I", "model_service_base.py:1041", f"Started joining SAX cell {name}")

    def answer(self, asked: dict) -> object:
        with self._lock:
            if asked["cell"] != self.name:
                raise Refusal(
                    f'"/gs/bucket/sax-root{asked["cell"]}" is not a directory: {_status("FailedPrecondition")}'
                )
            if asked["do"] not in ("list", "list_all"):
                log(
                    "I",
                    "admin.go:1",
                    f"asked to {asked['do']} {asked.get('model', {}).get('model_id') or asked.get('id')}",
                )
            return getattr(self, asked["do"])(asked)

    def list_all(self, _asked: dict) -> list:
        return sorted(self._models)

    def list(self, asked: dict) -> dict:
        if asked["id"] not in self._models:
            raise Refusal(_status("NotFound", f"model {asked['id']} not found"))
        servers = [f"{os.environ.get('POD_IP', '10.0.0.1')}:10001"] if self._busy == asked["id"] else []
        return {**self._models[asked["id"]], "servers": servers}

    def publish(self, asked: dict) -> None:
        model = asked["model"]
        if model["model_id"] in self._models:
            raise Refusal(_status("AlreadyExists", f"model {model['model_id']} already exists"))
        if self._freed.get(model["model_id"], 0) > time.monotonic():
            raise Refusal(_status("Unavailable", f"model {model['model_id']} is being unpublished, please retry later"))
        self._models[model["model_id"]] = model
        self._assign()

    def update(self, asked: dict) -> None:
        self.list(asked)["requested_num_replicas"] = asked["replicas"]
        self._models[asked["id"]]["requested_num_replicas"] = asked["replicas"]
        self._assign()

    def unpublish(self, asked: dict) -> None:
        self.list(asked)
        del self._models[asked["id"]]
        self._freed[asked["id"]] = time.monotonic() + FREEING
        self._assign()

    def _assign(self) -> None:
        if not self._models.get(self._busy, {}).get("requested_num_replicas"):
            self._busy = ""
        for name, model in self._models.items():
            if not self._busy and model["requested_num_replicas"] and model["model_path"] in KNOWN:
                self._busy = name
                threading.Thread(target=_load, args=(dict(model),), daemon=True).start()


def _load(model: dict) -> None:
    """The log of a model server that loads a model."""
    key = model["model_id"]
    log("I", "model_service_base.py:646", f"Loading model for key: {key}")
    time.sleep(LOADING)
    which = f"model_key: {key}, model_path: {model['model_path']}, error: "
    for name, value in model["overrides"].items():
        wanted = KNOWN[model["model_path"]].get(name)
        if wanted is not type(json.loads(value)):
            why = f"Mismatched type of override: original: {wanted}" if wanted else f"Can't override {name}"
            log("E", "model_service_base.py:1817", f"Invalid load request. {which}{why}")
            print("Traceback (most recent call last):\n  ...\nValueError", flush=True)
            return
    if "/missing/" in model["checkpoint_path"]:
        log("E", "model_service_base.py:1829", f"Internal error during loading. {which}No checkpoint is found there")
        return
    log("I", "model_service_base.py:682", f"Successfully loaded model for key: {key}")


def _status(code: str, text: str = "") -> str:
    return f"rpc error: code = {code} desc = {text or code}"


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True

    def __init__(self, cell: Cell) -> None:
        super().__init__(("", PORT), Handler)
        self.cell = cell


class Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        try:
            answer = {"answer": self.server.cell.answer(json.loads(self.rfile.readline()))}
        except Refusal as refusal:
            answer = {"refusal": str(refusal)}
        self.wfile.write(json.dumps(answer).encode() + b"\n")


def serve() -> None:
    # The first process of a container has no default for it.
    signal.signal(signal.SIGTERM, lambda *_arguments: os._exit(0))
    Server(Cell(os.environ["SAX_CELL"])).serve_forever()


# -- the command line --------------------------------------------------------------------------------------------------


class Command:
    def __init__(self, flags: dict[str, str]) -> None:
        self._to_stderr = "logtostderr" in flags
        self._deadline = time.monotonic() + float(flags.get("sax_timeout", "60s").rstrip("s"))

    def ask(self, what: str, cell: str, **more: object) -> object:
        """:raises Refusal: with what the real client says."""
        host, _colon, port = os.environ["STANDIN_CELL"].rpartition(":")
        while True:
            try:
                with socket.create_connection((host, int(port)), timeout=5) as connection:
                    connection.sendall(json.dumps({"do": what, "cell": cell, **more}).encode() + b"\n")
                    answer = json.loads(connection.makefile().readline())
            except OSError:
                raise Refusal("context deadline exceeded") from None
            if "Unavailable" not in answer.get("refusal", "") or time.monotonic() > self._deadline:
                break
            time.sleep(0.1)
        if "refusal" in answer:
            raise Refusal(answer["refusal"])
        return answer["answer"]

    def info(self, text: str) -> None:
        if self._to_stderr:
            log("I", "saxutil_cmd_admin.go:651", text, sys.stderr)

    def ls(self, flags: dict[str, str], place: str) -> int:
        cell, model = _split(place)
        if not model:
            rows = [[str(n), found[len(cell) + 1 :]] for n, found in enumerate(self.ask("list_all", cell))]
            _show(flags, ["#", "Model ID"], rows)
            return OK
        found = self.ask("list", cell, id=place)
        servers = found["servers"]
        row = [model, found["model_path"], found["checkpoint_path"], str(len(servers)), (servers or [""])[0]]
        _show(flags, ["Model", "Model Path", "Checkpoint Path", "# of Replicas", "(Selected) ReplicaAddress"], [row])
        if flags.get("acls") != "false":
            _show(flags, ["Method", "ACL"], [])
        return OK

    def getacl(self, _flags: dict[str, str], place: str, _method: str = "all") -> int:
        found = self.ask("list", _split(place)[0], id=place)
        fields = [f"{name}:{json.dumps(found[name])}" for name in ("model_id", "model_path", "checkpoint_path")]
        if found["requested_num_replicas"]:
            fields.append(f"requested_num_replicas:{found['requested_num_replicas']}")
        for key, value in found["overrides"].items():
            fields.append(f"overrides:{{key:{json.dumps(key)}  value:{json.dumps(value)}}}")
        self.info("Current model definition:\n" + "  ".join(fields))
        print("No ACLs set for model.")
        return OK

    def publish(self, _flags: dict[str, str], place: str, path: str, checkpoint: str, number: str, *given: str) -> int:
        cell, model = _split(place)
        if not all("=" in item for item in given):
            log("E", "saxutil_cmd_admin.go:372", "Overrides should be of the form key=val", sys.stderr)
            return USAGE
        if not model or not re.fullmatch(r"[a-zA-Z]+[a-zA-Z0-9_.-]*", path):
            raise Refusal(_status("InvalidArgument", f"model path {path!r} must match"))
        definition = {
            "model_id": place,
            "model_path": path,
            "checkpoint_path": checkpoint,
            "requested_num_replicas": int(number),
            "overrides": dict(item.split("=", 1) for item in given),
        }
        self.ask("publish", cell, model=definition)
        return OK

    def update(self, flags: dict[str, str], place: str) -> int:
        self.ask("update", _split(place)[0], id=place, replicas=int(flags["replicas"]))
        return OK

    def unpublish(self, _flags: dict[str, str], place: str) -> int:
        self.ask("unpublish", _split(place)[0], id=place)
        return OK


def _split(place: str) -> tuple[str, str]:
    found = re.fullmatch(r"(/sax/[a-z]+[a-z0-9-_]*)(?:/([a-z]+[a-z0-9-_]*))?", place)
    if not found:
        raise Refusal(f"Invalid model ID {place}")
    return found[1], found[2] or ""


def _show(flags: dict[str, str], header: list[str], rows: list[list[str]]) -> None:
    """As CSV, or as the table of github.com/olekukonko/tablewriter 0.0.4, near enough for people."""
    if "csv" in flags:
        print(f"# {','.join(header)}", *(",".join(row) for row in rows), sep="\n")
        return
    widths = [max(len(row[n]) for row in [header, *rows]) for n in range(len(header))]
    line = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    shown = [
        "|" + "|".join(f" {cell:^{width}} " for cell, width in zip(row, widths, strict=True)) + "|"
        for row in [header, *rows]
    ]
    print(line, shown[0].upper(), line, *shown[1:], line, sep="\n")


def _flags(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Go's way: flags end at the first argument that is none."""
    flags: dict[str, str] = {}
    while arguments and arguments[0].startswith("-"):
        name, _equals, value = arguments[0].lstrip("-").partition("=")
        flags[name], arguments = value, arguments[1:]
    return flags, arguments


def main() -> int:
    flags, arguments = _flags(sys.argv[1:])
    if not arguments:
        return USAGE
    if arguments[0] == "serve":
        serve()
    name, (own, rest) = arguments[0], _flags(arguments[1:])
    command: Callable[..., int] | None = getattr(Command(flags), name, None)
    if name not in ("ls", "getacl", "publish", "update", "unpublish") or command is None:
        return USAGE
    try:
        return command(own, *rest)
    except TypeError:
        log("E", "saxutil_cmd_admin.go:1", "Provide the right arguments", sys.stderr)
        return USAGE
    except Refusal as refusal:
        what = {"ls": "list models", "getacl": "list model"}.get(name, f"{name} model")
        log("E", "saxutil_cmd_admin.go:199", f"Failed to {what}: {refusal}", sys.stderr)
        return FAILURE


if __name__ == "__main__":
    sys.exit(main())
