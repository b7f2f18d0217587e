# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for Google's APIs: what other tests rely on."""

from __future__ import annotations

import base64
import os

import google_crc32c
import pytest
import requests
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import AuthorizedSession
from google.oauth2 import service_account
from google_cloud import google
from runner import ROOT

__all__ = ["google"]

SECRETS = "secretmanager/v1/projects/demo-project/secrets"
PRINCIPAL = (
    "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/"
    "demo-project.svc.id.goog/subject/ns/models/sa/server"
)
CONDITION = {"title": "until 2027", "expression": 'request.time < timestamp("2027-01-01T00:00:00Z")'}


class Client:
    """Requests by plain HTTP, with the token that always counts."""

    def __init__(self, google) -> None:
        self._google, self._session = google, requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {google.access_token}"

    def __call__(self, method: str, path: str, body: object = None, *, status: int = 200, **headers: str) -> dict:
        """Send, and expect a status. The answer of a refusal is what it has as ``error``."""
        api, _slash, rest = path.partition("/")
        answer = self._session.request(method, f"{self._google.endpoint(api)}/{rest}", json=body, headers=headers)
        assert answer.status_code == status, answer.text
        found = answer.json() if answer.content else {}
        return found if status < 300 else found["error"]


@pytest.fixture
def call(google):
    return Client(google)


def test_requests_are_checked_against_the_document(google, call):
    automatic = {"replication": {"automatic": {}}}
    for path, body, told in (
        (f"{SECRETS}?secretId=x", {**automatic, "bogus": 1}, 'Unknown name "bogus"'),
        (f"{SECRETS}?secretId=x", {"replication": {"automatic": []}}, "replication.automatic"),
        (f"{SECRETS}?secretId=x", {**automatic, "labels": {"a": 1}}, "TYPE_STRING"),
        (f"{SECRETS}?secretId=x", {**automatic, "secretType": "BOGUS"}, "TYPE_ENUM"),
        (f"{SECRETS}?secretId=x", {**automatic, "ttl": "1h"}, "google-duration"),
        (f"{SECRETS}?secretId=x", {**automatic, "versionAliases": {"a": "one"}}, "TYPE_INT64"),
        (f"{SECRETS}?secretId=x&bogus=1", automatic, "Cannot bind query parameter"),
        (f"{SECRETS}/x:addVersion", {"payload": {"data": "no base64!"}}, "TYPE_BYTES"),
        ("storage/storage/v1/b", {"name": "models"}, "Required parameter: project"),
    ):
        assert told in call("POST", path, body, status=400)["message"]
    assert call("GET", f"{SECRETS}?pageSize=many", status=400)["status"] == "INVALID_ARGUMENT"
    assert call("PUT", f"{SECRETS}/x", {}, status=405)
    assert call("GET", "secretmanager/v1/bogus", status=404)
    # What only Google sets is overlooked.
    made = call("POST", f"{SECRETS}?secretId=x", {**automatic, "name": "mine", "policyMember": {}, "labels": None})
    assert made["name"] == "projects/123456789012/secrets/x" and not made.keys() & {"policyMember", "labels"}
    assert call("GET", "secretmanager/v1/projects/123456789012/secrets/x") == google.get(f"{SECRETS}/x")
    assert (
        "secretmanager.projects.locations.secrets.rotateSecret"
        in call(
            "POST", "secretmanager/v1/projects/demo-project/locations/us-east1/secrets/x:rotateSecret", {}, status=501
        )["message"]
    )


def test_tokens(google, call):
    session = requests.Session()
    session.trust_env = False
    url = f"{google.endpoint('secretmanager')}/v1/projects/demo-project/secrets"
    assert session.get(url).json()["error"]["status"] == "UNAUTHENTICATED"
    assert session.get(url, headers={"Authorization": "Bearer bogus"}).status_code == 401
    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    key = google.service_account_key()
    credentials = service_account.Credentials.from_service_account_info(key, scopes=scopes)
    authorized = AuthorizedSession(credentials)
    authorized.trust_env = False
    assert authorized.get(url).json() == {"totalSize": 0}
    google.revoke(credentials.token)
    first = credentials.token
    assert authorized.get(url).status_code == 200 and credentials.token != first  # got another one
    google.revoke(google.access_token)
    call("GET", SECRETS, status=401)
    forged = {**key, "private_key": google.service_account_key("other")["private_key"]}
    with pytest.raises(RefreshError, match="Invalid JWT Signature"):
        service_account.Credentials.from_service_account_info(forged, scopes=scopes).refresh(authorized._auth_request)
    assert not any(request.writes for request in google.requests)


