# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the REST APIs of Google Cloud on this machine, driven by Google's own discovery documents.

Every request is checked against the API's document: its path, parameters, the schema of its body; so is every answer.
What the documents do not say (states, conflicts, policies, limits) is written in ``services``, one module per API, from
Google's documentation; whatever else looks like a standard method is carried out by ``standard``.

Tests switch on what else happens to clients: ``fail`` (refusals, lost answers), ``slow_operations`` and
``fail_operations`` (work that takes time, and fails), ``lag`` (what was written is not seen at once), ``deny`` (a
permission is missing), ``require_services`` (APIs that are not enabled refuse), ``set_quota``.

It cannot show: roles and which permissions they hold (every valid token may do all that is not denied), quotas but
those of regions for TPUs and CPUs, organization policies, billing, whether a member of a policy exists, anything
behind the APIs (no object, message, image, query or node), nor limits that no document states.
gRPC clients do not reach it.

=================  =====================================================================================
``discovery``      what a document says: routes, checks of requests
``state``          what exists, and one request to it (``Call``)
``operations``     work that takes time
``places``         regions, zones, machine types
``services``       what methods do, one module per API
``policies``       IAM policies of everything
``standard``       create, get, list, patch, delete in APIs without a module
``server, tls``    HTTP, the proxy, certificates
``tokens``         access tokens
``errors``         refusals in Google's forms
=================  =====================================================================================
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import re
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest

from . import discovery, policies, services
from .errors import ApiError, disabled, invalid
from .operations import Failure, Rule
from .server import Answer, Message, Server
from .state import PROJECT, PROJECT_NUMBER, Call, Resource, State
from .tls import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Custom methods that only look.
_LOOKS = ("getIamPolicy", "testIamPermissions", "access", "getAncestry", "batchGet", "search", "generateAccessToken")
#: What can be asked of any project, enabled or not.
_ALWAYS_ON = ("cloudresourcemanager", "serviceusage", "iamcredentials", "storage")


@dataclasses.dataclass
class Request:
    """One request as it came. ``path`` is decoded and that of the URL (``/v1/projects/...``), ``body`` parsed JSON.

    ``status`` is the answer's, also of one that got lost; 0 where a fault left the request undone. ``account`` is the
    service account whose token it came with, empty for :attr:`GoogleCloud.access_token`.
    """

    method: str
    api: str
    path: str
    query: dict[str, str]
    body: Any
    status: int = 0
    account: str = ""

    @property
    def writes(self) -> bool:
        """Whether it could change anything."""
        if self.api == "oauth2" or self.method in ("GET", "HEAD"):
            return False
        return self.path.rpartition(":")[2] not in _LOOKS and not self.path.endswith("/wait")


@dataclasses.dataclass
class Fault:
    """What goes wrong with the requests that ``match``; see :meth:`GoogleCloud.fail`. ``struck``: how often it did."""

    match: str
    times: int | None
    after: int
    status: int
    reason: str
    message: str
    details: list[dict[str, Any]] | None
    headers: dict[str, str]
    lose_answer: bool
    reset: bool
    stall: float
    before: Callable[[], object] | None
    struck: int = 0

    def strikes(self, target: str) -> bool:
        """Whether it strikes this request; counts."""
        if not re.search(self.match, target):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None and self.struck >= self.times:
            return False
        self.struck += 1
        return True


@dataclasses.dataclass
class _Lag:
    """Requests that match see what was before the last change, ``reads`` of them after each change."""

    match: str
    reads: int
    left: int = 0
    then: dict[str, Resource] | None = None


