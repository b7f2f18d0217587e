# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""hf_token_info: real runs of ansible-playbook against a local Hub."""

from __future__ import annotations

MODULE = "modelops.serving.hf_token_info"
PUBLIC, GATED, PRIVATE, NOWHERE = "local/many-files", "local/gated-llama", "local/private-llama", "local/nowhere"
NO_CONFIG = "local/tiny-gguf"
MODELS = [PUBLIC, GATED, PRIVATE, NOWHERE, NO_CONFIG]
IGNORE = {"ignore_errors": True}


def task(hub, keywords=None, **options):
    return {MODULE: {"endpoint": hub.endpoint, **options}, **(keywords or {})}


def access(result):
    return [model["access"] for model in result["models"]]


def test_each_kind_of_token(hub, playbooks):
    kinds = ["reader", "writer", "fine_grained", "stranger", "revoked"]
    tasks = [task(hub, token=hub.tokens[kind], models=MODELS) for kind in kinds]
    run = playbooks.tasks([*tasks, task(hub, models=MODELS), task(hub, token=hub.tokens["reader"], models=[PUBLIC])])
    *found, anonymous, usable = run.ok().results

    assert run.recap == {"ok": 8, "changed": 1, "failed": 0}  # the change is the file of results
    assert {kind: access(result) for kind, result in zip(kinds, found, strict=True)} == {
        "reader": ["yes", "yes", "yes", "not_found", "yes"],
        "writer": ["yes", "yes", "yes", "not_found", "yes"],
        "fine_grained": ["yes", "yes", "not_found", "not_found", "yes"],
        "stranger": ["yes", "gated", "not_found", "not_found", "yes"],
        "revoked": ["revoked"] * 5,
    }
    assert access(anonymous) == ["yes", "gated", "not_found", "not_found", "yes"]
    roles = [result["token"] and (result["token"]["name"], result["token"]["role"]) for result in found]
    expected = [("reader", "read"), ("writer", "write"), ("fine_grained", "fineGrained"), ("stranger", "read"), None]
    assert roles == expected
    assert found[2]["token"]["scopes"] == [{"entity": GATED, "type": "model", "permissions": ["repo.content.read"]}]
    assert found[2]["token"]["can_read_gated_repos"] is True
    assert [result["valid"] for result in (*found, anonymous)] == [True] * 4 + [False] * 2
    assert [result["usable"] for result in (*found, anonymous, usable)] == [False] * 6 + [True]

    commits = [hub.repository(name).main for name in (PUBLIC, GATED, PRIVATE)]
    assert [model["revision"] for model in found[0]["models"]] == [*commits, None, hub.repository(NO_CONFIG).main]
    assert found[3]["models"][1]["page"] == f"{hub.endpoint}/{GATED}"
    assert found[3]["models"][1]["page"] in found[3]["models"][1]["hint"]
    # One small request for each model, and none for the content of a file.
    assert {(request.kind, request.method) for request in hub.requests()} == {("whoami", "GET"), ("resolve", "HEAD")}
    assert len(hub.requests("/resolve/")) == 5 * len(MODELS) + 1


def test_a_preflight_names_every_model_and_what_to_do(hub, playbooks):
    stranger, revoked = hub.tokens["stranger"], hub.tokens["revoked"]
    run = playbooks.tasks(
        [
            task(hub, token=stranger, models=MODELS, fail_on_unusable=True, keywords=IGNORE),
            task(hub, token=revoked, models=[PUBLIC], fail_on_unusable=True, keywords=IGNORE),
            task(hub, fail_on_unusable=True, keywords=IGNORE),
            task(hub, models=[PUBLIC], fail_on_unusable=True),
            task(hub, token=stranger, models=[PUBLIC], fail_on_unusable=True, keywords={"check_mode": True}),
        ]
    )
    refused, dead, nothing, *fine = run.ok().results
    assert [result["failed"] for result in run.results] == [True] * 3 + [False] * 2
    assert all(result["usable"] for result in fine)
    for name, what in ((GATED, "is gated"), (PRIVATE, "does not exist, or is private"), (NOWHERE, "does not exist")):
        assert f"{name} on {hub.endpoint} {what}" in refused["msg"]
        assert f"{hub.endpoint}/{name}" in refused["error"]["hint"]
    assert f"{PUBLIC} on" not in refused["msg"]
    assert (refused["error"]["kind"], access(refused)[1]) == ("AccessError", "gated")
    assert f"{hub.endpoint} refuses the token" in dead["msg"] and "/settings/tokens" in dead["msg"]
    assert "HF_TOKEN" in nothing["msg"]


