# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP server before a cell of Saxml: the command of its container, as a process, with a client that has no cell."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.parse

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench import records
from ansible_collections.modelops.serving.plugins.module_utils._bench.builtin.preflight import preflight
from ansible_collections.modelops.serving.plugins.module_utils._bench.builtin.run import run
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import EndpointError
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import parse
from ansible_collections.modelops.serving.plugins.module_utils._serving import build
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Bucket, Instance, Model, Tpu
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import make_slice

LLAMA = "/sax/test/llama"
PUBLISHED = {"model_id": LLAMA, "model_path": "lm.LLaMA7B", "checkpoint": "gs://models/llama", "replicas": 2}

# With the names and types of saxml/client/python/sax.pyi. It repeats the prompt with the options, in as many words as asked.
SAX = """
import os, time, types
models = {}
class ModelOptions:
    def __init__(self):
        self.given = {}
    def SetTimeout(self, seconds):
        self.timeout = float(seconds)
    def SetExtraInput(self, name, value):
        self.given[name] = float(value)
    def SetExtraInputString(self, name, value):
        self.given[name] = "" + value
    def SetExtraInputTensor(self, name, values):
        self.given[name] = [float(value) for value in values]
class Model:
    def __init__(self, model_id):
        ListDetail(model_id)
        self.model_id = model_id
    def LM(self):
        return self
    def Generate(self, prompt, options):
        if prompt == "vanish":
            del models[self.model_id]
        if self.model_id not in models:
            raise RuntimeError("waited for a model that is not there [DEADLINE_EXCEEDED]")
        assert options.timeout > 0
        if "unknown" in options.given:
            raise RuntimeError("extra input unknown is not there [INVALID_ARGUMENT]")
        if prompt == "fail":
            raise RuntimeError("something else")
        if prompt.startswith("wait"):
            open(prompt, "w").close()
            while not os.path.exists("go"):
                time.sleep(0.01)
        words = " ".join(["word"] * int(options.given.get("per_example_max_decode_steps", 1)))
        return [(f"{prompt} {options.given} {words}", -0.5), ("another", -1.5)]
def ListDetail(model_id):
    if model_id not in models:
        raise RuntimeError(f"model {model_id} not found [NOT_FOUND]")
    path, checkpoint, replicas = models[model_id]
    return types.SimpleNamespace(model=path, ckpt=checkpoint, max_replicas=replicas, active_replicas=1)
def Publish(model_id, path, checkpoint, replicas):
    if model_id in models:
        raise RuntimeError(f"model {model_id} already exists [ALREADY_EXISTS]")
    models[model_id] = path, checkpoint, replicas
def Update(model_id, path, checkpoint, replicas):
    ListDetail(model_id)
    models[model_id] = path, checkpoint, replicas
def Unpublish(model_id):
    ListDetail(model_id)
    del models[model_id]
"""


