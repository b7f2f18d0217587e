# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares the engine `builtin` with the load generators that people use for the same today; see README.md."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# After this folder, which has modules of the same names.
sys.path[1:1] = [str(ROOT / path) for path in (".venv/collections", "tests/support", "benchmarks/model_sync")]

from contenders import OURS, VERSIONS, Contenders, Load  # noqa: E402 - the path is set above
from measure import BenchmarkError, run  # noqa: E402 - likewise
from token_server import MODEL, TokenServer  # noqa: E402 - likewise

_TTFT, _ITL = 0.05, 0.01
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelops-serving" / "load_generator"
_TOO_FAR_P50, _TOO_FAR_P99, _LEAST_RATE = 2.0, 10.0, 650.0
_NOISY = 0.1  # share of the processors that others may take before a run is called noisy


@dataclasses.dataclass(frozen=True)
class Sample:
    """One run of one program. Milliseconds; CPU in seconds. ``true`` is what the server's log says of the same requests."""

    name: str
    rate: float
    duration: float
    completed: int
    achieved: float
    ttft_p50: float
    ttft_p99: float
    true_p50: float
    true_p99: float
    late_p99: float
    cpu: float
    server_cpu: float
    foreign_cpu: float
    wall: float
    #: Of ours alone: why its stage is invalid.
    reasons: Sequence[str] = ()


class Benchmark:
    """The measurements, one after the other."""

    def __init__(self, server: TokenServer, contenders: Contenders, directory: Path) -> None:
        self._server = server
        self._contenders = contenders
        self._directory = directory
        self.samples: list[Sample] = []

    def measure(self, name: str, rate: float, duration: float) -> Sample:
        """One run, with a new log."""
        self._server.play(ttft=_TTFT, itl=_ITL)
        load = Load(self._server.url, MODEL, rate, duration)
        place = Path(tempfile.mkdtemp(dir=self._directory, prefix=f"{name}-"))
        command = self._contenders.command(name, load, place)
        usage = run(command, self._directory, servers={"server": self._server.pid}, timeout=300 + 3 * duration)
        said = self._contenders.reported(name, place)
        truth = _Truth(self._server.log(), load)
        sample = Sample(
            name=name,
            rate=rate,
            duration=duration,
            completed=said.completed,
            achieved=truth.rate,
            ttft_p50=said.ttft_p50,
            ttft_p99=said.ttft_p99,
            true_p50=truth.ttft(0.5),
            true_p99=truth.ttft(0.99),
            late_p99=truth.late(0.99),
            cpu=usage.cpu,
            server_cpu=usage.servers["server"],
            foreign_cpu=usage.foreign,
            wall=usage.wall,
            reasons=_reasons(place) if name == OURS else (),
        )
        self.samples.append(sample)
        _say(
            f"{name:<15} {rate:6g}/s {duration:4g} s  {sample.achieved:7.1f}/s  TTFT p50 {sample.ttft_p50:7.1f} "
            f"({sample.true_p50:6.1f} true)  p99 {sample.ttft_p99:7.1f} ({sample.true_p99:6.1f})  CPU {sample.cpu:6.1f} s"
            f"{'  invalid' if sample.reasons else ''}"
        )
        return sample


class _Truth:
    """What the server's log says of the requests of a load. Requests for other numbers of tokens were looks before it."""

    def __init__(self, log: Iterable[Mapping[str, Any]], load: Load) -> None:
        whole = [entry for entry in log if len(entry["written"]) == load.tokens]
        arrived = sorted(entry["arrived"] for entry in whole)
        if len(arrived) < 10:
            raise BenchmarkError(f"Only {len(arrived)} requests have arrived.")
        # The middle half: what comes first may be warm-up, and no program ends sharply.
        low, high = len(arrived) // 4, 3 * len(arrived) // 4
        self.rate = (high - low) / (arrived[high] - arrived[low])
        self._ttft = sorted((entry["written"][0] - entry["arrived"]) * 1000 for entry in whole)
        self._late = sorted(
            (at - entry["arrived"] - _TTFT - number * _ITL) * 1000
            for entry in whole
            for number, at in enumerate(entry["written"])
        )

    def ttft(self, share: float) -> float:
        return self._ttft[int(share * (len(self._ttft) - 1))]

    def late(self, share: float) -> float:
        """Of every token, against the script."""
        return self._late[int(share * (len(self._late) - 1))]


def _reasons(place: Path) -> list[str]:
    (stage,) = json.loads((place / "run" / "summary.json").read_bytes())["stages"]
    return [str(reason) for reason in stage["reasons"]]


def _per_cpu_second(samples: Sequence[Sample], name: str) -> tuple[float, float] | None:
    """Requests per CPU second of the client: all of it, and without what start and end cost, from two durations."""
    runs = sorted((sample for sample in samples if sample.name == name), key=lambda sample: sample.duration)
    if len(runs) < 2:
        return None
    short, long = runs[0], runs[-1]
    more = long.cpu - short.cpu
    return long.completed / long.cpu, (long.completed - short.completed) / more if more > 0 else float("nan")


