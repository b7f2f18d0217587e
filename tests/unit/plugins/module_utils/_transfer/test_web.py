# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import email.utils
import gzip
import io
import ssl
import time

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    NotFoundError,
    SourceChangedError,
    StoppedError,
    StoreError,
    TransientError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.web import (
    Body,
    WebClient,
    check_range,
    fill,
    network_error,
    raise_for_status,
    redact,
    retry_after,
    tls_context,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import (
    FakeControl,
    properties,
    some_bytes,
)


def headers(**fields):
    return urllib3.HTTPHeaderDict({key.replace("_", "-"): value for key, value in fields.items()})


# -- what may appear in messages -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host/path", "https://host/path"),
        ("https://host:8443/a/b?X-Amz-Signature=secret&b=1", "https://host:8443/a/b"),
        ("https://user:secret@host/a", "https://host/a"),
        ("https://user:se@cret@host/a#secret", "https://host/a"),
        ("http://[::1]:9000/a?token=secret", "http://[::1]:9000/a"),
        ("", ""),
    ],
)
def test_a_url_in_a_message_has_no_secrets(url, expected):
    assert redact(url) == expected


# -- how long to wait ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, None),
        ({"Retry_After": ""}, None),
        ({"Retry_After": "0"}, 0),
        ({"Retry_After": "7"}, 7),
        ({"Retry_After": " 7 "}, 7),
        ({"retry_after": "7"}, 7),
        ({"Retry_After": "-7"}, None),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": "7.5"}, None),
        ({"Retry_After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"RateLimit": '"resolvers";r=0;t=55'}, 55),
        ({"RateLimit": '"api"; r=0; t=3'}, 3),
        ({"RateLimit": '"resolvers";r=1;t=55'}, None),
        ({"RateLimit": '"resolvers";r=10;t=55'}, None),
        ({"RateLimit": '"resolvers";r=2999;t=300'}, None),
        ({"RateLimit": '"resolvers";r=0'}, None),
        ({"RateLimit": "nonsense"}, None),
        ({"Retry_After": "7", "RateLimit": '"resolvers";r=0;t=55'}, 7),
        ({"Retry_After": "soon", "RateLimit": '"resolvers";r=0;t=55'}, 55),
    ],
    ids=repr,
)
def test_how_long_a_server_asks_to_wait(fields, seconds):
    assert retry_after(headers(**fields)) == seconds


def test_a_date_to_come_is_waited_for():
    date = email.utils.formatdate(time.time() + 90, usegmt=True)
    assert retry_after(headers(Retry_After=date)) == pytest.approx(90, abs=3)


# -- statuses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 206, 301, 302, 304, 307, 399])
def test_success_and_redirects_raise_nothing(status):
    raise_for_status(status, {}, "a.bin")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, StoreError),
        (401, AccessError),
        (403, AccessError),
        (404, NotFoundError),
        (408, TransientError),
        (409, StoreError),
        (410, NotFoundError),
        (412, SourceChangedError),
        (413, StoreError),
        (416, SourceChangedError),
        (425, TransientError),
        (429, TransientError),
        (451, StoreError),
        (500, TransientError),
        (501, StoreError),
        (502, TransientError),
        (503, TransientError),
        (504, TransientError),
        (520, TransientError),
        (599, TransientError),
    ],
)
def test_failures_are_sorted_by_what_can_be_done(status, kind):
    with pytest.raises(kind) as caught:
        raise_for_status(status, {}, "a.bin of org/model")
    assert caught.type is kind
    assert caught.value.message.startswith(f"a.bin of org/model: HTTP {status}")


def test_the_pause_that_a_server_asks_for_comes_with_the_error():
    with pytest.raises(TransientError) as caught:
        raise_for_status(429, headers(RateLimit='"resolvers";r=0;t=55'), "a.bin")
    assert caught.value.retry_after == 55


# -- ranges ----------------------------------------------------------------------------------------------------


def check(status, start=10, end=20, size=100, **fields):
    check_range(status, headers(**fields), "a.bin", start=start, end=end, size=size)


