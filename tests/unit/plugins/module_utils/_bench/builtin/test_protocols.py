# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench.builtin.protocols import (
    Events,
    MalformedError,
    Objects,
    Protocol,
    RefusedError,
    Whole,
    message_of,
)
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import parse


def workload(protocol, **changes):
    return parse(
        {
            "endpoint": "http://server:8000",
            "protocol": protocol,
            "model": "local/llama",
            "data": {"type": "synthetic", "input_tokens": 8, "output_tokens": 4},
            "stages": [{"rate": 1, "requests": 1}],
            **changes,
        }
    )


def event(*, compact=True, **said):
    said = {"model": "local/llama", **said}
    return b"data: " + json.dumps(said, separators=(",", ":") if compact else None).encode() + b"\n\n"


def choice(text, finish=None, *, chat=False):
    part = {"delta": {"content": text}} if chat else {"text": text}
    return [{"index": 0, **part, "logprobs": None, "finish_reason": finish}]


def completion(*, chat=False, compact=True):
    """Four tokens in the order of a server: the first chunk of a chat is empty, the last token has the reason."""
    texts = ['a"b', "{", " token", "\u00e9nd"]
    parts = [event(choices=choice("", chat=chat), compact=compact)]
    parts += [event(choices=choice(text, chat=chat), compact=compact) for text in texts[:-1]]
    parts.append(event(choices=choice(texts[-1], "length", chat=chat), compact=compact))
    usage = {"prompt_tokens": 9, "completion_tokens": 4}
    return [*parts, event(choices=[], usage=usage, compact=compact), b"data: [DONE]\n\n"], "".join(texts)


@pytest.mark.parametrize("compact", [True, False], ids=["compact", "spaced"])
@pytest.mark.parametrize("chat", [True, False], ids=["chat", "completions"])
@pytest.mark.parametrize("keep_text", [True, False])
def test_events_are_tokens_with_the_time_of_their_chunk(chat, compact, keep_text):
    parts, text = completion(chat=chat, compact=compact)
    reader = Events(chat=chat, keep_text=keep_text)
    for number, part in enumerate(parts):
        reader.feed(part, float(number))
    reader.finish()
    answer = reader.answer
    assert answer.times == [1.0, 2.0, 3.0, 4.0]
    assert (answer.prompt_tokens, answer.completion_tokens, answer.tokens) == (9, 4, 4)
    assert (answer.finish_reason, answer.model) == ("length", "local/llama")
    assert "".join(answer.texts) == (text if keep_text else "")


@pytest.mark.parametrize("ending", [b"\n\n", b"\r\n\r\n"])
def test_events_may_be_torn_anywhere(ending):
    whole = b": a comment\n\n" + b"".join(completion()[0]).replace(b"\n\n", ending)
    for size in range(1, 40):
        reader = Events(chat=False, keep_text=False)
        for at in range(0, len(whole), size):
            reader.feed(whole[at : at + size], float(at))
        reader.finish()
        assert len(reader.answer.times) == 4, size
        assert reader.answer.times == sorted(reader.answer.times)
        assert reader.answer.completion_tokens == 4


def test_several_events_at_once_have_one_time_each():
    reader = Events(chat=False, keep_text=False)
    reader.feed(b"".join(completion()[0]), 7.0)
    assert reader.answer.times == [7.0] * 4


def test_an_empty_text_and_a_role_are_no_tokens():
    reader = Events(chat=True, keep_text=False)
    reader.feed(event(choices=[{"delta": {"role": "assistant"}, "finish_reason": None}]), 1.0)
    for _again in range(3):
        reader.feed(event(choices=choice("", chat=True)), 2.0)
    reader.feed(event(choices=[{"delta": {}, "finish_reason": "stop"}]), 3.0)
    assert (reader.answer.tokens, reader.answer.finish_reason) == (0, "stop")


def test_what_a_model_thinks_is_tokens_too():
    reader = Events(chat=True, keep_text=True)
    for name in ("reasoning_content", "reasoning", "content"):
        reader.feed(event(choices=[{"delta": {name: name}, "finish_reason": None}]), 1.0)
    assert reader.answer.texts == ["reasoning_content", "reasoning", "content"]


def test_without_usage_chunks_are_counted():
    reader = Events(chat=False, keep_text=False)
    for text in ("a", "b"):
        reader.feed(event(choices=choice(text), usage=None), 1.0)
    assert (reader.answer.tokens, reader.answer.completion_tokens) == (2, None)


@pytest.mark.parametrize("data", [b'{"choices": [{"te', b"[1]", b'{"choices": [5]}', b'{"choices": 5}', b"data"])
def test_events_that_are_none(data):
    reader = Events(chat=False, keep_text=False)
    reader.feed(event(choices=choice("a")), 1.0)
    with pytest.raises(MalformedError):
        reader.feed(b"data: " + data + b"\n\n", 2.0)


