# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked in each protocol, and what its answers say. Pure: bytes and times in, an Answer out."""

from __future__ import annotations

import codecs
import dataclasses
import json
import typing as t

from ..workload import Workload

_QUOTE = ord('"')
#: More than this without the end of an object is no answer of a server of models.
_LARGEST = 1 << 24


class MalformedError(Exception):
    """The answer is not what its protocol says. The text names what is wrong, without text of the answer."""


class RefusedError(Exception):
    """The server reports an error within an answer whose status is 200. The text is the server's."""


@dataclasses.dataclass(slots=True)
class Answer:
    """What is known of one answer. ``times`` has the arrival of each chunk with text, on the monotonic clock."""

    times: list[float] = dataclasses.field(default_factory=list)
    #: Parts of the text; of a stream only when the text is to be kept.
    texts: list[str] = dataclasses.field(default_factory=list)
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None
    model: str = ""

    @property
    def tokens(self) -> int:
        """As the server counts them; else the chunks of a stream; else words, for want of anything better."""
        if self.completion_tokens is not None:
            return self.completion_tokens
        return len(self.times) or len(" ".join(self.texts).split())


class Reader(t.Protocol):
    """Takes the body of one answer as it arrives."""

    answer: Answer

    def feed(self, data: bytes, now: float) -> None:
        """Some bytes of the body, with the time of their arrival.

        :raises MalformedError: they cannot belong to such an answer.
        :raises RefusedError: the server reports an error.
        """

    def finish(self) -> None:
        """The body has ended. Raises as feed() does."""


class Events:
    """Server-sent events of OpenAI's completions and chat completions, one JSON object per event."""

    def __init__(self, *, chat: bool, keep_text: bool) -> None:
        self.answer = Answer()
        self._chat = chat
        self._keep_text = keep_text
        self._mark = b'"content":"' if chat else b'"text":"'
        self._rest = b""

    def feed(self, data: bytes, now: float) -> None:
        if self._rest:
            data = self._rest + data
        if data.startswith(b"data: ") and data.find(b"\n") == len(data) - 2:
            # One whole event, as servers flush them: a line, its end, and an empty line.
            self._rest = b""
            self._event(data[6:-2], now)
            return
        *lines, self._rest = data.split(b"\n")
        for line in lines:
            self._line(line, now)
        if len(self._rest) > _LARGEST:
            raise MalformedError("an event has no end")

    def finish(self) -> None:
        rest, self._rest = self._rest, b""
        self._line(rest, self.answer.times[-1] if self.answer.times else 0.0)

    def _line(self, line: bytes, now: float) -> None:
        """Other fields than data, and comments that keep the connection open, carry no token."""
        if line.startswith(b"data:"):
            self._event(line[5:].strip(), now)

    def _event(self, data: bytes, now: float) -> None:
        answer = self.answer
        # This runs once per token. A chunk with text and nothing else to tell is known by what it contains, without
        # parsing it: a quote within a text is escaped, so the mark is a key. The first one is parsed, for the model.
        at = data.find(self._mark)
        if (
            at >= 0
            and answer.model
            and not self._keep_text
            and data[at + len(self._mark)] != _QUOTE
            and data.endswith(b"}")
            and b'"finish_reason":null' in data
        ):
            answer.times.append(now)
            return
        if data == b"[DONE]":
            return
        said = _parsed(data)
        _refused(said)
        try:
            answer.model = said.get("model") or answer.model
            _count(answer, said.get("usage"))
            for choice in said.get("choices") or ():
                answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
                text = _delta(choice.get("delta") or {}) if self._chat else choice.get("text")
                if text:
                    answer.times.append(now)
                    if self._keep_text:
                        answer.texts.append(text)
        except (AttributeError, TypeError) as error:
            raise MalformedError("an event is no chunk of a completion") from error


class Objects:
    """The stream of jetstream-http: JSON objects with ``text``, one right after the other, over several lines each.

    ``http-server/http_server.py`` of its image: ``yield json.dumps({"id", "time_created", "text"}, indent=4)``.
    """

    def __init__(self, *, keep_text: bool) -> None:
        self.answer = Answer()
        self._keep_text = keep_text
        self._rest = ""
        self._text_of = codecs.getincrementaldecoder("utf-8")().decode
        self._object_in = json.JSONDecoder().raw_decode

    def feed(self, data: bytes, now: float) -> None:
        try:
            rest = (self._rest + self._text_of(data)).lstrip()
        except UnicodeDecodeError as error:
            raise MalformedError("the stream is not UTF-8") from error
        while rest:
            try:
                said, end = self._object_in(rest)
            except ValueError:  # not whole yet: what it lacks comes, or is missed at the end
                break
            rest = rest[end:].lstrip()
            self._object(said, now)
        self._rest = rest
        if len(rest) > _LARGEST:
            raise MalformedError("an object has no end")

    def finish(self) -> None:
        if self._rest:
            raise MalformedError("the last object of the stream is not whole")

    def _object(self, said: t.Any, now: float) -> None:
        if not isinstance(said, dict) or not isinstance(said.get("text"), str):
            raise MalformedError("an object of the stream has no text")
        if said["text"]:
            self.answer.times.append(now)
            if self._keep_text:
                self.answer.texts.append(said["text"])