@pytest.mark.parametrize(
    ("status", "bounds", "fields"),
    [
        (206, (10, 20, 100), {"Content_Range": "bytes 10-19/100", "Content_Length": "10"}),
        (206, (10, 20, 100), {"Content_Range": "bytes 10-19/100"}),
        (206, (10, 20, 100), {"Content_Range": "bytes 10-19/*", "Content_Length": "10"}),
        (206, (0, 100, 100), {"Content_Range": "bytes 0-99/100"}),
        (206, (99, 100, 100), {"Content_Range": "bytes 99-99/100", "Content_Length": "1"}),
        (206, (10, 20, 100), {"Content_Range": "bytes 10-19/100", "Content_Encoding": "identity"}),
        (200, (0, 100, 100), {"Content_Length": "100"}),
        (200, (0, 100, 100), {}),
    ],
    ids=repr,
)
def test_exactly_what_was_asked_for_passes(status, bounds, fields):
    check(status, *bounds, **fields)


@pytest.mark.parametrize(
    ("status", "bounds", "fields"),
    [
        (200, (10, 20, 100), {"Content_Length": "100"}),
        (200, (10, 20, 100), {"Content_Length": "10"}),
        (200, (0, 20, 100), {"Content_Length": "20"}),
        (200, (80, 100, 100), {}),
        (204, (0, 100, 100), {}),
        (302, (10, 20, 100), {}),
        (304, (10, 20, 100), {}),
        (206, (10, 20, 100), {}),
        (206, (10, 20, 100), {"Content_Range": ""}),
        (206, (10, 20, 100), {"Content_Range": "bytes 0-9/100"}),
        (206, (10, 20, 100), {"Content_Range": "bytes 10-18/100"}),
        (206, (10, 20, 100), {"Content_Range": "bytes 10-20/100"}),
        (206, (10, 20, 100), {"Content_Range": "bytes 0-99/100"}),
        (206, (10, 20, 100), {"Content_Range": "bytes */100"}),
        (206, (10, 20, 100), {"Content_Range": "items 10-19/100"}),
        (206, (10, 20, 100), {"Content_Range": "bytes 10-19/100, bytes 30-39/100"}),
        (206, (10, 20, 100), {"Content_Range": "bytes 10-19/100", "Content_Length": "9"}),
        (206, (10, 20, 100), {"Content_Range": "bytes 10-19/100", "Content_Length": "100"}),
        (206, (10, 20, 100), {"Content_Range": "bytes 10-19/100", "Content_Encoding": "gzip"}),
        (200, (0, 100, 100), {"Content_Length": "60", "Content_Encoding": "gzip"}),
        (503, (10, 20, 100), {}),
    ],
    ids=repr,
)
def test_an_answer_that_a_proxy_may_have_spoiled_is_tried_again(status, bounds, fields):
    with pytest.raises(TransientError, match=r"a\.bin"):
        check(status, *bounds, **fields)


@pytest.mark.parametrize(
    ("status", "bounds", "fields"),
    [
        (200, (0, 100, 100), {"Content_Length": "99"}),
        (200, (0, 100, 100), {"Content_Length": "101"}),
        (200, (0, 0, 0), {"Content_Length": "5"}),
        (206, (10, 20, 100), {"Content_Range": "bytes 10-19/101", "Content_Length": "10"}),
        (206, (10, 20, 100), {"Content_Range": "bytes 10-19/20"}),
        (412, (10, 20, 100), {}),
        (416, (10, 20, 100), {"Content_Range": "bytes */5"}),
    ],
    ids=repr,
)
def test_a_file_that_changed_is_not_read_on(status, bounds, fields):
    with pytest.raises(SourceChangedError, match=r"a\.bin"):
        check(status, *bounds, **fields)


@pytest.mark.parametrize(("status", "kind"), [(403, AccessError), (404, NotFoundError), (400, StoreError)])
def test_a_refused_range_is_a_refusal(status, kind):
    with pytest.raises(kind):
        check(status)


