# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From samples to medians, ratios and Markdown."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from contenders import OURS, PEERS

MIB = 1 << 20
_NOISY = 0.1  # share of the processors that others may take before a run is called noisy


@dataclasses.dataclass(frozen=True)
class Sample:
    """One run of one program. Seconds, bytes, numbers of requests.

    `step` says what was done (see `run.STEPS`), `again` that it had been done already. None means not known.
    """

    step: str
    again: bool
    round: int
    size: int
    wall: float
    user: float
    system: float
    peak_memory: int
    written: int | None
    requests: Mapping[str, int]
    server_cpu: Mapping[str, float]
    store_peak_memory: int | None
    foreign_cpu: float

    @property
    def cpu(self) -> float:
        return self.user + self.system


@dataclasses.dataclass(frozen=True)
class Figures:
    """Medians over the rounds of one program, or of two that run one after the other."""

    name: str
    wall: float
    fastest: float
    slowest: float
    cpu: float
    peak_memory: float
    written: float | None
    requests: Mapping[str, float]
    store_cpu: float | None
    store_peak_memory: float | None
    foreign_cpu: float


@dataclasses.dataclass(frozen=True)
class Ratio:
    """A figure of ours against a figure of others, and what it is wished to be at most."""

    name: str
    value: float
    target: float | None
    unit: str = ""
    against: str = ""

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.value <= self.target


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _known(values: Iterable[float]) -> float:
    return statistics.median(values)


def _together(samples: Sequence[Sample]) -> dict[str, Any]:
    """The figures of programs that run one after the other: sums, and the larger of the peaks."""
    written = [sample.written for sample in samples]
    peaks = [sample.store_peak_memory for sample in samples if sample.store_peak_memory is not None]
    store = [sample.server_cpu["store"] for sample in samples if "store" in sample.server_cpu]
    where = {name for sample in samples for name in sample.requests}
    return {
        "wall": sum(sample.wall for sample in samples),
        "cpu": sum(sample.cpu for sample in samples),
        "peak_memory": max(sample.peak_memory for sample in samples),
        "written": None if None in written else sum(count for count in written if count is not None),
        "requests": {name: sum(sample.requests.get(name, 0) for sample in samples) for name in where},
        "store_cpu": sum(store) if store else None,
        "store_peak_memory": max(peaks) if peaks else None,
        "foreign_cpu": sum(sample.foreign_cpu for sample in samples),
    }


