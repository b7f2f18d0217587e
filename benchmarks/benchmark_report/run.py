# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a run with a million requests, beside DuckDB on the same file; see README.md."""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT / ".venv/collections"))

from ansible_collections.modelops.serving.plugins.module_utils._bench import (  # noqa: E402 - the path is set above
    records,
    results,
    stages,
    workload,
)

_STAGES, _REPEATS = 5, 2
_SECONDS, _MEMORY, _PAGE = 20, 1000, 5
# What the report tells of each stage, and no more: no curve, no timeline, no error, no interval.
_QUERY = """
select stage, {percentiles}, count(*), sum(osl), avg(ok::int)
from read_json('{file}', format='newline_delimited') group by stage order by stage
"""
_METRICS = ("ttft_ms", "tpot_ms", "e2e_ms", "schedule_delay_ms")


def generate(place: Path, count: int) -> None:
    """The folder of a run with made-up records, the same ones each time."""
    dice = random.Random(1)  # noqa: S311 - no secret
    each = count // _STAGES // _REPEATS
    load = workload.parse(
        {
            "endpoint": "http://server:8000",
            "protocol": "openai_chat",
            "model": "made/up",
            "data": {"type": "synthetic", "input_tokens": {"mean": 100, "stddev": 10}, "output_tokens": 64},
            "stages": [{"rate": 1000 * (stage + 1), "requests": each} for stage in range(_STAGES)],
            "repeats": _REPEATS,
            "slo": {"ttft_p99_ms": 200, "tpot_p99_ms": 50, "error_rate": 0.01, "goodput_min": 0.95},
        }
    )
    place.mkdir()
    (place / "workload.json").write_text(json.dumps(load.as_data()))
    (place / "environment.json").write_text(json.dumps({"engine": "builtin", "started_at": "2026-11-22T00:00:00Z"}))
    facts, begin = [], 0.0
    with records.Writer(place / records.FILE) as writer:
        for repeat in range(_REPEATS):
            for stage in range(_STAGES):
                rate, gaps = 1000.0 * (stage + 1), stages.Histogram()
                for number in range(each):
                    record = _record(dice, stage, repeat, number, begin + number / rate)
                    gaps.add(record.tpot_ms or 0.0)
                    writer.write(record)
                end = begin + each / rate
                facts.append(
                    stages.StageFacts(
                        *(stage, repeat, "rate", rate, "constant", begin, end, each, each, 100),
                        generator_cpu=0.5,
                        itl=gaps,
                    )
                )
                begin = end + 2
    stages.write(place / stages.FILE, facts)


def _record(dice: random.Random, stage: int, repeat: int, number: int, scheduled: float) -> records.Record:
    ok, tokens = dice.random() > 0.002, dice.randint(32, 64)
    start = scheduled + dice.random() * 0.001
    ttft, gap = dice.lognormvariate(4, 0.3), dice.lognormvariate(2.3, 0.1)
    e2e = ttft + gap * (tokens - 1)
    return records.Record(
        run_id="million",
        stage=stage,
        repeat=repeat,
        seq=number,
        t_scheduled=round(scheduled, 6),
        t_start=round(start, 6),
        t_first=round(start + ttft / 1000, 6),
        t_end=round(start + e2e / 1000, 6),
        isl=dice.randint(70, 130),
        osl=tokens,
        osl_server=tokens,
        ttft_ms=round(ttft, 3),
        tpot_ms=round(gap, 3),
        itl_mean_ms=round(gap, 3),
        itl_p50_ms=round(gap, 3),
        itl_p99_ms=round(gap * 1.2, 3),
        itl_max_ms=round(gap * 2, 3),
        e2e_ms=round(e2e, 3),
        ok=ok,
        status=200 if ok else 503,
        error="" if ok else "http",
        message="" if ok else "Service Unavailable",
        model="made/up",
        finish_reason="length",
        schedule_delay_ms=round((start - scheduled) * 1000, 3),
    )


def _ours(place: Path) -> None:
    results.report(place, about={"chips": 8, "usd_per_hour": 10.0})


def _duckdb(place: Path) -> None:
    import duckdb

    percentiles = ", ".join(f"quantile_cont({name}, [0.5, 0.9, 0.95, 0.99, 0.999])" for name in _METRICS)
    query = _QUERY.format(percentiles=percentiles, file=place / records.FILE)
    if len(duckdb.connect().execute(query).fetchall()) != _STAGES:
        raise SystemExit("DuckDB has not found all stages.")


_CONTENDERS: dict[str, Callable[[Path], None]] = {"report": _ours, "duckdb": _duckdb}


def measure(name: str, place: Path) -> tuple[float, float, float]:
    """Wall and CPU seconds and MiB of a process of its own."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, "--only", name, str(place)])
    _pid, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{name} failed.")
    return time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Print the figures, as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs=2, metavar=("CONTENDER", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        _CONTENDERS[arguments.only[0]](Path(arguments.only[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "million"
        generate(place, arguments.requests)
        rounds = [{name: measure(name, place) for name in _CONTENDERS} for _round in range(arguments.rounds)]
        page = (place / "index.html").stat().st_size / 1e6
        size = (place / records.FILE).stat().st_size / 1e6
    middle = {
        name: [sorted(one[name][index] for one in rounds)[arguments.rounds // 2] for index in range(3)]
        for name in _CONTENDERS
    }
    print(
        f"{arguments.requests} requests, {size:.0f} MB, medians of {arguments.rounds} rounds, load {os.getloadavg()[1]:.1f}\n"
    )
    print("| | wall | CPU | memory |\n| --- | --: | --: | --: |")
    for name, (wall, cpu, memory) in middle.items():
        print(f"| {name} | {wall:.1f} s | {cpu:.1f} s | {memory:.0f} MiB |")
    wall, cpu, memory = middle["report"]
    print(
        f"\nOf DuckDB's: wall {wall / middle['duckdb'][0]:.1f}, CPU {cpu / middle['duckdb'][1]:.1f}, memory {memory / middle['duckdb'][2]:.2f}."
    )
    met = {
        f"under {_SECONDS} s": wall < _SECONDS,
        f"under {_MEMORY} MiB": memory < _MEMORY,
        f"HTML under {_PAGE} MB": page < _PAGE,
    }
    print(f"HTML {page:.2f} MB. " + ", ".join(f"{name}: {'yes' if good else 'no'}" for name, good in met.items()) + ".")


if __name__ == "__main__":
    main()