# -- filling a part --------------------------------------------------------------------------------------------


class Opener:
    """Serves ranges of some bytes; each opening follows the next line of a script, later ones serve everything.

    A line is a number of bytes after which the body ends, or an error, or both: what is raised after so many bytes.
    """

    def __init__(self, data, *script, chunk=7):
        self.data = data
        self.script = list(script)
        self.chunk = chunk
        self.ranges = []
        self.closed = 0

    @contextlib.contextmanager
    def __call__(self, start, end):
        self.ranges.append((start, end))
        line = self.script.pop(0) if self.script else end - start
        count, error = line if isinstance(line, tuple) else (line, None) if isinstance(line, int) else (0, line)

        def chunks():
            for at in range(start, start + count, self.chunk):
                yield self.data[at : min(at + self.chunk, start + count)]
            if error is not None:
                raise error

        try:
            yield chunks()
        finally:
            self.closed += 1


DATA = some_bytes(1000)


def filled(opener, start, size, control=None):
    buffer, noted = bytearray(size), []
    fill(memoryview(buffer), start, control or FakeControl(), opener, noted.append)
    return bytes(buffer), noted


@properties
@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 50))
def test_any_range_is_filled_with_its_bytes(start, size, chunk):
    opener = Opener(DATA, chunk=chunk)
    content, noted = filled(opener, start, size)
    assert content == DATA[start : start + size]
    assert sum(noted) == size
    assert opener.ranges == ([(start, start + size)] if size else [])


def test_nothing_is_opened_for_nothing():
    opener = Opener(b"")
    assert filled(opener, 0, 0) == (b"", [])
    assert opener.ranges == []


@pytest.mark.parametrize("cut", [30, (30, TransientError("reset"))], ids=["ended early", "broke"])
def test_a_cut_body_goes_on_inside_the_part(cut):
    control, opener = FakeControl(), Opener(DATA, cut)
    content, noted = filled(opener, 100, 200, control)
    assert content == DATA[100:300]
    assert opener.ranges == [(100, 300), (130, 300)]
    assert sum(noted) == 200
    assert control.retries == 1
    assert opener.closed == 2


@properties
@given(st.lists(st.integers(0, 60), max_size=5))
def test_wherever_it_is_cut_the_bytes_are_right(cuts):
    content, noted = filled(Opener(DATA, *cuts), 11, 320)
    assert content == DATA[11:331]
    assert sum(noted) == 320


def test_more_bytes_than_the_file_has_are_refused():
    class Generous(Opener):
        def __call__(self, start, end):
            return super().__call__(start, end + 1)

    with pytest.raises(SourceChangedError, match="more bytes than the file has"):
        filled(Generous(DATA), 0, 100)


def test_the_tries_end_when_nothing_arrives():
    errors = [TransientError(f"number {number}") for number in range(10)]
    opener = Opener(DATA, *errors)
    with pytest.raises(TransientError) as caught:
        filled(opener, 0, 100, FakeControl(attempts=4))
    assert caught.value is errors[3]
    assert len(opener.ranges) == 4


def test_an_empty_answer_is_no_progress_and_no_loop():
    opener = Opener(DATA, *[0] * 50)
    with pytest.raises(TransientError, match="ended after 0 of 100 bytes"):
        filled(opener, 0, 100, FakeControl(attempts=3))
    assert len(opener.ranges) == 3


def test_real_progress_gives_new_tries():
    # 10 of 80 bytes are an eighth: not yet real progress, 11 are.
    content, _noted = filled(Opener(DATA, *[11] * 7), 0, 80, FakeControl(attempts=2))
    assert content == DATA[:80]


def test_a_trickle_is_no_real_progress():
    opener = Opener(DATA, *[10] * 7)
    with pytest.raises(TransientError, match="ended after 20 of 80 bytes"):
        filled(opener, 0, 80, FakeControl(attempts=2))


