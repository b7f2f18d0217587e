# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module benchmark_results does with its options: which runs, to which places, and what came of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._bench import records
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import (
    BenchError,
    InputError,
    StorageError,
)
from ansible_collections.modelops.serving.plugins.module_utils._bench.records import storage_error
from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks import rows
from ansible_collections.modelops.serving.plugins.module_utils._doors import control_options
from ansible_collections.modelops.serving.plugins.module_utils._sinks.ledger import Ledger
from ansible_collections.modelops.serving.plugins.module_utils._sinks.local import Index, Parquet
from ansible_collections.modelops.serving.plugins.module_utils._sinks.sink import Sink
from ansible_collections.modelops.serving.plugins.module_utils._sinks.storage import Storage
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.google import GoogleCredentials

if t.TYPE_CHECKING:
    from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient

Result: t.TypeAlias = "dict[str, t.Any]"
Item: t.TypeAlias = "dict[str, t.Any]"

#: What the types of places have beside the options of destinations.
OWN: t.Final[dict[str, frozenset[str]]] = {
    "index": frozenset(),
    "parquet": frozenset({"text"}),
    "pubsub": frozenset({"topic", "project", "text"}),
    "bigquery": frozenset({"dataset", "table", "runs_table", "project", "text", "requests"}),
}
_OWN_OF_ALL = frozenset().union(*OWN.values())
#: What they take of the options of destinations.
_TAKEN: t.Final[dict[str, frozenset[str]]] = {
    "index": frozenset(),
    "parquet": frozenset(),
    "pubsub": frozenset({*_auth.GCS, *_auth.TLS}),
    "bigquery": frozenset({*_auth.GCS, *_auth.TLS, "bucket", "prefix", "endpoint_url"}),
}
_ALIASES = frozenset(alias for option in _auth.DESTINATION.values() for alias in option.get("aliases", ()))


class Door:
    """One call of the module. ``errors`` is what went wrong; the runs themselves are never changed by it."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._control = Control(**control_options(module))
        self.errors: list[BenchError | TransferError] = []

    def send(self) -> Result:
        """Send each run to each place; each of them fails for itself.

        :raises InputError: options cannot be, or there is no such run; nothing was sent. Of the package of the benchmark
            or of that of transfers, as is StorageError.
        """
        sinks = [(item["type"], self._sink(item)) for item in self._module.params["to"]]
        places, left_out = self._places()
        runs = [self._send(place, sinks) for place in places]
        changed = any(count for run in runs for sent in run["sent"] for count in sent["counts"].values())
        return {"changed": changed, "runs": runs, "left_out": left_out}

    def _places(self) -> tuple[list[Path], list[str]]:
        """The folders of the runs to send, and the ids of those that have no report."""
        folder, run_id = Path(self._module.params["results"]), self._module.params["run_id"]
        if run_id:
            if not (folder / run_id / records.FILE).is_file():
                raise InputError(f"There is no run {run_id!r} in {folder}.", hint="Check results and run_id.")
            return [folder / run_id], []
        if not folder.is_dir():
            raise InputError(f"There is no folder of results {folder}.", hint="Check results.")
        found = sorted(path.parent for path in folder.glob(f"*/{records.FILE}"))
        left_out = [place.name for place in found if not (place / "summary.json").is_file()]
        if left_out:
            self._module.warn(
                f"Runs without a report were left out, since they may go on: {', '.join(left_out)}. "
                "One that was killed is sent when run_id names it."
            )
        return [place for place in found if place.name not in left_out], left_out

    def _send(self, place: Path, sinks: t.Sequence[tuple[str, Sink]]) -> Result:
        result: Result = {"run_id": place.name, "sent": []}
        try:
            run = rows.read(place)
            with _alone(place):
                ledger = Ledger(place)
                for kind, sink in sinks:
                    self._send_to(sink, kind, run, ledger, result["sent"])
        except BenchError as error:
            self.errors.append(error)
        return result

    def _send_to(self, sink: Sink, kind: str, run: rows.Run, ledger: Ledger, sent: list[Result]) -> None:
        found: Result = {"type": kind, "where": sink.where(run), "counts": {}, "error": None}
        sent.append(found)
        try:
            found["counts"] = sink.send(run, ledger, check=self._module.check_mode, warn=self._module.warn)
        except (BenchError, TransferError) as error:
            found["error"] = str(error)
            self.errors.append(error)

    def _sink(self, item: Item) -> Sink:
        kind, given = item["type"], {name for name, value in item.items() if value is not None} - _ALIASES - {"type"}
        unknown = given - OWN[kind] - _TAKEN[kind] if kind in OWN else given & _OWN_OF_ALL
        if unknown:
            raise InputError(f"A place of type {kind} does not know {', '.join(sorted(unknown))}.")
        if kind == "index":
            return Index()
        if kind == "parquet":
            return Parquet(text=bool(item["text"]))
        if kind not in OWN:
            return Storage(self._destination(item, kind), self._control)
        project = item["project"] or os.environ.get("GCP_PROJECT") or os.environ.get("GOOGLE_CLOUD_PROJECT")
        text = bool(item["text"])
        if kind == "pubsub":
            from ansible_collections.modelops.serving.plugins.module_utils._sinks.pubsub import PubSub

            return PubSub(self._client(self._destination(item, "gcp")), item["topic"], project=project, text=text)
        from ansible_collections.modelops.serving.plugins.module_utils._sinks.bigquery import BigQuery

        staging = self._destination(item, "gcs")
        tables = (item["table"] or "requests", item["runs_table"] or "runs")
        requests = item["requests"] is not False
        return BigQuery(
            self._client(staging), item["dataset"], tables, staging, project=project, text=text, requests=requests
        )

    def _destination(self, item: Item, kind: str) -> Item:
        return _auth.destinations_data(self._module, [{**item, "type": kind}])[0]

    def _client(self, data: Item) -> GoogleClient:
        from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient

        return GoogleClient(
            GoogleCredentials(**{name: data[name] for name in _auth.GCS if name in data}),
            self._control,
            endpoints={name: str(address) for name, address in self._module.params["endpoints"].items()},
            validate_certs=data.get("validate_certs") is not False,
            ca_bundle=data.get("ca_bundle"),
        )


@contextlib.contextmanager
def _alone(place: Path) -> t.Iterator[None]:
    """No other process sends the same run meanwhile, which would send rows twice.

    :raises StorageError: one does.
    """
    try:
        handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise storage_error(place, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise StorageError(
            f"Another process is sending the run in {place}.", hint="Wait until it has ended."
        ) from error
    finally:
        os.close(handle)