def test_where_the_token_and_the_hub_come_from(hub, playbooks, tmp_path):
    file = tmp_path / "token"
    file.write_text(f" {hub.tokens['writer']}\n")
    run = playbooks.tasks(
        [
            {MODULE: {"models": [GATED]}},
            {MODULE: {"token_file": str(file)}},
            {MODULE: {"hf_token": f"{hub.tokens['stranger']}\n", "models": [GATED]}},
            {MODULE: {"token": "hf_two words", "models": [PUBLIC]}, **IGNORE},
            {MODULE: {"token_file": f"{file}.gone"}, **IGNORE},
        ],
        env={"HF_TOKEN": hub.tokens["reader"], "HF_ENDPOINT": hub.endpoint},
    ).ok()
    environment, by_file, by_option, malformed, gone = run.results
    assert (environment["token"]["name"], access(environment)) == ("reader", ["yes"])
    assert (by_file["token"]["name"], by_file["usable"]) == ("writer", True)
    assert (by_option["token"]["name"], access(by_option)) == ("stranger", ["gated"])
    assert "white space around it" in by_file["warnings"][0] and "white space around it" in by_option["warnings"][0]
    assert "warnings" not in environment
    assert malformed["failed"] and "illegal characters inside" in malformed["msg"]
    assert gone["failed"] and "cannot be read" in gone["msg"]
    # What is no token was never sent, nor the one of the environment in its place.
    assert len(hub.requests("/resolve/")) == 2
    assert len(hub.requests("whoami")) == 3


def test_other_words_of_the_hub(hub, playbooks):
    asked = f"Your request to access model {GATED}"
    coded = {"X-Error-Code": "GatedRepo"}
    words = [
        (f"{asked} is awaiting a review from the repo authors.", coded),
        (f"{asked} has been rejected by the repo's authors.", coded),
        ("Please enable access to public gated repositories in your fine-grained token settings to view it.", {}),
    ]
    for message, headers in words:
        hub.faults.add("status", match="gated-llama/resolve", code=403, headers=headers, message=message, times=1)
    run = playbooks.tasks([task(hub, token=hub.tokens["stranger"], models=[GATED]) for _word in words]).ok()
    found = [result["models"][0] for result in run.results]
    assert [model["access"] for model in found] == ["pending", "gated", "gated"]
    assert "Wait" in found[0]["hint"]
    assert "use another account" in found[1]["hint"]
    assert f"{hub.endpoint}/settings/tokens" in found[2]["hint"]


def test_a_hub_in_trouble(hub, playbooks):
    hub.faults.add("status", match="whoami", code=429, retry_after=0, times=1)
    hub.faults.add("status", match="many-files/resolve", code=503, retry_after=0, times=1)
    hub.faults.add("status", match="tiny-gguf/resolve", code=503, retry_after=0)
    reader = {"token": hub.tokens["reader"], "attempts": 2}
    silent = "http://127.0.0.1:9"
    run = playbooks.tasks(
        [
            task(hub, models=[PUBLIC, NO_CONFIG, GATED], **reader),
            {MODULE: {"endpoint": silent, "models": [PUBLIC], "attempts": 1}},
            {MODULE: {"endpoint": silent, **reader, "attempts": 1}, **IGNORE},
        ]
    )
    found, unknown, failed = run.ok().results
    assert access(found) == ["yes", "unknown", "yes"]
    assert "HTTP 503" in found["models"][1]["message"] and not found["usable"]
    assert access(unknown) == ["unknown"]
    assert failed["failed"] and silent in failed["msg"]


def test_the_token_is_nowhere(hub, playbooks, tmp_path):
    tokens = hub.tokens
    file = tmp_path / "token"
    file.write_text(f"{tokens['writer']}\n")
    inside = f"{tokens['fine_grained']} {tokens['fine_grained']}"
    run = playbooks.tasks(
        [
            task(hub, token=f" {tokens['reader']}\n", models=MODELS),
            task(hub, token_file=str(file), models=MODELS, fail_on_unusable=True, keywords=IGNORE),
            task(hub, token=tokens["revoked"], models=MODELS, fail_on_unusable=True, keywords=IGNORE),
            task(hub, token=inside, keywords=IGNORE),
            task(hub, models=MODELS),
            {MODULE: {"endpoint": "http://127.0.0.1:9", "attempts": 1}, **IGNORE},
        ],
        "-vvvv",
        "--diff",
        env={"HF_TOKEN": tokens["stranger"]},
    ).ok()
    assert [result["failed"] for result in run.results] == [False, True, True, True, False, True]
    assert run.results[4]["token"]["name"] == "stranger"
    results = (tmp_path / "results.json").read_text()
    for value in tokens.values():
        assert value not in run.output
        assert value not in results
        assert not any(value in request.path for request in hub.requests())
    assert playbooks.leftovers() == []
