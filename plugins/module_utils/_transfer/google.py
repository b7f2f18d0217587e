# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Credentials for Google's APIs: google-auth, under the option and environment names of the google.cloud collection."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import re
import threading
import typing as t

from .errors import AccessError, InputError, TransferError, TransientError

if t.TYPE_CHECKING:
    from .web import WebClient

IAM_CREDENTIALS = "https://iamcredentials.googleapis.com"
AUTH_KINDS = ("application", "serviceaccount", "accesstoken", "anonymous")


def require_package(module: str, package: str) -> t.Any:
    """A module that is only wanted where Google is asked.

    :raises InputError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"Google Cloud needs the Python package {package}.", hint=f"Install {package}.") from error


@dataclasses.dataclass(frozen=True)
class GoogleCredentials:
    """Which credentials to use, with the names of the google.cloud collection.

    What is None is looked up in the environment that google.cloud and AWX use: ``GCP_AUTH_KIND``,
    ``GCP_SERVICE_ACCOUNT_FILE``, ``GCP_SERVICE_ACCOUNT_CONTENTS``, ``GCP_ACCESS_TOKEN``. ``auth_kind`` ``application``
    means Application Default Credentials.
    """

    auth_kind: str | None = None
    service_account_file: str | None = None
    service_account_contents: str | None = dataclasses.field(default=None, repr=False)
    access_token: str | None = dataclasses.field(default=None, repr=False)

    def resolved(self, default: str = "application") -> GoogleCredentials:
        """The same with everything decided.

        :param default: the kind where neither options nor environment say one.
        :raises InputError: options that contradict each other or lack what they need.
        """
        kind = self.auth_kind or self._kind_of_what_is_given() or os.environ.get("GCP_AUTH_KIND") or default
        if kind not in AUTH_KINDS:
            raise InputError(
                f"There is no auth_kind {kind!r} for Google Cloud.", hint=f"Use one of {', '.join(AUTH_KINDS)}."
            )
        file, contents, token = self.service_account_file, self.service_account_contents, self.access_token
        if kind != "serviceaccount" and (file or contents):
            raise InputError(f"A service account was given, but auth_kind is {kind}.", hint="Use serviceaccount.")
        if kind != "accesstoken" and token:
            raise InputError(f"An access token was given, but auth_kind is {kind}.", hint="Use accesstoken.")
        if file and contents:
            raise InputError("Both service_account_file and service_account_contents were given.", hint="Give one.")
        if kind == "serviceaccount" and not (file or contents):
            contents = os.environ.get("GCP_SERVICE_ACCOUNT_CONTENTS") or None
            file = None if contents else os.environ.get("GCP_SERVICE_ACCOUNT_FILE") or None
            if not (file or contents):
                raise InputError("auth_kind serviceaccount needs service_account_file or service_account_contents.")
        if kind == "accesstoken" and not token:
            token = os.environ.get("GCP_ACCESS_TOKEN") or None
            if not token:
                raise InputError("auth_kind accesstoken needs access_token.")
        return GoogleCredentials(kind, file, contents, token)

    def _kind_of_what_is_given(self) -> str | None:
        if self.service_account_file or self.service_account_contents:
            return "serviceaccount"
        return "accesstoken" if self.access_token else None


@dataclasses.dataclass(frozen=True)
class Impersonation:
    """Whose tokens are used instead of those of the credentials themselves: the last account's. Each of the others is
    impersonated by the one before it, the first one by the credentials.

    https://cloud.google.com/iam/docs/create-short-lived-credentials-delegated

    :param accounts: e-mail addresses of service accounts. :param endpoint: of the IAM Service Account Credentials API.
    :raises InputError: one is no such address.
    """

    accounts: tuple[str, ...]
    endpoint: str = IAM_CREDENTIALS

    def __post_init__(self) -> None:
        for account in self.accounts:
            if not re.fullmatch(r"[^@\s/:]+@[^@\s/:]+", account):
                raise InputError(
                    f"{account!r} is not the e-mail address of a service account, so it cannot be impersonated.",
                    hint="Give one such as deployer@demo-project.iam.gserviceaccount.com.",
                )

    @property
    def names(self) -> list[str]:
        """The accounts as the API names them."""
        return [f"projects/-/serviceAccounts/{account}" for account in self.accounts]


@dataclasses.dataclass(frozen=True)
class _Answer:
    """What google-auth expects from its transport."""

    status: int
    headers: t.Mapping[str, str]
    data: bytes


class GoogleAuth:
    """Access tokens for requests; safe to use from many threads. Requests are billed to ``GOOGLE_CLOUD_QUOTA_PROJECT``
    if that is set.

    :param credentials: resolved.
    :param scope: what the tokens are for, an OAuth scope of Google.
    :param impersonation: whose tokens to use, where not those of the credentials.
    :raises InputError: there are no credentials that could impersonate.
    """

    def __init__(
        self,
        credentials: GoogleCredentials,
        web: WebClient,
        *,
        scope: str,
        impersonation: Impersonation | None = None,
    ) -> None:
        if impersonation and credentials.auth_kind == "anonymous":
            raise InputError("Without credentials no service account can be impersonated.", hint="Change auth_kind.")
        self._options = credentials
        self._impersonation = impersonation
        self._web = web
        self._scope = scope
        self._lock = threading.Lock()
        self._credentials: t.Any = None

    def headers(self) -> dict[str, str]:
        """What to send along, with a token that is good for some minutes yet.

        :raises AccessError: no credentials, or they cannot be renewed. :raises TransientError: not just now.
        """
        if self._options.auth_kind == "anonymous":
            return {}
        headers: dict[str, str] = {}
        if self._options.auth_kind == "accesstoken" and not self._impersonation:
            headers["authorization"] = f"Bearer {self._options.access_token}"
        else:
            with self._lock, self._errors():
                if self._credentials is None:
                    self._credentials = self._load()
                if not self._credentials.valid:
                    self._credentials.refresh(self._request)
                self._credentials.apply(headers)
        project = os.environ.get("GOOGLE_CLOUD_QUOTA_PROJECT")
        if project:
            headers.setdefault("x-goog-user-project", project)
        return headers

    def renew(self, used: t.Mapping[str, str]) -> bool:
        """After a refusal: whether there is another token than the one that was used."""
        if self._credentials is None:
            return False
        with self._lock, self._errors():
            now: dict[str, str] = {}
            self._credentials.apply(now)
            if now.get("authorization") == used.get("authorization"):  # else another thread was faster
                self._credentials.refresh(self._request)
        return True

    def _load(self) -> t.Any:
        if not self._impersonation:
            return self._own()
        *delegates, name = self._impersonation.names
        return require_package("google.auth.impersonated_credentials", "google-auth").Credentials(
            self._own(),
            target_principal=self._impersonation.accounts[-1],
            target_scopes=[self._scope],
            delegates=delegates,
            iam_endpoint_override=f"{self._impersonation.endpoint}/v1/{name}:generateAccessToken",
        )

    def _own(self) -> t.Any:
        """The credentials themselves."""
        options = self._options
        if options.auth_kind == "accesstoken":
            return require_package("google.oauth2.credentials", "google-auth").Credentials(options.access_token)
        if options.auth_kind == "application":
            auth = require_package("google.auth", "google-auth")
            credentials, _project = auth.default(request=self._request)
            return require_package("google.auth.credentials", "google-auth").with_scopes_if_required(
                credentials, [self._scope]
            )
        where = repr(options.service_account_file) if options.service_account_file else "service_account_contents"
        try:
            contents = options.service_account_contents
            if options.service_account_file:
                with open(options.service_account_file, encoding="utf-8") as stream:
                    contents = stream.read()
            info = json.loads(contents or "")
            service_account = require_package("google.oauth2.service_account", "google-auth")
            return service_account.Credentials.from_service_account_info(info, scopes=[self._scope])
        except OSError as error:
            raise InputError(f"Service account file {where} cannot be read: {error.strerror}.") from error
        except (ValueError, TypeError, AttributeError) as error:
            # The error's own text could quote from the key.
            raise InputError(
                f"{where} is not a service account key ({type(error).__name__}).",
                hint="Give the JSON file that Google Cloud made for the service account.",
            ) from None

    @contextlib.contextmanager
    def _errors(self) -> t.Iterator[None]:
        exceptions = require_package("google.auth.exceptions", "google-auth")
        try:
            yield
        except exceptions.DefaultCredentialsError as error:
            raise AccessError(
                f"No usable Google credentials were found: {_first_line(error)}.",
                hint="Give service_account_file or access_token, run where Application Default Credentials are, "
                "or set auth_kind to anonymous for public data.",
            ) from error
        except exceptions.GoogleAuthError as error:
            if self._impersonation and (refused := _not_impersonated(self._impersonation, error.args)):
                raise refused from error
            what = f"Google gave no access token: {_first_line(error)}."
            if isinstance(error, exceptions.TransportError) or getattr(error, "retryable", False):
                raise TransientError(what, hint="Check the network and proxies of this machine.") from error
            raise AccessError(
                what, hint="Renew the credentials and run again; what was done is not done twice."
            ) from error
        except (OSError, ValueError) as error:  # a credentials file that google-auth did not get over
            raise AccessError(f"The Google credentials cannot be used: {_first_line(error)}.") from error

    def _request(
        self,
        url: str,
        method: str = "GET",
        body: t.Any = None,
        headers: t.Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_more: t.Any,
    ) -> _Answer:
        """google-auth's transport: the same TLS, proxies and stall timeout as for everything else."""
        data = body.encode() if isinstance(body, str) else body
        try:
            return _Answer(*self._web.fetch(method, url, headers=headers, body=data, timeout=timeout))
        except TransientError as error:
            raise require_package("google.auth.exceptions", "google-auth").TransportError(str(error)) from error