def test_the_last_event_may_lack_its_end_and_then_counts():
    reader = Events(chat=False, keep_text=False)
    reader.feed(event(choices=choice("a")), 1.0)
    reader.feed(event(choices=[], usage={"completion_tokens": 3}).rstrip(), 2.0)
    assert reader.answer.completion_tokens is None
    reader.finish()
    assert reader.answer.completion_tokens == 3


def test_an_error_within_a_stream_is_the_servers():
    reader = Events(chat=False, keep_text=False)
    with pytest.raises(RefusedError, match="The engine has died"):
        reader.feed(event(error={"message": "The engine has died.", "code": 500}), 1.0)


def objects(*texts):
    return "".join(json.dumps({"id": "generate-0", "text": text}, indent=4, ensure_ascii=False) for text in texts)


def test_concatenated_objects_may_be_torn_anywhere():
    texts = ["a}{", "", 'b"', "\u00e9", " d"]
    whole = objects(*texts).encode()
    for size in range(1, 60):
        reader = Objects(keep_text=True)
        for at in range(0, len(whole), size):
            reader.feed(whole[at : at + size], float(at))
        reader.finish()
        assert reader.answer.texts == [text for text in texts if text], size
        assert reader.answer.tokens == 4


def test_objects_that_are_none():
    reader = Objects(keep_text=False)
    with pytest.raises(MalformedError):
        reader.feed(b'{"response": "a"}', 1.0)
    reader = Objects(keep_text=False)
    reader.feed(objects("a").encode() + b'{"text": "b', 1.0)
    with pytest.raises(MalformedError, match="not whole"):
        reader.finish()
    assert reader.answer.tokens == 1


@pytest.mark.parametrize(
    ("protocol", "said", "tokens", "reason"),
    [
        ("openai_completions", {"choices": choice("a b", "stop"), "usage": {"completion_tokens": 5}}, 5, "stop"),
        ("openai_chat", {"choices": [{"message": {"content": "a b c"}, "finish_reason": "length"}]}, 3, "length"),
        ("jetstream", {"response": "a b"}, 2, None),
        ("saxml", {"completions": [["a b c d", -0.5], ["e", -1.0]]}, 4, None),
        ("saxml", {"completions": ["a"]}, 1, None),
        ("saxml", {"completions": [["", -0.5]]}, 0, None),
    ],
)
def test_whole_answers(protocol, said, tokens, reason):
    reader = Whole(protocol)
    data = json.dumps(said).encode()
    reader.feed(data[:7], 1.0)
    reader.feed(data[7:], 2.0)
    reader.finish()
    assert (reader.answer.tokens, reader.answer.finish_reason, reader.answer.times) == (tokens, reason, [])


@pytest.mark.parametrize("protocol", ["openai_completions", "openai_chat", "jetstream", "saxml"])
@pytest.mark.parametrize("data", [b"", b"<html>", b"{}", b'{"completions": [], "choices": []}'])
def test_whole_answers_that_are_none(protocol, data):
    reader = Whole(protocol)
    reader.feed(data, 1.0)
    with pytest.raises(MalformedError):
        reader.finish()


def test_what_is_asked():
    asked = {
        name: json.loads(Protocol(workload(name)).body("Hi \u00e9", 4))
        for name in ("openai_completions", "openai_chat", "jetstream", "saxml")
    }
    stream = {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": 4, "model": "local/llama"}
    assert asked == {
        "openai_completions": {"prompt": "Hi \u00e9", **stream},
        "openai_chat": {"messages": [{"role": "user", "content": "Hi \u00e9"}], **stream},
        "jetstream": {"prompt": "Hi \u00e9", "max_tokens": 4, "stream": True},
        "saxml": {
            "prompt": "Hi \u00e9",
            "model_id": "local/llama",
            "model_options": {"per_example_max_decode_steps": 4},
        },
    }
    whole = json.loads(Protocol(workload("openai_chat", stream=False)).body("Hi", 4))
    assert not {"stream", "stream_options"} & set(whole)
    more = json.loads(Protocol(workload("jetstream", extra_body={"top_p": 0.5, "a": [None]})).body("Hi", 4))
    assert more == {"prompt": "Hi", "max_tokens": 4, "stream": True, "top_p": 0.5, "a": [None]}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"error": {"message": "Too  long."}}, "Too long."),
        ({"error": "Busy"}, "Busy"),
        ({"detail": "Not Found"}, "Not Found"),
        # FastAPI repeats the input in the details of a validation.
        ({"detail": [{"msg": "bad", "input": "the prompt"}]}, ""),
        ([], ""),
        ({"error": {"message": "x" * 500}}, "x" * 200),
    ],
)
def test_messages_of_servers(said, message):
    assert message_of(said) == message
