# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who a token of the Hugging Face Hub belongs to, and which models it may read now.

What the Hub says of a gated model (its page, its list of files) is public. Only its files are behind the gate, so
the head of one is asked for. The gate comes before the question whether that file exists: no such file is a yes.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import re
import typing as t
import urllib.parse

from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    DeadlineError,
    InputError,
    StoreError,
    TransferError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.hub import DEFAULT_ENDPOINT
from ansible_collections.modelops.serving.plugins.module_utils._transfer.model import parse_json
from ansible_collections.modelops.serving.plugins.module_utils._transfer.web import (
    RETRY_STATUS,
    WebClient,
    raise_for_status,
)

#: README and LICENSE of a gated model are public, so they tell nothing.
_FILE = "config.json"
_THREADS = 8
_REDIRECTS = 5
_REPO = re.compile(r"(?!.*(\.\.|--))([A-Za-z0-9_][\w.-]{0,95}/)?[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Scope:
    """What a fine-grained token may do with one user, organization or repository."""

    entity: str
    type: str
    permissions: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Identity:
    """What the Hub tells about a token, as ``GET /api/whoami-v2`` has it.

    ``name`` is the name its owner gave the token. ``role`` is ``read``, ``write`` or ``fineGrained``, and None for
    credentials that are no access token (OAuth). ``can_read_gated_repos`` is None unless the token is fine-grained.
    """

    name: str | None
    account: str
    type: str
    role: str | None
    can_read_gated_repos: bool | None
    scopes: tuple[Scope, ...]
    created: str | None

    @classmethod
    def from_json(cls, data: bytes) -> Identity:
        """:raises ValueError, KeyError, TypeError, AttributeError: it is something else."""
        said = parse_json(data)
        token = said.get("auth", {}).get("accessToken") or {}
        fine = token.get("fineGrained") or {}
        return cls(
            name=token.get("displayName"),
            account=said["name"],
            type=said["type"],
            role=token.get("role"),
            can_read_gated_repos=bool(fine.get("canReadGatedRepos")) if token.get("role") == "fineGrained" else None,
            scopes=tuple(
                Scope(str(item["entity"].get("name", "")), item["entity"]["type"], tuple(item["permissions"]))
                for item in fine.get("scoped", ())
            ),
            created=token.get("createdAt"),
        )

    def __str__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        role = f" ({self.role})" if self.role else ""
        return f"The token{name}{role} of the account {self.account}"


@dataclasses.dataclass(frozen=True)
class ModelAccess:
    """Whether the files of one model may be read, and if not why and what to do.

    ``access`` is ``yes``, ``gated`` (there, but not for this token), ``pending`` (asked for, not decided),
    ``not_found`` (or private), ``revoked`` (the token is none) or ``unknown`` (the Hub did not answer).
    ``revision`` is the commit of the branch main, where the Hub told it.
    """

    name: str
    page: str
    access: str
    message: str = ""
    hint: str = ""
    revision: str | None = None


@dataclasses.dataclass(frozen=True)
class TokenInfo:
    """What was found out. ``identity`` is None without a token (``given`` is false) and for one that is refused."""

    endpoint: str
    given: bool
    identity: Identity | None
    models: tuple[ModelAccess, ...]

    @property
    def valid(self) -> bool:
        """Whether there is a token that the Hub accepts."""
        return self.identity is not None

    @property
    def refused(self) -> list[ModelAccess]:
        """The models that may not be read, or of which that is not known."""
        return [model for model in self.models if model.access != "yes"]

    @property
    def usable(self) -> bool:
        """Every model may be read; without models, there is a valid token."""
        return (self.valid or (not self.given and bool(self.models))) and not self.refused

    @property
    def summary(self) -> str:
        """All of it in a few words."""
        return " ".join([self._who, *(f"{model.name}: {model.access}." for model in self.refused)])

    @property
    def _who(self) -> str:
        if self.given and not self.identity:
            return f"{self.endpoint} refuses the token: it is wrong, expired or revoked."
        who = str(self.identity) if self.identity else "Without a token one"
        if self.models:
            return f"{who} may read {len(self.models) - len(self.refused)} of {len(self.models)} models."
        return f"{who} is valid." if self.given else "No token was given."

    def error(self) -> AccessError:
        """Why this is not :attr:`usable`: every model that may not be read, and what to do."""
        hints = [model.hint for model in self.refused]
        if self.given and not self.valid:
            hints = [_new_token(self.endpoint)]
        elif not self.models:
            hints = ["Give token or token_file, or set HF_TOKEN."]
        messages = [self._who, *(model.message for model in self.refused)]
        return AccessError(" ".join(messages), hint=" ".join(dict.fromkeys(hints)))


def look_up(
    *,
    endpoint: str,
    token: str | None,
    models: t.Sequence[str],
    control: Control,
    validate_certs: bool = True,
    ca_bundle: str | None = None,
) -> TokenInfo:
    """Ask the Hub who the token belongs to and, with up to eight requests at a time, for a file of each model.

    A token or model that is refused is an answer. So is, for a model, that the Hub does not answer.

    :raises InputError: the endpoint is no URL or a name is not that of a repository; nothing was asked.
    :raises TransferError: the Hub did not say who the token belongs to.
    """
    _check_endpoint(endpoint)
    names = tuple(dict.fromkeys(models))
    for name in names:
        if not _REPO.fullmatch(name):
            raise InputError(f"{name!r} is not a repository id.", hint="Give one such as google/gemma-3-1b-it.")
    hub = _Hub(
        endpoint.rstrip("/"),
        token,
        WebClient(control, pool_size=_THREADS, validate_certs=validate_certs, ca_bundle=ca_bundle),
        control,
    )
    identity = hub.whoami() if token else None
    if token and not identity:
        # A refused token is refused for every model, public ones included.
        return TokenInfo(hub.endpoint, True, None, tuple(hub.revoked(name) for name in names))
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        return TokenInfo(hub.endpoint, token is not None, identity, tuple(pool.map(hub.access, names)))


def _check_endpoint(endpoint: str) -> None:
    try:
        parts = urllib.parse.urlsplit(endpoint)
    except ValueError as error:
        raise InputError(f"The endpoint is not a URL: {error}.") from error
    if "@" in parts.netloc:  # it is shown in messages and results
        raise InputError("The endpoint holds a user name or password.", hint="The Hub takes a token only.")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError(f"The endpoint {endpoint!r} is not a URL.", hint="Give one such as https://huggingface.co.")


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc


def _new_token(endpoint: str) -> str:
    return f"Make a new token at {endpoint}/settings/tokens."


class _Hub:
    """The Hub at one endpoint, asked with one token or none."""

    def __init__(self, endpoint: str, token: str | None, web: WebClient, control: Control) -> None:
        self.endpoint = endpoint
        self._token = token
        self._web = web
        self._control = control

    def whoami(self) -> Identity | None:
        """Whom the token belongs to, None if the Hub refuses it.

        :raises TransferError: the Hub does not say.
        """
        try:
            status, _headers, data = self._control.retry(self._ask, "GET", f"{self.endpoint}/api/whoami-v2")
        except DeadlineError as error:
            raise DeadlineError(
                f"{self.endpoint} did not say within the timeout whom the token belongs to.",
                hint="Check the endpoint (HF_ENDPOINT) and the network, or raise timeout.",
            ) from error
        if status == 401:
            return None
        try:
            if status != 200:
                raise ValueError(status)
            return Identity.from_json(data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{self.endpoint} does not say whom the token belongs to: HTTP {status} to /api/whoami-v2.",
                hint="Check that the endpoint (HF_ENDPOINT) is a Hub; a mirror may not know tokens.",
            ) from error

    def access(self, name: str) -> ModelAccess:
        """Whether a file of the model may be read."""
        try:
            return self._control.retry(self._access, name)
        except DeadlineError:
            return self._no(name, "unknown", "was not answered for within the timeout.", "Run again, or raise timeout.")
        except TransferError as error:
            return ModelAccess(name, self._page(name), "unknown", error.message, error.hint or "Run again.")

    def revoked(self, name: str) -> ModelAccess:
        """What is said of a model where the token is refused."""
        return self._no(name, "revoked", "cannot be read: the Hub refuses the token.", _new_token(self.endpoint))

    def _access(self, name: str) -> ModelAccess:
        url = f"{self._page(name)}/resolve/main/{_FILE}"
        status, headers = 0, t.cast("t.Mapping[str, str]", {})
        for _hop in range(_REDIRECTS):
            status, headers, _data = self._ask("HEAD", url)
            # A redirect to the bytes of a file comes with the commit. One without it is to the new name of a renamed
            # repository, which is asked in turn; the token stays with the Hub.
            there = urllib.parse.urljoin(url, headers.get("Location") or url)
            if not 300 <= status < 400 or "X-Repo-Commit" in headers or _origin(there) != _origin(self.endpoint):
                break
            url = there
        return self._judge(name, status, headers)

    def _judge(self, name: str, status: int, headers: t.Mapping[str, str]) -> ModelAccess:
        code, said = headers.get("X-Error-Code"), headers.get("X-Error-Message") or f"HTTP {status}"
        commit = headers.get("X-Repo-Commit")
        if code == "EntryNotFound" or (status < 400 and commit):
            return ModelAccess(name, self._page(name), "yes", revision=commit)
        if code == "GatedRepo" or status == 403:
            return self._gated(name, said)
        if status == 401 and self._token and not code:
            return self.revoked(name)
        if status == 404 and code == "RevisionNotFound":
            return self._no(name, "not_found", "has no branch main.", f"Check {self._page(name)}.")
        if status in (401, 404):
            why = "the token may not read it" if self._token else "no token was given"
            hint = f"Check the name at {self._page(name)}, and the token."
            return self._no(name, "not_found", f"does not exist, or is private and {why}.", hint)
        raise_for_status(status, headers, self._where(name))
        return self._no(
            name,
            "unknown",
            f"is answered for with HTTP {status} and no commit.",
            "A mirror or proxy in between drops the X-Repo-Commit header or redirects; use another endpoint.",
        )

    def _gated(self, name: str, said: str) -> ModelAccess:
        """The Hub tells the cases apart in words only."""
        page, words = self._page(name), said.lower()
        if "awaiting a review" in words:
            message = "is gated, and the request for access awaits a review by its authors."
            return self._no(name, "pending", message, f"Wait for their answer, which {page} shows, then run again.")
        if not self._token:
            message, hint = "is gated and no token was given.", f"Ask for access at {page}, and give a token."
        elif "rejected" in words:
            message = "is gated, and its authors rejected the request for access."
            hint = f"Ask the authors at {page}, or use another account."
        elif "fine-grained" in words:
            message = "is gated, and this fine-grained token may not read gated repositories."
            hint = f"Allow it that at {self.endpoint}/settings/tokens, or use a token with the role read."
        elif "not in the authorized list" in words:
            message = "is gated and this token's account has no access."
            hint = f"Ask for access at {page} with the account the token belongs to, then run again."
        else:
            message = f"is refused to this token: {said.rstrip('.')}."
            hint = f"Check what the token may read, and {page}."
        return self._no(name, "gated", message, hint)

    def _no(self, name: str, access: str, message: str, hint: str) -> ModelAccess:
        return ModelAccess(name, self._page(name), access, f"{self._where(name)} {message}", hint)

    def _where(self, name: str) -> str:
        return f"{name} on {self.endpoint}"

    def _page(self, name: str) -> str:
        """Where a person asks for access to a gated model."""
        return f"{self.endpoint}/{name}"

    def _ask(self, method: str, url: str) -> tuple[int, t.Mapping[str, str], bytes]:
        """:raises TransientError: no answer, or one that asks to come again."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "modelops.serving"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        answer = self._web.fetch(method, url, headers=headers)
        if answer[0] in RETRY_STATUS or answer[0] >= 500:
            raise_for_status(answer[0], answer[1], self.endpoint)
        return answer


def check_access(
    token: str,
    model: str,
    control: Control,
    *,
    endpoint: str | None = None,
    validate_certs: bool = True,
    ca_bundle: str | None = None,
) -> str | None:
    """See that a token may read a model, before something is begun that needs it.

    :param endpoint: None is ``HF_ENDPOINT``, and then the public Hub.
    :returns: a warning where the Hub gave no answer: it may give one to who needs it.
    :raises InputError: it is no name of a model. :raises AccessError: the token may not read it, why, and what to do.
    """
    endpoint = endpoint or os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT
    try:
        info = look_up(
            endpoint=endpoint,
            token=token,
            models=[model],
            control=control,
            validate_certs=validate_certs,
            ca_bundle=ca_bundle,
        )
    except InputError:
        raise
    except TransferError as error:
        return f"The token was not checked: {error}"
    (found,) = info.models
    if found.access == "unknown":
        return f"The token was not checked: {found.message}"
    if not info.usable:
        raise info.error()
    return None
