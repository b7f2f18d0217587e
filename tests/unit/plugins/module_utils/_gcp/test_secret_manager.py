# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gcp.secret_manager import (
    DESTROY_SCHEDULED,
    DESTROYED,
    DISABLED,
    ENABLED,
    Found,
    GcpSecretManager,
    Version,
    Wanted,
    crc32c,
    describe,
    described_after,
    make_plan,
    replicas,
)
from ansible_collections.modelops.serving.plugins.module_utils._token_secret.store import KEPT, REPLACED
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    ConflictError,
    InputError,
    IntegrityError,
    NotFoundError,
    StoreError,
    TransientError,
)

TOKEN, OTHER = "hf_new", "hf_old"
NAME = "projects/demo/secrets/hf"
STATES = {"e": ENABLED, "d": DISABLED, "x": DESTROYED, "s": DESTROY_SCHEDULED}
GLOBAL_KEY = "projects/demo/locations/global/keyRings/ring/cryptoKeys/key"
EAST_KEY = "projects/demo/locations/us-east1/keyRings/ring/cryptoKeys/key"


def found(states="", *, holds=False, **secret):
    """A secret with versions in these states, the newest first."""
    versions = (Version(str(len(states) - number), STATES[state]) for number, state in enumerate(states))
    return Found({"name": NAME, "replication": {"automatic": {}}, **secret}, tuple(versions), holds)


def in_places(*places, key=None):
    more = {"customerManagedEncryption": {"kmsKeyName": key}} if key else {}
    return {"userManaged": {"replicas": [{"location": place, **more} for place in places]}}


def plan(there, **wanted):
    return make_plan(there, Wanted(**wanted), NAME)


@pytest.mark.parametrize(
    ("states", "holds", "add"),
    [("", False, True), ("e", True, False), ("e", False, True), ("de", False, True), ("xe", False, True)],
)
def test_a_version_is_added_unless_the_newest_one_holds_the_token(states, holds, add):
    assert plan(found(states, holds=holds)).add is add


def test_readers_of_latest_are_told_that_they_got_nothing():
    (warning,) = plan(found("dee")).warnings
    assert "Version 3" in warning and DISABLED in warning
    assert plan(found("ede", holds=True)).warnings == ()


@pytest.mark.parametrize(
    ("states", "holds", "keep", "how", "retired"),
    [
        ("eee", True, None, "destroy", {}),
        ("eee", True, 3, "destroy", {}),
        ("eee", True, 2, "disable", {"1": DISABLED}),
        ("eee", True, 1, "destroy", {"2": DESTROYED, "1": DESTROYED}),
        # A new version takes one of the places.
        ("eee", False, 3, "disable", {"1": DISABLED}),
        ("eee", False, 1, "disable", {"3": DISABLED, "2": DISABLED, "1": DISABLED}),
        # Those that are disabled already do not count, and are destroyed only where that is asked for.
        ("eddee", True, 2, "disable", {"1": DISABLED}),
        ("eddee", True, 2, "destroy", {"1": DESTROYED, "4": DESTROYED, "3": DESTROYED}),
        ("dee", False, 2, "destroy", {"1": DESTROYED, "3": DESTROYED}),
        # What is destroyed, or will be without us, is left alone.
        ("exsxe", True, 1, "destroy", {"1": DESTROYED}),
    ],
)
def test_which_versions_are_retired(states, holds, keep, how, retired):
    assert plan(found(states, holds=holds), keep_versions=keep, old_versions=how).retire == retired


def test_a_secret_may_delay_the_destruction_of_versions():
    there = found("ee", holds=True, versionDestroyTtl="86400s")
    todo = plan(there, keep_versions=1, old_versions="destroy")
    assert todo.retire == {"1": DESTROY_SCHEDULED}
    assert described_after(there, todo, NAME, "2")["versions"] == {"2": ENABLED, "1": DESTROY_SCHEDULED}


def test_labels_and_annotations():
    there = found("e", holds=True, labels={"team": "a"}, annotations={"owner": "Alice"})
    assert plan(there).patch == {}
    assert plan(there, labels={"team": "a"}, annotations={"owner": "Alice"}).patch == {}
    assert plan(there, labels={"cost": "1"}).patch == {"labels": {"cost": "1"}}
    assert plan(there, labels={}, annotations={}).patch == {"labels": {}, "annotations": {}}
    assert plan(found("e", holds=True), labels={}).patch == {}


