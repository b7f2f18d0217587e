# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The requests of a run as messages of a Pub/Sub topic, in their order, each attributed with its run and row.

Pub/Sub itself delivers at least once: where an answer is lost, a batch is sent again. The attributes tell such twins.
"""

from __future__ import annotations

import base64
import itertools
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks import rows
from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks.rows import Run, Warn
from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient
from ansible_collections.modelops.serving.plugins.module_utils._gcp.resources import find_resource
from ansible_collections.modelops.serving.plugins.module_utils._sinks.ledger import Ledger
from ansible_collections.modelops.serving.plugins.module_utils._sinks.sink import Counts, Sink, needs
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError, StoreError

# Of one request: 1000 messages, 10 MB. https://cloud.google.com/pubsub/quotas#resource_limits
_MESSAGES = 1000
_BYTES = 9_000_000

_Message: t.TypeAlias = "dict[str, t.Any]"


class PubSub(Sink):
    """:param topic: its short name or its full one. :param text: with prompts and answers."""

    def __init__(self, client: GoogleClient, topic: str, *, project: str | None, text: bool) -> None:
        self._client = client
        self._topic = find_resource("topic", topic, project=project, location=None).full_name
        self._text = text
        self._fields: frozenset[str] | None = None
        self._looked = False

    def where(self, run: Run) -> str:
        del run
        return self._topic

    def send(self, run: Run, ledger: Ledger, *, check: bool, warn: Warn) -> Counts:
        self._look()
        sent = ledger.sent(self._topic).get("rows", 0)
        if check:
            return {"rows": rows.count(run, skip=sent, warn=warn)}
        found = rows.of_requests(run, skip=sent, text=self._text, warn=warn)
        published = sent
        for batch in batches(_message(row, self._fields) for row in found):
            if published == sent:
                ledger.note(self._topic, {"rows": published})  # can it be written? Else nothing may be sent
            self._publish(batch)
            published += len(batch)
            ledger.note(self._topic, {"rows": published})
        return {"rows": published - sent}

    def _look(self) -> None:
        """Is the topic there, and which fields does its schema know?

        :raises InputError: it wants binary messages.
        """
        if self._looked:
            return
        with needs("pubsub.topics.get", "roles/pubsub.viewer", f"the topic {self._topic}"):
            topic = self._client.call("pubsub", "GET", f"/v1/{self._topic}", what=f"read the topic {self._topic}")
        settings = topic.get("schemaSettings") or {}
        if settings.get("encoding") == "BINARY":
            raise InputError(
                f"The topic {self._topic} wants binary messages.",
                hint="Use a topic whose schema has the encoding JSON.",
            )
        if "schema" in settings:
            name = settings["schema"]
            with needs("pubsub.schemas.get", "roles/pubsub.viewer", f"the schema {name}"):
                schema = self._client.call("pubsub", "GET", f"/v1/{name}", what=f"read the schema {name}")
            self._fields = frozenset(re.findall(r"(\w+)\s*=\s*\d+\s*[;\[]", schema.get("definition", "")))
        self._looked = True

    def _publish(self, batch: t.Sequence[_Message]) -> None:
        with needs("pubsub.topics.publish", "roles/pubsub.publisher", f"the topic {self._topic}"):
            answer = self._client.call(
                "pubsub",
                "POST",
                f"/v1/{self._topic}:publish",
                what=f"publish to the topic {self._topic}",
                body={"messages": batch},
            )
        taken = len(answer.get("messageIds", ()))
        if taken != len(batch):
            raise StoreError(f"The topic {self._topic} took {taken} of {len(batch)} messages.", hint="Try again.")


def _message(row: rows.Row, fields: t.Container[str] | None) -> _Message:
    return {
        "data": base64.b64encode(rows.message(row, fields).encode()).decode(),
        "attributes": row["attributes"],
    }


def batches(messages: t.Iterable[_Message]) -> t.Iterator[list[_Message]]:
    """As many messages at once as one request may have. One that is too large alone is left to Pub/Sub to refuse."""
    batch: list[_Message] = []
    size = 0
    for message in messages:
        # As JSON, with the attributes and what is around.
        length = len(message["data"]) + sum(map(len, itertools.chain(*message["attributes"].items()))) + 64
        if batch and (len(batch) == _MESSAGES or size + length > _BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += length
    if batch:
        yield batch
