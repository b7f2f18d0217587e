# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Hugging Face Hub as a source.

huggingface_hub says which commit, which files and whether the token may read them. The bytes come as ranged
GETs over our own pooled client: that works for files of any size, needs no Xet buffers, and the content is
checked against the Hub's own ids (LFS SHA-256, git blob SHA-1) whichever server sent it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import threading
import typing as t
import urllib.parse

from .control import Control
from .errors import AccessError, InputError, NotFoundError, StoreError, TransferError, TransientError
from .model import FileEntry, Snapshot, parse_json
from .paths import select
from .stores.base import Bytes, Source
from .web import RETRY_STATUS, Body, WebClient, check_range, raise_for_status, redact, retry_after

DEFAULT_ENDPOINT = "https://huggingface.co"
_REDIRECT = (301, 302, 303, 307, 308)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclasses.dataclass(frozen=True)
class HubOptions:
    """Which repository at which revision, and how to reach the Hub. ``token`` is a value, found by :func:`find_token`."""

    repo: str
    revision: str = "main"
    endpoint: str = DEFAULT_ENDPOINT
    token: str | None = dataclasses.field(default=None, repr=False)
    allow_patterns: tuple[str, ...] = ()
    ignore_patterns: tuple[str, ...] = ()
    validate_certs: bool = True
    ca_bundle: str | None = None
    pool_size: int = 16


def find_token(value: str | None, file: str | None) -> tuple[str | None, str | None]:
    """The token by value, by file, or where huggingface_hub looks: ``HF_TOKEN``, ``HF_TOKEN_PATH``, ``HF_HOME``.

    White space around it is removed; the second item of the answer is a warning if there was any.

    :raises InputError: the file cannot be read, or what is left is not a token.
    """
    name, raw = "The token", value
    if raw is None and file is not None:
        name = f"The token in {file!r}"
        try:
            with open(file, encoding="utf-8") as stream:
                raw = stream.read()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"Token file {file!r} cannot be read: {error}.") from error
    elif raw is None:
        for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            if os.environ.get(variable):
                name, raw = f"The token in {variable}", os.environ[variable]
                break
        else:
            home = os.environ.get("HF_HOME") or os.path.join(
                os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "huggingface"
            )
            path = os.environ.get("HF_TOKEN_PATH") or os.path.join(home, "token")
            with contextlib.suppress(OSError, UnicodeDecodeError), open(path, encoding="utf-8") as stream:
                name, raw = f"The token in {path!r}", stream.read()
    if raw is None or not raw.strip():
        if value is not None or file is not None:
            raise InputError(f"{name} is empty.", hint="Leave the option out to read public models without a token.")
        return None, None
    token = raw.strip()
    if re.search(r"[^\x21-\x7e]", token):
        raise InputError(f"{name} has white space or other illegal characters inside.", hint="Copy it again.")
    return token, f"{name} had white space around it, which was removed." if token != raw else None


