#!/usr/bin/env python
# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands for ``vllm bench serve`` in test Pods: the arguments that it is given, and the columns that it leaves behind.

It sends its requests one after the other, each as early as its rate allows, so that its figures say nothing. It fails
like the tool does when it has no tokenizer: for a model of the name no/tokenizer.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import sys
import time
import urllib.parse
from pathlib import Path

_TEXTS = (
    *("backend", "base-url", "endpoint", "model", "tokenizer", "dataset-name", "percentile-metrics"),
    *("result-dir", "result-filename"),
)
_NUMBERS = (
    *("random-input-len", "random-output-len", "random-range-ratio", "request-rate", "burstiness", "max-concurrency"),
    *("num-prompts", "seed", "ready-check-timeout-sec"),
)
_FLAGS = ("save-result", "save-detailed", "disable-tqdm")


def main() -> None:
    options = _parser().parse_args()
    print(f"Sending with the key {os.environ.get('OPENAI_API_KEY', 'none')}", flush=True)
    if options.tokenizer == "no/tokenizer":
        sys.exit("OSError: no/tokenizer is not a local folder and is not a valid model identifier")
    columns: dict[str, list] = {
        name: []
        for name in ("start_times", "latencies", "queue_times", "ttfts", "itls", "input_lens", "output_lens", "errors")
    }
    begin = time.perf_counter()
    for number in range(int(options.num_prompts)):
        due = begin + number / options.request_rate
        time.sleep(max(0.0, due - time.perf_counter()))
        for name, value in _ask(options, due).items():
            columns[name].append(value)
    folder = Path(options.result_dir)
    folder.mkdir(parents=True, exist_ok=True)
    texts = ["private"] * int(options.num_prompts)
    (folder / options.result_filename).write_text(json.dumps({**columns, "generated_texts": texts}))


def _ask(options: argparse.Namespace, due: float) -> dict[str, object]:
    """One request, as a row of the columns."""
    url = urllib.parse.urlsplit(options.base_url)
    said = {
        "model": options.model,
        "prompt": "word " * int(options.random_input_len),
        "max_tokens": int(options.random_output_len),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    start = time.perf_counter()
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=30)
    connection.request("POST", options.endpoint, json.dumps(said), {"Content-Type": "application/json"})
    times = [
        time.perf_counter()
        for line in connection.getresponse()
        if line.startswith(b"data: {") and json.loads(line[6:])["choices"]
    ]
    connection.close()
    return {
        "start_times": start,
        "latencies": time.perf_counter() - start,
        "queue_times": start - due,
        "ttfts": times[0] - start,
        "itls": [after - before for before, after in itertools.pairwise(times)],
        "input_lens": int(options.random_input_len),
        "output_lens": len(times),
        "errors": "",
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vllm", allow_abbrev=False)
    parser.add_argument("command", choices=["bench"])
    parser.add_argument("what", choices=["serve"])
    for name in _TEXTS:
        parser.add_argument(f"--{name}")
    for name in _NUMBERS:
        parser.add_argument(f"--{name}", type=float)
    for name in _FLAGS:
        parser.add_argument(f"--{name}", action="store_true")
    return parser


if __name__ == "__main__":
    main()
