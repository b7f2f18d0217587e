# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._aws.secrets_manager import (
    SID,
    Secret,
    SecretsManager,
    Wish,
    check_options,
    describe,
    parse,
    same_key,
    with_readers,
)
from ansible_collections.modelops.serving.plugins.module_utils._token_secret.store import KEPT, REPLACED
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    ConflictError,
    InputError,
)

ROLE, OTHER = "arn:aws:iam::123456789012:role/server", "arn:aws:sts::123456789012:assumed-role/a/b"
THEIRS = {"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "secretsmanager:*", "Resource": "*"}
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234-5678"
ALIAS = "arn:aws:kms:eu-central-1:123456789012:alias/models"
FOUND = Secret("hf", arn="arn", version="v2", previous="v1", value={"token": "a", "other": "b"}, tags={"aws:x": "1"})
WISH = Wish(("token",))


def test_nothing_to_do():
    assert WISH.of(FOUND, "a") == FOUND
    assert Wish(("token",), tags={}, kms_key="alias/aws/secretsmanager", keep_versions=2).of(FOUND, "a") == FOUND


def test_rotation():
    wanted = WISH.of(FOUND, "c")
    assert wanted.value == {"token": "c", "other": "b"}
    assert (wanted.version, wanted.previous) == (None, "v2")
    assert Wish(("token",), keep_versions=1).of(FOUND, "c").previous is None
    assert Wish(("token",), keep_versions=1).of(FOUND, "a") == Secret(**{**vars(FOUND), "previous": None})


@pytest.mark.parametrize("value", ["a", '["a"]', b"a", None])
def test_what_is_no_object_is_replaced(value):
    wanted = WISH.of(Secret("hf", value=value), "a")
    assert wanted.value == {"token": "a"} and wanted.version is None


def test_tags_are_the_whole_of_them_but_those_of_aws():
    tagged = Secret("hf", tags={"aws:x": "1", "a": "1", "b": "2"})
    assert Wish((), tags={"a": "2"}).of(tagged, "").tags == {"aws:x": "1", "a": "2"}
    assert Wish(()).of(tagged, "").tags == tagged.tags


@pytest.mark.parametrize(
    ("given", "found", "same"),
    [
        (KEY, KEY, True),
        ("1234-5678", KEY, True),
        (KEY, "1234-5678", True),
        ("alias/models", ALIAS, True),
        ("alias/aws/secretsmanager", None, True),
        ("5678", KEY, False),
        ("models", "alias/models", True),  # no key has such an id
        ("alias/models", KEY, False),
        ("alias/models", None, False),
    ],
)
def test_spellings_of_keys(given, found, same):
    assert same_key(given, found) is same


def statement(*readers):
    return {
        "Sid": SID,
        "Effect": "Allow",
        "Principal": {"AWS": list(readers)},
        "Action": ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"],
        "Resource": "*",
    }


def policy(*statements):
    return {"Version": "2012-10-17", "Statement": list(statements)}


def test_readers():
    assert with_readers(None, [ROLE, ROLE]) == policy(statement(ROLE))
    assert with_readers(policy(THEIRS), [ROLE]) == policy(THEIRS, statement(ROLE))
    assert with_readers({**policy(), "Statement": THEIRS, "Id": "x"}, [ROLE]) == {
        **policy(THEIRS, statement(ROLE)),
        "Id": "x",
    }
    assert with_readers(policy(statement(ROLE), THEIRS), [OTHER]) == policy(THEIRS, statement(OTHER))
    assert with_readers(policy(statement(ROLE), THEIRS), []) == policy(THEIRS)
    assert with_readers(policy(statement(ROLE)), []) is None
    assert with_readers(None, []) is None


def test_readers_that_are_there_are_left_as_aws_writes_them():
    one = {**statement(), "Principal": {"AWS": ROLE}, "Action": statement()["Action"][::-1]}
    for live, readers in ((policy(one), [ROLE]), (policy(statement(OTHER, ROLE)), [ROLE, OTHER])):
        before = copy.deepcopy(live)
        assert with_readers(live, readers) == before == live
    limited = {**statement(ROLE), "Condition": {"Bool": {"aws:SecureTransport": "true"}}}
    assert with_readers(policy(limited), [ROLE]) == policy(statement(ROLE))
    assert with_readers(policy(THEIRS), []) == policy(THEIRS)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": "a b"}, "cannot be the name"),
        ({"name": "arn:aws:x"}, "cannot be the name"),
        ({"keep_versions": 3}, "cannot keep 3 versions"),
        ({"keep_versions": 0}, "cannot keep 0 versions"),
        ({"recovery_window": 6}, "cannot be 6 days"),
        ({"recovery_window": 31}, "cannot be 31 days"),
        ({"readers": ["*"]}, "not the ARN"),
        ({"readers": [ROLE, "123456789012"]}, "not the ARN"),
        ({"readers": ["arn:aws:iam::123456789012:role/*"]}, "not the ARN"),
    ],
)
def test_options_that_cannot_be(changes, text):
    good = {"name": "models/hf_1+=.@-", "keep_versions": 2, "recovery_window": 0, "readers": [ROLE, OTHER]}
    check_options(**good)
    with pytest.raises(InputError, match=text):
        check_options(**(good | changes))


