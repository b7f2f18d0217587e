# SPDX-License-Identifier: GPL-3.0-or-later
"""A local model hub that speaks the protocol of the Hugging Face Hub, and the CDN it redirects to.

The hub and the CDN are two origins, as in reality: the hub redirects to signed addresses that expire, and the CDN
refuses a request that carries a token, so that a client that leaks one is seen.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import hmac
import json
import secrets
import signal
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from .catalog import BlobStore, File, Gate, Repository, Revision, UnknownRevision, index_directory
from .faults import Faults
from .process import private_directory
from .repositories import generate
from .tokens import InvalidCredentials, Token, TokenTable, load_or_create_tokens, new_tokens
from .transport import Handler, HTTPError, Request, RequestLog, Server

_LARGEST_PAGE = 1000
_LARGEST_EXPANDED_PAGE = 50


class LocalHub:
    """The hub and its CDN in this process, listening on 127.0.0.1.

    ``with LocalHub() as hub:`` serves the generated repositories (see `repositories`) at `hub.endpoint`.

    :param data_dir: where generated contents are kept; a temporary directory when not given. Giving one that is
        kept saves generating them again.
    :param repositories: names of generated repositories to serve; all when not given, none with ().
    :param directories: further repositories: name -> directory with its files, indexed at start.
    :param port, cdn_port: 0 takes any free port.
    :param tokens: the tokens it knows; by default a new random set, see `tokens.new_tokens`.
    :param tree_page_size: most entries in one page of a tree; smaller than the real 1000 so that paging happens.
    :param url_lifetime: seconds a CDN address is valid.
    """

    def __init__(
        self,
        data_dir: Path | str | None = None,
        *,
        repositories: Sequence[str] | None = None,
        directories: Mapping[str, Path | str] | None = None,
        port: int = 0,
        cdn_port: int = 0,
        tokens: Iterable[Token] | None = None,
        tree_page_size: int = 100,
        url_lifetime: float = 3600.0,
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="local-hub-") if data_dir is None else None
        self.data_dir = private_directory(Path(self._temporary.name if self._temporary else str(data_dir)))
        self.faults = Faults()
        self.tree_page_size = tree_page_size
        self.url_lifetime = url_lifetime
        self.token_table = TokenTable(new_tokens() if tokens is None else tokens)
        self._log = RequestLog()
        self._signing_key = secrets.token_bytes(32)
        self._blobs = BlobStore(self.data_dir / "blobs")
        self._repositories: dict[str, Repository] = {}
        self._contents: dict[str, File] = {}
        if repositories is None or repositories:
            self._serve_generated(repositories)
        for name, directory in (directories or {}).items():
            self.add_directory(name, directory)
        self._hub = Server("hub", port, self._handler(_HubHandler), self.faults, self._log)
        try:
            self._cdn = Server("cdn", cdn_port, self._handler(_CdnHandler), self.faults, self._log)
        except OSError:
            self._hub.server_close()
            raise

    # Life --------------------------------------------------------------------------------------------------------

    def start(self) -> LocalHub:
        """Begin to answer, in threads of this process."""
        self._hub.start()
        self._cdn.start()
        return self

    def close(self) -> None:
        """Stop answering, drop open connections, delete temporary data."""
        self._hub.close()
        self._cdn.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> LocalHub:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # For tests ---------------------------------------------------------------------------------------------------

    @property
    def endpoint(self) -> str:
        """The address of the hub, such as http://127.0.0.1:4711 - what clients take as HF_ENDPOINT."""
        return self._hub.origin

    @property
    def cdn(self) -> str:
        """The address of the CDN."""
        return self._cdn.origin

    @property
    def tokens(self) -> Mapping[str, str]:
        """Secret token values by name: reader, writer, fine_grained, stranger, revoked."""
        return self.token_table.values

    def requests(self, path: str = "") -> list[Request]:
        """The logged requests, oldest first, whose path contains `path`. Control requests are not logged."""
        return [request for request in self._log.requests() if path in request.path]

    def counters(self) -> dict[str, int]:
        """Number of finished requests by "kind METHOD status", such as "resolve HEAD 302"."""
        return self._log.counters()

    def clear_requests(self) -> None:
        self._log.clear()

    def request_report(self) -> dict[str, Any]:
        """Counters and requests as plain data."""
        return self._log.as_dict()

    # Contents ----------------------------------------------------------------------------------------------------

    def repository(self, name: str) -> Repository:
        """The repository with its commits, tags and files. Raises KeyError."""
        return self._repositories[name]

    def read(self, name: str, path: str, revision: str = "main") -> bytes:
        """The right content of a file. Raises KeyError or UnknownRevision."""
        return self.repository(name).revision(revision).files[path].source.read_bytes()

    def add_repository(
        self, name: str, files: Mapping[str, bytes], *, gated: Gate = False, private: bool = False
    ) -> str:
        """Serve a new repository with these contents by path; returns its commit."""
        self._repositories[name] = Repository(name, gated=gated, private=private)
        return self.commit(name, files, "initial commit")

    def commit(self, name: str, changes: Mapping[str, bytes | None], title: str, *, move_main: bool = True) -> str:
        """Add a commit on top of the newest one: contents by path, None deletes. Returns its id."""
        repository = self.repository(name)
        commits = repository.commits
        files = dict(repository.revision(commits[-1]).files) if commits else {}
        for path, content in changes.items():
            if content is None:
                del files[path]
            else:
                files[path] = self._blobs.add(path, content)
        self._know(files)
        return repository.commit(files, title, move_main=move_main)

    def move_main(self, name: str, revision: str) -> str:
        """Let main of a repository point to another of its commits or tags; returns the commit."""
        return self.repository(name).move_main(revision)

    def add_directory(self, name: str, directory: Path | str) -> str:
        """Serve the files of a directory as a repository; returns its commit. Digests are kept in the data dir.

        Raises NotADirectoryError.
        """
        root = Path(directory).absolute()
        mark = hashlib.sha256(str(root).encode()).hexdigest()[:16]
        files = index_directory(root, self.data_dir / f"index-{mark}.json")
        repository = Repository(name)
        self._know(files)
        commit = repository.commit(files, f"content of {root.name}")
        self._repositories[name] = repository
        return commit

    def status(self) -> dict[str, Any]:
        """Addresses and repositories, without secrets."""
        return {
            "endpoint": self.endpoint,
            "cdn": self.cdn,
            "repositories": [
                {
                    "name": repository.name,
                    "gated": repository.gated,
                    "private": repository.private,
                    "main": repository.main,
                    "commits": repository.commits,
                    "files": len(files),
                    "bytes": sum(file.size for file in files.values()),
                }
                for repository, files in (
                    (known, known.revision().files) for known in list(self._repositories.values())
                )
            ],
        }

    # For the handlers --------------------------------------------------------------------------------------------

    def find(self, name: str) -> Repository | None:
        return self._repositories.get(name)

    def content(self, sha256: str) -> File | None:
        """The large file with this content."""
        return self._contents.get(sha256)

    def signed_url(self, repository: str, file: File, expires: int) -> str:
        path = f"/repos/{quote(repository)}/{file.sha256}/{quote(file.path)}"
        return f"{self.cdn}{path}?{urlencode({'Expires': expires, 'Signature': self._signature(path, str(expires))})}"

    def signature_is_good(self, path: str, expires: str, signature: str) -> bool:
        """Whether the signature belongs to the path and expiry; says nothing about the time."""
        return hmac.compare_digest(self._signature(path, expires).encode(), signature.encode())

    def _signature(self, path: str, expires: str) -> str:
        return hmac.new(self._signing_key, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()

    def _serve_generated(self, names: Sequence[str] | None) -> None:
        generated = {repository.name: repository for repository in generate(self.data_dir)}
        unknown = set(names or ()) - set(generated)
        if unknown:
            raise ValueError(f"no such generated repository: {', '.join(sorted(unknown))}")
        for name in generated if names is None else names:
            repository = generated[name]
            self._repositories[name] = repository
            for commit in repository.commits:
                self._know(repository.revision(commit).files)

    def _know(self, files: Mapping[str, File]) -> None:
        self._contents.update({file.sha256: file for file in files.values() if file.sha256})

    def _handler(self, kind: type[_HubHandler] | type[_CdnHandler]) -> type[Handler]:
        return type(kind.__name__, (kind,), {"hub": self})


class _CdnHandler(Handler):
    """Serves large files by signed address."""

    hub: LocalHub

    def respond(self) -> None:
        self.record.kind = "cdn"
        if "Authorization" in self.headers:
            raise HTTPError(400, "Only one auth mechanism allowed: the address is signed, do not send a token to it.")
        query = parse_qs(self.raw_query)
        expires, signature = query.get("Expires", [""])[0], query.get("Signature", [""])[0]
        if not self.hub.signature_is_good(self.raw_path, expires, signature):
            raise HTTPError(403, "The signature does not match the address.")
        if int(expires) <= time.time() or self.fault("expire_url"):
            raise HTTPError(403, "Request has expired.")
        file = self.hub.content(self.segments[3])
        if file is None or self.fault("remove_file"):
            raise HTTPError(404, "The specified key does not exist.")
        self.send_file(file.source, file.size, file.content_id)


class _HubHandler(Handler):
    """Serves the API, the regular files and the redirects to the CDN."""

    hub: LocalHub
    caller: Token | None

    def respond(self) -> None:
        match self.segments:
            case ["_control", *rest]:
                self._control(rest)
            case ["api", "whoami-v2"]:
                self._whoami()
            case ["api", "models", owner, name]:
                self._model_info(f"{owner}/{name}", "main")
            case ["api", "models", owner, name, "revision", revision]:
                self._model_info(f"{owner}/{name}", revision)
            case ["api", "models", owner, name, "tree", revision, *path]:
                self._tree(f"{owner}/{name}", revision, "/".join(path))
            case ["api", "models", owner, name, "paths-info", revision]:
                self._paths_info(f"{owner}/{name}", revision)
            case ["api", "models", owner, name, "refs"]:
                self.record.kind = "refs"
                self.send_json(self._repository(f"{owner}/{name}").refs())
            case ["api", "models", owner, name, "auth-check", *write]:
                self._auth_check(f"{owner}/{name}", write)
            case ["api", "resolve-cache", "models", owner, name, commit, *path]:
                self._resolve(f"{owner}/{name}", commit, "/".join(path), cached=True)
            case [owner, name, "resolve", revision, *path]:
                self._resolve(f"{owner}/{name}", revision, "/".join(path), cached=False)
            case _:
                raise HTTPError(404, "Sorry, we can't find the page you are looking for.")

    # Who may see what --------------------------------------------------------------------------------------------

    def _identify(self) -> None:
        try:
            self.caller = self.hub.token_table.identify(self.headers.get("Authorization"))
        except InvalidCredentials:
            raise HTTPError(401, "Invalid credentials in Authorization header") from None

    def _repository(self, name: str) -> Repository:
        """The repository if the caller may know of it: a private one looks as if it did not exist."""
        self._identify()
        repository = self.hub.find(name)
        invited = self.caller is not None and self.caller.may_read_private(name)
        if repository is not None and (invited or not repository.private):
            return repository
        raise HTTPError(401 if self.caller is None else 404, "Repository not found", "RepoNotFound")

    def _pass_gate(self, repository: Repository) -> None:
        """The gate is before the contents only; names and sizes are public."""
        if not repository.gated:
            return
        name = repository.name
        if self.caller is None:
            message = (
                f"Access to model {name} is restricted. You must have access to it and be authenticated to access it. "
                "Please log in."
            )
            raise HTTPError(401, message, "GatedRepo")
        if not self.caller.may_read_gated(name):
            message = (
                f"Access to model {name} is restricted and you are not in the authorized list. "
                f"Visit {self.hub.endpoint}/{name} to ask for access."
            )
            raise HTTPError(403, message, "GatedRepo")

    @staticmethod
    def _revision(repository: Repository, revision: str) -> Revision:
        try:
            return repository.revision(revision)
        except UnknownRevision:
            raise HTTPError(404, f"Invalid rev id: {revision}", "RevisionNotFound") from None

    # API ---------------------------------------------------------------------------------------------------------

    def _whoami(self) -> None:
        self.record.kind = "whoami"
        self._identify()
        if self.caller is None:
            raise HTTPError(401, "Invalid username or password.")
        self.send_json(self.caller.whoami())

    def _model_info(self, name: str, revision: str) -> None:
        self.record.kind = "info"
        repository = self._repository(name)
        self.send_json(repository.info(self._revision(repository, revision), self._flag("blobs")))

    def _flag(self, name: str) -> bool:
        return self.query.get(name, ["false"])[-1].lower() in ("true", "1")

    def _tree(self, name: str, revision: str, under: str) -> None:
        self.record.kind = "tree"
        commit = self._revision(self._repository(name), revision)
        if under and under not in commit.folders:
            raise self._no_such_entry(commit, under)
        expand = self._flag("expand")
        largest = min(self.hub.tree_page_size, _LARGEST_EXPANDED_PAGE if expand else _LARGEST_PAGE)
        entries = commit.entries(under, self._flag("recursive"))
        try:
            limit = max(1, min(int(self.query.get("limit", [str(largest)])[0]), largest))
            start = _cursor_position(self.query["cursor"][0]) if "cursor" in self.query else 0
        except ValueError:
            raise HTTPError(400, "Invalid limit or cursor") from None
        headers = {}
        if start + limit < len(entries):
            following = {key: values[0] for key, values in self.query.items()}
            following.update(limit=str(limit), cursor=_cursor(start + limit))
            headers["Link"] = f'<http://{self.headers["Host"]}{self.raw_path}?{urlencode(following)}>; rel="next"'
        page = entries[start : start + limit]
        self.send_json([{**entry, **self._expanded(commit, expand)} for entry in page], headers=headers)

    @staticmethod
    def _expanded(commit: Revision, expand: bool) -> dict[str, Any]:
        return {"lastCommit": commit.last_commit()} if expand else {}

    def _paths_info(self, name: str, revision: str) -> None:
        self.record.kind = "paths-info"
        if self.command != "POST":
            raise HTTPError(405, "Method not allowed")
        commit = self._revision(self._repository(name), revision)
        if "json" in self.headers.get("Content-Type", ""):
            try:
                asked = json.loads(self.body)
            except ValueError:
                raise HTTPError(400, "The body is not JSON") from None
            paths, expand = asked.get("paths", []), bool(asked.get("expand"))
        else:
            form = parse_qs(self.body.decode())
            paths, expand = form.get("paths", []), form.get("expand", ["false"])[0].lower() == "true"
        found = [commit.files[path].as_tree_entry() for path in paths if path in commit.files]
        found += [commit.folder_entry(path) for path in paths if path in commit.folders]
        self.send_json([{**entry, **self._expanded(commit, expand)} for entry in found])

    def _auth_check(self, name: str, write: list[str]) -> None:
        self.record.kind = "auth-check"
        if write not in ([], ["write"]):
            raise HTTPError(404, "Sorry, we can't find the page you are looking for.")
        self._pass_gate(self._repository(name))
        if write and (self.caller is None or self.caller.role != "write"):
            raise HTTPError(403, "You don't have the rights to write to this repository")
        self.send_json({})

    # Contents ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _no_such_entry(commit: Revision, path: str) -> HTTPError:
        return HTTPError(404, f"{path} does not exist", "EntryNotFound", {"X-Repo-Commit": commit.commit})

    def _resolve(self, name: str, revision: str, path: str, *, cached: bool) -> None:
        """A large file redirects to the CDN, a regular one to its address by commit, and that one has the bytes."""
        self.record.kind = "resolve-cache" if cached else "resolve"
        repository = self._repository(name)
        self._pass_gate(repository)
        commit = self._revision(repository, revision)
        file = commit.files.get(path)
        if file is None or self.fault("remove_file"):
            raise self._no_such_entry(commit, path)
        headers = {
            "X-Repo-Commit": commit.commit,
            "X-Linked-Etag": f'"{file.content_id}"',
            "X-Linked-Size": str(file.size),
            "Accept-Ranges": "bytes",
        }
        if file.sha256:
            lifetime = -1 if self.fault("expire_url") else self.hub.url_lifetime
            self.send_redirect(302, self.hub.signed_url(name, file, int(time.time() + lifetime)), headers)
        elif cached:
            self.send_file(file.source, file.size, file.content_id, {"X-Repo-Commit": commit.commit})
        else:
            location = f"/api/resolve-cache/models/{quote(name)}/{commit.commit}/{quote(path)}"
            self.send_redirect(307, f"{location}?{self.raw_query}" if self.raw_query else location, headers)

    # Control -----------------------------------------------------------------------------------------------------

    def _control(self, rest: list[str]) -> None:
        """Read and change the hub itself; only processes of this machine can reach it."""
        try:
            match (self.command, rest):
                case ("GET", ["status"]):
                    self.send_json(self.hub.status())
                case ("GET", ["faults"]):
                    self.send_json(self.hub.faults.report())
                case ("POST", ["faults"]):
                    rules = json.loads(self.body)
                    self.hub.faults.extend(rules if isinstance(rules, list) else [rules])
                    self.send_json(self.hub.faults.report())
                case ("DELETE", ["faults"]):
                    self.hub.faults.clear()
                    self.send_json([])
                case ("GET", ["requests"]):
                    self.send_json(self.hub.request_report())
                case ("DELETE", ["requests"]):
                    self.hub.clear_requests()
                    self.send_json({})
                case ("POST", ["repositories", owner, name, "main"]):
                    revision = str(json.loads(self.body)["revision"])
                    self.send_json({"main": self.hub.move_main(f"{owner}/{name}", revision)})
                case _:
                    raise HTTPError(404, "No such control address")
        except (ValueError, TypeError, AttributeError) as error:
            raise HTTPError(400, f"Wrong control request: {error}") from None
        except LookupError as error:
            raise HTTPError(404, f"Unknown: {error}") from None


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(f"position={position}".encode()).decode()


def _cursor_position(cursor: str) -> int:
    """The position in a cursor made by `_cursor`. Raises ValueError."""
    try:
        return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("position="))
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def directory_argument(text: str) -> tuple[str, Path]:
    """`org/name=/path` as (name, path)."""
    name, separator, path = text.partition("=")
    if not separator or name.count("/") != 1 or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form org/name=/path")
    return name, Path(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve in the foreground until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m local_services.hub", description=main.__doc__)
    parser.add_argument("--state-dir", type=Path, required=True, help="contents and tokens are kept in its folder hub")
    parser.add_argument("--port", type=int, default=0, help="port of the hub; 0 takes any")
    parser.add_argument("--cdn-port", type=int, default=0, help="port of the CDN; 0 takes any")
    parser.add_argument("--tree-page-size", type=int, default=100, help="most entries in one page of a tree")
    parser.add_argument(
        "--repository",
        type=directory_argument,
        action="append",
        default=[],
        metavar="ORG/NAME=DIRECTORY",
        help="also serve a directory as a repository; may be given several times",
    )
    options = parser.parse_args(arguments)
    directory = private_directory(options.state_dir / "hub")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with LocalHub(
        directory,
        directories=dict(options.repository),
        port=options.port,
        cdn_port=options.cdn_port,
        tokens=load_or_create_tokens(directory / "tokens.json"),
        tree_page_size=options.tree_page_size,
    ) as hub:
        print(f"hub {hub.endpoint} cdn {hub.cdn}", flush=True)
        ended.wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