def test_secrets_and_their_versions(google, call):
    made = call("POST", f"{SECRETS}?secretId=x", {"replication": {"automatic": {}}, "labels": {"team": "a"}})
    assert call("POST", f"{SECRETS}?secretId=x", {"replication": {"automatic": {}}}, status=409)["status"] == (
        "ALREADY_EXISTS"
    )
    assert call("GET", f"{SECRETS}/x/versions/latest:access", status=404)
    checksum = str(google_crc32c.value(b"one"))
    for value, extra, status in ((b"one", {"dataCrc32c": checksum}, 200), (b"two", {}, 200)):
        payload = {"data": base64.b64encode(value).decode(), **extra}
        call("POST", f"{SECRETS}/x:addVersion", {"payload": payload}, status=status)
    for payload in ({}, {"data": "b25l", "dataCrc32c": "1"}, {"data": base64.b64encode(bytes(65537)).decode()}):
        call("POST", f"{SECRETS}/x:addVersion", {"payload": payload}, status=400)
    assert call("GET", f"{SECRETS}/x/versions/1:access")["payload"] == {"data": "b25l", "dataCrc32c": checksum}
    # latest is the newest, whatever its state
    second = call("POST", f"{SECRETS}/x/versions/2:disable", {})
    assert call("GET", f"{SECRETS}/x/versions/latest:access", status=400)["status"] == "FAILED_PRECONDITION"
    assert [one["state"] for one in call("GET", f"{SECRETS}/x/versions")["versions"]] == ["DISABLED", "ENABLED"]
    assert len(call("GET", f"{SECRETS}/x/versions?filter=state:ENABLED")["versions"]) == 1
    page = call("GET", f"{SECRETS}/x/versions?pageSize=1")
    assert call("GET", f"{SECRETS}/x/versions?pageSize=1&pageToken={page['nextPageToken']}")["versions"][0][
        "name"
    ].endswith("/1")
    call("POST", f"{SECRETS}/x/versions/2:enable", {"etag": second["etag"]})
    call("POST", f"{SECRETS}/x/versions/2:enable", {"etag": second["etag"]}, status=400)  # the etag is a new one
    call("POST", f"{SECRETS}/x/versions/1:destroy", {})
    call("POST", f"{SECRETS}/x/versions/1:enable", {}, status=400)
    assert google.secret_versions("x") == [
        {"version": 1, "state": "DESTROYED", "value": None},
        {"version": 2, "state": "ENABLED", "value": b"two"},
    ]
    # fields
    changed = call("PATCH", f"{SECRETS}/x?updateMask=labels,annotations", {"annotations": {"a": "b"}})
    assert "labels" not in changed and changed["annotations"] == {"a": "b"} and changed["etag"] != made["etag"]
    regional = {"replication": {"userManaged": {"replicas": [{"location": "us-east1"}]}}}
    for mask, body in (
        ("", {}),
        ("bogus", {}),
        ("replication", regional),
        ("labels", {"labels": {"Capital": "x"}}),
        ("labels", {"labels": {"a": "b"}, "etag": made["etag"]}),
    ):
        call("PATCH", f"{SECRETS}/x?updateMask={mask}", body, status=400)
    call("DELETE", f"{SECRETS}/x")
    assert google.get(f"{SECRETS}/x") is None and google.secret_versions("x") == []