def test_progress_counts_since_the_last_failure_only():
    opener = Opener(DATA, 40, 1, 1, 1)
    with pytest.raises(TransientError):
        filled(opener, 0, 80, FakeControl(attempts=3))
    assert len(opener.ranges) == 3


@pytest.mark.parametrize("error", [AccessError("no"), SourceChangedError("other"), NotFoundError("gone")])
def test_what_is_not_transient_ends_at_once(error):
    opener = Opener(DATA, (30, error))
    with pytest.raises(type(error)):
        filled(opener, 0, 100)
    assert len(opener.ranges) == opener.closed == 1


def test_a_stop_is_seen_between_chunks():
    control = FakeControl()
    buffer, noted = bytearray(100), []

    def note(count):
        noted.append(count)
        control.stop(StoreError("The disk is full."))

    opener = Opener(DATA)
    with pytest.raises(StoppedError):
        fill(memoryview(buffer), 0, control, opener, note)
    assert noted == [7]
    assert opener.closed == 1


# -- network errors --------------------------------------------------------------------------------------------


def test_a_refused_certificate_is_not_tried_again():
    error = urllib3.exceptions.SSLError(ssl.SSLCertVerificationError("CERTIFICATE_VERIFY_FAILED: self-signed"))
    found = network_error(error, "https://host/a")
    assert isinstance(found, AccessError)
    assert "ca_bundle" in found.hint


