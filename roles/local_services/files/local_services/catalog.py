# SPDX-License-Identifier: GPL-3.0-or-later
"""What the local hub serves: repositories with commits, branches and tags, and the ids a real hub gives to files."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from .process import private_directory, write_private

LFS_PATTERNS = ("*.safetensors", "*.gguf", "*.bin")
LFS_THRESHOLD = 10_000_000
_CREATED = "2026-01-01T00:00:00.000Z"
_BLOCK = 1 << 20

Gate = Literal[False, "auto", "manual"]


def is_lfs(path: str, size: int) -> bool:
    """Whether a hub would keep this file as a large file, known by sha256 and served by the CDN."""
    return size > LFS_THRESHOLD or any(fnmatch.fnmatchcase(path, pattern) for pattern in LFS_PATTERNS)


def _git_id(kind: str, content: bytes) -> str:
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(content)) + content, usedforsecurity=False).hexdigest()


def _pointer(sha256: str, size: int) -> bytes:
    """The text that git keeps in place of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


@dataclass(frozen=True)
class File:
    """One file of one revision.

    `oid` is the git blob id - of the pointer for a large file - and `sha256` is set for large files only.
    `source` is where the bytes are on this machine.
    """

    path: str
    size: int
    oid: str
    sha256: str | None
    source: Path

    @property
    def content_id(self) -> str:
        """What the hub gives as ETag: sha256 for a large file, git blob id for a regular one."""
        return self.sha256 or self.oid

    @property
    def pointer_size(self) -> int:
        return len(_pointer(self.sha256, self.size)) if self.sha256 else 0

    def as_sibling(self, with_blobs: bool) -> dict[str, Any]:
        """The entry in the answer to model info."""
        entry: dict[str, Any] = {"rfilename": self.path}
        if with_blobs:
            entry.update(blobId=self.oid, size=self.size)
            if self.sha256:
                entry["lfs"] = {"sha256": self.sha256, "size": self.size, "pointerSize": self.pointer_size}
        return entry

    def as_tree_entry(self) -> dict[str, Any]:
        """The entry in the answers to tree and paths-info."""
        entry: dict[str, Any] = {"type": "file", "oid": self.oid, "size": self.size, "path": self.path}
        if self.sha256:
            entry["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": self.pointer_size}
        return entry


def file_with_digest(path: str, size: int, digest: str, source: Path) -> File:
    """A File from the digest of its content: sha256 if a hub keeps such a file as a large one, else the git blob id."""
    if is_lfs(path, size):
        return File(path, size, _git_id("blob", _pointer(digest, size)), digest, source)
    return File(path, size, digest, None, source)


@dataclass(frozen=True)
class Revision:
    """One commit: its id, its title and its files by path."""

    commit: str
    title: str
    files: Mapping[str, File]
    folders: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, files: Mapping[str, File], title: str, parent: str | None = None) -> Revision:
        """A revision whose commit and tree ids are what git would compute: same content, same ids."""
        folders = dict(_tree_ids(files))
        lines = [f"tree {folders.pop('')}", *([f"parent {parent}"] if parent else [])]
        lines += [f"{role} Local Hub <hub@localhost> 1767225600 +0000" for role in ("author", "committer")]
        lines += ["", title, ""]
        return cls(_git_id("commit", "\n".join(lines).encode()), title, dict(sorted(files.items())), folders)

    def entries(self, under: str, recursive: bool) -> list[dict[str, Any]]:
        """Tree entries below the folder `under` ("" is the root), sorted by path, folders included."""
        prefix = f"{under}/" if under else ""
        found = [file.as_tree_entry() for path, file in self.files.items() if path.startswith(prefix)]
        found += [self.folder_entry(path) for path in self.folders if path.startswith(prefix)]
        if not recursive:
            found = [entry for entry in found if "/" not in entry["path"][len(prefix) :]]
        return sorted(found, key=lambda entry: str(entry["path"]))

    def folder_entry(self, path: str) -> dict[str, Any]:
        return {"type": "directory", "oid": self.folders[path], "size": 0, "path": path}

    def last_commit(self) -> dict[str, str]:
        return {"id": self.commit, "title": self.title, "date": _CREATED}