@pytest.fixture
def policies(google, call):
    """One resource of each kind, with the requests that read and set its policy: (path, version) and (path, policy)."""
    call("POST", f"{SECRETS}?secretId=x", {"replication": {"automatic": {}}})
    uniform = {"uniformBucketLevelAccess": {"enabled": True}}
    call("POST", "storage/storage/v1/b?project=demo-project", {"name": "models", "iamConfiguration": uniform})
    call("POST", "iam/v1/projects/demo-project/serviceAccounts", {"accountId": "server"})
    call("PUT", "pubsub/v1/projects/demo-project/topics/done", {})
    call("PUT", "pubsub/v1/projects/demo-project/subscriptions/all", {"topic": "projects/demo-project/topics/done"})
    images = "artifactregistry/v1/projects/demo-project/locations/us-east1/repositories"
    call("POST", f"{images}?repositoryId=images", {"format": "DOCKER"})
    return {
        "project": ("cloudresourcemanager/v1/projects/demo-project", "POST"),
        "project v3": ("cloudresourcemanager/v3/projects/demo-project", "POST"),
        "secret": (f"{SECRETS}/x", "GET"),
        "bucket": ("storage/storage/v1/b/models", "storage"),
        "service account": (
            "iam/v1/projects/-/serviceAccounts/server@demo-project.iam.gserviceaccount.com",
            "POST by query",
        ),
        "topic": ("pubsub/v1/projects/demo-project/topics/done", "GET"),
        "subscription": ("pubsub/v1/projects/demo-project/subscriptions/all", "GET"),
        "repository": (f"{images}/images", "GET"),
    }


def test_policies(google, call, policies):
    def read(path, way, version):
        if way == "storage":
            return call("GET", f"{path}/iam?optionsRequestedPolicyVersion={version}")
        if way == "POST":
            return call("POST", f"{path}:getIamPolicy", {"options": {"requestedPolicyVersion": version}})
        return call(way[:4].strip(), f"{path}:getIamPolicy?options.requestedPolicyVersion={version}")

    def write(path, way, policy, status=200):
        if way == "storage":
            return call("PUT", f"{path}/iam", policy, status=status)
        return call("POST", f"{path}:setIamPolicy", {"policy": policy}, status=status)

    for kind, (path, way) in policies.items():
        start = read(path, way, 3)
        start["bindings"] = start.get("bindings", [])
        mine = {"role": "roles/viewer", "members": ["user:Me@Example.com", PRINCIPAL, "user:me@example.com"]}
        nobody = {"role": "roles/editor", "members": []}
        set_ = write(path, way, {**start, "bindings": [*start["bindings"], mine, nobody]})
        bound = {"role": "roles/viewer", "members": [PRINCIPAL, "user:me@example.com"]}
        assert bound in set_["bindings"] and len(set_["bindings"]) == len(start["bindings"]) + 1, kind
        # of two that read the same policy, the second is refused
        code = 412 if way == "storage" else 409
        assert write(path, way, start, status=code).get("status", "ABORTED") == "ABORTED"
        for wrong in (
            {"role": "roles/viewer", "members": ["me@example.com"]},
            {"role": "viewer", "members": ["allUsers"]},
            {"role": "projects/demo-project/roles/bogus", "members": ["allUsers"]},
            {**bound, "condition": CONDITION},  # without version 3
        ):
            write(path, way, {**set_, "version": 1, "bindings": [wrong]}, status=400)
        conditional = write(path, way, {**set_, "version": 3, "bindings": [bound, {**bound, "condition": CONDITION}]})
        assert conditional["version"] == 3 and len(conditional["bindings"]) == 2
        assert any("condition" in binding for binding in google.policy(path)["bindings"])
        write(path, way, {**conditional, "version": 1, "bindings": [bound]}, status=400)
        if way == "storage":
            call("GET", f"{path}/iam", status=400)
        else:
            seen = read(path, way, 1)
            assert "condition" not in str(seen) and "roles/viewer_withcond_" in str(seen), kind
        # somebody else was faster
        google.set_policy(path, {"bindings": []})
        write(path, way, conditional, status=code)
    assert google.policy("cloudresourcemanager/v3/projects/demo-project")["bindings"] == []