def test_a_new_secret():
    assert plan(Found()).create == {"replication": {"automatic": {}}}
    assert plan(Found(), kms_key=GLOBAL_KEY, labels={"a": "b"}).create == {
        "replication": {"automatic": {"customerManagedEncryption": {"kmsKeyName": GLOBAL_KEY}}},
        "labels": {"a": "b"},
    }
    east, west = "us-east1", "us-west1"
    assert plan(Found(), locations=(east, west)).create == {"replication": in_places(east, west)}
    assert plan(Found(), locations=(east,), kms_key=EAST_KEY).create == {"replication": in_places(east, key=EAST_KEY)}
    assert plan(found()).create is None


def test_locations_cannot_be_changed():
    there = found("e", holds=True, replication=in_places("us-east1", "us-west1"))
    assert plan(there).patch == plan(there, locations=("us-west1", "us-east1")).patch == {}
    with pytest.raises(InputError, match=r"is in us-east1, us-west1, not in us-east1, and") as raised:
        plan(there, locations=("us-east1",))
    assert NAME in raised.value.message and raised.value.hint
    with pytest.raises(InputError, match="is replicated automatically, not in us-east1"):
        plan(found(), locations=("us-east1",))


def test_the_key_of_a_secret_can_be_changed():
    there = found("e", holds=True, replication=in_places("us-east1"))
    todo = plan(there, kms_key=EAST_KEY)
    assert todo.patch == {"replication": in_places("us-east1", key=EAST_KEY)} and not todo.add
    assert "stay encrypted" in todo.warnings[0]
    assert describe(there, NAME) != described_after(there, todo, NAME, "1")
    same = found("e", holds=True, replication=todo.patch["replication"])
    assert plan(same, kms_key=EAST_KEY).patch == plan(same).patch == {}
    assert replicas(same.secret) == {"us-east1": EAST_KEY}


@pytest.mark.parametrize(
    ("there", "options", "message"),
    [
        (Found(), {"kms_key": EAST_KEY}, "is in us-east1, but .* replicated automatically and needs one in global"),
        (Found(), {"kms_key": EAST_KEY, "locations": ("us-west1",)}, "in us-east1, .* is in us-west1 and needs"),
        (Found(), {"kms_key": EAST_KEY, "locations": ("us-east1", "us-west1")}, "cannot serve .* us-east1, us-west1"),
        (found(replication=in_places("us-west1")), {"kms_key": GLOBAL_KEY}, "needs one in us-west1"),
    ],
)
def test_a_key_is_where_the_secret_is(there, options, message):
    with pytest.raises(InputError, match=message) as raised:
        plan(there, **options)
    assert raised.value.hint


@pytest.mark.parametrize(
    "options",
    [
        {"labels": {"Team": "a"}},
        {"labels": {"1st": "a"}},
        {"labels": {"": "a"}},
        {"labels": {"a.b/c": "a"}},
        {"labels": {"team": "A b"}},
        {"labels": {"team": "a" * 64}},
        {"labels": {"a" * 64: ""}},
        {"labels": {f"k{number}": "" for number in range(65)}},
        {"annotations": {"example.com/owner": "a"}},
        {"annotations": {"-a": "a"}},
        {"annotations": {"a" * 64: "a"}},
        {"annotations": {"a": "x" * 16384}},
        {"kms_key": "key"},
        {"kms_key": f"{GLOBAL_KEY}/cryptoKeyVersions/1"},
        {"keep_versions": 0},
        {"name": ""},
        {"name": NAME},
        {"name": "a" * 256},
        {"project": ""},
        {"project": "a/b"},
    ],
)
def test_what_would_be_refused_is_not_sent(options):
    with pytest.raises(InputError):
        GcpSecretManager(None, **{"project": "demo", "name": "hf", **options})


def test_what_is_taken():
    labels = {"team": "", "a" * 63: "1-2_3", "größe": "a" * 63, "名前": "値"}
    Wanted(labels=labels, annotations={"a": "Any: text", "b.c-d_e": "", "A" * 63: ""})


