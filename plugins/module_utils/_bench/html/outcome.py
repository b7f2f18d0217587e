# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What went wrong, how the run compares with earlier ones, and what has to be known to repeat it."""

from __future__ import annotations

from .data import Facts, Failure, Run
from .figure import without
from .markup import Markup, element, joined
from .numbers import NONE, change, number, percent, seconds
from .table import table
from .verdict import baseline_name
from .words import DEFINITIONS, metric_name, stage_name

#: Earlier runs that are listed: a folder of results may hold thousands.
_RUNS = 20
_KINDS = {
    "connect": "no connection",
    "timeout": "timeout",
    "reset": "connection reset",
    "http": "HTTP status",
    "malformed": "malformed answer",
    "no_tokens": "answer without tokens",
    "stalled": "stalled while streaming",
    "cancelled": "cancelled at the end",
}
_SIGNS = {"better": "\u25b2", "worse": "\u25bc", "same": "=", "unknown": "?"}


def errors(run: Run) -> Markup:
    """Failed requests by stage and kind."""
    name, title = "errors", "9. Errors"
    sent = {stage["stage"]: stage["sent"] for stage in run["stages"]}
    if not run["errors"]:
        return without(name, title, "No request failed.")
    stages = {stage["stage"]: stage_name(stage) for stage in run["stages"]}
    most = max(failure["count"] for failure in run["errors"])
    rows = [
        (
            stages[failure["stage"]],
            _kind(failure),
            joined(_bar(failure["count"] / most), f" {failure['count']:,}"),
            percent(failure["count"] / sent[failure["stage"]]),
            failure["message"],
        )
        for failure in run["errors"]
    ]
    heads = ("Asked", "Error", "Requests", "Of sent", "First message")
    whole = table("Failed requests by stage and kind", heads, rows, words={1, 4})
    return element("section", element("h3", title, id=name), whole, class_="figure", aria_labelledby=name)


def _kind(failure: Failure) -> str:
    kind = _KINDS.get(failure["error"], failure["error"])
    return kind if failure["status"] is None else f"{kind} {failure['status']}"


def _bar(share: float) -> Markup:
    mark = element("rect", class_="bar", width=max(1.0, 80 * share), height=10)
    return element("svg", mark, class_="inline", viewBox="0 0 80 10", aria_hidden="true")


def comparison(run: Run) -> Markup:
    """Every metric against the baseline."""
    found = run["comparison"]
    if found is None:
        return element(
            "p",
            "No earlier run of the same model, engine, accelerator, topology and workload was found to compare with.",
            class_="muted",
        )
    stages = {stage["stage"]: stage_name(stage) for stage in run["stages"]}
    rows = []
    for delta in found["deltas"]:
        label, unit = metric_name(delta["metric"])
        is_share = unit == "share"
        band = NONE if delta["band"] is None else f"\u00b1{percent(delta['band'], 2)}"
        rows.append(
            (
                stages[delta["stage"]],
                label if is_share else f"{label}, {unit}",
                percent(delta["baseline"]) if is_share else number(delta["baseline"]),
                percent(delta["value"]) if is_share else number(delta["value"]),
                change(delta["change"]),
                band,
                element("span", f"{_SIGNS[delta['verdict']]} {delta['verdict']}", class_=f"tag {delta['verdict']}"),
            )
        )
    heads = ("Asked", "Metric", "Baseline", "This run", "Change", "Noise band", "Verdict")
    runs = [
        (earlier["run_id"], earlier["name"] or NONE, earlier["started_at"], str(len(earlier["stages"])))
        for earlier in found["runs"][:_RUNS]
    ]
    count = len(found["runs"])
    listed = f"The newest {_RUNS} of {count} comparable runs" if count > _RUNS else "Comparable runs"
    return joined(
        element(
            "p",
            f"Baseline: {baseline_name(run)}. Without three repeats the noise is not known, nor is the verdict.",
        ),
        table(f"Against {baseline_name(run)}", heads, rows, words={1, 6}),
        table(listed, ("Run", "Name", "Started", "Stages"), runs, words={1, 2}),
    )


def facts(run: Run) -> Markup:
    """All that is known of server, accelerator, client and workload; what is not known says so."""
    groups = [
        element("div", element("h3", title), element("dl", *(_fact(label, value) for label, value in lines)))
        for title, lines in _groups(run, run["facts"])
    ]
    return element("div", *groups, class_="facts")


def _groups(run: Run, known: Facts) -> list[tuple[str, list[tuple[str, str | None]]]]:
    price = known["usd_per_hour"]
    # Of a client that is no Pod nothing of this is missing.
    in_cluster = [
        ("Node", known["generator_node"]),
        ("Image of the client", known["generator_image"]),
        ("Namespace", known["namespace"]),
        ("Cluster", known["cluster"]),
    ]
    return [
        (
            "Server",
            [
                ("Model", known["model"]),
                ("Revision", known["revision"]),
                ("Engine", known["server"]),
                ("Image", known["image"]),
                ("Arguments", " ".join(known["args"]) or None),
                ("Endpoint", known["endpoint"]),
                ("Protocol", known["protocol"]),
            ],
        ),
        (
            "Hardware",
            [
                ("Accelerator", known["accelerator"]),
                ("Topology", known["topology"]),
                ("Chips", _whole(known["chips"])),
                ("Tensor parallel", _whole(known["tensor_parallel"])),
                ("Price", None if price is None else f"{number(price)} USD per hour"),
                ("Kubernetes", known["kubernetes"]),
                ("Zone", known["zone"]),
            ],
        ),
        (
            "Client",
            [
                ("Generator", known["generator"]),
                ("Host", known["generator_host"]),
                *((label, value) for label, value in in_cluster if value is not None),
                ("Cores", None if known["generator_cores"] is None else number(known["generator_cores"])),
                ("Round trip", None if known["round_trip_ms"] is None else f"{number(known['round_trip_ms'])} ms"),
                ("Clock", known["clock"]),
                ("Tokens counted by", known["tokens_counted_by"]),
                ("Streaming", "yes" if known["stream"] else "no"),
            ],
        ),
        (
            "Workload",
            [
                ("Dataset", known["dataset"]),
                ("SHA-256 of it", known["dataset_sha256"]),
                ("Input tokens", known["input_tokens"]),
                ("Output tokens", known["output_tokens"]),
                ("Seed", _whole(known["seed"])),
                ("Warm-up", f"{known['warmup_requests']} requests, not counted"),
                ("Duration", seconds(known["duration_s"])),
                ("Repeats", str(known["repeats"])),
                ("Workload digest", known["workload_digest"]),
                ("Run", run["run_id"]),
                ("Started", run["started_at"]),
            ],
        ),
    ]


def _whole(value: int | None) -> str | None:
    return None if value is None else str(value)


def _fact(label: str, value: str | None) -> Markup:
    said = element("dd", "not known", class_="muted") if value is None else element("dd", value)
    return joined(element("dt", label), said)


def definitions() -> Markup:
    """What the words mean."""
    return element(
        "dl", *(joined(element("dt", term), element("dd", said)) for term, said in DEFINITIONS), class_="definitions"
    )
