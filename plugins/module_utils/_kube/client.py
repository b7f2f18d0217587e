# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API server as a few methods: discovery, get, list, apply, delete, logs, execute.

Uses of ``kubernetes.client.ApiClient`` what it knows about connections (pool, TLS, proxy) and credentials (tokens,
exec plug-ins, their renewal), and nothing else: no generated models, no discovery of everything, no cache on disk.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import random
import time
import typing as t
import urllib.parse

from .errors import ApiError, InputError, KubeError, UnavailableError, refusal

Object: t.TypeAlias = "dict[str, t.Any]"

_Query: t.TypeAlias = "dict[str, str]"
_T = t.TypeVar("_T")

# Seconds: until a connection stands, and between two bytes. The API server ends requests after 60.
_CONNECT_TIMEOUT, _READ_TIMEOUT = 10.0, 70.0
# Tries while the API server was never reached: a wrong address should not cost the patience that a restart deserves.
_FIRST_ATTEMPTS = 3
_PAGE = 500
# Where to find what clusters often lack. Group -> documentation.
_INSTALL = {
    "gateway.networking.k8s.io": "https://gateway-api.sigs.k8s.io/guides/",
    "inference.networking.k8s.io": "https://gateway-api-inference-extension.sigs.k8s.io/guides/",
    "inference.networking.x-k8s.io": "https://gateway-api-inference-extension.sigs.k8s.io/guides/",
    "jobset.x-k8s.io": "https://jobset.sigs.k8s.io/docs/installation/",
    "kueue.x-k8s.io": "https://kueue.sigs.k8s.io/docs/installation/",
    "leaderworkerset.x-k8s.io": "https://lws.sigs.k8s.io/docs/installation/",
    "monitoring.coreos.com": "https://prometheus-operator.dev/docs/getting-started/installation/",
}


@dataclasses.dataclass(frozen=True)
class Ref:
    """One object by its name. ``namespace`` is None for kinds that are not namespaced."""

    api_version: str
    kind: str
    name: str
    namespace: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @classmethod
    def of(cls, obj: t.Mapping[str, t.Any]) -> Ref:
        """The reference to an object given as data."""
        metadata = obj["metadata"]
        return cls(obj["apiVersion"], obj["kind"], metadata["name"], metadata.get("namespace"))


@dataclasses.dataclass(frozen=True)
class Resource:
    """How a kind is served."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Path of an object, or of the collection in one namespace or in all."""
        parts = [_group_path(self.api_version)]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(urllib.parse.quote(name, safe=":"))
        return "/".join(parts)


class Executed(t.NamedTuple):
    """What a command in a container has written, and the exit status with which it ended."""

    stdout: str
    stderr: str
    status: int