def test_crc32c():
    assert [crc32c(text) for text in (b"", b"123456789", b"\x00" * 32)] == [0, 0xE3069283, 0x8A9136AA]


class Control:
    def sleep(self, seconds):
        pass


class Google:
    """The calls of Secret Manager on one secret. ``faults``: part of a call -> error, or a list of what comes in turn."""

    def __init__(self, *values, **secret):
        self.secret = None
        self.versions = [[value, ENABLED] for value in values]
        self.etag = 1
        self.calls = []
        self.control = Control()
        self.faults = {}
        self.page = 100
        if values or secret:
            self.secret = {"replication": {"automatic": {}}, **secret}

    def call(self, api, method, path, *, what, query=None, body=None, headers=None, once=False):
        assert api == "secretmanager" and path.startswith("/v1/projects/demo/secrets")
        said = f"{method} {path.removeprefix('/v1/projects/demo/')}"
        assert once == said.endswith(":addVersion")
        self.calls.append(said)
        fault = next((fault for part, fault in self.faults.items() if part in said), None)
        if isinstance(fault, list):
            fault = fault.pop(0) if fault else None
        if callable(fault):
            fault = fault()
        if fault and not getattr(fault, "late", False):
            raise fault
        answer = self.answer(method, path.removeprefix("/v1/projects/demo/secrets"), query or {}, body)
        if fault:
            raise fault
        return answer

    def answer(self, method, path, query, body):
        if (method, path) == ("POST", ""):
            if self.secret is not None:
                raise ConflictError("Google refused: it exists (ALREADY_EXISTS).")
            assert query == {"secretId": "hf"}
            self.secret = body
            return {}
        if self.secret is None:
            raise NotFoundError("Google refused: not found (NOT_FOUND).")
        if path == "/hf":
            if method == "PATCH":
                assert query["updateMask"].split(",") == [key for key in body if key != "etag"]
                if body["etag"] != f'"{self.etag}"':
                    raise StoreError("Google refused: the etag is another one (FAILED_PRECONDITION).")
                self.secret.update(body)
                self.etag += 1
            if method == "DELETE":
                self.secret, self.versions = None, []
                return {}
            return {**self.secret, "etag": f'"{self.etag}"'}
        if path == "/hf:addVersion":
            data = base64.b64decode(body["payload"]["data"])
            assert body["payload"]["dataCrc32c"] == str(crc32c(data))
            self.versions.append([data.decode(), ENABLED])
            return self.version(len(self.versions))
        if path == "/hf/versions":
            start = int(query.get("pageToken", 0))
            newest_first = [self.version(number) for number in range(len(self.versions), 0, -1)]
            more = {"nextPageToken": str(start + self.page)} if start + self.page < len(self.versions) else {}
            return {"versions": newest_first[start : start + self.page], **more} if self.versions else {}
        return self.answer_version(*path.removeprefix("/hf/versions/").partition(":")[::2])

    def answer_version(self, number, verb):
        version = self.versions[int(number) - 1]
        if verb == "access":
            if version[1] != ENABLED:
                raise StoreError(f"Google refused: it is {version[1]} (FAILED_PRECONDITION).")
            data = version[0].encode()
            return {"payload": {"data": base64.b64encode(data).decode(), "dataCrc32c": str(crc32c(data))}}
        if verb:
            if version[1] == DESTROYED:
                raise StoreError("Google refused: it is destroyed (FAILED_PRECONDITION).")
            delayed = "versionDestroyTtl" in self.secret
            version[1] = {"disable": DISABLED, "destroy": DESTROY_SCHEDULED if delayed else DESTROYED}[verb]
        return self.version(int(number))

    def version(self, number):
        state = self.versions[number - 1][1]
        answer = {"name": f"projects/123/secrets/hf/versions/{number}", "state": state}
        if state == DESTROY_SCHEDULED:  # as the API says that
            answer |= {"state": DISABLED, "scheduledDestroyTime": "2026-12-01T00:00:00Z"}
        return answer

    @property
    def writes(self):
        return [call for call in self.calls if not call.startswith("GET")]