class HubSource(Source):
    """One model repository, pinned to a commit by the first call of :meth:`snapshot`."""

    def __init__(self, options: HubOptions, control: Control) -> None:
        self._options = options
        self._control = control
        self._endpoint = options.endpoint.rstrip("/")
        self._web = WebClient(
            control,
            pool_size=options.pool_size,
            validate_certs=options.validate_certs,
            ca_bundle=options.ca_bundle,
        )
        self._snapshot: Snapshot | None = None
        self._urls: dict[str, str] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    @property
    def where(self) -> str:
        return f"{self._options.repo} on {self._endpoint}"

    @property
    def page(self) -> str:
        """The page of the repository, where access to a gated model is asked for."""
        return f"{self._endpoint}/{self._options.repo}"

    def describe(self) -> dict[str, t.Any]:
        options = self._options
        return {
            "type": "huggingface",
            "repo": options.repo,
            "endpoint": self._endpoint,
            "revision": options.revision,
            "allow_patterns": list(options.allow_patterns),
            "ignore_patterns": list(options.ignore_patterns),
        }

    # -- what the Hub says -------------------------------------------------------------------------------------

    def is_current(self, revision: str) -> bool:
        # A commit never changes; a branch is asked for its commit with one small request, which spares a run
        # with nothing to do the import of huggingface_hub. Any trouble is left to snapshot(), which explains it.
        if _COMMIT.fullmatch(self._options.revision):
            return self._options.revision == revision
        url = (
            f"{self._endpoint}/api/models/{urllib.parse.quote(self._options.repo)}"
            f"/revision/{urllib.parse.quote(self._options.revision, safe='')}?expand[]=sha"
        )
        try:
            status, _headers, data = self._web.fetch("GET", url, headers=self._headers(url))
            return status == 200 and parse_json(data).get("sha") == revision
        except (TransientError, ValueError, AttributeError):
            return False

    def snapshot(self) -> Snapshot:
        if self._snapshot is None:
            self._snapshot = self._control.retry(self._take)
        return self._snapshot

    def _take(self) -> Snapshot:
        options = self._options
        with self._hub_errors():
            info = self._api().model_info(
                options.repo, revision=options.revision, files_metadata=True, timeout=self._control.stall_timeout
            )
        if not info.sha or not _COMMIT.fullmatch(info.sha):
            raise StoreError(f"{self.where} names no commit for revision {options.revision!r}.")
        entries = []
        for sibling in info.siblings or ():
            if sibling.size is None or sibling.blob_id is None:
                raise StoreError(f"{self.where} gives no size or id for {sibling.rfilename!r}.")
            sha256 = sibling.lfs.sha256 if sibling.lfs else None
            entries.append(
                FileEntry(
                    path=sibling.rfilename,
                    size=sibling.lfs.size if sibling.lfs else sibling.size,
                    id=sha256 or sibling.blob_id,
                    sha256=sha256,
                    git_sha1=None if sha256 else sibling.blob_id,
                )
            )
        files = select(entries, allow=options.allow_patterns, ignore=options.ignore_patterns, where=self.where)
        return Snapshot(info.sha, files)

    def preflight(self, entry: FileEntry) -> None:
        # A gated repository may list its files and still refuse their bytes.
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        def ask() -> None:
            self._api()
            commit = self.snapshot().revision
            with self._hub_errors():
                url = hf_hub_url(self._options.repo, entry.path, revision=commit, endpoint=self._endpoint)
                found = get_hf_file_metadata(
                    url,
                    token=self._options.token or False,
                    timeout=self._control.stall_timeout,
                    endpoint=self._endpoint,
                )
            if found.commit_hash != commit:
                raise StoreError(
                    f"{self.where} answers for commit {found.commit_hash!r} instead of {commit}.",
                    hint="A mirror or proxy in between drops the X-Repo-Commit header; use another endpoint.",
                )

        self._control.retry(ask)

    def _api(self) -> t.Any:
        try:
            import huggingface_hub.constants  # 0.2 s that a run with nothing to do does not pay
        except ImportError as error:
            raise InputError(
                "The Hub needs the Python package huggingface_hub.", hint="Install huggingface_hub."
            ) from error
        if huggingface_hub.constants.HF_HUB_OFFLINE:
            raise InputError("HF_HUB_OFFLINE is set, so the Hub may not be asked.", hint="Unset it.")
        # The library's client is one for the whole process: it is set each time, or it would keep another source's TLS.
        client = type(huggingface_hub.get_session())
        huggingface_hub.set_client_factory(lambda: client(verify=self._web.tls, follow_redirects=True, timeout=None))
        return huggingface_hub.HfApi(
            endpoint=self._endpoint, token=self._options.token or False, library_name="modelops.serving"
        )

    @contextlib.contextmanager
    def _hub_errors(self) -> t.Iterator[None]:
        from huggingface_hub import errors

        try:
            yield
        except errors.GatedRepoError as error:
            raise self._gated() from error
        except errors.RevisionNotFoundError as error:
            raise NotFoundError(
                f"{self.where} has no revision {self._options.revision!r}.",
                hint="Give a branch, a tag or a full commit.",
            ) from error
        except errors.RepositoryNotFoundError as error:
            raise NotFoundError(
                f"{self.where} does not exist, or is private and "
                f"{'the token may not read it' if self._options.token else 'no token was given'}.",
                hint=f"Check the name at {self.page}, and the token.",
            ) from error
        except errors.EntryNotFoundError as error:
            raise NotFoundError(f"{self.where}: a listed file is not there: {_plain(error)}.") from error
        except errors.HFValidationError as error:
            raise InputError(f"{self._options.repo!r} is not a repository id: {_plain(error)}.") from error
        except errors.HfHubHTTPError as error:
            raise self._http_error(error) from error
        # The transport's own class, of httpx or httpx2, which huggingface_hub imports but does not list as its own:
        # no answer at all.
        except errors.HTTPError as error:  # type: ignore[attr-defined]
            raise self._transport_error(error) from error
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.where}: {_plain(error)}.") from error

    def _gated(self) -> AccessError:
        who = "this token's account has no access" if self._options.token else "no token was given"
        return AccessError(
            f"{self.where} is gated and {who}.",
            hint=f"Ask for access at {self.page} with the account the token belongs to, then run again.",
        )

    def _http_error(self, error: t.Any) -> TransferError:
        status = error.response.status_code if error.response is not None else 0
        headers = error.response.headers if error.response is not None else {}
        said = headers.get("X-Error-Message") or f"HTTP {status}"
        if status in RETRY_STATUS:
            return TransientError(f"{self.where}: {said}.", retry_after=retry_after(headers))
        if status == 401:
            return AccessError(
                f"{self.where} refuses the token: {said}.", hint="It is wrong, expired or revoked: make a new one."
            )
        if status == 403:
            return AccessError(f"{self.where}: {said}.", hint=f"Check what the token may read, and {self.page}.")
        return StoreError(f"{self.where}: {said}.")

    def _transport_error(self, error: Exception) -> TransferError:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return AccessError(f"TLS to {self._endpoint} failed: {_plain(error)}.", hint="Give the CA with ca_bundle.")
        stalled = "Timeout" in type(error).__name__
        return TransientError(
            f"{self._endpoint}: {_plain(error) or type(error).__name__}.",
            hint="Check the endpoint (HF_ENDPOINT) and the network.",
            stalled=stalled,
        )

    # -- the bytes ---------------------------------------------------------------------------------------------

    def _headers(self, url: str) -> dict[str, str]:
        """The token goes to the Hub and to nobody else, least of all to the CDN it redirects to."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "modelops.serving"}
        if self._options.token and self._is_hub(url):
            headers["Authorization"] = f"Bearer {self._options.token}"
        return headers

    def _is_hub(self, url: str) -> bool:
        here, there = urllib.parse.urlsplit(self._endpoint), urllib.parse.urlsplit(url)
        return (here.scheme, here.netloc) == (there.scheme, there.netloc)

    def _locate(self, entry: FileEntry) -> str:
        """Where the bytes are now; asked once per file and kept until the signed URL expires."""
        with self._guard:
            lock = self._locks.setdefault(entry.path, threading.Lock())
        with lock:
            if entry.path not in self._urls:
                url = (
                    f"{self._endpoint}/{self._options.repo}/resolve/{self.snapshot().revision}/"
                    f"{urllib.parse.quote(entry.path)}"
                )
                status, headers, _data = self._web.fetch("HEAD", url, headers=self._headers(url))
                self._check_hub(status, headers, entry)
                self._urls[entry.path] = urllib.parse.urljoin(url, headers["Location"]) if status in _REDIRECT else url
            return self._urls[entry.path]

    def _check_hub(self, status: int, headers: t.Mapping[str, str], entry: FileEntry) -> None:
        if headers.get("X-Error-Code") == "GatedRepo":
            raise self._gated()
        raise_for_status(status, headers, f"{entry.path} of {self.where}")

    @contextlib.contextmanager
    def open(self, entry: FileEntry, start: int, end: int) -> t.Iterator[t.Iterator[bytes]]:
        url = self._locate(entry)
        what = f"{entry.path} of {self.where}"
        for _hop in range(5):
            headers = self._headers(url)
            if (start, end) != (0, entry.size):
                headers["Range"] = f"bytes={start}-{end - 1}"
            response = self._web.open("GET", url, headers=headers)
            with Body(response, f"{what} ({redact(url)})") as chunks:
                if response.status in _REDIRECT:
                    url = urllib.parse.urljoin(url, response.headers["Location"])
                    continue
                if response.status in (401, 403) and not self._is_hub(url):
                    self._urls.pop(entry.path, None)
                    raise TransientError(f"{what}: the signed URL was refused (HTTP {response.status}); asking anew.")
                if self._is_hub(url):
                    self._check_hub(response.status, response.headers, entry)
                check_range(response.status, response.headers, what, start=start, end=end, size=entry.size)
                yield chunks
                return
        raise StoreError(f"{what}: more than five redirects.")


def _plain(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return re.sub(r"(https?://[^\s?]+)\?\S*", r"\1", text).rstrip(".")


__all__ = ["Bytes", "HubOptions", "HubSource", "find_token"]