class Results:
    """All samples of a run, and what follows from them. `size` is that of the model that all were given."""

    def __init__(self, samples: Sequence[Sample], *, size: int, processors: int) -> None:
        self._samples = samples
        self._size = size
        self._processors = processors

    def figures(self, name: str, *steps: str, again: bool = False, size: int | None = None) -> Figures | None:
        """Of one program, or of several in a row; None when one of them was not run."""
        rounds: dict[int, list[Sample]] = {}
        for sample in self._samples:
            if sample.step in steps and sample.again is again and sample.size == (size or self._size):
                rounds.setdefault(sample.round, []).append(sample)
        runs = [_together(samples) for samples in rounds.values() if len(samples) == len(steps)]
        if not runs:
            return None
        walls = [run["wall"] for run in runs]
        where = runs[0]["requests"]
        return Figures(
            name=name,
            wall=_known(walls),
            fastest=min(walls),
            slowest=max(walls),
            cpu=_known(run["cpu"] for run in runs),
            peak_memory=_known(run["peak_memory"] for run in runs),
            written=_median(run["written"] for run in runs),
            requests={key: _known(run["requests"][key] for run in runs) for key in where},
            store_cpu=_median(run["store_cpu"] for run in runs),
            store_peak_memory=_median(run["store_peak_memory"] for run in runs),
            foreign_cpu=_known(run["foreign_cpu"] for run in runs),
        )

    def from_hub(self, target: str, *, again: bool = False) -> list[Figures]:
        """Ours first, then hf with each of the peers."""
        return _there(
            [self.figures(OURS, f"ours hub-{target}", again=again)]
            + [self.figures(f"hf download + {peer}", "hf", f"{peer} disk-{target}", again=again) for peer in PEERS]
        )

    def from_disk(self, target: str, *, again: bool = False) -> list[Figures]:
        """Ours first, then the peers."""
        return _there(
            [self.figures(OURS, f"ours disk-{target}", again=again)]
            + [self.figures(peer, f"{peer} disk-{target}", again=again) for peer in PEERS]
        )

    def by_size(self) -> dict[int, Figures]:
        """Ours from the hub into the store, by size of the model, largest last."""
        sizes = sorted({sample.size for sample in self._samples if sample.step == "ours hub-store"})
        found = {size: self.figures(OURS, "ours hub-store", size=size) for size in sizes}
        return {size: figures for size, figures in found.items() if figures is not None}

    def ratios(self) -> list[Ratio]:
        """What the comparison is made for."""
        ratios = []
        ours, *others = _pad(self.from_hub("store"))
        if ours and others:
            ratios.append(_ratio("hub to SeaweedFS, wall", ours, others, lambda run: run.wall, 0.70))
            ratios.append(_ratio("hub to SeaweedFS, client CPU", ours, others, lambda run: run.cpu, 0.28))
        if ours and ours.written is not None:
            ratios.append(Ratio("hub to SeaweedFS, bytes written to disk", round(ours.written / 1e6), 0, "MB"))
        ours, *others = _pad(self.from_hub("sink"))
        if ours and others:
            ratios.append(_ratio("hub to sink, wall", ours, others, lambda run: run.wall, 0.40))
            ratios.append(_ratio("hub to sink, client CPU", ours, others, lambda run: run.cpu, None))
        ours, *others = _pad(self.from_disk("store"))
        if ours and others:
            ratios.append(_ratio("disk to SeaweedFS, wall", ours, others, lambda run: run.wall, 1.0))
            ratios.append(_ratio("disk to SeaweedFS, client CPU", ours, others, lambda run: run.cpu, None))
        ours, *_others = _pad(self.from_hub("store", again=True))
        if ours:
            ratios.append(Ratio("nothing to do, wall", ours.wall, 0.4, "s"))
            ratios.append(Ratio("nothing to do, requests", sum(ours.requests.values()), 3))
        for size, figures in self.by_size().items():
            ratios.append(Ratio(f"peak memory with {_size(size)}", figures.peak_memory / MIB, 200, "MiB"))
        return ratios

    def noisy(self) -> list[Sample]:
        """Runs during which other processes took a good part of the machine."""
        return [sample for sample in self._samples if sample.foreign_cpu > _NOISY * sample.wall * self._processors]

    # Markdown ----------------------------------------------------------------------------------------------------

    def markdown(self, about: Mapping[str, Any]) -> str:
        """The whole report."""
        parts = ["# model_sync compared with its peers", _introduction(about)]
        parts += _section("What it comes to", _ratio_table(self.ratios()))
        parts += _section("From the hub into SeaweedFS", _table(self.from_hub("store"), ("hub", "store")))
        parts += _section("From the hub into a sink that discards", _table(self.from_hub("sink"), ("hub", "sink")))
        parts += _section("From a directory into SeaweedFS", _table(self.from_disk("store"), ("store",)))
        again = self.from_hub("store", again=True) + [
            dataclasses.replace(figures, name=f"{figures.name}, from a directory")
            for figures in self.from_disk("store", again=True)
        ]
        parts += _section("The same once more, with nothing to do", _again_table(again))
        sizes = self.by_size()
        if len(sizes) > 1:
            rows = [dataclasses.replace(figures, name=f"{OURS}, {_size(size)}") for size, figures in sizes.items()]
            parts += _section("A larger model", _table(rows, ("hub", "store")))
        noisy = self.noisy()
        if noisy:
            parts.append(
                f"**Noisy:** during {len(noisy)} of {len(self._samples)} runs other processes took more than "
                f"{_NOISY:.0%} of the machine: their wall times are too long and their CPU times somewhat. Memory, disk and requests hold."
            )
        return "\n\n".join(parts) + "\n"