def test_values():
    assert parse('{"a": 1}') == {"a": 1}
    assert [parse(raw) for raw in ("hf_x", "[1]", "1", b"x", None)] == ["hf_x", "[1]", "1", b"x", None]


def test_descriptions_hide_values():
    shown = describe(FOUND)
    expected = {"Name": "hf", "Tags": {"aws:x": "1"}, "AWSPREVIOUS": "v1", "AWSCURRENT": {"other": KEPT, "token": KEPT}}
    assert shown == expected
    assert describe(WISH.of(FOUND, "c"), FOUND)["AWSCURRENT"] == {"other": KEPT, "token": REPLACED}
    assert describe(Secret("hf", version="v1", value="canary"))["AWSCURRENT"] == KEPT
    assert "AWSCURRENT" not in describe(Secret("hf"))
    assert "canary" not in repr(Secret("hf", value="canary"))


class Api:
    """Stands for AwsClient: answers by operation, in turn; an exception is raised."""

    def __init__(self, **answers):
        self.answers = {operation: list(given) for operation, given in answers.items()}
        self.asked = []

    def call(self, operation, *, what, **arguments):
        self.asked.append((operation, arguments))
        answer = self.answers[operation].pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def manager(api, **changes):
    given = {"name": "hf", "keys": ("token",), "labels": None, "kms_key": None, "keep_versions": None}
    return SecretsManager(api, **(given | {"recovery_window": 30, "readers": None} | changes))


def described(*versions, **more):
    labels = ("AWSCURRENT", "AWSPREVIOUS")
    return {
        "Name": "hf",
        "ARN": "arn",
        "VersionIdsToStages": {version: [label] for version, label in zip(versions, labels, strict=False)},
        **more,
    }


def test_it_looks_again_once_when_somebody_was_faster():
    api = Api(
        describe_secret=[described("v1"), described("v2", "v1")],
        get_secret_value=[{"SecretString": '{"token": "a"}'}, {"SecretString": '{"token": "b"}'}],
        put_secret_value=[ConflictError("exists")],
    )
    outcome = manager(api).present("b", check=False)
    assert not outcome.changed and outcome.version == "v2" and outcome.previous_version is None

    api = Api(
        describe_secret=[described("v1")] * 2,
        get_secret_value=[{"SecretString": "{}"}] * 2,
        put_secret_value=[ConflictError("exists")] * 2,
    )
    with pytest.raises(ConflictError):
        manager(api).present("b", check=False)


def test_a_write_whose_answer_was_lost_counts_as_ours():
    """AWS refuses to take AWSPREVIOUS away twice, and has it done."""
    api = Api(
        describe_secret=[described("v1", "v0")],
        get_secret_value=[{"SecretString": '{"token": "a"}'}] * 2,
        update_secret_version_stage=[InputError("not attached")],
    )
    api.answers["describe_secret"].append(described("v1"))
    outcome = manager(api, keep_versions=1).present("a", check=False)
    assert outcome.version == "v1" and len(api.asked) == 5


def test_what_was_done_before_it_failed_is_told():
    api = Api(
        describe_secret=[described("v1")],
        get_secret_value=[{"SecretString": "{}"}],
        update_secret=[{}],
        put_secret_value=[AccessError("refused.", hint="Ask.")],
    )
    with pytest.raises(AccessError, match=r"refused\. Done before: changed its key\. Ask\."):
        manager(api, kms_key="alias/x").present("b", check=False)


def test_nothing_is_deleted_in_check_mode_or_without_the_word():
    api = Api(describe_secret=[described("v1")] * 3)
    assert manager(api).absent(destroy=True, check=True).changed
    for check in (True, False):
        with pytest.raises(InputError, match="destroy: true"):
            manager(api).absent(destroy=False, check=check)
    assert {operation for operation, _arguments in api.asked} == {"describe_secret"}


def test_a_deletion_whose_answer_was_lost():
    api = Api(
        describe_secret=[described("v1"), described("v1", DeletedDate="x")], delete_secret=[ConflictError("gone")]
    )
    assert manager(api).absent(destroy=True, check=False).changed
    api = Api(describe_secret=[described("v1")] * 2, delete_secret=[ConflictError("replicated")])
    with pytest.raises(ConflictError):
        manager(api, recovery_window=0).absent(destroy=True, check=False)
    assert api.asked[1] == ("delete_secret", {"SecretId": "arn", "ForceDeleteWithoutRecovery": True})