class Whole:
    """An answer in one JSON object, in any of the protocols: when its first token was made cannot be seen."""

    def __init__(self, protocol: str) -> None:
        self.answer = Answer()
        self._protocol = protocol
        self._parts: list[bytes] = []

    def feed(self, data: bytes, now: float) -> None:
        self._parts.append(data)

    def finish(self) -> None:
        said = _parsed(b"".join(self._parts))
        _refused(said)
        answer = self.answer
        try:
            if self._protocol == "jetstream":
                text = said["response"]
            elif self._protocol == "saxml":
                # The proxy passes on what sax' LM.Generate returns: pairs of a text and its score, the best one first.
                first = said["completions"][0]
                text = first if isinstance(first, str) else first[0]
            else:
                choice = said["choices"][0]
                text = _delta(choice["message"]) if self._protocol == "openai_chat" else choice["text"]
                answer.finish_reason = choice.get("finish_reason")
                answer.model = said.get("model") or ""
                _count(answer, said.get("usage"))
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise MalformedError("the answer is no completion") from error
        if text:
            answer.texts.append(str(text))


def _parsed(data: bytes) -> t.Any:
    try:
        said = json.loads(data)
    except ValueError as error:
        raise MalformedError("what should be JSON is none") from error
    if not isinstance(said, dict):
        raise MalformedError("what should be a JSON object is none")
    return said


def _refused(said: dict[str, t.Any]) -> None:
    if said.get("error"):
        raise RefusedError(message_of(said) or "the server reports an error")


def _delta(message: dict[str, t.Any]) -> str | None:
    """The text of a message or a part of it. What a model thinks is made of tokens as well."""
    return message.get("content") or message.get("reasoning_content") or message.get("reasoning")


def _count(answer: Answer, usage: dict[str, t.Any] | None) -> None:
    if usage:
        answer.prompt_tokens = usage.get("prompt_tokens")
        answer.completion_tokens = usage.get("completion_tokens")


def message_of(said: t.Any) -> str:
    """The message of an error in the forms that servers of models use; empty when there is none."""
    error = said.get("error", said) if isinstance(said, dict) else said
    found = error.get("message") or error.get("detail") if isinstance(error, dict) else error
    return " ".join(found.split())[:200] if isinstance(found, str) else ""


class Protocol:
    """One of the protocols, for one workload: where to ask, what to send, how to read the answer."""

    def __init__(self, workload: Workload) -> None:
        self._name = workload.protocol
        self._model = workload.model
        self._stream = workload.stream
        self._keep_text = workload.keep_text
        self._extra = dict(workload.extra_body)
        paths = {"openai_completions": "/v1/completions", "openai_chat": "/v1/chat/completions"}
        self.path = paths.get(self._name, "/generate")

    def body(self, prompt: str, max_tokens: int) -> bytes:
        """A request that asks for at most so many tokens."""
        asked = self._extra | self._question(prompt, max_tokens)
        return json.dumps(asked, ensure_ascii=False).encode(errors="replace")

    def _question(self, prompt: str, max_tokens: int) -> dict[str, t.Any]:
        if self._name == "jetstream":
            return {"prompt": prompt, "max_tokens": max_tokens, "stream": self._stream}
        if self._name == "saxml":
            options = {"per_example_max_decode_steps": max_tokens}
            return {"prompt": prompt, "model_id": self._model, "model_options": options}
        asked: dict[str, t.Any] = {"model": self._model, "max_tokens": max_tokens}
        if self._name == "openai_chat":
            asked["messages"] = [{"role": "user", "content": prompt}]
        else:
            asked["prompt"] = prompt
        if self._stream:
            # Without it nobody tells how many tokens a stream has had.
            asked |= {"stream": True, "stream_options": {"include_usage": True}}
        return asked

    def reader(self) -> Reader:
        """For the answer to one request."""
        if not self._stream:
            return Whole(self._name)
        if self._name == "jetstream":
            return Objects(keep_text=self._keep_text)
        return Events(chat=self._name == "openai_chat", keep_text=self._keep_text)
