# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares model_sync with the tools that people use for the same today. `make bench` runs it; see ../README.md."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from contenders import DESTINATION, Contenders, Tools
from generated_model import SMALLEST, generate
from measure import BenchmarkError, Command, disk_is_counted, run
from report import Results, Sample
from servers import CHECKOUT, Endpoint, Hub, SeaweedStore, ServiceError, SinkTarget, Target, check_delivery

COMPARISONS = ("hub-store", "hub-sink", "disk-store", "no-op", "memory")
_FROM_DISK_TO_STORE = frozenset({"hub-store", "disk-store", "no-op"})
#: What is done in a round, and which comparisons need it. Uploads of the peers stand for both: the second half of a
#: staged copy, and the copy of a directory. Ours stands between the others, so that no one has the quiet minutes.
STEPS: Mapping[str, frozenset[str]] = {
    "ours hub-store": frozenset({"hub-store", "no-op"}),
    "hf": frozenset({"hub-store", "hub-sink", "no-op"}),
    "aws disk-store": _FROM_DISK_TO_STORE,
    "ours hub-sink": frozenset({"hub-sink"}),
    "aws disk-sink": frozenset({"hub-sink"}),
    "s5cmd disk-store": _FROM_DISK_TO_STORE,
    "ours disk-store": frozenset({"disk-store", "no-op"}),
    "s5cmd disk-sink": frozenset({"hub-sink"}),
    "rclone disk-store": _FROM_DISK_TO_STORE,
    "rclone disk-sink": frozenset({"hub-sink"}),
}
_UNITS = {"MB": 10**6, "GB": 10**9, "MIB": 1 << 20, "GIB": 1 << 30}
_SPARE = 2 * 10**9
_DEFAULT_OUTPUT = CHECKOUT / "docs" / "benchmarks" / "model_sync.md"


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(MB|GB|MiB|GiB)", text.strip(), re.IGNORECASE)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it like 300MB or 2.5GB")
    size = int(float(found[1]) * _UNITS[found[2].upper()])
    if size < SMALLEST:
        raise argparse.ArgumentTypeError(f"{text} is too small, give at least {SMALLEST // 10**6}MB")
    return size


def _rounds(text: str) -> int:
    rounds = int(text)
    if rounds < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return rounds


def _comparisons(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or not set(names) <= set(COMPARISONS):
        raise argparse.ArgumentTypeError(f"choose from {', '.join(COMPARISONS)}")
    return names


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=_size, default="2.5GB", help="of the generated model (2.5GB)")
    parser.add_argument("--memory-size", type=_size, default="8GB", help="of the model for the memory run (8GB)")
    parser.add_argument("--rounds", type=_rounds, default=3, help="runs of every contender (3)")
    parser.add_argument(
        "--only", type=_comparisons, default=list(COMPARISONS), help=f"comma separated: {', '.join(COMPARISONS)} (all)"
    )
    parser.add_argument(
        "--work-dir", type=Path, help="where the data goes, removed at the end ($TMPDIR, else .build of the checkout)"
    )
    parser.add_argument("--timeout", type=float, default=1800, help="seconds that one program may take (1800)")
    parser.add_argument(
        "--output",
        type=Path,
        nargs="?",
        const=_DEFAULT_OUTPUT,
        metavar="FILE",
        help="also write the report to a file (docs/benchmarks/model_sync.md)",
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=CHECKOUT / ".build" / "benchmarks" / "model_sync.json",
        metavar="FILE",
        help="every single measurement (.build/benchmarks/model_sync.json)",
    )
    return parser.parse_args()


