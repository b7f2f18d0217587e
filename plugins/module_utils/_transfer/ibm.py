# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""IBM Cloud: tokens of its Identity and Access Management (IAM), and its Object Storage (COS), which speaks S3.

COS takes the signatures of S3 (HMAC keys), or an IAM token in their place
(https://cloud.ibm.com/docs/cloud-object-storage?topic=cloud-object-storage-compatibility-api). Tokens come from
``POST /identity/token`` (https://cloud.ibm.com/docs/iam?topic=iam-iamtoken_from_apikey) and last an hour at most, less
than large models take: they are renewed while a run goes on.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import re
import threading
import time
import typing as t
import urllib.parse

try:
    import urllib3
except ImportError:
    pass  # whoever calls the engine has said so before

from .control import Control
from .errors import AccessError, InputError, StoreError, TransferError, TransientError
from .stores.s3 import S3Options, S3Store
from .web import RETRY_STATUS, WebClient, retry_after

IAM_ENDPOINT = "https://iam.cloud.ibm.com"
PASSCODE_PAGE = f"{IAM_ENDPOINT}/identity/passcode"
API_KEYS_PAGE = "https://cloud.ibm.com/iam/apikeys"
_GRANT = "urn:ibm:params:oauth:grant-type:"
# The client that IBM's own command line is: refresh tokens are only good for the client they were given to.
_CLIENT = "Basic " + base64.b64encode(b"bx:bx").decode()
_EARLY = 300.0  # seconds before its end in which a token is renewed, or a fifth of its life if that is less
_AGAIN = 15.0  # seconds until the next try, where a token could not be renewed but is still good
_LOCATIONS = {
    # https://cloud.ibm.com/docs/cloud-object-storage?topic=cloud-object-storage-endpoints (2026-02-18)
    **{name: name for name in ("us", "eu", "ap")},  # cross-region
    **{f"{name}-geo": name for name in ("us", "eu", "ap")},  # as the console calls them
    **{
        name: name
        for name in (
            "us-south", "us-east", "eu-gb", "eu-de", "eu-es", "au-syd", "jp-tok", "jp-osa", "ca-tor", "ca-mon",
            "br-sao", "in-che",  # regional
            "ams03", "che01", "mon01", "par01", "sjc04", "sng01",  # single data center
        )
    },
}  # fmt: skip


# -- names -----------------------------------------------------------------------------------------------------


def cos_endpoint(region: str) -> str:
    """The public endpoint of a location, such as ``us-south``, ``us-geo`` or ``ams03``.

    :raises InputError: there is no such location.
    """
    location = _LOCATIONS.get(region)
    if location is None:
        raise InputError(
            f"IBM Cloud Object Storage has no region {region!r} that is known here.",
            hint=f"Use one of {', '.join(_LOCATIONS)}, or give endpoint_url.",
        )
    return f"https://s3.{location}.cloud-object-storage.appdomain.cloud"


def instance_crn(crn: str) -> str:
    """The CRN of a COS instance, from it or from that of one of its buckets.

    https://cloud.ibm.com/docs/account?topic=account-crn has the form of a Cloud Resource Name::

        crn:v1:bluemix:public:cloud-object-storage:global:a/<account>:<instance>:<bucket or nothing>:<name or nothing>

    :raises InputError: it is not one.
    """
    parts = crn.strip().split(":")
    fits = (
        len(parts) == 10
        and parts[:2] == ["crn", "v1"]
        and parts[4] == "cloud-object-storage"
        and re.fullmatch(r"a/[0-9A-Za-z]+", parts[6])
        and re.fullmatch(r"[0-9A-Za-z-]+", parts[7])
        and re.fullmatch(r"[\x21-\x7e]+", crn.strip())
    )
    if not fits:
        raise InputError(
            f"{crn!r} is not the CRN of a COS instance or bucket.",
            hint="Copy it from the configuration of the bucket: "
            "crn:v1:bluemix:public:cloud-object-storage:global:a/ACCOUNT:INSTANCE:bucket:BUCKET.",
        )
    return ":".join([*parts[:8], "", ""])


def _account(crn: str | None) -> str | None:
    return instance_crn(crn).split(":")[6].removeprefix("a/") if crn else None


def _iam_endpoint(given: str | None, *, validate_certs: bool) -> str:
    text = given or os.environ.get("IBMCLOUD_IAM_API_ENDPOINT") or IAM_ENDPOINT
    text = text if "://" in text else f"https://{text}"  # other tools take the host alone
    endpoint = text.rstrip("/").removesuffix("/identity/token")
    _check_private(endpoint, "iam_endpoint", validate_certs=validate_certs)
    return endpoint


def _check_private(url: str, option: str, *, validate_certs: bool) -> None:
    """Tokens and keys must not be read on their way; COS itself refuses IAM without TLS.

    :raises InputError: no URL, or one without TLS of another machine, unless checks are off altogether.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise InputError(f"{option} is not a URL: {error}.") from error
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise InputError(f"{option} must be an https URL without credentials.")
    if parts.scheme == "http" and validate_certs and host not in ("localhost", "127.0.0.1", "::1"):
        raise InputError(f"{option} {url!r} would carry IAM tokens without TLS.", hint="Use https.")


# -- tokens ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Tokens:
    """What IAM gives: ``expires`` is a time of this machine's clock in seconds since 1970."""

    access_token: str = dataclasses.field(repr=False)
    refresh_token: str | None = dataclasses.field(repr=False)
    expires: float


class _RefusedError(AccessError):
    """IAM says no; ``said`` is why, without anything that was sent to it."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


def _request(web: WebClient, endpoint: str, form: t.Mapping[str, str]) -> Tokens:
    """One request for tokens.

    :raises TransientError: no answer, or one that says to come again. :raises _RefusedError: the grant is not good.
    :raises StoreError: an answer that is none of IAM's. :raises AccessError: TLS.
    """
    began = time.time()
    status, headers, body = web.fetch(
        "POST",
        f"{endpoint}/identity/token",
        headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            "Authorization": _CLIENT,
        },
        body=urllib.parse.urlencode(form).encode(),
    )
    if status in RETRY_STATUS or status > 504:
        raise TransientError(f"IBM Cloud IAM at {endpoint}: HTTP {status}.", retry_after=retry_after(headers))
    answer: t.Any = None
    with contextlib.suppress(ValueError):
        answer = json.loads(body)
    if not isinstance(answer, dict):
        answer = {}
    if 400 <= status < 500:
        raise _RefusedError(_said(status, answer, [form[key] for key in _SENT if key in form]))
    token, refresh, life = answer.get("access_token"), answer.get("refresh_token"), answer.get("expires_in")
    if status != 200 or not _is_token(token) or isinstance(life, bool) or not isinstance(life, (int, float)):
        raise StoreError(
            f"{endpoint} answered HTTP {status} without a token.", hint="Check iam_endpoint: it may not be IAM at all."
        )
    return Tokens(str(token), str(refresh) if _is_token(refresh) else None, began + life)


_SENT = ("apikey", "refresh_token", "passcode")


def _is_token(value: t.Any) -> bool:
    """Whether it can be a token and be sent as a header."""
    return isinstance(value, str) and re.fullmatch(r"[\x21-\x7e]+", value) is not None


def _said(status: int, answer: t.Mapping[str, t.Any], secrets: t.Iterable[str]) -> str:
    code, text = str(answer.get("errorCode") or ""), str(answer.get("errorMessage") or "")
    for secret in secrets:
        text, code = text.replace(secret, "***"), code.replace(secret, "***")
    text = " ".join(text.split())[:200].rstrip(".")
    return f"{code[:20] or f'HTTP {status}'}{f' ({text})' if text else ''}"


def _expiry(token: str) -> float | None:
    """When a token ends, which is a JSON Web Token (RFC 7519), or None if it does not say."""
    with contextlib.suppress(ValueError, KeyError, TypeError, IndexError):
        claims = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])
    return None


@dataclasses.dataclass(frozen=True)
class IamCredentials:
    """Who asks IAM at ``endpoint``: an API key, or tokens of somebody who has logged in."""

    endpoint: str
    api_key: str | None = dataclasses.field(default=None, repr=False)
    token: str | None = dataclasses.field(default=None, repr=False)
    refresh_token: str | None = dataclasses.field(default=None, repr=False)
    instance: str | None = None  # CRN


class IamTokens:
    """The bearer token of one store, renewed before it ends; safe to use from many threads."""

    def __init__(self, credentials: IamCredentials, web: WebClient) -> None:
        self.credentials = credentials
        self._web = web
        self._lock = threading.Lock()
        self._refresh_token = credentials.refresh_token
        self._token: str | None = None
        self._expires = self._renew_at = float("inf")
        if credentials.token:
            self._keep(Tokens(credentials.token, None, _expiry(credentials.token) or float("inf")))

    @property
    def _renewable(self) -> bool:
        return bool(self.credentials.api_key or self._refresh_token)

    def token(self) -> str:
        """A token that is good for a while yet, as far as one can be had.

        :raises AccessError: IAM does not accept the credentials. :raises TransientError: not just now.
        """
        with self._lock:
            now = time.time()
            if self._token is None:
                self._fetch()
            elif now >= self._renew_at and self._renewable:
                try:
                    self._fetch()
                except TransientError:
                    if now >= self._expires:
                        raise
                    self._renew_at = now + _AGAIN
            return str(self._token)

    def renew(self, used: str) -> bool:
        """After a refusal: whether there is another token than the one that was used.

        :raises AccessError, TransientError: as :meth:`token`.
        """
        with self._lock:
            if self._token == used:  # else another thread was faster
                if not self._renewable:
                    return False
                self._fetch()
            return True

    def sign(self, request: t.Any, **_event: t.Any) -> None:
        """Put the token into a request of botocore, in place of a signature."""
        headers = {"Authorization": f"Bearer {self.token()}"}
        if self.credentials.instance:
            headers["ibm-service-instance-id"] = self.credentials.instance
        for name, value in headers.items():
            del request.headers[name]  # setting one adds to those that are there
            request.headers[name] = value

    def hint(self, action: str) -> str:
        """What to do when COS refuses to ``action``."""
        if not self._renewable:
            return (
                "IAM tokens last an hour at most: if iam_token has expired, give a new one, or api_key or "
                f"iam_refresh_token, which are renewed. Else its owner may not {action} here; see the IAM roles in the "
                "role's README."
            )
        return (
            f"IBM Cloud IAM knows these credentials, but they may not {action} here: check the bucket's name and "
            "account, and grant an IAM role on the bucket; see the role's README."
        )

    def _fetch(self) -> None:
        who = self.credentials
        if who.api_key:
            what, form = "API key", {"grant_type": f"{_GRANT}apikey", "apikey": who.api_key}
            hint = f"Check api_key, or create one at {API_KEYS_PAGE}."
        else:
            what, form = "refresh token", _refresh_form(str(self._refresh_token), _account(who.instance))
            hint = "Log in again for a new one, or use an API key, which does not expire by itself."
        try:
            self._keep(_request(self._web, who.endpoint, form))
        except _RefusedError as error:
            raise AccessError(
                f"IBM Cloud IAM at {who.endpoint} does not accept the {what}: {error.said}.", hint=hint
            ) from None

    def _keep(self, tokens: Tokens) -> None:
        self._token, self._expires = tokens.access_token, tokens.expires
        self._renew_at = tokens.expires - min(_EARLY, max(0.0, tokens.expires - time.time()) / 5)
        self._refresh_token = tokens.refresh_token or self._refresh_token


def _refresh_form(refresh_token: str, account: str | None) -> dict[str, str]:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    # A login belongs to no account yet when its owner has several:
    # https://cloud.ibm.com/docs/containers?topic=containers-cs_api_install#cs_api
    return form | ({"bss_account": account} if account else {})


# -- passcodes -------------------------------------------------------------------------------------------------


def exchange_passcode(
    passcode: str,
    iam_endpoint: str | None = None,
    *,
    crn: str | None = None,
    validate_certs: bool = True,
    ca_bundle: str | None = None,
    control: Control | None = None,
) -> Tokens:
    """Tokens for a one-time passcode, which is good for five minutes and once. It is sent once, whatever happens.

    :param crn: of the COS instance or bucket; the tokens are then of its account.
    :raises InputError: not a passcode, CRN or endpoint; nothing was sent.
    :raises AccessError: expired, used or wrong, or nobody can tell whether it was used.
    :raises TransientError: IAM was not reached; the passcode was not used.
    """
    code = passcode.strip()
    again = f"Get a new passcode at {PASSCODE_PAGE} (`ibmcloud login --sso` prints the address of your region)"
    if not _is_token(code):
        raise InputError(
            "The passcode is empty, or holds more than the passcode.",
            hint=f"{again} and give it alone, without the command around it.",
        )
    endpoint = _iam_endpoint(iam_endpoint, validate_certs=validate_certs)
    account = _account(crn)
    control = control or Control(timeout=120)
    web = WebClient(control, pool_size=1, validate_certs=validate_certs, ca_bundle=ca_bundle)
    try:
        tokens = _request(web, endpoint, {"grant_type": f"{_GRANT}passcode", "passcode": code})
    except _RefusedError as error:
        raise AccessError(
            f"IBM Cloud IAM at {endpoint} does not accept the passcode: {error.said}. It has expired (passcodes are "
            "good for five minutes), was used before (they are good for one use), or is wrong.",
            hint=f"{again} and run again at once. An API key does not have these limits.",
        ) from None
    except TransientError as error:
        if isinstance(error.__cause__, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)):
            raise TransientError(
                f"{error.message} The passcode was not used.",
                hint="Check iam_endpoint and the network, and run again within the five minutes of the passcode.",
            ) from error
        raise _may_be_used(error, again) from error
    except StoreError as error:
        raise _may_be_used(error, again) from error
    if account and tokens.refresh_token:
        form = _refresh_form(tokens.refresh_token, account)
        try:
            scoped = control.retry(_request, web, endpoint, form)
            return dataclasses.replace(scoped, refresh_token=scoped.refresh_token or tokens.refresh_token)
        except _RefusedError as error:
            raise AccessError(
                f"IBM Cloud IAM took the passcode, but its owner is not in account {account}: {error.said}.",
                hint=f"Check the CRN. The passcode is used up: {again[0].lower()}{again[1:]}.",
            ) from None
        except TransferError as error:
            raise _may_be_used(error, again) from error
    return tokens


def _may_be_used(error: TransferError, again: str) -> AccessError:
    return AccessError(
        f"{error.message} IAM may have used up the passcode before its answer was lost.", hint=f"{again} and run again."
    )


# -- Object Storage --------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class CosOptions:
    """How to reach a bucket. ``region`` or ``endpoint_url``; HMAC keys, an API key or tokens.

    What is None is looked up in the environment that IBM's tools use: ``IBMCLOUD_API_KEY`` and ``IBM_API_KEY_ID`` when
    there are no credentials at all, ``IBMCLOUD_IAM_API_ENDPOINT``.
    """

    bucket: str
    region: str | None = None
    endpoint_url: str | None = None
    access_key: str | None = dataclasses.field(default=None, repr=False)
    secret_key: str | None = dataclasses.field(default=None, repr=False)
    api_key: str | None = dataclasses.field(default=None, repr=False)
    iam_token: str | None = dataclasses.field(default=None, repr=False)
    iam_refresh_token: str | None = dataclasses.field(default=None, repr=False)
    iam_endpoint: str | None = None
    instance_crn: str | None = None
    validate_certs: bool = True
    ca_bundle: str | None = None
    pool_size: int = 16


def cos_store(options: CosOptions, control: Control, *, prefix: str) -> S3Store:
    """A prefix of a bucket. Nothing is asked for yet.

    :raises InputError: options that are missing, wrong or contradict each other.
    """
    hmac = bool(options.access_key or options.secret_key)
    tokens = bool(options.iam_token or options.iam_refresh_token)
    api_key = options.api_key
    if not (hmac or tokens or api_key):
        api_key = os.environ.get("IBMCLOUD_API_KEY") or os.environ.get("IBM_API_KEY_ID")
    if hmac + tokens + bool(api_key) != 1:
        raise InputError(
            "IBM Cloud Object Storage needs exactly one kind of credentials.",
            hint="Give access_key and secret_key (HMAC), or api_key, or iam_token and iam_refresh_token.",
        )
    if bool(options.access_key) != bool(options.secret_key):
        raise InputError("IBM Cloud Object Storage needs access_key and secret_key together.")
    if not options.region and not options.endpoint_url:
        raise InputError(
            "IBM Cloud Object Storage needs region or endpoint_url.", hint="A region is us-south or us-geo."
        )
    instance = instance_crn(options.instance_crn) if options.instance_crn else None
    reached = S3Options(
        bucket=options.bucket,
        endpoint_url=options.endpoint_url or cos_endpoint(str(options.region)),
        region=_LOCATIONS.get(options.region or "", options.region) or "us-standard",
        access_key=options.access_key,
        secret_key=options.secret_key,
        validate_certs=options.validate_certs,
        ca_bundle=options.ca_bundle,
        pool_size=options.pool_size,
    )
    if hmac:
        return S3Store(reached, control, prefix=prefix)
    _check_private(str(reached.endpoint_url), "endpoint_url", validate_certs=options.validate_certs)
    credentials = IamCredentials(
        endpoint=_iam_endpoint(options.iam_endpoint, validate_certs=options.validate_certs),
        api_key=api_key.strip() if api_key else None,
        token=_bare(options.iam_token),
        refresh_token=options.iam_refresh_token.strip() if options.iam_refresh_token else None,
        instance=instance,
    )
    web = WebClient(control, pool_size=1, validate_certs=options.validate_certs, ca_bundle=options.ca_bundle)
    return S3Store(reached, control, prefix=prefix, iam=IamTokens(credentials, web))


def _bare(token: str | None) -> str | None:
    if token is None:
        return None
    bare = re.sub(r"^Bearer\s+", "", token.strip(), flags=re.IGNORECASE)  # as `ibmcloud iam oauth-tokens` prints it
    if not _is_token(bare):
        raise InputError("iam_token is not a token.")
    return bare
