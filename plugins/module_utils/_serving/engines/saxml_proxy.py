# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that speaks HTTP for a cell of Saxml. It runs in a container and needs Python 3.9 and Saxml's client.

| | | answer |
| --- | --- | --- |
| ``GET /`` | whether it is up; asked without a key | ``message`` |
| ``GET /listcell?model_id=`` | a published model | ``model, model_path, checkpoint, max_replicas, active_replicas`` |
| ``POST /generate`` | ``prompt, model_id, model_options`` | ``completions``, pairs of text and score, and ``performance_metrics`` |
| ``POST /publish``, ``PUT /update`` | ``model_id, model_path, checkpoint, replicas`` | ``model, path, checkpoint, replicas`` |
| ``POST /unpublish?model_id=`` | | ``model`` |

``performance_metrics.response_time`` are whole milliseconds of the model. Errors are ``{"detail": "..."}``. These are the
forms of the ``saxml-proxy`` in ``ai-infrastructure/saxml-on-gke`` of
https://github.com/GoogleCloudPlatform/applied-ai-engineering-samples.
"""

from __future__ import annotations

import argparse
import hmac
import http.server
import json
import math
import re
import signal
import sys
import threading
import time
import typing as t
import urllib.parse

#: Where ``saxml/tools/docker/Dockerfile.dev`` of Saxml builds the client. Images that copy it elsewhere have it on the path.
_BUILT = "/saxml/bazel-bin/saxml/client/python"
#: What Saxml calls an option of a request, where that is not its name here (``saxml/README.md``, "extra input").
_EXTRA_INPUTS = {"top_k": "per_example_top_k", "top_p": "per_example_top_p"}
_MODEL = {"model_id": str, "model_path": str, "checkpoint": str, "replicas": int}
_WORDS = {str: "text", int: "a whole number", dict: "an object"}
_LARGEST = 16 << 20
#: Seconds that a model may take for an answer, and a client between two bytes of its question.
_PATIENCE, _IDLE = 1800.0, 30.0
#: HTTP status by the canonical code that Saxml's errors end with; any other is a bad gateway.
_STATUS = {
    "INVALID_ARGUMENT": 400,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "FAILED_PRECONDITION": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_CODE = re.compile(rf"\b({'|'.join(_STATUS)})\b")

_Data: t.TypeAlias = "dict[str, t.Any]"


class RefusedError(Exception):
    """The question cannot be answered. ``status`` is that of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Cell:
    """What can be asked of a cell.

    :param sax: the module of Saxml's client. It finds cells below ``SAX_ROOT``.
    """

    def __init__(self, sax: t.Any) -> None:
        self._sax = sax
        self._models: _Data = {}

    def listcell(self, model_id: str) -> _Data:
        """What is known of a published model."""
        found = self._sax.ListDetail(model_id)
        return {
            "model": model_id,
            "model_path": found.model,
            "checkpoint": found.ckpt,
            "max_replicas": found.max_replicas,
            "active_replicas": found.active_replicas,
        }

    def publish(self, asked: _Data) -> _Data:
        """Have model servers load a model."""
        return self._place(self._sax.Publish, asked)

    def update(self, asked: _Data) -> _Data:
        """Change what Saxml lets be changed of a published model."""
        return self._place(self._sax.Update, asked)

    def _place(self, place: t.Callable[..., None], asked: _Data) -> _Data:
        model_id, model_path, checkpoint, replicas = (_need(asked, name, kind) for name, kind in _MODEL.items())
        place(model_id, model_path, checkpoint, replicas)
        return {"model": model_id, "path": model_path, "checkpoint": checkpoint, "replicas": replicas}

    def unpublish(self, model_id: str) -> _Data:
        """Have model servers drop a model."""
        self._sax.Unpublish(model_id)
        self._models.pop(model_id, None)
        return {"model": model_id}

    def generate(self, asked: _Data) -> _Data:
        """Completions of a prompt, the best one first."""
        model_id, prompt = _need(asked, "model_id", str), _need(asked, "prompt", str)
        options = self._options(asked)
        model = self._model(model_id)
        began = time.monotonic()
        try:
            completions = model.Generate(prompt, options)
        except Exception:
            # What it knew of the model servers may be wrong by now.
            self._models.pop(model_id, None)
            raise
        took = round((time.monotonic() - began) * 1000)
        return {
            "completions": [[text, score] for text, score in completions],
            "performance_metrics": {"response_time": took},
        }

    def _model(self, model_id: str) -> t.Any:
        """The client of a model. It keeps connections to model servers, so that it is kept itself."""
        if model_id not in self._models:
            self._sax.ListDetail(model_id)  # says of a model that is not published what Generate would wait for
            self._models[model_id] = self._sax.Model(model_id).LM()
        return self._models[model_id]

    def _options(self, asked: _Data) -> t.Any:
        """Options of one request. Those that the model does not know are refused by its server."""
        options = self._sax.ModelOptions()
        options.SetTimeout(_PATIENCE)
        given = {} if asked.get("model_options") is None else _need(asked, "model_options", dict)
        for name, value in given.items():
            extra = _EXTRA_INPUTS.get(name, name)
            if _is_number(value):
                options.SetExtraInput(extra, value)
            elif isinstance(value, str):
                options.SetExtraInputString(extra, value)
            elif isinstance(value, list) and value and all(map(_is_number, value)):
                options.SetExtraInputTensor(extra, value)
            elif value is not None:
                raise RefusedError(400, f"The option {name} is neither a number nor a list of them nor text.")
        return options