class Benchmark:
    """The measurements, one after the other, in `directory`."""

    def __init__(self, directory: Path, tools: Tools, *, timeout: float, stack: ExitStack) -> None:
        self.samples: list[Sample] = []
        self._directory = directory
        self._timeout = timeout
        self._contenders = Contenders(directory / "contenders", tools)
        self._disk_is_counted = disk_is_counted(directory)
        self._hub = Hub(directory / "hub")
        self._store = SeaweedStore(directory / "store")
        self._sink = SinkTarget(directory / "sink")
        for server in (self._hub, self._store, self._sink):
            stack.callback(server.stop)
        self._model = directory / "model"
        self._files: Mapping[str, int] = {}
        self.size = 0

    def make_model(self, size: int) -> dict[str, int]:
        """Write a model instead of the one before, and serve it. Returns numbers of files and bytes."""
        self._hub.stop()
        shutil.rmtree(self._model, ignore_errors=True)
        _say(f"Writing a model of {size / 1e9:.1f} GB")
        self._files = generate(self._model, size)
        self.size = sum(self._files.values())
        self._hub.serve(self._model)
        return {"files": len(self._files), "bytes": self.size}

    def step(self, name: str, number: int, *, noop: bool) -> None:
        """Do one of the STEPS in round `number`, and with `noop` once more what is done already."""
        contender, _mark, way = name.partition(" ")
        if contender == "hf":
            self._download(number, noop=noop)
            return
        source, _mark, target_name = way.partition("-")
        target: Target = self._store if target_name == "store" else self._sink
        endpoint = target.reset()
        command = self._upload(contender, source, endpoint)
        self._measure(name, number, command, target, again=False)
        if noop and target is self._store:
            self._measure(name, number, command, target, again=True)
        check_delivery(endpoint, DESTINATION, self._files, name)
        if target is self._store:
            target.stop()

    def _upload(self, contender: str, source: str, endpoint: Endpoint) -> Command:
        if contender != "ours":
            return self._contenders.peer(contender, self._model, endpoint)
        if source == "hub":
            return self._contenders.ours_from_hub(self._hub.endpoint, endpoint)
        return self._contenders.ours_from_disk(self._model, endpoint)

    def _download(self, number: int, *, noop: bool) -> None:
        with tempfile.TemporaryDirectory(dir=self._directory, prefix="staged-") as staged:
            command = self._contenders.hf(self._hub.endpoint, Path(staged))
            self._measure("hf", number, command, None, again=False)
            if noop:
                self._measure("hf", number, command, None, again=True)
            model = Path(staged) / "model"
            wrong = [path for path, size in self._files.items() if _file_size(model / path) != size]
            if wrong:
                raise BenchmarkError(f"hf ended well, but {len(wrong)} files are not there or not whole: {wrong[:5]}")

    def _measure(self, name: str, number: int, command: Command, target: Target | None, *, again: bool) -> None:
        os.sync()  # so that nobody waits for what others have written
        self._hub.requests()
        before = target.requests() if target else 0
        servers = {self._hub.name: self._hub.pid} | ({target.name: target.pid} if target else {})
        usage = run(command, self._directory, servers=servers, timeout=self._timeout)
        requests = {self._hub.name: self._hub.requests()}
        if target:
            requests[target.name] = target.requests() - before
        sample = Sample(
            step=name,
            again=again,
            round=number,
            size=self.size,
            wall=usage.wall,
            user=usage.user,
            system=usage.system,
            peak_memory=usage.peak_memory,
            written=usage.written if self._disk_is_counted else None,
            requests=requests,
            server_cpu=usage.servers,
            store_peak_memory=self._store.peak_memory if target is self._store else None,
            foreign_cpu=usage.foreign,
        )
        self.samples.append(sample)
        _say(
            f"{number}  {name + (' again' if again else ''):<24} {sample.wall:7.2f} s  CPU {sample.cpu:6.2f} s  "
            f"peak {sample.peak_memory / 2**20:5.0f} MiB  foreign CPU {sample.foreign_cpu:5.1f} s"
        )


def _file_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _work_directory(wanted: Path | None, needed: int) -> Iterator[Path]:
    base = wanted or Path(os.environ.get("TMPDIR") or CHECKOUT / ".build")
    base.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(base).free
    if free < needed:
        raise BenchmarkError(
            f"{base} has {free / 1e9:.1f} GB free and {needed / 1e9:.1f} GB are needed. Choose another --work-dir, or "
            "a smaller --size and --memory-size."
        )
    with tempfile.TemporaryDirectory(dir=base.absolute(), prefix="model-sync-") as directory:
        yield Path(directory)


def _machine() -> dict[str, Any]:
    processors = re.findall(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "processors": len(os.sched_getaffinity(0)),
        "processor": processors[0] if processors else platform.machine(),
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
    }


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _rotated(steps: Sequence[str], number: int) -> Sequence[str]:
    """Another order in each round: what runs first after a pause, or after a certain other, may profit from it."""
    first = (number - 1) * 3 % max(1, len(steps))
    return [*steps[first:], *steps[:first]]


def _interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _compare(options: argparse.Namespace) -> None:
    tools = Tools.find()
    about = _machine() | {"versions": tools.versions(), "rounds": options.rounds}
    steps = [name for name, needed_by in STEPS.items() if needed_by & set(options.only)]
    larger = options.memory_size if "memory" in options.only else 0
    # At most three copies: the generated one, and one each in a directory and in the store.
    needed = max(3 * options.size if steps else 0, 2 * larger) + _SPARE
    with _work_directory(options.work_dir, needed) as directory, ExitStack() as stack:
        bench = Benchmark(directory, tools, timeout=options.timeout, stack=stack)

        def save() -> Results:
            results = Results(bench.samples, size=about["model"]["bytes"], processors=about["processors"])
            ratios = [dataclasses.asdict(ratio) | {"met": ratio.met} for ratio in results.ratios()]
            samples = [dataclasses.asdict(sample) for sample in bench.samples]
            _write(options.json, json.dumps({"about": about, "ratios": ratios, "samples": samples}, indent=1) + "\n")
            return results

        about["model"] = bench.make_model(options.size) if steps else {"files": 0, "bytes": 0}
        for number in range(1, options.rounds + 1):
            for name in _rotated(steps, number):
                bench.step(name, number, noop="no-op" in options.only)
            save()
        if larger:
            about["larger_model"] = bench.make_model(larger)
            bench.step("ours hub-store", 1, noop=False)
        results = save()
    report = results.markdown(about)
    print(report)
    if options.output is not None:
        _write(options.output, report)
        _say(f"Written: {options.output}")
    _say(f"Written: {options.json}")


def main() -> int:
    """Exit status 0 when everything was measured, whatever came out."""
    options = _arguments()
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        _compare(options)
    except (BenchmarkError, ServiceError) as error:
        _say(f"Error: {error}")
        return 1
    except KeyboardInterrupt:
        _say("Interrupted.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