def test_custom_roles(google, call):
    roles = "iam/v1/projects/demo-project/roles"
    role = {"title": "Viewer", "includedPermissions": ["storage.objects.list", "storage.objects.get"]}
    made = call("POST", roles, {"roleId": "gcsViewer", "role": {**role, "stage": "ALPHA"}})
    assert "stage" not in made and made["includedPermissions"] == ["storage.objects.get", "storage.objects.list"]
    assert call("POST", roles, {"roleId": "gcsViewer", "role": role}, status=409)["status"] == "ALREADY_EXISTS"
    call("POST", roles, {"roleId": "other", "role": {"includedPermissions": ["nothing"]}}, status=400)
    changed = call("PATCH", f"{roles}/gcsViewer?updateMask=title", {"title": "Reader", "description": "no", **made})
    assert changed["title"] == "Viewer" and "description" not in changed
    stale = {"title": "Reader", "etag": made["etag"]}
    assert call("PATCH", f"{roles}/gcsViewer", stale, status=409)["status"] == "ABORTED"
    assert call("DELETE", f"{roles}/gcsViewer")["deleted"] is True
    assert call("GET", f"{roles}/gcsViewer")["deleted"] is True and call("GET", roles) == {}
    assert len(call("GET", f"{roles}?showDeleted=true")["roles"]) == 1
    call("POST", roles, {"roleId": "gcsViewer", "role": role}, status=400)  # the id stays taken
    assert "deleted" not in call("POST", f"{roles}/gcsViewer:undelete", {})


def test_datasets(google, call):
    datasets = "bigquery/bigquery/v2/projects/demo-project/datasets"
    made = call("POST", datasets, {"datasetReference": {"datasetId": "models"}})
    assert call("POST", datasets, {"datasetReference": {"datasetId": "models"}}, status=409)["errors"][0]["reason"] == (
        "duplicate"
    )
    mine = {"role": "roles/bigquery.dataViewer", "iamMember": "serviceAccount:a@demo-project.iam.gserviceaccount.com"}
    also = {"role": "READER", "iamMember": PRINCIPAL}
    access = {"access": [*made["access"], mine, also]}
    changed = call("PATCH", f"{datasets}/models", access, **{"If-Match": made["etag"]})
    assert changed["access"][-2:] == [
        {"role": "READER", "userByEmail": "a@demo-project.iam.gserviceaccount.com"},
        also,
    ]
    call("PATCH", f"{datasets}/models", access, status=412, **{"If-Match": made["etag"]})
    call("PATCH", f"{datasets}/models", {"access": [{"role": "READER"}]}, status=400)
    conditional = {"access": [{**also, "condition": CONDITION}]}
    call("PATCH", f"{datasets}/models", conditional, status=400)
    call("PATCH", f"{datasets}/models?accessPolicyVersion=3", conditional)
    call("GET", f"{datasets}/models", status=400)
    call("DELETE", f"{datasets}/models", status=204)
    assert call("GET", f"{datasets}/models", status=404)["errors"][0]["reason"] == "notFound"


def test_projects_buckets_and_services(google, call):
    by_id = call("GET", "cloudresourcemanager/v1/projects/demo-project")
    assert by_id["projectNumber"] == google.project_number
    assert call("GET", "cloudresourcemanager/v3/projects/123456789012")["projectId"] == google.project
    assert call("GET", "cloudresourcemanager/v3/projects/nobodys", status=403)["status"] == "PERMISSION_DENIED"
    buckets = "storage/storage/v1/b"
    folders = {"name": "models", "location": "us-east1", "hierarchicalNamespace": {"enabled": True}}
    call("POST", f"{buckets}?project=demo-project", folders, status=400)  # needs uniform access
    uniform = {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}}
    assert call("POST", f"{buckets}?project=demo-project", {**folders, **uniform})["location"] == "US-EAST1"
    assert call("POST", f"{buckets}?project=demo-project", {**folders, **uniform}, status=409)["errors"]
    patched = call("PATCH", f"{buckets}/models", {"labels": {"a": "b"}, "versioning": {"enabled": True}})
    assert patched["metageneration"] == "2"
    assert "versioning" not in call("PATCH", f"{buckets}/models?ifMetagenerationMatch=2", {"versioning": None})
    call("PATCH", f"{buckets}/models?ifMetagenerationMatch=2", {"labels": {}}, status=412)
    call("DELETE", f"{buckets}/models", status=204)
    assert google.get(f"{buckets}/models") is None and google.policy(f"{buckets}/models")["bindings"] == []
    service = "serviceusage/v1/projects/demo-project/services/iam.googleapis.com"
    assert call("GET", service)["state"] == "DISABLED"
    done = call("POST", f"{service}:enable", {})
    assert done["done"] and call("GET", f"serviceusage/v1/{done['name']}") == done
    assert call("GET", service)["state"] == "ENABLED"