def _tree_ids(files: Mapping[str, File]) -> Iterator[tuple[str, str]]:
    """Yield (folder, git tree id) for every folder, innermost first; "" is the root."""
    children: dict[str, list[tuple[bytes, bytes]]] = {"": []}
    for path, file in files.items():
        folder, _mark, name = path.rpartition("/")
        known = folder
        while known not in children:
            children[known] = []
            known = known.rpartition("/")[0]
        children[folder].append((name.encode(), b"100644 %s\0" % name.encode() + bytes.fromhex(file.oid)))
    for folder in sorted(children, key=lambda known: known.count("/") + bool(known), reverse=True):
        tree = _git_id("tree", b"".join(entry for _name, entry in sorted(children[folder])))
        if folder:
            above, _mark, name = folder.rpartition("/")
            # git sorts a folder as if its name ended in a slash.
            children[above].append((name.encode() + b"/", b"40000 %s\0" % name.encode() + bytes.fromhex(tree)))
        yield folder, tree


class UnknownRevision(LookupError):
    """The repository has no such commit, branch or tag."""


class Repository:
    """A model repository: revisions in order of age, the branch `main` and tags. Safe to use from many threads."""

    def __init__(self, name: str, *, gated: Gate = False, private: bool = False) -> None:
        self.name = name
        self.gated = gated
        self.private = private
        self.tags: dict[str, str] = {}
        self._revisions: dict[str, Revision] = {}
        self._main: str | None = None
        self._lock = threading.Lock()

    @property
    def commits(self) -> list[str]:
        """Commit ids, oldest first."""
        with self._lock:
            return list(self._revisions)

    @property
    def main(self) -> str:
        """The commit the branch main is at."""
        if self._main is None:
            raise UnknownRevision(f"{self.name} has no commits")
        return self._main

    def commit(self, files: Mapping[str, File], title: str, *, move_main: bool = True) -> str:
        """Add a revision with exactly these files and return its commit id; main moves to it unless told not to."""
        with self._lock:
            revision = Revision.of(files, title, next(reversed(self._revisions), None))
            self._revisions[revision.commit] = revision
            if move_main or self._main is None:
                self._main = revision.commit
        return revision.commit

    def move_main(self, revision: str) -> str:
        """Let main point to an existing commit or tag and return that commit. Raises UnknownRevision."""
        self._main = self.revision(revision).commit
        return self._main

    def revision(self, name: str = "main") -> Revision:
        """The revision for a commit id, branch or tag. Raises UnknownRevision."""
        commit = self.main if name in ("main", "refs/heads/main") else self.tags.get(name, name)
        with self._lock:
            try:
                return self._revisions[commit]
            except KeyError:
                raise UnknownRevision(name) from None

    def info(self, revision: Revision, with_blobs: bool) -> dict[str, Any]:
        """The answer to model info."""
        return {
            "_id": hashlib.sha256(self.name.encode()).hexdigest()[:24],
            "id": self.name,
            "modelId": self.name,
            "author": self.name.partition("/")[0],
            "sha": revision.commit,
            "lastModified": _CREATED,
            "createdAt": _CREATED,
            "private": self.private,
            "gated": self.gated,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": [file.as_sibling(with_blobs) for file in revision.files.values()],
        }

    def refs(self) -> dict[str, Any]:
        """The answer to refs."""
        return {
            "branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": self.main}],
            "converts": [],
            "tags": [
                {"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit} for name, commit in self.tags.items()
            ],
            "pullRequests": [],
        }


