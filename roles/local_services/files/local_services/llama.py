# SPDX-License-Identifier: GPL-3.0-or-later
"""llama.cpp's server, which speaks OpenAI's API, from the Python package ``xllamacpp``: one model, in the foreground.

Its attributes are those of ``common_params`` of llama.cpp:
https://github.com/ggml-org/llama.cpp/blob/master/common/common.h
"""

from __future__ import annotations

import argparse
import importlib
import signal
from collections.abc import Sequence

from .process import LOOPBACK


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, which ends the process at once: there is nothing to save."""
    parser = argparse.ArgumentParser(prog="python -m local_services.llama", description=main.__doc__)
    parser.add_argument("--model", required=True, help="the .gguf file")
    parser.add_argument("--name", required=True, help="what the server calls it")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--context-size", type=int, required=True, help="tokens of one request; 0 is all of the model")
    parser.add_argument("--parallel", type=int, required=True, help="requests at a time")
    parser.add_argument("--threads", type=int, required=True, help="0 leaves them to llama.cpp")
    options = parser.parse_args(arguments)
    xllamacpp = importlib.import_module("xllamacpp")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = options.model
    parameters.model_alias = {options.name}
    parameters.port = options.port
    # llama.cpp shares this number among the requests, unless it is 0.
    parameters.n_ctx = options.context_size * options.parallel
    parameters.n_parallel = options.parallel
    if options.threads:
        parameters.cpuparams.n_threads = options.threads
    parameters.endpoint_metrics = True
    parameters.ui = False
    # The default lets the pages of any site in a browser of this machine read the answers.
    parameters.cors_origins = f"http://{LOOPBACK}:{options.port}"
    try:
        server = xllamacpp.Server(parameters)  # loads the model; ends with this reference
    except RuntimeError as error:
        raise SystemExit(str(error)) from None  # llama.cpp has logged why
    print(f"llama {server.listening_address}", flush=True)
    signal.pause()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