def test_what_goes_wrong(google, call):
    def add(*, status=200):
        return call("POST", f"{SECRETS}/x:addVersion", {"payload": {"data": "b25l"}}, status=status)

    call("POST", f"{SECRETS}?secretId=x", {"replication": {"automatic": {}}})
    google.clear_requests()
    google.fail(r"POST secretmanager/.*:addVersion", times=1, after=1, status=429, headers={"Retry-After": "3"})
    add()
    assert add(status=429)["status"] == "RESOURCE_EXHAUSTED"
    for how in ({"lose_answer": True}, {"reset": True}, {"stall": 0.05}):
        google.fail(":addVersion", times=1, **how)
        with pytest.raises(requests.exceptions.ConnectionError):
            add()
    assert [version["version"] for version in google.secret_versions("x")] == [1, 2]  # the lost answer's was made
    assert [request.status for request in google.requests] == [200, 429, 200, 0, 0]
    assert all(request.writes and request.body for request in google.requests)
    google.fail(":access", before=lambda: google.put(f"{SECRETS}/x/versions/2", {"name": "v2", "state": "DISABLED"}))
    call("GET", f"{SECRETS}/x/versions/2:access", status=400)
    assert not google.requests[-1].writes


def test_modules_of_google_cloud_reach_it_through_the_proxy(google, call, playbooks):
    environment = {
        **google.environment,
        "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(
            [playbooks.environment["ANSIBLE_COLLECTIONS_PATH"], str(ROOT / ".venv" / "collections")]
        ),
    }
    common = {"auth_kind": "accesstoken", "project": google.project, "state": "present"}
    account = {**common, "name": "server@demo-project.iam.gserviceaccount.com", "display_name": "Server"}
    bucket = {**common, "name": "models", "location": "US"}
    dataset = {**common, "name": "metrics", "dataset_reference": {"dataset_id": "metrics"}}
    tasks = [
        {"google.cloud.gcp_iam_service_account": account},
        {"google.cloud.gcp_storage_bucket": bucket},
        {"google.cloud.gcp_bigquery_dataset": dataset},
    ]
    run = playbooks.tasks([*tasks, tasks[0]], env=environment).ok()
    assert [result["changed"] for result in run.results] == [True, True, True, False]
    assert google.get("storage/storage/v1/b/models")["projectNumber"] == google.project_number
    # other hosts are not reached
    with pytest.raises(requests.exceptions.ProxyError, match="403"):
        requests.get("https://example.com", proxies={"https": google.url}, timeout=10)


COMPUTE = "compute/compute/v1/projects/demo-project"
US = f"{COMPUTE}/regions/us-central1"
GKE = "container/v1/projects/demo-project/locations/us-central1"


@pytest.fixture
def do(google, call):
    """Like ``call``, for what starts an operation: returns it when it is done."""

    def carry_out(method: str, path: str, body: object = None) -> dict:
        started = call(method, path, body)
        assert started["status"] == "RUNNING"
        api = path.partition("/")[0]
        found = call("GET", api + started["selfLink"].partition(".googleapis.com")[2])
        assert found["status"] == "DONE"
        return found

    return carry_out