@pytest.mark.parametrize(
    ("error", "stalled"),
    [
        (urllib3.exceptions.ReadTimeoutError(None, "/a?secret", "Read timed out."), True),
        (urllib3.exceptions.NewConnectionError(None, "refused"), False),
        (urllib3.exceptions.ProtocolError("broken", ConnectionResetError(104, "reset by peer")), False),
        (urllib3.exceptions.IncompleteRead(5, 10), False),
        (urllib3.exceptions.MaxRetryError(None, "/a?secret", TimeoutError("timed out")), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_network_errors_are_tried_again(error, stalled):
    found = network_error(error, "https://host/a")
    assert isinstance(found, TransientError)
    assert found.stalled is stalled
    assert found.message.startswith("https://host/a: ")
    assert "secret" not in str(found)


# -- client ----------------------------------------------------------------------------------------------------


class Pool:
    """Takes the place of urllib3's pool manager."""

    def __init__(self, outcome):
        self.outcome = outcome
        self.requests = []

    def request(self, method, url, **options):
        body = options.pop("body")
        self.requests.append((method, url, options, None if body is None else [bytes(piece) for piece in body]))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def client_with(monkeypatch, outcome, **options):
    client = WebClient(FakeControl(**options), pool_size=2)
    pool = Pool(outcome)
    monkeypatch.setattr(client, "_pool", lambda url: pool)
    return client, pool


def answer(body=b"", status=200, **fields):
    return urllib3.HTTPResponse(body=io.BytesIO(body), status=status, headers=fields, preload_content=False)


def test_no_redirect_is_followed_and_nothing_is_retried_behind_our_back(monkeypatch):
    client, pool = client_with(monkeypatch, answer(b"", 302, Location="https://cdn/a"))
    status, fields, _data = client.fetch("GET", "https://host/a")
    assert (status, fields["location"]) == (302, "https://cdn/a")
    assert pool.requests[0][2]["redirect"] is False
    assert client._settings["retries"] is False


@pytest.mark.parametrize(
    ("body", "length", "pieces"),
    [
        (b"", "0", []),
        (b"abc", "3", [b"abc"]),
        ([b"ab", memoryview(b"cd")], "4", [b"ab", b"cd"]),
        (memoryview(bytes(2 * 1024**2 + 5)), str(2 * 1024**2 + 5), [bytes(1024**2), bytes(1024**2), bytes(5)]),
    ],
    ids=["empty", "bytes", "several", "large"],
)
def test_a_body_goes_out_in_pieces_with_its_length(monkeypatch, body, length, pieces):
    client, pool = client_with(monkeypatch, answer())
    client.fetch("PUT", "https://host/a", body=body)
    _method, _url, options, sent = pool.requests[0]
    assert options["headers"]["Content-Length"] == length
    assert sent == pieces


def test_no_answer_is_transient_and_keeps_the_signature_secret(monkeypatch):
    client, _pool = client_with(monkeypatch, urllib3.exceptions.ProtocolError("reset"))
    with pytest.raises(TransientError) as caught:
        client.fetch("GET", "https://host/a?X-Amz-Signature=secret")
    assert "https://host/a" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_stopped_run_sends_nothing(monkeypatch):
    client, pool = client_with(monkeypatch, answer())
    client._control.stop(StoreError("The disk is full."))
    with pytest.raises(StoppedError):
        client.fetch("GET", "https://host/a")
    assert pool.requests == []


def test_an_encoded_small_answer_is_decoded(monkeypatch):
    client, _pool = client_with(monkeypatch, answer(gzip.compress(b"{}"), **{"Content-Encoding": "gzip"}))
    assert client.fetch("GET", "https://host/a")[2] == b"{}"


class Response:
    """As much of an answer as Body looks at."""

    def __init__(self, chunks, error=None, remaining=0):
        self.chunks, self.error, self.length_remaining = chunks, error, remaining
        self.calls = []

    def stream(self, size, decode_content):
        assert decode_content is False
        yield from self.chunks
        if self.error:
            raise self.error

    def read(self):
        self.calls.append("read")

    def close(self):
        self.calls.append("close")

    def release_conn(self):
        self.calls.append("release")


@pytest.mark.parametrize("remaining", [0, None])
def test_a_body_that_was_read_to_its_end_leaves_its_connection_to_others(remaining):
    response = Response([b"a", b"b"], remaining=remaining)
    with Body(response, "a.bin") as chunks:
        assert list(chunks) == [b"a", b"b"]
    assert response.calls == ["release"]


@pytest.mark.parametrize("remaining", [1, None], ids=["known length", "unknown length"])
def test_a_body_that_was_not_read_to_its_end_takes_its_connection_with_it(remaining):
    response = Response([b"a", b"b"], remaining=remaining)
    with Body(response, "a.bin") as chunks:
        next(chunks)
    assert response.calls == ["close", "release"]


def test_an_empty_body_is_read_before_others_get_its_connection():
    response = Response([])
    with Body(response, "a.bin"):
        pass
    assert response.calls == ["read", "release"]


def test_a_body_that_breaks_is_transient():
    error = urllib3.exceptions.ReadTimeoutError(None, "/a", "Read timed out.")
    with pytest.raises(TransientError) as caught, Body(Response([b"a"], error, 1), "a.bin") as chunks:
        list(chunks)
    assert caught.value.stalled


# -- TLS -------------------------------------------------------------------------------------------------------


@pytest.fixture
def _no_bundle(monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)


@pytest.mark.usefixtures("_no_bundle")
def test_certificates_are_checked_unless_told_otherwise():
    context = tls_context(validate_certs=True, ca_bundle=None)
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    context = tls_context(validate_certs=False, ca_bundle=None)
    assert (context.check_hostname, context.verify_mode) == (False, ssl.CERT_NONE)


@pytest.mark.parametrize("where", ["option", "environment"])
def test_a_bundle_that_cannot_be_read_is_named(monkeypatch, tmp_path, where):
    missing = str(tmp_path / "missing.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", missing)
    with pytest.raises(StoreError, match=r"missing\.pem.*cannot be read"):
        tls_context(validate_certs=True, ca_bundle=missing if where == "option" else None)


# -- proxies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://host/a", "http://proxy:3128"),
        ("http://internal/a", None),
    ],
)
def test_the_environment_names_the_proxy(monkeypatch, url, expected):
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "internal")
    client = WebClient(Control(), pool_size=2)
    pool = client._pool(url)
    assert getattr(pool, "proxy", None) == (urllib3.util.parse_url(expected) if expected else None)
    assert client._pool(url) is pool
