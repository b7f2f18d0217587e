# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plain pooled HTTP client that carries the bytes: urllib3, with our own retry classes on top.

urllib3 reads several times more bytes per CPU second than the clients of the hub libraries, and it
leaves redirects and retries to us, which is where a transfer is lost or corrupted.
"""

from __future__ import annotations

import contextlib
import email.utils
import functools
import os
import re
import ssl
import threading
import time
import typing as t
import urllib.parse
import urllib.request

try:
    import urllib3
except ImportError:
    pass  # whoever calls the engine has said so before

from .control import Control
from .errors import AccessError, NotFoundError, SourceChangedError, StoreError, TransferError, TransientError

CHUNK = 1 << 20
#: What is sent: one piece, or several that are sent one after the other without being copied into one.
Payload: t.TypeAlias = "bytes | memoryview | t.Sequence[bytes | memoryview]"
RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


def redact(url: str) -> str:
    """A URL fit for messages: without query (signatures live there) and without user info."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def retry_after(headers: t.Mapping[str, str]) -> float | None:
    """Seconds a server asks to wait: ``Retry-After`` (seconds or date) or the Hub's ``RateLimit: ...;r=0;t=55``."""
    value = headers.get("Retry-After")
    if value:
        if value.strip().isdigit():
            return float(value)
        with contextlib.suppress(ValueError, TypeError):
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    limit = re.search(r"r=0\b.*?\bt=(\d+)", headers.get("RateLimit") or "")
    return float(limit[1]) if limit else None


def tls_context(*, validate_certs: bool, ca_bundle: str | None) -> ssl.SSLContext:
    """TLS as the option asks, else as ``REQUESTS_CA_BUNDLE`` or OpenSSL's own defaults say.

    :raises StoreError: the bundle cannot be read.
    """
    bundle = ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or None
    try:
        context = ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise StoreError(f"CA bundle {bundle!r} cannot be read: {error}.") from error
    if not validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def network_error(error: Exception, where: str) -> TransferError:
    """What a urllib3 (or botocore-wrapped urllib3) failure means for us."""
    text = str(error)
    if isinstance(error, urllib3.exceptions.SSLError) or "CERTIFICATE_VERIFY_FAILED" in text:
        return AccessError(
            f"TLS to {where} failed: {_root(error)}.",
            hint="Give the CA with ca_bundle; validate_certs=false only for tests.",
        )
    stalled = isinstance(error, urllib3.exceptions.ReadTimeoutError)
    reason = "no bytes arrived within the stall timeout" if stalled else str(_root(error))
    return TransientError(f"{where}: {reason}.", stalled=stalled, hint="Check the endpoint and the network.")


def _root(error: BaseException) -> BaseException:
    while True:
        inner = getattr(error, "reason", None) or error.__cause__
        if not isinstance(inner, BaseException):
            return error
        error = inner


class WebClient:
    """Pooled requests through urllib3, with proxies as the environment names them.

    :param pool_size: connections kept per host; give the number of threads.
    """

    def __init__(
        self, control: Control, *, pool_size: int, validate_certs: bool = True, ca_bundle: str | None = None
    ) -> None:
        self._control = control
        self._validate_certs = validate_certs
        self._ca_bundle = ca_bundle
        self._settings: dict[str, t.Any] = {
            "maxsize": pool_size,
            "block": False,
            "retries": False,
            "timeout": urllib3.Timeout(connect=min(20.0, control.stall_timeout), read=control.stall_timeout),
        }
        self._pools: dict[tuple[str, str | None], urllib3.PoolManager] = {}
        self._guard = threading.Lock()

    @functools.cached_property
    def tls(self) -> ssl.SSLContext:
        """The TLS settings; made at first use, for reading a CA bundle takes 30 ms."""
        return tls_context(validate_certs=self._validate_certs, ca_bundle=self._ca_bundle)

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urllib.parse.urlsplit(url)
        proxy = urllib.request.getproxies().get(parts.scheme)
        if proxy and urllib.request.proxy_bypass(parts.hostname or ""):
            proxy = None
        with self._guard:
            pool = self._pools.get((parts.scheme, proxy))
            if pool is None:
                settings = self._settings | ({"ssl_context": self.tls} if parts.scheme == "https" else {})
                pool = urllib3.ProxyManager(proxy, **settings) if proxy else urllib3.PoolManager(**settings)
                self._pools[parts.scheme, proxy] = pool
        return pool

    def open(
        self,
        method: str,
        url: str,
        *,
        headers: t.Mapping[str, str] | None = None,
        body: Payload | None = None,
        timeout: float | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """Send one request, follow no redirect, leave the body to be read; the caller closes.

        :param timeout: seconds without a byte, where the run's stall timeout does not fit.
        :raises TransientError: no answer. :raises AccessError: TLS.
        """
        self._control.check()
        fields = dict(headers or {})
        chunks: t.Iterable[bytes] | None = None
        if body is not None:
            # In pieces, so that the stall timeout counts for each of them and not for the whole body.
            views = [memoryview(piece) for piece in ((body,) if isinstance(body, (bytes, memoryview)) else body)]
            fields["Content-Length"] = str(sum(len(view) for view in views))
            chunks = t.cast(
                "t.Iterable[bytes]", (view[at : at + CHUNK] for view in views for at in range(0, len(view), CHUNK))
            )
        limit = self._settings["timeout"] if timeout is None else urllib3.Timeout(connect=timeout, read=timeout)
        try:
            return self._pool(url).request(
                method, url, headers=fields, body=chunks, preload_content=False, redirect=False, timeout=limit
            )
        except urllib3.exceptions.LocationValueError as error:
            raise StoreError(f"{url!r} is not a usable URL: {error}.") from error
        except urllib3.exceptions.HTTPError as error:
            raise network_error(error, redact(url)) from error

    def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: t.Mapping[str, str] | None = None,
        body: Payload | None = None,
        timeout: float | None = None,
    ) -> tuple[int, t.Mapping[str, str], bytes]:
        """As :meth:`open` for small answers: status, headers (case-insensitive), body."""
        response = self.open(method, url, headers=headers, body=body, timeout=timeout)
        try:
            data = response.read(decode_content=True)
            return response.status, response.headers, data
        except urllib3.exceptions.HTTPError as error:
            raise network_error(error, redact(url)) from error
        finally:
            response.release_conn()


