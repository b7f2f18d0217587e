# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One call to one of Google's REST APIs: credentials, proxies, retries, and what a refusal means."""

from __future__ import annotations

import json
import os
import re
import typing as t
import urllib.parse

from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    ConflictError,
    InputError,
    NotFoundError,
    StoreError,
    TransferError,
    TransientError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.google import (
    GoogleAuth,
    GoogleCredentials,
    Impersonation,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.web import (
    RETRY_STATUS,
    WebClient,
    retry_after,
)

Data: t.TypeAlias = "dict[str, t.Any]"

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class GoogleClient:
    """The APIs of Google Cloud that are reached as ``https://NAME.googleapis.com``.

    :param endpoints: name of an API -> another address of it. ``GCP_<NAME>_ENDPOINT`` counts where none is given.
    :param impersonate: service accounts of :class:`Impersonation`; none for the credentials themselves.
    :raises InputError: credentials or endpoints that do not fit.
    """

    def __init__(
        self,
        credentials: GoogleCredentials,
        control: Control,
        *,
        endpoints: t.Mapping[str, str] | None = None,
        impersonate: t.Sequence[str] = (),
        validate_certs: bool = True,
        ca_bundle: str | None = None,
    ) -> None:
        self._control = control
        self._endpoints = dict(endpoints or {})
        self._web = WebClient(control, pool_size=2, validate_certs=validate_certs, ca_bundle=ca_bundle)
        impersonation = Impersonation(tuple(impersonate), self.endpoint("iamcredentials")) if impersonate else None
        self._auth = GoogleAuth(credentials.resolved(), self._web, scope=_SCOPE, impersonation=impersonation)

    @property
    def control(self) -> Control:
        """Deadline and pauses of the run."""
        return self._control

    def access_token(self) -> str:
        """The token that requests carry, good for some minutes at least.

        :raises InputError: the credentials are none. :raises TransferError: there is none to be had.
        """
        authorization = self._auth.headers().get("authorization", "")
        if not authorization:
            raise InputError("Without credentials there is no access token.", hint="Change auth_kind.")
        return authorization.removeprefix("Bearer ")

    def endpoint(self, api: str) -> str:
        """Where an API is reached.

        :raises InputError: it is not an http or https URL.
        """
        address = self._endpoints.get(api) or os.environ.get(f"GCP_{api.upper()}_ENDPOINT")
        address = (address or f"https://{api}.googleapis.com").rstrip("/")
        if not re.match(r"https?://[^/]", address):
            raise InputError(f"The endpoint {address!r} of {api} is not an http or https URL.")
        return address

    def call(
        self,
        api: str,
        method: str,
        path: str,
        *,
        what: str,
        query: t.Mapping[str, str | t.Sequence[str]] | None = None,
        body: t.Mapping[str, t.Any] | None = None,
        headers: t.Mapping[str, str] | None = None,
        once: bool = False,
    ) -> Data:
        """Send a request, and again what may be sent again.

        :param what: what is asked for, in words that fit after "Google refused to": ``read the secret X``.
        :param query: a list gives its parameter several times.
        :param once: carrying it out twice would do harm. It is sent again only after a 429, not where there was no
            answer or one that leaves open whether it was carried out.
        :returns: the answer, empty when there is none.
        :raises AccessError: 401, 403. :raises NotFoundError: 404. :raises ConflictError: 409, 412.
        :raises InputError: 400 INVALID_ARGUMENT. :raises StoreError: any other refusal.
        :raises RateLimitError: 429, to the end. :raises TransientError: no usable answer; with ``once`` it may have been
            carried out.
        """
        url = f"{self.endpoint(api)}{path}" + (f"?{urllib.parse.urlencode(query, doseq=True)}" if query else "")
        fields = {"accept": "application/json", **(headers or {})}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            fields["content-type"] = "application/json"

        def send(authorization: t.Mapping[str, str]) -> tuple[int, t.Mapping[str, str], bytes]:
            return self._web.fetch(method, url, headers={**fields, **authorization}, body=data)

        again = RateLimitError if once else TransientError
        attempt = 0
        while True:
            self._control.check()
            try:
                used = self._auth.headers()
                status, answered, content = send(used)
                if status == 401 and self._auth.renew(used):
                    status, answered, content = send(self._auth.headers())
                if status < 300:
                    return _parsed(content, what)
                raise _refusal(api, status, content, answered, what)
            except again as error:
                attempt += 1
                self._control.pause(attempt, error)


class RateLimitError(TransientError):
    """429: for certain not carried out."""


def _parsed(content: bytes, what: str) -> Data:
    if not content.strip():
        return {}
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise StoreError(
            f"What was asked of Google to {what} was not answered with JSON.",
            hint="Check proxies and endpoints: something else answers in its place.",
        )
    return found


def _refusal(api: str, status: int, content: bytes, headers: t.Mapping[str, str], what: str) -> TransferError:
    """The error for an answer that is not a success. https://cloud.google.com/apis/design/errors"""
    try:
        error = json.loads(content)["error"]
        reason, message = str(error.get("status") or ""), str(error.get("message") or "no reason given")
        details = error.get("details") or []
    except (ValueError, KeyError, TypeError, AttributeError):
        reason, message, details = "", f"HTTP {status}", []
    told = f"Google refused to {what}: {message.strip().splitlines()[0].rstrip('.')} ({reason or status})."
    if status in RETRY_STATUS or status > 504:
        kind = RateLimitError if status == 429 else TransientError
        return kind(told, retry_after=retry_after(headers), hint="Try again later.")
    if status == 401:
        return AccessError(told, hint="Renew the access token, or log in again.")
    if status == 403:
        return AccessError(told, hint=_hint(api, message, details))
    if status == 404:
        return NotFoundError(told)
    if status in (409, 412):
        return ConflictError(told)
    if reason == "INVALID_ARGUMENT":
        return InputError(told)
    return StoreError(told)


def _hint(api: str, message: str, details: t.Any) -> str:
    """What to do about a 403, from what Google says of it."""
    if any(isinstance(item, dict) and item.get("reason") == "SERVICE_DISABLED" for item in details):
        return f"Enable the API with `gcloud services enable {api}.googleapis.com`, and try again some minutes later."
    permission = re.search(r"[Pp]ermission '?([a-z]+(\.[A-Za-z]+){2,})'?", message)
    if permission:
        return f"Give the account a role with the permission {permission[1]}."
    return "Check which account is used, and which roles it has there."