def _is_number(value: t.Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _need(asked: _Data, name: str, kind: type) -> t.Any:
    value = asked.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise RefusedError(400, f"{name} has to be {_WORDS[kind]}.")
    return value


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection, which is one request: a server that is to end then knows when it may."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE
    server: Server

    def answer(self) -> None:
        """Answer the request, whatever comes of it."""
        try:
            status, said = 200, self._answer()
        except RefusedError as error:
            status, said = error.status, {"detail": str(error)}
        except OSError:
            raise  # of the connection: there is nobody to answer
        except Exception as error:  # noqa: BLE001 - what the client of Saxml raises is no class of its own
            status, said = _status_of(error), {"detail": f"Saxml: {error}"}
        self._send(status, said)

    do_GET = do_POST = do_PUT = answer

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself refuses, in the form of all other errors."""
        self._send(code, {"detail": message or explain or "This is no request."})

    def _send(self, status: int, said: _Data) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)

    def _answer(self) -> _Data:
        """What is asked for.

        :raises RefusedError: it is not to be had.
        """
        address = urllib.parse.urlsplit(self.path)
        methods = self.server.routes.get(address.path)
        if methods is None:
            raise RefusedError(404, f"There is no {address.path}.")
        answer = methods.get(self.command)
        if answer is None:
            raise RefusedError(405, f"{address.path} answers {' and '.join(methods)}.")
        body = self._body()
        if address.path == "/":
            return {"message": "HTTP server for the client of Saxml"}
        self._check_key()
        return answer(body if address.path in _WITH_BODY else _query(address.query))

    def _check_key(self) -> None:
        """The file is read each time: a key that is changed counts as soon as the kubelet has written it."""
        if self.server.key_file is None:
            return
        try:
            with open(self.server.key_file, "rb") as file:
                key = file.read().strip()
        except OSError as error:
            raise RefusedError(500, f"The key that clients have to send cannot be read: {error.strerror}.") from error
        given = self.headers.get("Authorization", "").encode("latin-1")
        if not key or not hmac.compare_digest(given, b"Bearer " + key):
            raise RefusedError(401, "This needs a header Authorization: Bearer, and the key that is known here.")

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if self.headers.get("Transfer-Encoding") or not (length.isascii() and length.isdigit()):
            raise RefusedError(411, "A body has to come in one piece, with a Content-Length.")
        if int(length) > _LARGEST:
            raise RefusedError(413, f"More than {_LARGEST} bytes are no question.")
        return self.rfile.read(int(length))

    def log_request(self, code: t.Any = "-", size: t.Any = "-") -> None:
        """One line for each request but those of the probes."""
        if getattr(self, "path", "") != "/":
            super().log_request(code, size)


_WITH_BODY = ("/generate", "/publish", "/update")


def _query(query: str) -> str:
    """The id of the model that a query names.

    :raises RefusedError: it names none, or several.
    """
    found = urllib.parse.parse_qs(query).get("model_id")
    if not found or len(found) > 1:
        raise RefusedError(400, "model_id has to be given, once, in the query.")
    return found[0]


def _json(answer: t.Callable[[_Data], _Data]) -> t.Callable[[t.Any], _Data]:
    """An answer to a body that has to be a JSON object."""

    def parsed(body: bytes) -> _Data:
        try:
            asked = json.loads(body)
        except ValueError as error:
            raise RefusedError(400, "The body is no JSON.") from error
        if not isinstance(asked, dict):
            raise RefusedError(400, "The body has to be a JSON object.")
        return answer(asked)

    return parsed


def _status_of(error: Exception) -> int:
    codes = _CODE.findall(str(error))
    return _STATUS[codes[-1]] if codes else 502


class Server(http.server.ThreadingHTTPServer):
    """A thread for each request. Closing it waits for those that run.

    :param key_file: with what clients have to send; nobody is asked for it without.
    """

    daemon_threads = False
    request_queue_size = 1024

    def __init__(self, port: int, cell: Cell, key_file: str | None) -> None:
        self.key_file = key_file
        self.routes: dict[str, dict[str, t.Callable[[t.Any], _Data]]] = {
            "/": {"GET": lambda _none: {}},
            "/listcell": {"GET": cell.listcell},
            "/generate": {"POST": _json(cell.generate)},
            "/publish": {"POST": _json(cell.publish)},
            "/update": {"PUT": _json(cell.update)},
            "/unpublish": {"POST": cell.unpublish},
        }
        super().__init__(("", port), Handler)


def main() -> None:
    """Entry point of the program."""
    parser = argparse.ArgumentParser(description="HTTP for a cell of Saxml")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key-file", help="file with the key that clients have to send; without it none is asked for")
    options = parser.parse_args()
    sys.path.append(_BUILT)
    try:
        import sax  # type: ignore[import-not-found]  # only in that image
    except ImportError as error:
        raise SystemExit(f"This image has no client of Saxml: {error}. Give another http_image.") from error
    with Server(options.port, Cell(sax), options.key_file) as server:
        # shutdown() waits for serve_forever(), which runs in the thread that the signal interrupts.
        signal.signal(signal.SIGTERM, lambda *_signal: threading.Thread(target=server.shutdown).start())
        sys.stderr.write(f"Listening on port {server.server_port}.\n")
        server.serve_forever()


if __name__ == "__main__":
    main()
