# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take requests from SUBSCRIPTION, ask the model, publish each answer to ANSWERS.

A message is acknowledged only after its answer, or the reason why there is none, was published: whoever is killed before
leaves it to another. Messages may therefore be answered twice; ``original_message_id`` tells. What the model refuses, or
does not answer in several attempts, goes to DEAD_LETTERS with its ``failure_reason``.
"""

from __future__ import annotations

import base64
import concurrent.futures
import json
import os
import signal
import threading
import time
import urllib.error

from pubsub import RETRIES, PubSub, ask, passes, pause, say

#: Seconds that a message is ours; it is asked for again long before.
DEADLINE = int(os.environ.get("ACK_DEADLINE", "600"))
#: Seconds that the model has for one answer.
TIMEOUT = float(os.environ.get("REQUEST_TIMEOUT", "120"))


class Stopped(Exception):
    """The program was told to end before the model had answered."""


class Subscriber:
    """Never holds more messages than it works at, so that other replicas get theirs."""

    def __init__(self, service: PubSub, environment: dict[str, str] | os._Environ[str]) -> None:
        self._service = service
        self._subscription = environment["SUBSCRIPTION"]
        self._answers, self._dead_letters = environment["ANSWERS"], environment["DEAD_LETTERS"]
        self._url, self._model = f"{environment['ENDPOINT']}/v1/completions", environment["MODEL"]
        self._batch, self._most = int(environment["BATCH_SIZE"]), int(environment["MAX_CONCURRENT"])
        self._held: set[str] = set()
        self._changed = threading.Condition()
        self.stop = threading.Event()

    def run(self) -> None:
        """Work until told to stop, and end what has begun."""
        threading.Thread(target=self._keep, daemon=True).start()
        with concurrent.futures.ThreadPoolExecutor(self._most) as pool:
            failures = 0
            while not self.stop.is_set():
                try:
                    received = self._service.pull(self._subscription, min(self._batch, self._room()))
                    failures = 0
                except (OSError, ValueError) as error:
                    say("pull failed", error=str(error))
                    self.stop.wait(pause(failures))
                    failures += 1
                    continue
                with self._changed:
                    self._held |= {item["ackId"] for item in received}
                for item in received:
                    pool.submit(self._work, item)
                if not received:
                    self.stop.wait(1)
        say("ended")

    def _room(self) -> int:
        """How many more messages may be held; waits until it is one."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._held) < self._most)
            return self._most - len(self._held)

    def _keep(self) -> None:
        """Ask for more time for all messages that are held, well before it ends."""
        while True:
            time.sleep(DEADLINE / 3)
            with self._changed:
                held = sorted(self._held)
            try:
                if held:
                    self._service.extend(self._subscription, held, DEADLINE)
            except (OSError, ValueError) as error:
                say("more time refused", error=str(error))

    def _work(self, item: dict) -> None:
        """One message, from the question to its acknowledgement. Without this it comes again."""
        ack_id, message = item["ackId"], item["message"]
        number = message["messageId"]
        try:
            self._settle(message)
            self._service.acknowledge(self._subscription, ack_id)
            say("done", message=number)
        except Exception as error:  # noqa: BLE001  whatever it is, the message must not be lost
            say("given back", message=number, error=f"{type(error).__name__}: {error}")
            self._give_back(ack_id)
        finally:
            with self._changed:
                self._held.discard(ack_id)
                self._changed.notify_all()

    def _give_back(self, ack_id: str) -> None:
        try:
            self._service.extend(self._subscription, [ack_id], 0)
        except (OSError, ValueError) as error:
            say("not given back", error=str(error))  # it comes again when its time has ended

    def _settle(self, message: dict) -> None:
        """Publish the answer, or why there is none."""
        data, origin = message.get("data", ""), {"original_message_id": message["messageId"]}
        try:
            answer = self._answer(json.loads(base64.b64decode(data)))
        except (OSError, ValueError, TypeError) as error:
            # Of Pub/Sub, an attribute has up to 1024 bytes.
            reason = reason_of(error).encode()[:1000].decode(errors="ignore")
            question = base64.b64decode(data).decode(errors="replace")
            self._service.publish(self._dead_letters, [({"data": question}, {**origin, "failure_reason": reason})])
            say("dead letter", message=message["messageId"], reason=reason)
        else:
            self._service.publish(self._answers, [(answer, origin)])

    def _answer(self, question: dict) -> dict:
        """What the model says.

        :raises OSError, ValueError, TypeError: it refuses or does not answer, or the message is no question.
        :raises Stopped: there is no time left to try again.
        """
        if not isinstance(question, dict):
            raise TypeError("the message is no JSON object")
        for attempt in range(RETRIES + 1):
            try:
                return ask(self._url, {"model": self._model, **question}, timeout=TIMEOUT)
            except OSError as error:
                if attempt == RETRIES or not passes(error):
                    raise
                if self.stop.wait(pause(attempt)):
                    raise Stopped from error
        raise AssertionError


def reason_of(error: Exception) -> str:
    """With what the server said of it."""
    if isinstance(error, urllib.error.HTTPError):
        return f"{error}: {error.read().decode(errors='replace')}"
    return f"{type(error).__name__}: {error}"


def main() -> None:
    subscriber = Subscriber(PubSub(os.environ["PROJECT"]), os.environ)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: subscriber.stop.set())
    say("started")
    subscriber.run()


if __name__ == "__main__":
    main()