class Client:
    """One API server with one identity. Not for several threads at once.

    :param api: a ``kubernetes.client.ApiClient``.
    :param attempts: tries per request on :class:`UnavailableError`. All requests here can be repeated.
    """

    def __init__(self, api: t.Any, *, attempts: int = 6, sleep: t.Callable[[float], None] = time.sleep) -> None:
        self._api = api
        self._attempts = attempts
        self._sleep = sleep
        self._reached = False
        self._groups: dict[str, dict[str, Resource]] = {}
        self._version: tuple[int, int] | None = None
        #: What the server warned of, for example a deprecated version. Whoever reports it empties it.
        self.warnings: list[str] = []

    @property
    def host(self) -> str:
        """Address of the API server."""
        return str(self._api.configuration.host)

    def version(self) -> tuple[int, int]:
        """Major and minor version of the API server."""
        if self._version is None:
            answer = self._json("GET", "/version", what="GET of /version")
            major, minor = ("".join(filter(str.isdigit, answer[key])) for key in ("major", "minor"))
            self._version = int(major), int(minor)
        return self._version

    def resource(self, api_version: str, kind: str) -> Resource:
        """How the kind is served; one request per group version.

        :raises InputError: it is not served.
        """
        found = self._discover(api_version).get(kind)
        if found is None:
            raise self._not_served(api_version, kind)
        return found

    def serves(self, api_version: str, kind: str) -> bool:
        """Whether the kind is served."""
        return kind in self._discover(api_version)

    def learn(self, resource: Resource) -> None:
        """Take note of a kind that a CustomResourceDefinition is about to add."""
        self._discover(resource.api_version)[resource.kind] = resource

    def get(self, ref: Ref) -> Object | None:
        """The object, None if there is none."""
        try:
            return self._json("GET", self._path(ref), what=f"GET of {ref}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(
        self, api_version: str, kind: str, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> list[Object]:
        """All objects that match both selectors, page by page; of all namespaces when none is given."""
        path = self.resource(api_version, kind).path(namespace)
        query = {"limit": str(_PAGE), "labelSelector": labels, "fieldSelector": fields}
        what = f"LIST of {kind}{f' in {namespace}' if namespace else ''}"
        items: list[Object] = []
        while True:
            try:
                page = self._json("GET", path, {key: value for key, value in query.items() if value}, what=what)
            except ApiError as error:
                if error.status != 410:
                    raise
                # The token of the next page has expired: everything in one answer instead.
                items.clear()
                query["limit"] = query["continue"] = ""
                continue
            items += [{"apiVersion": api_version, "kind": kind, **item} for item in page.get("items") or ()]
            query["continue"] = (page.get("metadata") or {}).get("continue", "")
            if not query["continue"]:
                return items

    def apply(self, obj: Object, *, manager: str, dry_run: bool = False, force: bool = False) -> Object:
        """Server-side apply; the object as it is afterwards, or with ``dry_run`` as it would be.

        :raises ConflictError: another manager owns a field, and ``force`` is not set.
        """
        ref = Ref.of(obj)
        # Servers before 1.23 do not know fieldValidation, and ignore it.
        query = {"fieldManager": manager, "force": str(force).lower(), "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        return self._json(
            "PATCH",
            self._path(ref),
            query,
            body=obj,  # JSON is YAML
            content_type="application/apply-patch+yaml",
            what=f"apply of {ref}{' (dry run)' if dry_run else ''}",
        )

    def delete(
        self, ref: Ref, *, dry_run: bool = False, propagation: str = "Background", uid: str | None = None
    ) -> bool:
        """Ask for deletion. False if there was nothing to delete.

        :param propagation: Background, Foreground or Orphan, for the objects that it owns.
        :param uid: delete only this very object, not one of the same name that came later.
        """
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid}
        if dry_run:
            body["dryRun"] = ["All"]
        try:
            # In the query, too, where logs and proxies see it; the body is what counts.
            query = {"dryRun": "All"} if dry_run else {}
            self._json("DELETE", self._path(ref), query, body=body, what=f"deletion of {ref}")
        except ApiError as error:
            # 409: another object of this name is there, the one that was meant is gone.
            if error.status == 404 or (error.status == 409 and uid):
                return False
            raise
        return True

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        tail: int | None = None,
        previous: bool = False,
        since_time: str | None = None,
    ) -> str:
        """What a container has written; ``""`` when there are no logs (yet, or any more).

        :param tail: only so many lines.
        :param since_time: RFC 3339 time.
        """
        query = {"container": container}
        if tail is not None:
            query["tailLines"] = str(tail)
        if previous:
            query["previous"] = "true"
        if since_time is not None:
            query["sinceTime"] = since_time
        path = f"/api/v1/namespaces/{namespace}/pods/{urllib.parse.quote(pod)}/log"
        try:
            answer = self._request("GET", path, query, what=f"logs of container {container} of Pod {namespace}/{pod}")
        except ApiError as error:
            if error.status in (400, 404):
                return ""
            raise
        return answer.decode("utf-8", errors="replace")

    def read_secret(self, namespace: str, name: str, *, missing: str) -> dict[str, str]:
        """The decoded values of a Secret.

        :param missing: what to do when it is not there.
        :raises KubeError: it is not there, or may not be read.
        """
        found = self.get(Ref("v1", "Secret", name, namespace))
        if found is None:
            raise InputError(f"Secret {namespace}/{name} is not there.", hint=missing)
        values = (found.get("data") or {}).items()
        return {key: base64.b64decode(value).decode("utf-8", errors="replace") for key, value in values}

    def ask(
        self, namespace: str, name: str, port: int, path: str, body: Object | None = None, *, kind: str = "Service"
    ) -> bytes:
        """What a Service, or a Pod, answers to a GET, or to a POST with ``body``, through the API server's proxy.

        Tried again on answers that are worth it, so only for what can be repeated.

        :raises KubeError: there is nobody who answers, or the answer is no success.
        """
        method = "GET" if body is None else "POST"
        url = f"/api/v1/namespaces/{namespace}/{kind.lower()}s/{name}:{port}/proxy{path}"
        return self._request(method, url, None, what=f"{method} of {path} at {kind} {namespace}/{name}", body=body)

    def execute(
        self, namespace: str, pod: str, container: str, command: t.Sequence[str], *, timeout: float
    ) -> Executed:
        """Run a command in a container, without a shell and without input, until it ends.

        The connection is tried again, the command never. One that is too late goes on in its container, unseen.

        :param timeout: seconds for the command.
        :raises KubeError: it cannot be started, or its end was not seen.
        """
        what = f"execution of {command[0]} in container {container} of Pod {namespace}/{pod}"
        query = [("container", container), ("stdout", "true"), ("stderr", "true")]
        query += [("command", word) for word in command]
        path = f"/api/v1/namespaces/{namespace}/pods/{urllib.parse.quote(pod)}/exec?{urllib.parse.urlencode(query)}"
        connection = self._patiently(lambda: self._open(path, what=what))
        try:
            channels = _received(connection, timeout)
        except OSError as error:
            raise KubeError(f"The {what} broke off: {error}.") from error
        finally:
            connection.shutdown()
        stdout, stderr = (channels.get(number, b"").decode("utf-8", errors="replace") for number in (1, 2))
        return Executed(stdout, stderr, _exit_status(_status(channels.get(3, b"")), what))

    def _path(self, ref: Ref) -> str:
        return self.resource(ref.api_version, ref.kind).path(ref.namespace, ref.name)

    def _discover(self, api_version: str) -> dict[str, Resource]:
        if api_version not in self._groups:
            try:
                answer = self._json("GET", _group_path(api_version), what=f"discovery of {api_version}")
            except ApiError as error:
                if error.status != 404:
                    raise
                answer = {}
            self._groups[api_version] = {
                entry["kind"]: Resource(api_version, entry["kind"], entry["name"], bool(entry["namespaced"]))
                for entry in answer.get("resources") or ()
                if "/" not in entry["name"]  # a subresource, such as deployments/scale
            }
        return self._groups[api_version]

    def _not_served(self, api_version: str, kind: str) -> InputError:
        group = api_version.rpartition("/")[0]
        others: list[str] = []
        if group:
            try:
                answer = self._json("GET", f"/apis/{group}", what=f"discovery of {group}")
                others = [entry["groupVersion"] for entry in answer["versions"]]
            except ApiError as error:
                if error.status != 404:
                    raise
        served = [version for version in others if version != api_version and self.serves(version, kind)]
        message = f"The cluster does not serve kind {kind} of {api_version}."
        if served:
            return InputError(message, hint=f"It serves {kind} of {', '.join(served)}.")
        if not group or others:
            return InputError(message, hint="Check kind and apiVersion; `kubectl api-resources` lists what is served.")
        where = f": {_INSTALL[group]}" if group in _INSTALL else "."
        return InputError(message, hint=f"Install what brings the API group {group}{where}")

    def _json(
        self,
        method: str,
        path: str,
        query: _Query | None = None,
        *,
        what: str,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        answer = self._request(method, path, query, what=what, body=body, content_type=content_type)
        try:
            found = json.loads(answer)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise KubeError(
                f"What answers at {self.host} is not an API server: the {what} did not bring a JSON object.",
                hint="Check the address in the kubeconfig, and proxies on the way.",
            )
        return found

    def _request(
        self,
        method: str,
        path: str,
        query: _Query | None,
        *,
        what: str,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """The body of a successful answer, after as many tries as allowed."""
        return self._patiently(lambda: self._send(method, path, query, what=what, body=body, content_type=content_type))

    def _patiently(self, call: t.Callable[[], _T]) -> _T:
        attempt = 0
        while True:
            attempt += 1
            try:
                return call()
            except UnavailableError as error:
                if attempt >= (self._attempts if self._reached else min(self._attempts, _FIRST_ATTEMPTS)):
                    raise
                delay = min(10.0, 0.5 * 2**attempt) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
                self._sleep(max(delay, error.retry_after or 0.0))

    def _send(
        self, method: str, path: str, query: _Query | None, *, what: str, body: Object | None, content_type: str
    ) -> bytes:
        import urllib3

        headers = {"Accept": "application/json", **self._api.default_headers}
        if body is not None:
            headers["Content-Type"] = content_type
        if path.endswith("/log"):
            headers["Accept"] = "*/*"
        self._api.update_params_for_auth(headers, [], ["BearerToken"])
        url = f"{self.host}{path}"
        if query:
            url += f"?{urllib.parse.urlencode(query)}"
        try:
            answer = self._api.rest_client.pool_manager.request(
                method,
                url,
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT, read=_READ_TIMEOUT),
                retries=False,  # that is done here, where it is known what can be repeated
            )
        except urllib3.exceptions.SSLError as error:
            raise KubeError(
                f"No trusted connection to the API server {self.host}: {error}.",
                hint="Check ca_cert, client_cert and client_key, or the certificates in the kubeconfig.",
            ) from error
        except urllib3.exceptions.HTTPError as error:
            raise UnavailableError(
                f"The API server {self.host} cannot be reached for the {what}: {error}.",
                hint="Check the address (kubeconfig, context or host), the network and whether the server runs.",
            ) from error
        self._reached = True
        if answer.status >= 300:
            raise refusal(answer.status, _status(answer.data), what=what, retry_after=_retry_after(answer.headers))
        self.warnings += [text for text in _warnings(answer.headers) if text not in self.warnings]
        return t.cast(bytes, answer.data)

    def _open(self, path: str, *, what: str) -> t.Any:
        """A WebSocket at which a command runs, with the connection and the credentials of all other requests.

        The subprotocol: https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apimachinery/pkg/util/remotecommand/constants.go
        """
        import websocket
        from kubernetes.stream import ws_client

        headers = {"sec-websocket-protocol": "v4.channel.k8s.io"}
        self._api.update_params_for_auth(headers, [], ["BearerToken"])
        url = ws_client.get_websocket_url(f"{self.host}{path}")
        try:
            return ws_client.create_websocket(self._api.configuration, url, headers)
        except websocket.WebSocketBadStatusException as error:
            body = _status(getattr(error, "resp_body", None) or b"")
            raise refusal(error.status_code, body, what=what) from error
        except (websocket.WebSocketException, OSError) as error:
            raise UnavailableError(
                f"The API server {self.host} cannot be reached for the {what}: {error}.",
                hint="Check proxies on the way: they have to let WebSockets pass.",
            ) from error


def _received(connection: t.Any, timeout: float) -> dict[int, bytearray]:
    """All that comes until the other side closes, by channel, which is the first byte of each message.

    :raises OSError: it breaks off, or does not end in time.
    """
    import websocket

    deadline = time.monotonic() + timeout
    channels: dict[int, bytearray] = {}
    opcode = None
    while opcode != websocket.ABNF.OPCODE_CLOSE:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no end after {timeout:.0f} s")
        connection.settimeout(left)
        try:
            opcode, frame = connection.recv_data_frame(control_frame=True)
        except websocket.WebSocketTimeoutException:
            continue
        except websocket.WebSocketException as error:
            raise ConnectionError(str(error)) from error
        if opcode in (websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_TEXT) and frame.data:
            channels.setdefault(frame.data[0], bytearray()).extend(frame.data[1:])
    return channels


def _exit_status(said: Object, what: str) -> int:
    """The exit status in the Status object that ends an execution.

    :raises KubeError: the command never ran, or nothing was said of its end.
    """
    if said.get("status") == "Success":
        return 0
    for cause in (said.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise KubeError(f"The {what} failed: {said.get('message') or 'its end was not told'}.")


def _group_path(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _status(data: bytes | bytearray) -> Object:
    """The Status object in the answer; proxies and load balancers answer with a page or a line of text."""
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    return {"message": data[:300].decode("utf-8", errors="replace").strip()}


def _retry_after(headers: t.Mapping[str, str]) -> float | None:
    """Seconds; the API server never sends a date."""
    value = headers.get("Retry-After", "")
    return min(60.0, float(value)) if value.isdigit() else None


def _warnings(headers: t.Mapping[str, str]) -> list[str]:
    """Texts of the Warning headers: ``299 - "text", 299 - "text"``; quotes inside a text are escaped."""
    texts = []
    for part in headers.get("Warning", "").split("299 - ")[1:]:
        text = part.strip().rstrip(",").strip()
        try:
            texts.append(str(json.loads(text)))
        except ValueError:
            texts.append(text)
    return texts
