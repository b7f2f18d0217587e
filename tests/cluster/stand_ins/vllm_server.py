# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands for vLLM's server in the image of the test cluster: its command line, its way to start, its HTTP API.

It reads the whole model, from a folder or an S3 store, and refuses to start when a part of it is missing or its
arguments are none of vLLM's. Nothing is computed: the text of a completion is the SHA-256 of the weights, so that a test
sees which ones are served. Variables make it go wrong where a real server would need a bug for it:

- STANDIN_NEVER_READY: it listens, and has no models.
- STANDIN_NO_COMPLETION: it answers 200, without a completion.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = 8000
_OPTIONS = ("dtype", "revision", "tokenizer-revision", "load-format", "download-dir")
_NUMBERS = (
    "tensor-parallel-size",
    "pipeline-parallel-size",
    "data-parallel-size",
    "max-model-len",
    "max-num-seqs",
    "seed",
)
_INDEX = "model.safetensors.index.json"

#: Reads one file of the model by its name; raises FileNotFoundError.
Read = Callable[[str], bytes]


def main() -> None:
    options = _parser().parse_args()
    # The first process of a container has no default for it.
    signal.signal(signal.SIGTERM, lambda *_arguments: sys.exit(0))
    began = time.monotonic()
    digest, size = load(options.model)
    print(f"Loaded {size} bytes of {options.model} in {time.monotonic() - began:.2f} s", flush=True)
    handler = type("Handler", (Api,), {"model": options.served_model_name or options.model, "text": digest})
    ThreadingHTTPServer(("", PORT), handler).serve_forever()


def load(model: str) -> tuple[str, int]:
    """Read a model. Exits with a message when it is not whole.

    :returns: the SHA-256 of all weights in the order of their names, and their size.
    """
    read, names = _store(model) if model.startswith("s3://") else _folder(model)
    try:
        json.loads(read("config.json"))
        weights = sorted(name for name in names if name.endswith(".safetensors"))
        if _INDEX in names:
            weights = sorted(set(json.loads(read(_INDEX))["weight_map"].values()))
        if not weights:
            sys.exit(f"There are no weights in {model}")
        found, size = hashlib.sha256(), 0
        for name in weights:
            data = read(name)
            _check(name, data)
            found.update(data)
            size += len(data)
    except FileNotFoundError as error:
        sys.exit(f"There is no {error} in {model}")
    return found.hexdigest(), size


def _folder(model: str) -> tuple[Read, set[str]]:
    folder = Path(model)

    def read(name: str) -> bytes:
        try:
            return (folder / name).read_bytes()
        except OSError as error:
            raise FileNotFoundError(name) from error

    return read, {path.name for path in folder.glob("*")}


def _store(model: str) -> tuple[Read, set[str]]:
    """Address and credentials come from the variables that boto3 and the streamer know."""
    import boto3
    from botocore.config import Config

    style = "virtual" if os.environ.get("RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING") == "1" else "path"
    client = boto3.client("s3", config=Config(s3={"addressing_style": style}))
    bucket, _slash, prefix = model.removeprefix("s3://").rstrip("/").partition("/")

    def read(name: str) -> bytes:
        try:
            return bytes(client.get_object(Bucket=bucket, Key=f"{prefix}/{name}")["Body"].read())
        except client.exceptions.NoSuchKey as error:
            raise FileNotFoundError(name) from error

    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/", Delimiter="/")
    return read, {item["Key"].rpartition("/")[2] for page in pages for item in page.get("Contents", ())}


def _check(name: str, data: bytes) -> None:
    """Exit unless the tensors that the header of a file of weights names fill it."""
    length = int.from_bytes(data[:8], "little")
    tensors = json.loads(data[8 : 8 + length])
    ends = [tensor["data_offsets"][1] for key, tensor in tensors.items() if key != "__metadata__"]
    if 8 + length + max(ends, default=0) != len(data):
        sys.exit(f"{name} is cut off")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="api_server.py", allow_abbrev=False)
    parser.add_argument("--model", required=True)
    parser.add_argument("--served-model-name")
    for name in _OPTIONS:
        parser.add_argument(f"--{name}")
    for name in _NUMBERS:
        parser.add_argument(f"--{name}", type=int)
    return parser


class Api(BaseHTTPRequestHandler):
    """The part of the OpenAI API, and of vLLM's own, that is asked for."""

    model = text = ""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(200, b"")
        elif self.path == "/metrics":
            lines = [f'vllm:num_requests_{what}{{model_name="{self.model}"}} 0.0\n' for what in ("running", "waiting")]
            self._answer(200, "".join(lines).encode(), "text/plain")
        elif self.path != "/v1/models":
            self._fail(404, "Not Found")
        elif os.environ.get("STANDIN_NEVER_READY"):
            self._fail(503, "The engine is starting")
        else:
            self._json(200, {"object": "list", "data": [{"id": self.model, "object": "model", "owned_by": "vllm"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if self.path != "/v1/completions":
            self._fail(404, "Not Found")
        elif body.get("model") != self.model:
            self._fail(404, f"The model `{body.get('model')}` does not exist.")
        elif os.environ.get("STANDIN_NO_COMPLETION"):
            self._json(200, {"object": "text_completion", "model": self.model, "choices": []})
        else:
            choice = {"index": 0, "text": self.text, "finish_reason": "length"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            self._json(200, {"object": "text_completion", "model": self.model, "choices": [choice], "usage": usage})

    def log_message(self, *_arguments: object) -> None:
        """Probes would fill the log."""

    def _fail(self, status: int, message: str) -> None:
        self._json(status, {"error": {"message": message, "type": "error", "code": status}})

    def _json(self, status: int, body: dict[str, object]) -> None:
        self._answer(status, json.dumps(body).encode(), "application/json")

    def _answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    main()
