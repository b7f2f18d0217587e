# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gcp_iam_binding and gcp_iam_custom_role: real runs of ansible-playbook, and the code below against every type of
resource, with the stand-in for Google Cloud.
"""

from __future__ import annotations

import json

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gcp.bindings import policy_of, update
from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient
from ansible_collections.modelops.serving.plugins.module_utils._gcp.policy import Condition, Grant
from ansible_collections.modelops.serving.plugins.module_utils._gcp.resources import KINDS, find_resource
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import AccessError, StoreError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.google import GoogleCredentials

MODULE, ROLE_MODULE = "modelops.serving.gcp_iam_binding", "modelops.serving.gcp_iam_custom_role"
IGNORE = {"ignore_errors": True}
TWELVE = [{"check_mode": True}, {}] * 6
PATTERN = [True, True, False, False] * 3

ACCESSOR, VIEWER = "roles/secretmanager.secretAccessor", "roles/viewer"
ALICE, BOB, CAROL = "user:alice@example.com", "user:bob@example.com", "user:carol@example.com"
GONE = "deleted:user:dave@example.com?uid=123"
EXPIRY = {"title": "expiry", "expression": 'request.time < timestamp("2027-01-01T00:00:00Z")', "description": "Now"}
POOL = "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools"
SERVER = f"{POOL}/demo-project.svc.id.goog/subject/ns/models/sa/server"
#: What others granted: it is to be there at the end as at the beginning.
OTHERS = [
    {"role": ACCESSOR, "members": [GONE, CAROL]},
    {"role": ACCESSOR, "members": [CAROL], "condition": EXPIRY},
    {"role": VIEWER, "members": [BOB]},
]
AUDIT = [{"service": "allServices", "auditLogConfigs": [{"logType": "DATA_READ"}]}]
SECRETS = "secretmanager/v1/projects/demo-project/secrets"
TOPICS = "pubsub/v1/projects/demo-project/topics"
ROLES = "iam/v1/projects/demo-project/roles"


@pytest.fixture
def client(google):
    apis = {kind.api: google.endpoint(kind.api) for kind in KINDS.values()}
    apis["secretmanager.europe-west4.rep"] = apis["secretmanager"]
    credentials = GoogleCredentials(auth_kind="accesstoken", access_token=google.access_token)
    return GoogleClient(credentials, Control(attempts=2), endpoints=apis)


def by_role(policy):
    """The bindings of a policy in an order of their own."""
    return sorted(policy["bindings"], key=lambda binding: (binding["role"], str(binding.get("condition"))))


def lower(bindings):
    """As Google keeps them: e-mail addresses are in lower case."""
    told = json.loads(json.dumps(bindings).replace("user:Alice@Example.com", ALICE))
    return [{**binding, "members": sorted(binding["members"])} for binding in told]


def writes(google):
    return [request for request in google.requests if request.writes]


def audit(google, client, resource):
    """Switch audit logs on, as somebody else would."""
    body = {"policy": {"auditConfigs": AUDIT, "version": 3}, "updateMask": "auditConfigs"}
    client.call(resource.api, "POST", f"{resource.path}:setIamPolicy", what="switch audit logs on", body=body)
    google.clear_requests()


def make_topic(google, name):
    google.put(f"{TOPICS}/{name}", {"name": f"projects/demo-project/topics/{name}"})
    google.set_policy(f"{TOPICS}/{name}", {"bindings": [{"role": VIEWER, "members": [BOB]}]})


def on_topic(name, *, keywords=None, **options):
    given = {"resource_type": "topic", "resource": name, "bindings": [{"role": VIEWER, "members": [ALICE]}]}
    return {MODULE: {**given, "attempts": 2, **options}, **(keywords or {})}


def test_twelve_steps_of_a_binding(google, client, playbooks):
    google.put(f"{SECRETS}/hf-token", {"name": "projects/demo-project/secrets/hf-token"})
    google.set_policy(f"{SECRETS}/hf-token", {"bindings": OTHERS})
    audit(google, client, find_resource("secret", "hf-token", project="demo-project", location=None))
    before = google.policy(f"{SECRETS}/hf-token")
    server = {"namespace": "models", "service_account": "server"}
    first = [{"role": ACCESSOR, "members": ["user:Alice@Example.com"], "workload_identities": [server]}]
    second = [
        {"role": ACCESSOR, "members": [ALICE, BOB], "workload_identities": [server, server]},
        {"role": ACCESSOR, "members": [ALICE], "condition": EXPIRY},
        {"role": "roles/secretmanager.viewer", "members": [ALICE], "condition": {**EXPIRY, "title": "other"}},
    ]
    steps = [{"bindings": first}] * 4 + [{"bindings": second}] * 4 + [{"bindings": second, "state": "absent"}] * 4
    tasks = [
        {MODULE: {"resource_type": "secret", "resource": "hf-token", **step}, **keywords}
        for step, keywords in zip(steps, TWELVE, strict=True)
    ]
    run = playbooks.tasks(tasks, "--diff", env=google.environment).ok()
    results = run.results

    assert [result["changed"] for result in results] == PATTERN
    # Check mode predicts what is done, and writes nothing.
    for predicted, done in zip(results[::2], results[1::2], strict=True):
        for key in ("added", "removed", "principals", "resource"):
            assert predicted[key] == done[key]
        assert lower(predicted["bindings"]) == done["bindings"]
    assert [(request.method, request.path) for request in writes(google)] == [
        ("POST", "/v1/projects/demo-project/secrets/hf-token:setIamPolicy")
    ] * 3
    # The number of the project is looked up once by each task, though two identities need it.
    assert sum(request.path == "/v3/projects/demo-project" for request in google.requests) == 12

    created, modified, deleted = results[1], results[5], results[9]
    assert created["resource"] == "projects/demo-project/secrets/hf-token"
    assert created["principals"] == modified["principals"] == [SERVER]
    assert [grant["member"] for grant in created["added"]] == ["user:Alice@Example.com", SERVER]
    assert created["bindings"] == [
        {"role": ACCESSOR, "members": sorted([ALICE, CAROL, GONE, SERVER]), "condition": None},
        {"role": ACCESSOR, "members": [CAROL], "condition": EXPIRY},
    ]
    assert modified["added"] == [
        {"role": ACCESSOR, "member": BOB, "condition": None},
        {"role": ACCESSOR, "member": ALICE, "condition": "expiry"},
        {"role": "roles/secretmanager.viewer", "member": ALICE, "condition": "other"},
    ]
    assert modified["diff"]["before"]["bindings"] == created["bindings"]
    assert modified["diff"]["after"]["bindings"] == modified["bindings"]
    assert f'+                "{BOB}"' in run.output.replace(",", "")
    assert len(deleted["removed"]) == 5 and deleted["added"] == []
    # All that others granted, and what else is in the policy, was left and sent back as it was.
    after = google.policy(f"{SECRETS}/hf-token")
    assert (by_role(after), after["auditConfigs"]) == (by_role(before), AUDIT)
    assert all(request.body["policy"]["auditConfigs"] == AUDIT for request in writes(google))
    assert all(request.body["policy"]["version"] == 3 for request in writes(google))
    assert results[-1]["etag"] == after["etag"] != before["etag"]


RESOURCES = {
    "project": ("demo-project", "cloudresourcemanager/v3/projects/demo-project", {}),
    "bucket": (
        "models",
        "storage/storage/v1/b/models",
        {"name": "models", "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}},
    ),
    "secret": ("hf", f"{SECRETS}/hf", {"name": "projects/demo-project/secrets/hf"}),
    "service_account": (
        "sync-models",
        "iam/v1/projects/demo-project/serviceAccounts/sync-models@demo-project.iam.gserviceaccount.com",
        {"projectId": "demo-project", "email": "sync-models@demo-project.iam.gserviceaccount.com"},
    ),
    "topic": ("t", f"{TOPICS}/t", {}),
    "subscription": ("s", "pubsub/v1/projects/demo-project/subscriptions/s", {}),
    "dataset": ("d", "bigquery/bigquery/v2/projects/demo-project/datasets/d", {}),
    "repository": (
        "images",
        "artifactregistry/v1/projects/demo-project/locations/europe-west4/repositories/images",
        {},
    ),
}
#: Whose policies have ``auditConfigs``.
AUDITED = ("project", "secret", "service_account")
VIEW = {"view": {"projectId": "demo-project", "datasetId": "other", "tableId": "view"}}
ENTRIES = [
    {"role": "OWNER", "specialGroup": "projectOwners"},
    VIEW,
    {"role": "READER", "userByEmail": "carol@example.com", "condition": EXPIRY},
]


def target(google, client, kind):
    """A resource with a policy that others wrote, its policy for us, and its path in the stand-in."""
    name, path, content = RESOURCES[kind]
    if kind != "project":
        google.put(path, content)
    if kind == "dataset":
        google.put(path, {"friendlyName": "D", "etag": "abc", "id": "demo-project:d", "access": ENTRIES, **reference()})
    else:
        google.set_policy(path, {"bindings": OTHERS})
    where = "europe-west4" if kind == "repository" else None
    resource = find_resource(kind, name, project="demo-project", location=where)
    if kind in AUDITED:
        audit(google, client, resource)
    return policy_of(client, resource), path


def reference():
    return {"datasetReference": {"projectId": "demo-project", "datasetId": "d"}}


def kept(google, kind, path):
    """What others wrote, as it is now."""
    if kind == "dataset":
        found = google.get(path)
        return found["access"], found["friendlyName"]
    found = google.policy(path)
    return by_role(found), found.get("auditConfigs")


@pytest.mark.parametrize("kind", list(RESOURCES))
def test_every_type_of_resource(google, client, kind):
    policy, path = target(google, client, kind)
    before = kept(google, kind, path)
    role = "roles/bigquery.dataViewer" if kind == "dataset" else "roles/browser"
    until = Condition.of(EXPIRY)
    account = "serviceAccount:Nodes@demo-project.iam.gserviceaccount.com"
    pods = "serviceAccount:demo-project.svc.id.goog[models/server]"
    wanted = [Grant(role, member) for member in (account, SERVER, "group:team@example.com")]
    wanted += [Grant(role, ALICE, until)] + ([Grant("roles/iam.workloadIdentityUser", pods)] * (kind != "dataset"))

    planned = update(policy, Control(), wanted, check=True)
    assert (planned.added, writes(google)) == (wanted, [])
    done = update(policy, Control(), wanted)
    assert (done.added, done.removed, done.renamed) == (wanted, [], [])
    again = update(policy, Control(), wanted)
    assert (again.added, again.removed, again.before, again.after) == ([], [], done.after, done.after)
    assert again.etag == done.etag != planned.etag
    assert len(writes(google)) == 1

    revoked = update(policy, Control(), wanted, absent=True)
    assert {grant.key for grant in revoked.removed} == {grant.key for grant in wanted}
    assert update(policy, Control(), wanted, absent=True).removed == []
    assert len(writes(google)) == 2
    assert kept(google, kind, path) == before
    if kind in AUDITED:
        assert before[1] == AUDIT


def test_a_regional_secret(google, client):
    name = "projects/demo-project/locations/europe-west4/secrets/hf"
    google.put(f"secretmanager/v1/{name}", {"name": name})
    resource = find_resource("secret", "hf", project="demo-project", location="europe-west4")
    done = update(policy_of(client, resource), Control(), [Grant(ACCESSOR, ALICE)])
    assert (resource.full_name, done.after[0]["members"]) == (name, [ALICE])
    assert google.policy(f"secretmanager/v1/{name}")["bindings"] == [{"role": ACCESSOR, "members": [ALICE]}]


@pytest.mark.parametrize("kind", ["project", "bucket", "dataset"])
def test_others_write_at_the_same_time(google, client, kind):
    policy, path = target(google, client, kind)
    role = "roles/bigquery.dataEditor" if kind == "dataset" else "roles/browser"

    def somebody_else():
        if kind == "dataset":
            found = google.get(path)
            entry = {"role": "WRITER", "userByEmail": "bob@example.com"}
            google.put(path, {**found, "access": [*found["access"], entry], "etag": "def"})
        else:
            found = google.policy(path)
            google.set_policy(path, {**found, "bindings": [*found["bindings"], {"role": role, "members": [BOB]}]})

    google.fail(r"^(POST|PUT|PATCH) .*(setIamPolicy|/iam|/d)$", times=1, before=somebody_else)
    done = update(policy, Control(attempts=2), [Grant(role, ALICE)])
    assert done.added == [Grant(role, ALICE)]
    assert done.after == [{"role": role, "members": [ALICE, BOB], "condition": None}]
    assert [request.status for request in writes(google)] == [409 if kind == "project" else 412, 200]


def test_a_dataset_that_hides_its_entries_is_not_overwritten(google, client):
    policy, path = target(google, client, "dataset")
    google.put(path, {"etag": "abc", **reference()})
    with pytest.raises(AccessError, match=r"are not shown. Give .* bigquery.datasets.getIamPolicy"):
        update(policy, Control(), [Grant("roles/bigquery.dataViewer", ALICE)])
    assert writes(google) == []


def test_conditions_need_a_bucket_with_uniform_access(google, client):
    policy, path = target(google, client, "bucket")
    google.put(path, {"name": "models"})
    google.set_policy(path, {"bindings": []})
    grants = [Grant("roles/storage.objectViewer", ALICE, Condition.of(EXPIRY))]
    with pytest.raises(StoreError, match=r"(?i)uniform bucket-level access .*switch it on"):
        update(policy, Control(attempts=2), grants)
    # The answer may also be the one to another etag, and is not tried again either.
    google.fail("PUT storage", status=412, message="Conditions need uniform bucket-level access.")
    with pytest.raises(StoreError, match="switch it on"):
        update(policy, Control(attempts=2), grants)
    assert len(writes(google)) == 2


def test_trouble(google, playbooks):
    for name in ("busy", "conflict", "forbidden", "lost", "reset", "slow", "unread", "expired", "full"):
        make_topic(google, name)
    google.fail("topics/busy:setIamPolicy", status=429, headers={"Retry-After": "0"}, times=1)
    google.fail("topics/conflict:setIamPolicy", status=409, message="There were concurrent policy changes.")
    google.fail("topics/forbidden:setIamPolicy", status=403, message="The caller does not have permission")
    google.fail("topics/unread:getIamPolicy", status=403, message="The caller does not have permission")
    google.fail("topics/lost:setIamPolicy", lose_answer=True, times=1)
    google.fail("topics/reset:setIamPolicy", reset=True)
    google.fail("topics/slow:getIamPolicy", status=503, times=1)
    google.fail("topics/full:setIamPolicy", status=429, headers={"Retry-After": "0"})
    identity = {"namespace": "models", "service_account": "server"}
    mistaken = [
        {"role": VIEWER, "workload_identities": [identity]},
        {"role": VIEWER, "members": ["alice@example.com"]},
    ]
    run = playbooks.tasks(
        [
            on_topic("busy"),
            on_topic("slow"),
            on_topic("lost"),
            on_topic("conflict", keywords=IGNORE),
            on_topic("forbidden", keywords=IGNORE),
            on_topic("unread", keywords=IGNORE),
            on_topic("reset", keywords=IGNORE),
            on_topic("full", keywords=IGNORE),
            on_topic("expired", keywords=IGNORE, access_token="out-of-date"),
            on_topic("nowhere", keywords=IGNORE),
            on_topic("nowhere", state="absent"),
            on_topic("wrong", bindings=mistaken, keywords=IGNORE),
        ],
        env=google.environment,
    ).ok()
    busy, slow, lost, conflict, forbidden, unread, reset, full, expired, nowhere, nothing, wrong = run.results

    for name, result in {"busy": busy, "slow": slow, "lost": lost}.items():
        assert result["changed"] and [grant["member"] for grant in result["added"]] == [ALICE]
        assert google.policy(f"{TOPICS}/{name}")["bindings"] == [{"role": VIEWER, "members": [ALICE, BOB]}]
    sent = [request.path.rpartition("/")[2].partition(":")[0] for request in writes(google)]
    # What got lost was looked at and not sent again.
    times = {"busy": 2, "slow": 1, "lost": 1, "conflict": 2, "forbidden": 1, "reset": 2, "full": 2}
    assert {name: sent.count(name) for name in dict.fromkeys(sent)} == times

    for name, result in {"conflict": conflict, "forbidden": forbidden, "reset": reset, "full": full}.items():
        assert result["failed"] and not result["changed"]
        assert google.policy(f"{TOPICS}/{name}")["bindings"] == [{"role": VIEWER, "members": [BOB]}]
    assert "concurrent policy changes" in conflict["msg"] and "changed it 2 times" in conflict["error"]["hint"]
    assert "topic projects/demo-project/topics/forbidden" in forbidden["msg"]
    assert "pubsub.topics.setIamPolicy" in forbidden["error"]["hint"]
    assert "pubsub.topics.getIamPolicy" in unread["error"]["hint"]
    assert "not known" in reset["error"]["hint"]
    assert (expired["error"]["kind"], "access token" in expired["error"]["hint"]) == ("AccessError", True)
    assert nowhere["error"]["kind"] == "NotFoundError" and "Create the topic first" in nowhere["error"]["hint"]
    assert (nothing["changed"], nothing["bindings"], nothing["etag"]) == (False, [], None)
    assert "projects/demo-project/topics/nowhere" in nothing["warnings"][0]
    # A mistake is found before anything is asked.
    assert "user:alice@example.com or group:alice@example.com" in wrong["error"]["hint"]
    assert not any("wrong" in request.path or "/v3/projects" in request.path for request in google.requests)


def test_twelve_steps_of_a_custom_role(google, playbooks):
    own = {"name": "own", "permissions": ["storage.objects.get", "storage.buckets.get"], "description": "Mine"}
    steps = (
        [{"name": "own", "preset": "gcsfuse_viewer"}] * 4
        + [{**own, "title": "Own", "stage": "ALPHA"}] * 4
        + [{"name": "own", "state": "absent"}] * 4
        # What was deleted comes back, with what it lacks.
        + [{**own, "title": "Back"}] * 2
        + [{"name": "never", "state": "absent"}] * 2
    )
    tasks = [{ROLE_MODULE: step, "check_mode": number % 2 == 0} for number, step in enumerate(steps)]
    run = playbooks.tasks(tasks, "--diff", env=google.environment).ok()
    results = run.results
    assert [result["changed"] for result in results] == [*PATTERN, True, True, False, False]
    for predicted, done in zip(results[::2], results[1::2], strict=True):
        assert predicted["role"] == done["role"]
        assert predicted["diff"] == done["diff"]
    assert [(request.method, request.path.rpartition("/")[2]) for request in writes(google)] == [
        ("POST", "roles"),
        ("PATCH", "own"),
        ("DELETE", "own"),
        ("POST", "own:undelete"),
        ("PATCH", "own"),
    ]
    patch = writes(google)[1]
    assert patch.query == {"updateMask": "title,description,includedPermissions,stage"}
    assert set(patch.body) == {"title", "description", "includedPermissions", "stage", "etag"}
    assert writes(google)[-1].query == {"updateMask": "title,stage"}
    created, modified, deleted, back, never = (results[number] for number in (1, 5, 9, 13, 15))
    assert created["role"]["name"] == "projects/demo-project/roles/own"
    assert created["role"]["permissions"][0] == "storage.buckets.get" and len(created["role"]["permissions"]) == 7
    assert modified["role"] == {
        "name": "projects/demo-project/roles/own",
        "title": "Own",
        "description": "Mine",
        "permissions": ["storage.buckets.get", "storage.objects.get"],
        "stage": "ALPHA",
        "deleted": False,
    }
    assert modified["diff"]["before"] == created["role"] and modified["diff"]["after"] == modified["role"]
    assert deleted["role"] == {**modified["role"], "deleted": True}
    assert back["role"] == {**modified["role"], "title": "Back", "stage": "GA"}
    assert never["role"] is None
    assert google.get(f"{ROLES}/own")["title"] == "Back"


def test_trouble_with_a_custom_role(google, playbooks):
    def role(name, keywords=None, **options):
        given = {"name": name, "permissions": ["storage.objects.get"], "title": "New", "attempts": 2}
        return {ROLE_MODULE: {**given, **options}, **(keywords or {})}

    def put(name, **fields):
        full = f"projects/demo-project/roles/{name}"
        google.put(f"{ROLES}/{name}", {"name": full, "title": "Old", "stage": "GA", "etag": "MDE=", **fields})

    for name in ("conflict", "forever", "forbidden", "gone"):
        put(name)
    put("half", deleted=True)
    google.fail("PATCH iam.*roles/conflict", times=1, before=lambda: put("conflict", title="Theirs", etag="MDI="))
    google.fail("PATCH iam.*roles/forever", status=409, reason="ABORTED")
    google.fail("PATCH iam.*roles/forbidden", status=403, message="no")
    google.fail("PATCH iam.*roles/half", status=403, message="no")
    google.fail("POST iam.*roles$", times=1, lose_answer=True)
    google.fail("DELETE iam.*roles/gone", times=1, lose_answer=True)
    run = playbooks.tasks(
        [
            role("lost"),
            role("conflict"),
            role("gone", state="absent"),
            role("forever", IGNORE),
            role("forbidden", IGNORE),
            role("half", IGNORE),
            role("refused", IGNORE, permissions=["a.b.c.d.e"]),
        ],
        env=google.environment,
    ).ok()
    lost, conflict, gone, forever, forbidden, half, refused = run.results
    assert [result["changed"] for result in (lost, conflict, gone)] == [True] * 3
    assert (lost["role"]["title"], conflict["role"]["title"], gone["role"]["deleted"]) == ("New", "New", True)
    sent = [(request.method, request.path.rpartition("/")[2]) for request in writes(google)]
    assert [sent.count(one) for one in (("POST", "roles"), ("PATCH", "conflict"), ("DELETE", "gone"))] == [2, 2, 1]
    assert "changed it 2 times" in forever["error"]["hint"]
    assert "iam.roles.update" in forbidden["error"]["hint"]
    # What was done before it failed is said.
    assert "brought back" in half["msg"] and "deleted" not in google.get(f"{ROLES}/half")
    assert "a.b.c.d.e" in refused["msg"] and "supported in custom roles" in refused["error"]["hint"]


def test_credentials_are_nowhere(google, playbooks, tmp_path):
    make_topic(google, "t")
    key = google.service_account_key()
    other = "another-canary-token"
    run = playbooks.tasks(
        [
            on_topic("t"),
            on_topic("t", access_token=google.access_token, keywords={"check_mode": True}),
            on_topic("t", access_token=other, keywords=IGNORE),
            on_topic("t", auth_kind="serviceaccount", service_account_contents=key, state="absent"),
            on_topic("nowhere", auth_kind="serviceaccount", service_account_contents=key, keywords=IGNORE),
            {ROLE_MODULE: {"name": "own", "preset": "gcsfuse_user", "access_token": google.access_token}},
            {ROLE_MODULE: {"name": "own", "preset": "gcsfuse_user", "access_token": other}, **IGNORE},
        ],
        "-vvvv",
        "--diff",
        env=google.environment,
    ).ok()
    assert [result["failed"] for result in run.results] == [False, False, True, False, True, False, True]
    results = (tmp_path / "results.json").read_text()
    for secret in (google.access_token, other, key["private_key"], json.dumps(key["private_key"])[1:-1]):
        assert secret not in run.output
        assert secret not in results
        assert not any(secret in request.path for request in google.requests)
    assert playbooks.leftovers() == []