class GoogleCloud:
    """``with GoogleCloud(directory) as google``; see the names of its methods.

    A resource's path is the name of its API and the path of its URL there, as in
    ``secretmanager/v1/projects/demo-project/secrets/s`` and ``storage/storage/v1/b/models``.

    :param directory: for certificates.
    :ivar access_token: valid until :meth:`revoke`.
    """

    project = PROJECT
    project_number = PROJECT_NUMBER

    def __init__(self, directory: Path) -> None:
        self._authority = Authority(directory)
        self._server = Server(self._answer, self._authority)
        self._state = State()
        self._tokens = self._state.tokens
        self._faults: list[Fault] = []
        self._lags: list[_Lag] = []
        #: Whether APIs refuse that Service Usage does not know as enabled.
        self.require_services = False
        self.requests: list[Request] = []
        self.url = self._server.url
        self.access_token = self._tokens.access_token

    def __enter__(self) -> GoogleCloud:
        self._server.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.stop()

    # How clients get here

    @property
    def environment(self) -> dict[str, str]:
        """For programs that know Google's APIs only under their own names, such as modules of google.cloud."""
        proxies = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")  # HTTP: nothing may leave this machine
        direct = "127.0.0.1,localhost"
        return {
            **dict.fromkeys((*proxies, *map(str.lower, proxies)), self.url),
            "NO_PROXY": direct,
            "no_proxy": direct,
            **dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"), str(self._authority.file)),
            "GCP_AUTH_KIND": "accesstoken",
            "GCP_ACCESS_TOKEN": self.access_token,
            "GCP_PROJECT": self.project,
        }

    def endpoint(self, api: str) -> str:
        """Where an API is reached by plain HTTP, in place of ``https://<api>.googleapis.com``."""
        return f"{self.url}/{api}"

    def service_account_key(self, name: str = "tester") -> dict[str, str]:
        """The content of a key file that the token endpoint takes. The service account need not exist."""
        email = f"{name}@{self.project}.iam.gserviceaccount.com"
        return self._tokens.service_account_key(email, self.project, self._token_uri)

    def revoke(self, token: str) -> None:
        """Answer 401 to this token from now on."""
        self._tokens.revoke(token)

    @property
    def _token_uri(self) -> str:
        return f"{self.url}/oauth2/token"

    # What is there

    def get(self, path: str) -> Resource | None:
        """A copy of a resource as it is kept, None if there is none."""
        with self._state.lock:
            return copy.deepcopy(self._state.find(path))

    def put(self, path: str, resource: Resource) -> None:
        """Keep a resource, unchecked: what the API answers of it is exactly this."""
        with self._state.lock:
            self._state.put(path, copy.deepcopy(resource))

    def policy(self, path: str) -> Resource:
        """A copy of the IAM policy of a resource with its conditions: ``bindings``, and ``etag`` once it was set."""
        with self._state.lock:
            return copy.deepcopy(self._state.policy(path))

    def set_policy(self, path: str, policy: Resource) -> None:
        """Set the bindings of a policy as somebody else would: its etag is a new one then."""
        with self._state.lock:
            bindings = policies.normalized(self._state, policy.get("bindings") or [])
            self._state.set_policy(path, {**self._state.policy(path), "bindings": bindings})

    def secret_versions(self, name: str) -> list[dict[str, Any]]:
        """Versions of a secret of the project, oldest first: ``version`` (number), ``state``, ``value`` (bytes, None
        where destroyed).
        """
        versions = f"secretmanager/v1/projects/{self.project}/secrets/{name}/versions"
        with self._state.lock:
            return [
                {
                    "version": int(path.rpartition("/")[2]),
                    "state": version["state"],
                    "value": self._state.contents.get(path),
                }
                for path, version in self._state.children(versions)
            ]

    def clear_requests(self) -> None:
        with self._state.lock:
            self.requests.clear()

    # What goes wrong

    def fail(
        self,
        match: str,
        *,
        times: int | None = None,
        after: int = 0,
        status: int = 0,
        reason: str = "",
        message: str = "",
        details: list[dict[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
        lose_answer: bool = False,
        reset: bool = False,
        stall: float = 0.0,
        before: Callable[[], object] | None = None,
    ) -> Fault:
        """Let requests go wrong whose ``METHOD <api><path>`` matches, ``times`` of them (None: all) after ``after``.

        Of several faults the one that was added first strikes, until it is used up.

        :param match: regular expression, searched in ``POST secretmanager/v1/projects/demo-project/secrets``.
        :param status: refuse with this code, ``reason`` (google.rpc.Code), ``message``, ``details`` and ``headers``.
        :param lose_answer: carry it out, then close the connection without an answer.
        :param reset: reset the connection, nothing is carried out.
        :param stall: hold the request back for so many seconds, then close the connection; with ``lose_answer`` after
            carrying it out, with ``status`` answer that.
        :param before: called before the request is carried out, to change things behind the client's back.
        """
        fault = Fault(
            match, times, after, status, reason, message, details, headers or {}, lose_answer, reset, stall, before
        )
        with self._state.lock:
            self._faults.append(fault)
        return fault

    def slow_operations(
        self, match: str, *, looks: int | None = None, seconds: float = 0.0, times: int | None = None
    ) -> Rule:
        """Let operations take so many looks and seconds whose ``TYPE path`` of what they work on matches.

        Otherwise those of GKE and Compute Engine are done at the first look, all others at once.

        :param match: regular expression, searched in
            ``CREATE_NODE_POOL container/v1/projects/demo-project/locations/us-central1/clusters/c/nodePools/p``,
            ``insert compute/compute/v1/projects/demo-project/global/networks/n``,
            ``batchEnable serviceusage/v1/projects/demo-project``.
        :param times: how many operations, None for all. The rule that was added first goes, until it is used up.
        """
        return self._add_rule(Rule(match, times, looks, seconds, None))

    def fail_operations(
        self,
        match: str,
        *,
        code: str = "INTERNAL",
        message: str = "Asked for by a test.",
        reason: str = "",
        looks: int | None = None,
        seconds: float = 0.0,
        times: int | None = None,
    ) -> Rule:
        """Let operations fail when they are done; see :meth:`slow_operations`. What was made of a cluster or node pool
        stays behind in status ERROR.

        :param code: google.rpc.Code, for Compute Engine a code of its own such as QUOTA_EXCEEDED.
        :param reason: of GKE, such as GCE_STOCKOUT.
        """
        return self._add_rule(Rule(match, times, looks, seconds, Failure(code, message, reason)))

    def _add_rule(self, rule: Rule) -> Rule:
        with self._state.lock:
            return self._state.operations.add(rule)

    def finish_operations(self, match: str = "") -> None:
        """End operations that are under way and whose path matches."""
        with self._state.lock:
            self._state.operations.finish(match)

    def lag(self, match: str, *, reads: int) -> None:
        """Let GET requests whose ``<api><path>`` matches see what was before the last change, ``reads`` of them after
        each change of anything.
        """
        with self._state.lock:
            self._lags.append(_Lag(match, reads))

    def deny(self, *permissions: str) -> None:
        """Nobody has these permissions from now on: ``testIamPermissions`` leaves them out, and methods are refused
        that need them, as far as their names tell: ``container.clusters.create`` for that method.
        """
        with self._state.lock:
            self._state.denied.update(permissions)

    def set_quota(self, region: str, metric: str, limit: float) -> None:
        """How much of something may be used in a region, such as ``TPU_LITE_PODSLICE_V5`` chips."""
        with self._state.lock:
            self._state.quotas[region, metric] = limit

    # Requests

    def _answer(self, message: Message) -> Answer:
        path = urllib.parse.unquote(message.path)
        request = Request(
            message.method,
            message.api,
            path,
            {name: values[-1] for name, values in message.query.items()},
            _parsed(message),
        )
        with self._state.lock:
            self.requests.append(request)
            target = f"{message.method} {message.api}{path}"
            fault = next((fault for fault in self._faults if fault.strikes(target)), None)
        if fault and fault.before:
            fault.before()
        if fault and fault.stall:
            message.stopped.wait(fault.stall)
        if fault and fault.status:
            request.status = fault.status
            error = ApiError(fault.status, fault.message or "Asked for by a test.", fault.reason, fault.details)
            return Answer(fault.status, error.body(message.api), fault.headers)
        if fault and (fault.reset or (fault.stall and not fault.lose_answer)):
            return Answer(hang_up=True, reset=fault.reset)
        with self._state.lock:
            answer = self._carry_out(message, request)
        request.status = answer.status
        return Answer(hang_up=True) if fault and fault.lose_answer else answer

    def _carry_out(self, message: Message, request: Request) -> Answer:
        if (message.api, message.path) == ("oauth2", "/token"):
            form = {name: values[-1] for name, values in urllib.parse.parse_qs(message.content.decode()).items()}
            return Answer(*self._tokens.grant(form, self._token_uri))
        self._state.operations.settle()
        try:
            with self._seen_by(message, request):
                return self._call(message, request)
        except ApiError as error:
            return Answer(error.status, error.body(message.api))

    @contextlib.contextmanager
    def _seen_by(self, message: Message, request: Request) -> Iterator[None]:
        """The state as a request sees it, which may be an old one."""
        if request.writes:
            for lag in self._lags:
                lag.left, lag.then = lag.reads, self._state.copy()
        target = f"{message.api}{request.path}"
        old = next((lag for lag in self._lags if message.method == "GET" and re.search(lag.match, target)), None)
        if old is None or not old.left or old.then is None:
            yield
            return
        old.left -= 1
        with self._state.as_it_was(old.then):
            yield

    def _call(self, message: Message, request: Request) -> Answer:
        """:raises ApiError: any refusal."""
        version = discovery.version_in(message.path)
        api = discovery.load(message.api, version)
        if api is None:
            raise ApiError(404, f"The requested URL {message.path} was not found on this server.")
        route, parameters = api.find(message.method, message.path)
        request.account = self._tokens.check(message.headers.get("Authorization"))
        if message.content and request.body is None:
            raise invalid("Invalid JSON payload received. Unexpected token.")
        api.check_query(route.method, message.query)
        if "fields" in request.query or request.query.get("alt", "json") != "json":
            raise ApiError(501, "The stand-in for Google's APIs answers with whole resources in JSON.")
        api.check_path(route.method, parameters)
        call = Call(
            api=message.api,
            version=version,
            method=route.method,
            path=self._state.canonical(f"{message.api}{request.path}"),
            parameters=parameters,
            query=request.query,
            queries=message.query,
            body=api.check_body(route.method, copy.deepcopy(request.body)),
            headers=message.headers,
            schemas=api.schemas,
            state=self._state,
        )
        self._check_access(call)
        answer = services.handler_of(message.api, route.id)(call)
        problem = api.misfit(route.method, answer or {})
        if problem:
            raise ApiError(500, f"The stand-in's own answer to {route.id} does not fit: {problem}")
        return Answer(204) if answer is None else Answer(200, copy.deepcopy(answer), _etag_header(answer))

    def _check_access(self, call: Call) -> None:
        """:raises ApiError: 403, the API is not enabled or a permission is missing."""
        project = call.project_if_any()
        service = f"serviceusage/v1/projects/{project}/services/{call.api}.googleapis.com"
        if project and project != "-" and self.require_services and call.api not in _ALWAYS_ON:
            enabled = self._state.find(service)
            if not enabled or enabled["state"] != "ENABLED":
                raise disabled(call.api, project)
        permission = policies.permission_of(call.id)
        if permission in self._state.denied:
            raise ApiError(403, f"Required '{permission}' permission(s) for '{call.name()}'.")


def _parsed(message: Message) -> Any:
    """The JSON of a request; None where there is none."""
    try:
        return json.loads(message.content)
    except ValueError:
        return None


def _etag_header(answer: Resource) -> dict[str, str]:
    etag = answer.get("etag")
    return {"ETag": etag if etag.startswith('"') else f'"{etag}"'} if etag else {}


@pytest.fixture
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoogleCloud]:
    """A stand-in of its own for each test: it takes some milliseconds."""
    with GoogleCloud(tmp_path_factory.mktemp("google")) as service:
        yield service