def _not_impersonated(impersonation: Impersonation, told: t.Sequence[t.Any]) -> TransferError | None:
    """The error for a refusal of the IAM Service Account Credentials API; None for those of others.

    :param told: of google-auth: a message, and the answer where there was one.
    """
    try:
        # Answers of the token server have a text as their error.
        error = json.loads(told[1])["error"]
        code, message = int(error["code"]), str(error.get("message") or "no reason given")
    except (IndexError, ValueError, KeyError, TypeError):
        return None
    *before, account = impersonation.accounts
    what = f"Google gave no access token for {account}: {message.strip().splitlines()[0].rstrip('.')} ({code})."
    if code == 429 or code >= 500:
        return TransientError(what, hint="Try again later.")
    asking = f"{before[-1]}, and each account of the chain on its next one," if before else "the credentials in use"
    hint = (
        f"Give {asking} the role roles/iam.serviceAccountTokenCreator on {account}, which has the permission "
        "iam.serviceAccounts.getAccessToken. The account has to exist, and the API iamcredentials.googleapis.com has to "
        "be enabled in the project of the one that asks."
    )
    return AccessError(what, hint=hint)


def _first_line(error: BaseException) -> str:
    # Only the first argument is written for people; others hold whole answers of the token server.
    text = str(error.args[0]) if error.args else type(error).__name__
    return (text.strip().splitlines() or [type(error).__name__])[0].rstrip(".")