def lost(message="Nothing was answered."):
    """An error after the request was carried out."""
    error = TransientError(message)
    error.late = True
    return error


def store(google, **options):
    return GcpSecretManager(google, project="demo", name="hf", **options)


def test_create_and_again():
    google = Google()
    foreseen = store(google).present(TOKEN, check=True)
    assert google.writes == [] and foreseen.changed
    assert (foreseen.before, foreseen.version, foreseen.reference) == (None, None, None)
    made = store(google).present(TOKEN, check=False)
    assert google.writes == ["POST secrets", "POST secrets/hf:addVersion"]
    assert (made.name, made.version, made.previous_version) == (NAME, "1", None)
    assert made.reference == f"{NAME}/versions/1"
    assert made.after["token"] == foreseen.after["token"] == KEPT
    again = store(google).present(TOKEN, check=False)
    assert not again.changed and (again.version, again.previous_version) == ("1", None)
    assert again.before == made.after


@pytest.mark.parametrize("old", [OTHER, f"{TOKEN}\n"])
def test_rotation(old):
    google = Google(old)
    outcome = store(google).present(TOKEN, check=False)
    assert (outcome.version, outcome.previous_version) == ("2", "1")
    assert (outcome.before["token"], outcome.after["token"]) == (KEPT, REPLACED)
    assert google.versions == [[old, ENABLED], [TOKEN, ENABLED]]


def test_the_newest_version_was_disabled():
    google = Google(OTHER, TOKEN)
    google.versions[1][1] = DISABLED
    outcome = store(google).present(TOKEN, check=False)
    assert (outcome.version, outcome.previous_version) == ("3", "1")
    assert (outcome.before["token"], outcome.after["token"]) == (None, KEPT)


def test_many_versions_come_in_pages():
    google = Google(*[OTHER] * 10, TOKEN)
    google.page = 3
    assert store(google).present(TOKEN, check=False).version == "11"
    assert len([call for call in google.calls if call == "GET secrets/hf/versions"]) == 4


def test_somebody_else_creates_it_meanwhile():
    google = Google()

    def meanwhile():
        google.secret = {"replication": {"automatic": {}}, "labels": {"by": "other"}}

    google.faults["POST secrets"] = [meanwhile]
    outcome = store(google, labels={"by": "us"}).present(TOKEN, check=False)
    assert google.secret["labels"] == {"by": "us"} and outcome.version == "1"
    assert google.writes == ["POST secrets", "PATCH secrets/hf", "POST secrets/hf:addVersion"]


def test_somebody_else_changes_labels_meanwhile():
    google = Google(TOKEN)

    def meanwhile():
        google.secret["annotations"] = {"by": "other"}
        google.etag += 1

    google.faults["PATCH"] = [meanwhile, meanwhile]
    assert store(google, labels={"by": "us"}).present(TOKEN, check=False).changed
    assert google.secret["labels"] == {"by": "us"} and google.secret["annotations"] == {"by": "other"}
    assert google.writes == ["PATCH secrets/hf"] * 3
    google.faults["PATCH"] = meanwhile
    with pytest.raises(ConflictError):
        store(google, labels={"by": "none"}).present(TOKEN, check=False)


def test_the_answer_to_a_patch_is_lost_and_the_client_sends_it_again():
    google = Google(TOKEN)

    def applied():
        google.secret["labels"] = {"by": "us"}
        google.etag += 1

    google.faults["PATCH"] = [applied]
    assert store(google, labels={"by": "us"}).present(TOKEN, check=False).changed


def test_a_version_is_added_once_though_the_answer_is_lost():
    google = Google(OTHER)
    google.faults["addVersion"] = [lost()]
    outcome = store(google, keep_versions=1).present(TOKEN, check=False)
    assert google.versions == [[OTHER, DISABLED], [TOKEN, ENABLED]]
    assert (outcome.version, outcome.previous_version, outcome.after["token"]) == ("2", "1", REPLACED)


def test_a_version_that_did_not_get_there_is_added():
    google = Google(OTHER)
    google.faults["addVersion"] = [TransientError("Busy.")]
    assert store(google).present(TOKEN, check=False).version == "2"
    google.faults["addVersion"] = TransientError("Busy.")
    with pytest.raises(TransientError, match=r"Busy\. It may have been added"):
        store(google).present(OTHER, check=False)
    assert len(google.versions) == 2