def test_networks(google, call, do):
    do("POST", f"{COMPUTE}/global/networks", {"name": "vpc", "autoCreateSubnetworks": False})
    call("POST", f"{COMPUTE}/global/networks", {"name": "vpc"}, status=409)
    nodes = {
        "name": "nodes",
        "network": "global/networks/vpc",
        "ipCidrRange": "10.129.0.0/20",
        "secondaryIpRanges": [{"rangeName": "pods", "ipCidrRange": "192.168.64.0/20"}],
    }
    do("POST", f"{US}/subnetworks", nodes)
    for fields, told in (
        ({"ipCidrRange": "10.129.8.0/24"}, "conflicts with existing range 10.129.0.0/20"),
        ({"ipCidrRange": "10.0.0.0/20", "secondaryIpRanges": nodes["secondaryIpRanges"]}, "192.168.64.0/20"),
        ({"ipCidrRange": "10.0.0.1/20"}, "Must be a CIDR"),
        ({"name": "Nodes"}, "resource.name"),
    ):
        error = call("POST", f"{US}/subnetworks", {**nodes, "name": "others", **fields}, status=400)
        assert told in error["message"]
    call("POST", f"{US}/subnetworks", {**nodes, "name": "x", "network": "global/networks/none"}, status=404)
    assert "Unknown region" in call("GET", f"{COMPUTE}/regions/us-nowhere/subnetworks", status=400)["message"]
    found = call("GET", f"{US}/subnetworks/nodes")
    ranges = [*nodes["secondaryIpRanges"], {"rangeName": "services", "ipCidrRange": "192.168.80.0/20"}]
    call("PATCH", f"{US}/subnetworks/nodes", {"secondaryIpRanges": ranges, "fingerprint": "MDAwMA=="}, status=412)
    do("PATCH", f"{US}/subnetworks/nodes", {"secondaryIpRanges": ranges, "fingerprint": found["fingerprint"]})
    do("POST", f"{US}/subnetworks/nodes/expandIpCidrRange", {"ipCidrRange": "10.129.0.0/18"})
    changed = call("GET", f"{US}/subnetworks/nodes")
    assert changed["ipCidrRange"] == "10.129.0.0/18" and changed["fingerprint"] != found["fingerprint"]
    assert changed["secondaryIpRanges"] == ranges and changed["stackType"] == "IPV4_ONLY"

    do("POST", f"{US}/routers", {"name": "router", "network": "global/networks/vpc"})
    nat = {"name": "nat", "natIpAllocateOption": "AUTO_ONLY"}
    call("PATCH", f"{US}/routers/router", {"nats": [nat]}, status=400)
    nat["sourceSubnetworkIpRangesToNat"] = "ALL_SUBNETWORKS_ALL_IP_RANGES"
    do("PATCH", f"{US}/routers/router", {"nats": [nat]})
    assert call("GET", f"{US}/routers/router")["nats"][0]["type"] == "PUBLIC"

    wanted = {"name": "c", "initialNodeCount": 1, "network": "vpc", "subnetwork": "nodes"}
    for field, name in (("clusterSecondaryRangeName", "none"), ("servicesSecondaryRangeName", "none")):
        policy = {"ipAllocationPolicy": {field: name}}
        call("POST", f"{GKE}/clusters", {"cluster": {**wanted, **policy}}, status=400)
    do("POST", f"{GKE}/clusters", {"cluster": {**wanted, "ipAllocationPolicy": {"clusterSecondaryRangeName": "pods"}}})
    fingerprint = changed["fingerprint"]
    call("PATCH", f"{US}/subnetworks/nodes", {"secondaryIpRanges": [], "fingerprint": fingerprint}, status=400)
    for path in (f"{US}/subnetworks/nodes", f"{COMPUTE}/global/networks/vpc"):
        assert "already being used by" in call("DELETE", path, status=400)["message"]
    for path in (
        f"{GKE}/clusters/c",
        f"{US}/routers/router",
        f"{US}/subnetworks/nodes",
        f"{COMPUTE}/global/networks/vpc",
    ):
        do("DELETE", path)
        call("GET", path, status=404)


def slice_pool(name: str, **fields: object) -> dict:
    """The request for a node pool that is a slice of 16 chips on 4 hosts."""
    pool = {
        "name": name,
        "initialNodeCount": 4,
        "locations": ["us-central1-a"],
        "config": {"machineType": "ct5lp-hightpu-4t"},
        "placementPolicy": {"type": "COMPACT", "tpuTopology": "4x4"},
    }
    return {"nodePool": {**pool, **fields}}


