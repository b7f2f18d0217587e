# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines are those of saxml/server/model_service_base.py of github.com/google/saxml."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._sax.door import Status
from ansible_collections.modelops.serving.plugins.module_utils._sax.model import Model
from ansible_collections.modelops.serving.plugins.module_utils._sax.servers import Load, Servers, read, reasons

LLAMA = "/sax/test/llama"
PATH = "saxml.lm.LLaMA7B"
LOADING = f"I1 model_service_base.py:646] Loading model for key: {LLAMA}"
LOADED = f"I2 model_service_base.py:682] Successfully loaded model for key: {LLAMA}"
FAILED = f"E3 model_service_base.py:1817] Invalid load request. model_key: {LLAMA}, model_path: {PATH}, error: Why"
JOINED = "I0 model_service_base.py:1041] Started joining SAX cell /sax/test"
SERVABLE = f"I0 model_service_base.py:1003] Servable model {PATH}"


def servers(*logs, replicas=None):
    """Servers of one Pod each."""
    metadata = {"name": "sax-model", "namespace": "demo"}
    spec = {"replicas": len(logs) if replicas is None else replicas}
    workload = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    return Servers(workload, {f"pod-{number}": (tuple(log),) for number, log in enumerate(logs)})


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        ([], "unknown"),
        ([JOINED, f"Received load: {LLAMA}"], "unknown"),
        ([LOADING], "loading"),
        ([LOADING, LOADED, "I9 something else"], "loaded"),
        ([LOADED, LOADING], "loading"),
        ([LOADING, FAILED], "failed"),
        ([FAILED, LOADING, LOADED], "loaded"),
        ([f"{LOADED}-2", f"x{LOADED}_2"], "unknown"),
        (["E1 Internal error during loading. model_key: /sax/test/llama, model_path: x, error: y"], "failed"),
        (["E1 Error occurred during loading: /sax/test/llama, error: y"], "failed"),
    ],
)
def test_what_a_log_says_at_last(lines, state):
    assert read(tuple(lines), LLAMA).state == state


def test_a_failure_is_told_from_its_line_on():
    found = read((LOADING, FAILED, "Traceback:", "  ValueError"), LLAMA)
    assert found == Load("failed", f"{FAILED}\nTraceback:\n  ValueError")


def test_lines_of_before_say_nothing():
    assert read((LOADING, LOADED), LLAMA, frozenset({LOADING, LOADED})).state == "unknown"
    assert read((LOADED, LOADING), LLAMA, frozenset({LOADING})).state == "loaded"


def test_a_server_of_several_hosts_is_as_far_as_its_slowest():
    def state(*logs):
        return Servers(None, {"job": tuple((log,) for log in logs)}).loads(LLAMA)["job"].state

    assert state(LOADED, LOADED) == "loaded"
    assert state(LOADED, LOADING) == "loading"
    assert state(LOADED, JOINED) == "unknown"
    assert state(FAILED, LOADING) == "failed"


@pytest.mark.parametrize(
    ("assigned", "logs", "replicas", "certain", "enough"),
    [
        (1, [LOADED], 1, True, True),
        (1, [LOADED], 2, True, False),
        (0, [LOADED], 1, True, False),  # of before: it was taken away since
        (1, [JOINED], 1, True, False),
        (1, [JOINED], 1, False, True),  # the log may have been rotated since
        (2, [JOINED, LOADING], 2, False, False),
        (1, [LOADING, JOINED], 1, False, False),
        (1, [FAILED, LOADED], 1, True, True),
        (0, [], 0, True, True),
    ],
)
def test_when_enough_servers_have_loaded_it(assigned, logs, replicas, certain, enough):
    found = servers(*([log] for log in logs))
    status = Status(assigned, "", found, found.loads(LLAMA))
    assert status.enough(replicas, certain=certain) is enough


def said(found, replicas=1, path=PATH, **others):
    return [(reason.message, reason.fatal) for reason in reasons(found, Model(LLAMA, path, "None", replicas), others)]


def test_reasons_for_too_few_replicas():
    (none,) = said(Servers(None, {}))
    assert none == ("The instance has no model servers.", True)
    (few,) = said(servers([JOINED]), replicas=2)
    assert few == (f"Deployment demo/sax-model is to have 1 model servers, and {LLAMA} is to have 2 replicas.", True)
    (busy,) = said(servers([JOINED], [JOINED]), other=2)
    assert busy == ("Other models of the cell have model servers: other (2).", False)
    assert said(servers([JOINED], [JOINED]), other=1) == []
    (late,) = said(servers([JOINED], ["starting"]))
    assert late == ("The log of pod-1 does not say that it has joined the cell.", False)
    (away,) = said(servers(replicas=1))
    assert away == ("There is no Pod of a model server yet.", False)


def test_reasons_of_the_class():
    log = [
        SERVABLE,
        "I0 x] Servable model alias llama for y",
        f"I0 x] Skipping unsupported model {PATH}Large, too small",
        JOINED,
    ]
    assert said(servers(log)) == said(servers(log), path="llama") == []
    assert said(servers(log), path=f"{PATH}Large") == [(f"The model servers do not serve {PATH}Large: too small", True)]
    (found,) = reasons(servers(log), Model(LLAMA, "saxml.lm.LLaMA7", "None", 1), {})
    assert (found.message, found.hint, found.fatal) == (
        "No model server knows saxml.lm.LLaMA7.",
        f"Near are {PATH}.",
        True,
    )
