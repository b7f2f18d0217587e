# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What publish.py and subscribe.py need of Pub/Sub, with nothing but Python's standard library.

https://cloud.google.com/pubsub/docs/reference/rest. The token is that of the Pod's service account, from the metadata
server, https://cloud.google.com/kubernetes-engine/docs/concepts/workload-identity.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
import sys
import threading
import time
import urllib.error
import urllib.request

ENDPOINT = os.environ.get("PUBSUB_ENDPOINT", "https://pubsub.googleapis.com")
METADATA = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
#: Seconds between two attempts, at least and at most, and how many there are after the first.
SHORTEST, LONGEST, RETRIES = 1.0, 30.0, 5
#: Answers after which another attempt may succeed.
PASSING = (408, 429, 500, 502, 503, 504)


def say(event: str, **facts: object) -> None:
    """One line of JSON for the log."""
    sys.stderr.write(json.dumps({"event": event, **facts}) + "\n")


def ask(url: str, body: object | None = None, *, headers: dict[str, str] | None = None, timeout: float = 60) -> dict:
    """What an HTTP server answers to a GET, or to a POST of JSON.

    :raises OSError: also for any status but 2xx.
    :raises ValueError: the answer is not JSON.
    """
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - whoever deploys this has written the addresses
    try:
        with urllib.request.build_opener().open(request, timeout=timeout) as answer:
            return json.loads(answer.read())
    except http.client.HTTPException as error:
        raise ConnectionError(f"The answer was cut off: {type(error).__name__}.") from error


def passes(error: Exception) -> bool:
    """Whether another attempt may succeed: no connection, no answer in time, or a server that is too busy."""
    return error.code in PASSING if isinstance(error, urllib.error.HTTPError) else isinstance(error, OSError)


def pause(attempt: int) -> float:
    """Seconds before the attempt after this one (from 0): 1, 2, 4 ... 30, of which up to a half is left to chance."""
    longest = min(SHORTEST * 2 ** min(attempt, 5), LONGEST)
    return longest * random.uniform(0.5, 1)  # noqa: S311  no secret is made of it


class PubSub:
    """The topics and subscriptions of one project. Requests that fail in passing are made again."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._lock = threading.Lock()
        self._token, self._expiry = "", 0.0

    def publish(self, topic: str, messages: list[tuple[object, dict[str, str]]]) -> None:
        """Publish up to 1000 messages, each with its data as JSON and its attributes."""
        found = [
            {"data": base64.b64encode(json.dumps(data).encode()).decode(), "attributes": attributes}
            for data, attributes in messages
        ]
        self._call(f"topics/{topic}:publish", {"messages": found})

    def pull(self, subscription: str, most: int) -> list[dict]:
        """Up to so many messages, as ReceivedMessage has them."""
        return self._call(f"subscriptions/{subscription}:pull", {"maxMessages": most}).get("receivedMessages", [])

    def acknowledge(self, subscription: str, ack_id: str) -> None:
        self._call(f"subscriptions/{subscription}:acknowledge", {"ackIds": [ack_id]})

    def extend(self, subscription: str, ack_ids: list[str], seconds: int) -> None:
        """Keep messages for so many more seconds; with 0, let others have them."""
        body = {"ackIds": ack_ids, "ackDeadlineSeconds": seconds}
        self._call(f"subscriptions/{subscription}:modifyAckDeadline", body)

    def _call(self, path: str, body: object) -> dict:
        for attempt in range(RETRIES + 1):
            try:
                headers = {"Authorization": f"Bearer {self._access_token()}"}
                return ask(f"{ENDPOINT}/v1/projects/{self._project}/{path}", body, headers=headers)
            except OSError as error:
                if attempt == RETRIES or not passes(error):
                    raise
                say("retry", path=path, error=str(error))
                time.sleep(pause(attempt))
        raise AssertionError

    def _access_token(self) -> str:
        with self._lock:
            if time.monotonic() > self._expiry:
                url = f"http://{METADATA}/computeMetadata/v1/instance/service-accounts/default/token"
                found = ask(url, headers={"Metadata-Flavor": "Google"}, timeout=10)
                self._token = found["access_token"]
                self._expiry = time.monotonic() + found["expires_in"] - 60
            return self._token