def test_clusters_and_node_pools(google, call, do):
    cluster, pools = f"{GKE}/clusters/c", f"{GKE}/clusters/c/nodePools"
    call("POST", f"{GKE}/clusters", {"cluster": {"name": "c", "initialNodeCount": 1, "status": "ERROR"}})
    busy = call("POST", pools, slice_pool("p"), status=400)
    assert (busy["status"], busy["details"][0]["reason"]) == ("FAILED_PRECONDITION", "CLUSTER_ALREADY_HAS_OPERATION")
    assert call("GET", cluster)["status"] == "PROVISIONING" and "endpoint" not in call("GET", cluster)
    (operation,) = call("GET", f"{GKE}/operations")["operations"]  # which is a look at it
    assert call("GET", f"{GKE}/operations/{operation['name']}")["operationType"] == "CREATE_CLUSTER"
    found = call("GET", cluster)
    assert (found["status"], found["currentNodeCount"], found["autopilot"]) == ("RUNNING", 3, {})
    # Node pools are made side by side, and nothing is done to the cluster meanwhile.
    google.slow_operations("CREATE_NODE_POOL", looks=2)
    for name in ("p", "q"):
        call("POST", pools, slice_pool(name))
    call("PUT", cluster, {"update": {"desiredReleaseChannel": {"channel": "RAPID"}}}, status=400)
    call("DELETE", f"{pools}/p", status=400)
    google.finish_operations()
    pool = call("GET", f"{pools}/p")
    assert pool["config"]["taints"][0]["key"] == "google.com/tpu" and pool["management"]["autoRepair"]
    group = pool["instanceGroupUrls"][0].partition("/v1/")[2]
    assert call("GET", f"compute/compute/v1/{group}")["targetSize"] == 4
    # What does not fit is refused at once, or by Compute Engine later; then the pool stays, and has to be deleted.
    two = {"update": {"desiredReleaseChannel": {"channel": "RAPID"}, "desiredShieldedNodes": {"enabled": True}}}
    call("PUT", cluster, two, status=400)
    for fields in (
        {"initialNodeCount": 3},
        {"placementPolicy": {"tpuTopology": "4x4x4"}},
        {"locations": ["us-central1-a", "us-central1-b"]},
        {"config": {"machineType": "ct9-hightpu-4t"}},
        {"autoscaling": {"enabled": True, "maxNodeCount": 8}},
        {"queuedProvisioning": {"enabled": True}},
    ):
        call("POST", pools, slice_pool("r", **fields), status=400)
    google.set_quota("us-central1", "TPU_LITE_PODSLICE_V5", 32)
    call("POST", pools, slice_pool("r"))
    google.finish_operations()
    pool = call("GET", f"{pools}/r")
    assert (pool["status"], pool["conditions"][0]["code"]) == ("ERROR", "GCE_QUOTA_EXCEEDED")
    quotas = {quota["metric"]: (quota["limit"], quota["usage"]) for quota in call("GET", US)["quotas"]}
    assert quotas["TPU_LITE_PODSLICE_V5"] == (32, 32)
    assert do("DELETE", f"{pools}/r")["operationType"] == "DELETE_NODE_POOL"
    assert "error" in do("POST", f"{pools}/p:setSize", {"nodeCount": 2})
    do("POST", f"{pools}/p:setSize", {"nodeCount": 0})
    pool = call("GET", f"{pools}/p")
    assert "initialNodeCount" not in pool  # 0 is not shown
    # Updates of a node pool replace labels and taints; those of Google stay.
    changed = {"labels": {"labels": {"a": "b"}}, "taints": {"taints": []}, "etag": pool["etag"]}
    do("PUT", f"{pools}/p", changed)
    call("PUT", f"{pools}/p", changed, status=409)
    config = call("GET", f"{pools}/p")["config"]
    assert config["labels"] == {"a": "b"} and len(config["taints"]) == 1
    do("PUT", cluster, {"update": {"desiredAddonsConfig": {"gcsFuseCsiDriverConfig": {"enabled": True}}}})
    addons = call("GET", cluster)["addonsConfig"]
    assert addons["gcsFuseCsiDriverConfig"]["enabled"] and addons["gcePersistentDiskCsiDriverConfig"]["enabled"]
    labels = {"resourceLabels": {"team": "a"}, "labelFingerprint": call("GET", cluster)["labelFingerprint"]}
    do("POST", f"{cluster}:setResourceLabels", labels)
    call("POST", f"{cluster}:setResourceLabels", labels, status=400)  # the fingerprint is another one now
    do("DELETE", cluster)
    assert google.get(f"compute/compute/v1/{group}") is None