def _there(rows: Iterable[Figures | None]) -> list[Figures]:
    return [figures for figures in rows if figures is not None]


def _pad(rows: Sequence[Figures]) -> Sequence[Figures | None]:
    """Ours is first, or None when it was not run."""
    return rows if rows and rows[0].name == OURS else [None, *rows]


def _ratio(
    name: str, ours: Figures, others: Iterable[Figures | None], figure: Callable[[Figures], float], target: float | None
) -> Ratio:
    best = min(_there(others), key=figure)
    return Ratio(name, figure(ours) / figure(best), target, against=best.name)


def _introduction(about: Mapping[str, Any]) -> str:
    model = ""
    if about["model"]["files"]:
        model = f"Model: {about['model']['files']} files, {about['model']['bytes'] / 1e6:,.0f} MB. "
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"Written by `benchmarks/model_sync/run.py` on {about['date']}; see `benchmarks/README.md` for what each figure "
        f"means. {model}Medians of {about['rounds']} round{'s' * (about['rounds'] > 1)}, fastest and slowest in "
        f"brackets. All servers on the same machine: {about['processors']} processors ({about['processor']}), "
        f"{about['memory'] / 1e9:.0f} GB memory, {about['system']}. {versions}."
    )


def _section(title: str, table: str) -> list[str]:
    return [f"## {title}", table] if table else []


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _column in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _ratio_table(ratios: Sequence[Ratio]) -> str:
    verdicts = {None: "-", True: "yes", False: "no"}
    rows = [
        (
            ratio.name + (f" (best other: {ratio.against})" if ratio.against else ""),
            f"{ratio.value:.3g} {ratio.unit}".strip(),
            "-" if ratio.target is None else f"{ratio.target:g} {ratio.unit}".strip(),
            verdicts[ratio.met],
        )
        for ratio in ratios
    ]
    return _rows(("figure of ours (: best other)", "value", "at most", "met"), rows) if rows else ""


def _table(rows: Sequence[Figures], servers: Sequence[str]) -> str:
    if not rows:
        return ""
    head = ["", "wall s", "client CPU s", "client peak MiB", "client disk MB"]
    head += [f"requests {server}" for server in servers]
    store = "store" in servers
    head += ["store CPU s", "store peak MiB"] * store + ["foreign CPU s"]
    return _rows(
        head,
        [
            [
                figures.name,
                _spread(figures),
                f"{figures.cpu:.1f}",
                f"{figures.peak_memory / MIB:.0f}",
                _optional(figures.written, 1e6),
                *(_optional(figures.requests.get(server)) for server in servers),
                *([_optional(figures.store_cpu, digits=1), _optional(figures.store_peak_memory, MIB)] * store),
                f"{figures.foreign_cpu:.1f}",
            ]
            for figures in rows
        ],
    )


def _again_table(rows: Sequence[Figures]) -> str:
    if not rows:
        return ""
    head = ("", "wall s", "client CPU s", "requests hub", "requests store", "foreign CPU s")
    return _rows(
        head,
        [
            (
                figures.name,
                f"{figures.wall:.2f} ({figures.fastest:.2f}-{figures.slowest:.2f})",
                f"{figures.cpu:.2f}",
                _optional(figures.requests.get("hub", 0)),
                _optional(figures.requests.get("store")),
                f"{figures.foreign_cpu:.2f}",
            )
            for figures in rows
        ],
    )


def _spread(figures: Figures) -> str:
    return f"{figures.wall:.1f} ({figures.fastest:.1f}-{figures.slowest:.1f})"


def _optional(value: float | None, unit: float = 1, digits: int = 0) -> str:
    return "-" if value is None else f"{value / unit:.{digits}f}"


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