class BlobStore:
    """Keeps contents below `directory` under their ids, so that equal files of many revisions exist once."""

    def __init__(self, directory: Path) -> None:
        self.directory = private_directory(directory)

    def add(self, path: str, content: bytes) -> File:
        """Keep `content` and return the File that `path` would be."""
        large = is_lfs(path, len(content))
        digest = hashlib.sha256(content).hexdigest() if large else _git_id("blob", content)
        source = self.directory / digest
        if not source.exists():
            # A name of its own for each writer: several processes may fill one store.
            temporary = source.with_name(f"{digest}.{os.getpid()}.{threading.get_ident()}.new")
            temporary.write_bytes(content)
            temporary.replace(source)
        return file_with_digest(path, len(content), digest, source)


def index_directory(directory: Path, cache: Path | None = None) -> dict[str, File]:
    """The files below `directory` as a hub would list them; `.git` and download caches are left out.

    Digests are read from and written to the JSON file `cache`; a file is hashed again when its size or modification
    time differ. Raises NotADirectoryError when there is no such directory.
    """
    paths = _served_paths(directory)
    known: dict[str, list[Any]] = {}
    if cache is not None and cache.exists():
        known = json.loads(cache.read_text(encoding="utf-8"))

    def describe(path: Path) -> tuple[str, list[Any]]:
        relative, status = path.relative_to(directory).as_posix(), path.stat()
        mark = [status.st_size, status.st_mtime_ns]
        entry = known.get(relative)
        if entry is None or entry[:2] != mark:
            entry = [*mark, _digest(relative, path, status.st_size)]
        return relative, entry

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(pool.map(describe, paths))
    if cache is not None and found != known:
        write_private(cache, json.dumps(found))
    return {
        path: file_with_digest(path, size, digest, directory / path) for path, (size, _time, digest) in found.items()
    }


def directory_mark(directory: Path) -> str:
    """A text that changes when a file below `directory` is added, removed or written. Raises NotADirectoryError."""
    digest = hashlib.sha256()
    for path in _served_paths(directory):
        status = path.stat()
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _served_paths(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise NotADirectoryError(f"{directory} is not a directory")
    return [path for path in sorted(directory.rglob("*")) if path.is_file() and not _is_tool_file(path, directory)]


def _is_tool_file(path: Path, directory: Path) -> bool:
    parts = path.relative_to(directory).parts
    return parts[0] == ".git" or parts[:2] == (".cache", "huggingface")


def _digest(relative: str, path: Path, size: int) -> str:
    """The digest `file_with_digest` wants."""
    if not is_lfs(relative, size):
        return _git_id("blob", path.read_bytes())
    digest, block = hashlib.sha256(), bytearray(_BLOCK)
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(block):
            digest.update(memoryview(block)[:count])
    return digest.hexdigest()


def dump_repositories(repositories: list[Repository]) -> str:
    """All of it as JSON, to be read back by `load_repositories`."""
    return json.dumps(
        [
            {
                "name": repository.name,
                "gated": repository.gated,
                "private": repository.private,
                "tags": repository.tags,
                "main": repository.main,
                "revisions": [
                    {
                        "title": revision.title,
                        "files": [{**asdict(file), "source": file.source.name} for file in revision.files.values()],
                    }
                    for revision in map(repository.revision, repository.commits)
                ],
            }
            for repository in repositories
        ]
    )


def load_repositories(text: str, blobs: Path) -> list[Repository]:
    """The repositories of `dump_repositories`, with contents in `blobs`.

    Raises FileNotFoundError when a content is missing or has another size.
    """
    repositories = []
    for known in json.loads(text):
        repository = Repository(known["name"], gated=known["gated"], private=known["private"])
        for revision in known["revisions"]:
            files = {file["path"]: File(**{**file, "source": blobs / file["source"]}) for file in revision["files"]}
            for file in files.values():
                if file.source.stat().st_size != file.size:
                    raise FileNotFoundError(f"{file.source} has not the expected size")
            repository.commit(files, revision["title"])
        repository.move_main(known["main"])
        repository.tags.update(known["tags"])
        repositories.append(repository)
    return repositories