def test_what_tests_can_switch_on(google, call):
    repositories = "artifactregistry/v1/projects/demo-project/locations/us-east1/repositories"

    def create(name, *, status=200):
        return call("POST", f"{repositories}?repositoryId={name}", {"format": "DOCKER"}, status=status)

    google.slow_operations("create .*/repositories/a$", looks=2)
    google.fail_operations("create .*/repositories/b$", code="RESOURCE_EXHAUSTED", message="Full.", times=1)
    started = create("a")
    assert "done" not in started and "done" not in call("GET", f"artifactregistry/v1/{started['name']}")
    call("GET", f"{repositories}/a", status=404)
    assert call("GET", f"artifactregistry/v1/{started['name']}")["done"] and call("GET", f"{repositories}/a")
    assert create("b")["error"] == {"code": 8, "message": "Full."}
    assert create("b")["response"]["format"] == "DOCKER"

    google.lag(r"/repositories/c$", reads=2)
    create("c")
    for status in (404, 404, 200):
        call("GET", f"{repositories}/c", status=status)

    # A quota that Compute Engine does not tell of its regions.
    google.set_quota("us-east5", "TPUS_PER_TPU_FAMILY/CT6E", 0)
    services = "serviceusage/v1beta1/projects/demo-project/services/compute.googleapis.com"
    metric = call("GET", f"{services}/consumerQuotaMetrics/compute.googleapis.com%2Ftpus_per_tpu_family")
    buckets = metric["consumerQuotaLimits"][0]["quotaBuckets"]
    limits = {bucket.get("dimensions", {}).get("region"): bucket["effectiveLimit"] for bucket in buckets}
    assert (limits["us-east5"], limits["us-east1"], limits[None]) == ("0", "256", "0")
    assert not any("FAMILY" in quota["metric"] for quota in call("GET", f"{COMPUTE}/regions/us-east5")["quotas"])

    google.require_services = True
    refused = call("GET", f"{repositories}/a", status=403)
    assert refused["details"][0]["reason"] == "SERVICE_DISABLED"
    service = "serviceusage/v1/projects/demo-project/services/artifactregistry.googleapis.com"
    call("POST", f"{service}:enable", {})
    call("GET", f"{repositories}/a")

    google.deny("artifactregistry.repositories.create", "container.clusters.update")
    assert "artifactregistry.repositories.create" in create("d", status=403)["message"]
    call("POST", f"{service.replace('artifactregistry', 'container')}:enable", {})
    call("POST", f"{GKE}/clusters/c/nodePools", slice_pool("p"), status=403)
    wanted = ["container.clusters.update", "container.clusters.get"]
    project = "cloudresourcemanager/v3/projects/demo-project"
    assert call("POST", f"{project}:testIamPermissions", {"permissions": wanted}) == {"permissions": wanted[1:]}

    google.put("storage/storage/v1/b/taken", {"name": "taken", "projectNumber": "1"})
    google.put("storage/storage/v1/b/full", {"name": "full"})
    google.put("storage/storage/v1/b/full/o/config.json", {"name": "config.json", "size": "3"})
    assert "not empty" in call("DELETE", "storage/storage/v1/b/full", status=409)["message"]
    assert call("GET", "storage/storage/v1/b/full/o")["items"][0]["size"] == "3"
    call("GET", "storage/storage/v1/b/taken", status=403)
    told = call("POST", "storage/storage/v1/b?project=demo-project", {"name": "taken"}, status=409)["message"]
    assert "not available" in told