def raise_for_status(status: int, headers: t.Mapping[str, str], what: str) -> None:
    """Sort a failed answer into our classes; returns for anything below 400.

    :raises TransientError: 408, 425, 429, 5xx. :raises AccessError: 401, 403.
    :raises NotFoundError: 404, 410. :raises SourceChangedError: 412, 416. :raises StoreError: the rest.
    """
    if status < 400:
        return
    if status in RETRY_STATUS or status > 504:
        raise TransientError(f"{what}: HTTP {status}.", retry_after=retry_after(headers))
    if status in (401, 403):
        raise AccessError(
            f"{what}: HTTP {status}, access denied.", hint="Check the credentials and what they may read."
        )
    if status in (404, 410):
        raise NotFoundError(f"{what}: HTTP {status}, not found.")
    if status in (412, 416):
        raise SourceChangedError(f"{what}: HTTP {status}, it is not the file that was listed.")
    raise StoreError(f"{what}: HTTP {status}.")


def check_range(status: int, headers: t.Mapping[str, str], what: str, *, start: int, end: int, size: int) -> None:
    """A ranged read must be answered with exactly the range asked for.

    ``end`` is exclusive. A 200 is fine only where the range is the whole file.

    :raises TransientError: a proxy or server ignored the range; another try may meet another one.
    :raises SourceChangedError: the file has another size than listed.
    """
    raise_for_status(status, headers, what)
    if headers.get("Content-Encoding", "identity") not in ("", "identity"):
        raise TransientError(f"{what}: the server sent it encoded as {headers['Content-Encoding']!r}.")
    if status == 200 and start == 0 and end == size:
        expected = size
    elif status == 206:
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", headers.get("Content-Range", ""))
        if not found or int(found[1]) != start or int(found[2]) != end - 1:
            raise TransientError(f"{what}: asked for bytes {start}-{end - 1}, got {headers.get('Content-Range')!r}.")
        if found[3] not in ("*", str(size)):
            raise SourceChangedError(f"{what} has {found[3]} bytes now, {size} were listed.")
        expected = end - start
    else:
        raise TransientError(f"{what}: HTTP {status} to a request for bytes {start}-{end - 1} of {size}.")
    length = headers.get("Content-Length")
    if length is not None and int(length) != expected:
        if status == 200:
            raise SourceChangedError(f"{what} has {length} bytes now, {size} were listed.")
        raise TransientError(f"{what}: {length} bytes announced instead of {expected}.")


class Body:
    """The bytes of an answer, in order; ``chunks`` raises what the network raises, as our errors."""

    def __init__(self, response: urllib3.BaseHTTPResponse, what: str) -> None:
        self._response = response
        self._what = what
        self._done = False

    def __enter__(self) -> t.Iterator[bytes]:
        return self._chunks()

    def _chunks(self) -> t.Iterator[bytes]:
        try:
            yield from self._response.stream(CHUNK, decode_content=False)
            self._done = True
        except urllib3.exceptions.HTTPError as error:
            raise network_error(error, self._what) from error

    def __exit__(self, *_exc: object) -> None:
        # A body that was not read to its end must not go back to the pool: not even an empty one, of a redirect.
        if not self._done and self._response.length_remaining == 0:
            self._response.read()
        elif not self._done:
            self._response.close()
        self._response.release_conn()


def fill(
    view: memoryview,
    start: int,
    control: Control,
    open_range: t.Callable[[int, int], t.ContextManager[t.Iterator[bytes]]],
    note: t.Callable[[int], None],
) -> None:
    """Fill ``view`` with the bytes from ``start`` on, going on where a broken body ended.

    The tries start anew whenever at least an eighth of the view arrived since the last failure.

    :param open_range: opens the bytes from a start to an end (exclusive).
    :param note: told of bytes as they arrive.
    :raises TransferError: what the last try ended with.
    """
    position, attempt, since = 0, 0, 0
    while position < len(view):
        try:
            with open_range(start + position, start + len(view)) as chunks:
                for chunk in chunks:
                    control.check()
                    end = position + len(chunk)
                    if end > len(view):
                        raise SourceChangedError("The source sent more bytes than the file has.")
                    view[position:end] = chunk
                    position = end
                    note(len(chunk))
            if position < len(view):
                raise TransientError(f"The body ended after {position} of {len(view)} bytes.")
        except TransientError as error:
            if position - since > len(view) // 8:
                attempt = 0
            since = position
            attempt += 1
            control.pause(attempt, error)