class Proxy:
    """The process. ``ask`` is one request; a body that is no text is sent as JSON."""

    def __init__(self, folder, key=None):
        self.folder = folder
        (folder / "sax.py").write_text(SAX)
        settings = {"api_key_secret": "keys"} if key is not None else {}
        command = self.command(settings)
        if key is not None:
            (folder / "key").write_text(key)
            command = [f"--key-file={folder / 'key'}" if word.startswith("--key-file=") else word for word in command]
            assert f"--key-file={folder / 'key'}" in command
        with (folder / "errors").open("w") as errors:
            self.process = subprocess.Popen(command, cwd=folder, stderr=errors, env={"PATH": os.environ["PATH"]})
        while "Listening" not in self.said():
            assert self.process.poll() is None, self.said()
            time.sleep(0.02)
        self.port = int(self.said().split("port ")[1].split(".")[0])
        self.url = f"http://127.0.0.1:{self.port}"

    @staticmethod
    def command(settings):
        hardware = Tpu(make_slice("v5e", topology="2x2"), Capacity())
        made = Instance("llama", "x", "saxml", Model("llama", Bucket("cells", "llama")), hardware, settings=settings)
        deployment = next(obj for obj in build.objects(made) if obj["kind"] == "Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        python, *program = [*container["command"], *container["args"]]
        assert python == "python3"
        return [sys.executable, *("--port=0" if word == "--port=8888" else word for word in program)]

    def said(self):
        return (self.folder / "errors").read_text()

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "application/json"
        said = json.loads(answer.read())
        connection.close()
        return answer.status, said

    def generate(self, prompt, **options):
        return self.ask("POST", "/generate", {"prompt": prompt, "model_id": LLAMA, "model_options": options})

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start(tmp_path):
    started = []

    def proxy(**given):
        started.append(Proxy(tmp_path, **given))
        return started[0]

    yield proxy
    for one in started:
        one.end()


def of(path):
    return f"{path}?model_id={urllib.parse.quote(LLAMA, safe='')}"


def test_each_endpoint_with_its_forms_and_options(start):
    proxy = start()
    told = {"model": LLAMA, "path": "lm.LLaMA7B", "checkpoint": "gs://models/llama", "replicas": 2}
    listed = {"model_path": "lm.LLaMA7B", "checkpoint": "gs://models/llama", "max_replicas": 3, "active_replicas": 1}
    assert proxy.ask("GET", "/")[0] == 200
    assert proxy.ask("POST", "/publish", PUBLISHED) == (200, told)
    assert proxy.ask("PUT", "/update", {**PUBLISHED, "replicas": 3}) == (200, {**told, "replicas": 3})
    assert proxy.ask("GET", of("/listcell")) == (200, {"model": LLAMA, **listed})

    status, said = proxy.ask("POST", "/generate", {"prompt": "Who?", "model_id": LLAMA})
    assert (status, said["completions"]) == (200, [["Who? {} word", -0.5], ["another", -1.5]])
    assert isinstance(said["performance_metrics"]["response_time"], int)
    options = {"temperature": 0.5, "top_k": 40, "top_p": 0.9, "per_example_max_decode_steps": 2}
    more = {"eos_id": [1, 7], "style": "short", "unset": None}
    status, said = proxy.generate("Who?", **options, **more)
    honoured = {
        "temperature": 0.5,
        "per_example_top_k": 40.0,
        "per_example_top_p": 0.9,
        "per_example_max_decode_steps": 2.0,
        "eos_id": [1.0, 7.0],
        "style": "short",
    }
    assert said["completions"][0] == [f"Who? {honoured} word word", -0.5]

    assert proxy.ask("POST", of("/unpublish")) == (200, {"model": LLAMA})
    # Nothing that is kept of a model outlives it, whoever has unpublished it.
    gone = (404, {"detail": f"Saxml: model {LLAMA} not found [NOT_FOUND]"})
    assert proxy.generate("Who?") == gone
    assert proxy.ask("POST", "/publish", PUBLISHED)[0] == 200
    assert proxy.generate("Who?")[0] == 200
    assert [proxy.generate("vanish")[0], proxy.generate("Who?")] == [504, gone]
    assert "GET / " not in proxy.said() and "POST /generate" in proxy.said()


def test_one_error_for_each_bad_request(start):
    proxy = start()
    assert proxy.ask("POST", "/publish", PUBLISHED)[0] == 200
    for status, detail, *asked in (
        (400, "The body is no JSON.", "POST", "/generate", b"{"),
        (400, "The body is no JSON.", "POST", "/generate"),
        (400, "The body has to be a JSON object.", "POST", "/generate", ["Who?"]),
        (400, "model_id has to be text.", "POST", "/generate", {"prompt": "Who?"}),
        (400, "prompt has to be text.", "POST", "/generate", {"prompt": 1, "model_id": LLAMA}),
        (
            400,
            "model_options has to be an obj",
            "POST",
            "/generate",
            {"prompt": "", "model_id": LLAMA, "model_options": []},
        ),
        (400, "replicas has to be a whole number.", "POST", "/publish", {**PUBLISHED, "replicas": True}),
        (400, "checkpoint has to be text.", "PUT", "/update", {**PUBLISHED, "checkpoint": None}),
        (400, "model_id has to be given", "GET", "/listcell"),
        (400, "model_id has to be given", "POST", of("/unpublish") + "&model_id=other"),
        (404, "There is no /models.", "GET", "/models"),
        (405, "/generate answers POST.", "GET", "/generate"),
        (405, "/update answers PUT.", "POST", "/update", PUBLISHED),
        (501, "Unsupported method ('DELETE')", "DELETE", "/"),
        (409, "Saxml: model /sax/test/llama already exists", "POST", "/publish", PUBLISHED),
        (404, "Saxml: model /sax/test/other not found", "GET", "/listcell?model_id=/sax/test/other"),
        (502, "Saxml: something else", "POST", "/generate", {"prompt": "fail", "model_id": LLAMA}),
    ):
        answered, said = proxy.ask(*asked)
        assert (answered, set(said)) == (status, {"detail"}), (asked, said)
        assert said["detail"].startswith(detail), asked
    assert proxy.generate("Who?", unknown=1)[0] == 400
    for value in (True, [], ["a"], {"a": 1}, float("nan")):
        status, said = proxy.generate("Who?", temperature=value)
        assert (status, said["detail"]) == (
            400,
            "The option temperature is neither a number nor a list of them nor text.",
        )
    for status, field in (
        (411, "Transfer-Encoding: chunked"),
        (411, "Content-Length: x"),
        (413, "Content-Length: 99999999"),
    ):
        with socket.create_connection(("127.0.0.1", proxy.port)) as connection:
            connection.sendall(f"POST /generate HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n".encode())
            assert b"".join(iter(lambda c=connection: c.recv(4096), b"")).startswith(f"HTTP/1.1 {status} ".encode())
    assert proxy.generate("Who?")[0] == 200
    assert "Traceback" not in proxy.said()


def test_a_key_that_clients_have_to_send(start):
    key, other = secrets.token_urlsafe(), secrets.token_urlsafe()
    proxy = start(key=f"{key}\n")
    assert proxy.ask("GET", "/")[0] == 200
    asked = ("POST", "/publish", PUBLISHED)
    for headers in ({}, {"Authorization": f"Bearer {other}"}, {"Authorization": key}, {"Authorization": "Bearer "}):
        assert proxy.ask(*asked, **headers)[0] == 401
    assert proxy.ask(*asked, Authorization=f"Bearer {key}")[0] == 200
    (proxy.folder / "key").write_text(other)
    assert proxy.ask("GET", of("/listcell"), Authorization=f"Bearer {key}")[0] == 401
    assert proxy.ask("GET", of("/listcell"), Authorization=f"Bearer {other}")[0] == 200
    # Without a key nobody comes in, rather than everybody.
    (proxy.folder / "key").write_text("\n")
    assert proxy.ask("GET", of("/listcell"), Authorization="Bearer ")[0] == 401
    (proxy.folder / "key").unlink()
    assert proxy.ask("GET", of("/listcell"), Authorization=f"Bearer {other}")[0] == 500
    assert key not in proxy.said() and other not in proxy.said()


def test_what_runs_ends_well(start):
    proxy = start()
    assert proxy.ask("POST", "/publish", PUBLISHED)[0] == 200
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = [pool.submit(proxy.generate, f"wait{number}") for number in range(4)]
        while len(list(proxy.folder.glob("wait*"))) < 4:  # all of them at once
            assert not any(answer.done() for answer in answers)
            time.sleep(0.01)
        proxy.process.send_signal(signal.SIGTERM)
        while True:  # until nobody is let in any more
            try:
                socket.create_connection(("127.0.0.1", proxy.port)).close()
            except ConnectionRefusedError:
                break
            time.sleep(0.01)
        assert proxy.process.poll() is None
        (proxy.folder / "go").touch()
        assert [answer.result()[0] for answer in answers] == [200] * 4
    assert proxy.process.wait(30) == 0


def test_the_benchmark_understands_it(start, tmp_path):
    key = secrets.token_urlsafe()
    proxy = start(key=key)
    workload = parse(
        {
            "endpoint": proxy.url,
            "protocol": "saxml",
            "model": LLAMA,
            "stream": False,
            "data": {"type": "synthetic", "input_tokens": 12, "output_tokens": 8},
            "stages": [{"concurrency": 4, "requests": 16}],
        }
    )
    with pytest.raises(EndpointError, match="not found"):
        preflight(workload, api_key=key)
    assert proxy.ask("POST", "/publish", PUBLISHED, Authorization=f"Bearer {key}")[0] == 200
    with pytest.raises(EndpointError, match="401"):
        preflight(workload, api_key="none")
    assert preflight(workload, api_key=key).tokens >= 4
    run(workload, tmp_path / "run", run_id="run", api_key=key)
    found = list(records.read(tmp_path / "run" / records.FILE))
    assert len(found) == 16 and all(record.ok for record in found)


def test_an_image_without_the_client(tmp_path):
    ended = subprocess.run(Proxy.command({}), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("This image has no client of Saxml: ") and "http_image" in ended.stderr