def test_a_failure_on_the_way_says_what_was_done_and_the_next_run_does_the_rest():
    google = Google(OTHER)
    google.faults[":disable"] = [AccessError("Denied.", hint="Ask.")]
    with pytest.raises(AccessError) as raised:
        store(google, keep_versions=1).present(TOKEN, check=False)
    assert raised.value.hint == "Ask. Before that version 2 was added, and holds the token. The next run does the rest."
    rest = store(google, keep_versions=1).present(TOKEN, check=False)
    assert rest.changed and (rest.version, rest.previous_version, rest.after["token"]) == ("2", None, KEPT)
    assert google.versions == [[OTHER, DISABLED], [TOKEN, ENABLED]]


def test_destroyed_by_a_request_without_an_answer():
    google = Google(OTHER, TOKEN)

    def applied():
        google.versions[0][1] = DESTROYED

    google.faults[":destroy"] = [applied]
    assert store(google, keep_versions=1, old_versions="destroy").present(TOKEN, check=False).changed


def test_versions_whose_destruction_is_delayed():
    google = Google(OTHER, TOKEN, versionDestroyTtl="86400s")
    delayed = store(google, keep_versions=1, old_versions="destroy")
    first = delayed.present(TOKEN, check=False)
    assert first.changed and google.versions[0][1] == DESTROY_SCHEDULED
    again = delayed.present(TOKEN, check=False)
    assert not again.changed and again.before == first.after
    assert google.writes == ["POST secrets/hf/versions/1:destroy"]


def test_a_refusal_to_destroy_is_told():
    google = Google(OTHER, TOKEN)
    google.faults[":destroy"] = StoreError("No.")
    with pytest.raises(StoreError, match="No"):
        store(google, keep_versions=1, old_versions="destroy").present(TOKEN, check=False)


def test_damaged_on_its_way():
    google = Google(OTHER)
    original = google.answer

    def damaged(method, path, query, body):
        answer = original(method, path, query, body)
        if "payload" in answer:
            answer["payload"]["data"] = base64.b64encode(b"hf_damaged").decode()
        return answer

    google.answer = damaged
    with pytest.raises(IntegrityError, match="version 1"):
        store(google).present(TOKEN, check=False)
    assert google.writes == []


def test_hints():
    google = Google(OTHER)
    google.faults[":access"] = AccessError("Permission 'secretmanager.versions.access' denied (PERMISSION_DENIED).")
    with pytest.raises(AccessError, match=r"roles/secretmanager\.secretAccessor on the secret"):
        store(google).present(TOKEN, check=True)
    google.faults = {"addVersion": AccessError("Permission 'cloudkms.cryptoKeyVersions.useToEncrypt' denied.")}
    with pytest.raises(AccessError, match=r"service-PROJECT_NUMBER@gcp-sa-secretmanager"):
        store(google).present(TOKEN, check=False)
    assert google.versions == [[OTHER, ENABLED]]


def test_remove():
    google = Google(OTHER, TOKEN)
    google.versions[0][1] = DISABLED
    for check in (True, False):
        with pytest.raises(InputError, match=r"2 in all, 1 enabled.*destroy") as raised:
            store(google).absent(destroy=False, check=check)
        assert NAME in raised.value.message
    foreseen = store(google).absent(destroy=True, check=True)
    assert google.writes == [] and foreseen.changed and foreseen.before["versions"] == {"2": ENABLED, "1": DISABLED}
    google.faults["DELETE"] = [lambda: setattr(google, "secret", None)]  # somebody is faster
    assert store(google).absent(destroy=True, check=False) == foreseen
    for destroy in (True, False):
        assert not store(google).absent(destroy=destroy, check=False).changed
    assert google.writes == ["DELETE secrets/hf"]


def test_the_token_is_nowhere():
    google = Google(OTHER)
    there = store(google, keep_versions=1)
    outcome = there.present(TOKEN, check=False)
    assert TOKEN not in repr([outcome, there, vars(there)]) and OTHER not in repr([outcome, there, vars(there)])