def _report(samples: Sequence[Sample], ceiling: Sequence[Sample], missing: Mapping[str, str]) -> str:
    lines = [
        "# Load generators compared",
        _introduction(),
        "",
        f"## Open loop, {samples[0].rate:g} requests per second",
        "",
        "| | rate kept | TTFT p50 ms | TTFT p99 ms | requests per client CPU s | without start-up | builtin against it |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    ours = _per_cpu_second(samples, OURS)
    for name in dict.fromkeys(sample.name for sample in samples):
        long = max((sample for sample in samples if sample.name == name), key=lambda sample: sample.duration)
        costs = _per_cpu_second(samples, name)
        whole, steady = (f"{costs[0]:.0f}", f"{costs[1]:.0f}") if costs else ("-", "-")
        ratio = f"{ours[0] / costs[0]:.1f}, {ours[1] / costs[1]:.1f}" if ours and costs and name != OURS else ""
        lines.append(
            f"| {name} {VERSIONS.get(name, '')} | {long.achieved / long.rate:.1%} | {long.ttft_p50:.1f} "
            f"({long.true_p50:.1f}) | {long.ttft_p99:.1f} ({long.true_p99:.1f}) | {whole} | {steady} | {ratio} |"
        )
    lines += [f"\n{name} takes no part: {why}." for name, why in missing.items()]
    if ceiling:
        lines += ["", "## builtin until its gate trips", "", "| asked /s | sent /s | TTFT p50 ms | p99 ms | verdict |"]
        lines.append("| --: | --: | --: | --: | --- |")
        for sample in ceiling:
            lines.append(
                f"| {sample.rate:g} | {sample.achieved:.1f} | {sample.ttft_p50:.1f} ({sample.true_p50:.1f}) | "
                f"{sample.ttft_p99:.1f} ({sample.true_p99:.1f}) | {' '.join(sample.reasons) or 'valid'} |"
            )
    lines += ["", "## Against what is wished for", "", *_verdicts(samples, ceiling)]
    noisy = sum(
        sample.foreign_cpu > _NOISY * sample.wall * len(os.sched_getaffinity(0)) for sample in (*samples, *ceiling)
    )
    if noisy:
        lines.append(
            f"\n**Noisy:** during {noisy} of {len(samples) + len(ceiling)} runs other processes took more than "
            f"{_NOISY:.0%} of the machine: delays are longer than they need be."
        )
    return "\n".join(lines) + "\n"


def _introduction() -> str:
    return (
        f"Written by `benchmarks/load_generator/run.py` on {_today()}, {len(os.sched_getaffinity(0))} processors "
        "shared by client and server. Streams of 64 tokens, the first after 50 ms, then 10 ms apart. In brackets: what "
        "the server's own log says."
    )


def _verdicts(samples: Sequence[Sample], ceiling: Sequence[Sample]) -> list[str]:
    found = []
    long = [sample for sample in samples if sample.name == OURS]
    if long:
        best = max(long, key=lambda sample: sample.duration)
        p50, p99 = abs(best.ttft_p50 - best.true_p50), abs(best.ttft_p99 - best.true_p99)
        found.append(f"- median TTFT {p50:.1f} ms from the server's log; {_met(p50 <= _TOO_FAR_P50)}")
        found.append(f"- p99 TTFT {p99:.1f} ms from the server's log; {_met(p99 <= _TOO_FAR_P99)}")
    if ceiling:
        most = max((sample.achieved for sample in ceiling if not sample.reasons), default=0.0)
        tripped = any(sample.reasons for sample in ceiling)
        found.append(f"- {most:.0f} streams/s before the gate trips; {_met(most >= _LEAST_RATE * 0.99)}")
        found.append(f"- the gate trips; {_met(tripped)}")
    ours = _per_cpu_second(samples, OURS)
    for name in ("aiperf", "inference-perf"):
        theirs = _per_cpu_second(samples, name)
        if ours and theirs:
            ratio = ours[0] / theirs[0]
            found.append(f"- {ratio:.1f} times the requests per client CPU second of {name}; {_met(ratio > 1)}")
    return found


def _met(good: bool) -> str:
    return "met" if good else "**missed**"


def _today() -> str:
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _peers(text: str) -> list[str]:
    names = [name for name in re.split(r"[,\s]+", text) if name]
    if not set(names) <= set(VERSIONS):
        raise argparse.ArgumentTypeError(f"choose from {', '.join(VERSIONS)}")
    return names


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=_peers, default=list(VERSIONS), help=f"comma separated ({', '.join(VERSIONS)})")
    parser.add_argument("--rate", type=float, default=200, help="requests per second of the comparison (200)")
    parser.add_argument(
        "--seconds", type=float, default=20, help="of the comparison (20); a second run takes a quarter"
    )
    parser.add_argument(
        "--ceiling",
        type=lambda text: [float(rate) for rate in text.split(",") if rate],
        default=[400, 660, 800, 1000, 1300, 1700],
        help="rates of builtin alone, until its gate trips (400,660,800,1000,1300,1700)",
    )
    parser.add_argument("--ceiling-seconds", type=float, default=8, help="of each of them (8)")
    parser.add_argument("--cache", type=Path, default=_CACHE, help=f"environments of the peers ({_CACHE})")
    parser.add_argument("--python", action="append", default=[], help="a Python to take for peers; may be repeated")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write the report to a file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every single measurement")
    return parser.parse_args()


def _compare(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="load-generator-") as name, TokenServer() as server:
        contenders = Contenders(Path(name), options.cache, options.python)
        contenders.install(options.peers)
        bench = Benchmark(server, contenders, Path(name))
        for duration in (options.seconds / 4, options.seconds):
            for contender in contenders.names:
                bench.measure(contender, options.rate, duration)
        samples, bench.samples = bench.samples, []
        for rate in options.ceiling:
            if bench.measure(OURS, rate, options.ceiling_seconds).reasons:
                break
    report = _report(samples, bench.samples, contenders.missing)
    sys.stdout.write(report)
    if options.output is not None:
        options.output.write_text(report, encoding="utf-8")
    if options.json is not None:
        everything = {"comparison": samples, "ceiling": bench.samples}
        data = {key: [dataclasses.asdict(sample) for sample in value] for key, value in everything.items()}
        options.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Exit status 0 when everything was measured, whatever came out."""
    try:
        _compare(_arguments())
    except BenchmarkError as error:
        _say(f"Error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
