# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JUnit XML that a parser takes, with a case per verdict."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from ansible_collections.modelops.serving.plugins.module_utils._bench import junit, slo

RESULTS = [
    slo.Result("ttft_p99_ms", 0, 200.0, 150.0, 0.999, 0.99, 1.0, "passed"),
    slo.Result("error_rate", 0, 0.01, 0.05, None, 0.03, 0.08, "failed"),
    slo.Result("usd_per_mtok_max", 1, 2.0, None, None, None, None, "inconclusive"),
]


def test_every_verdict_is_a_case():
    text = junit.render('a"run\x00<1>', {0: [], 1: ["Too <slow>.", "Too late."]}, RESULTS)
    suite = ET.fromstring(text)[0]
    assert suite.attrib == {"name": 'a"run<1>', "tests": "5", "failures": "1", "errors": "1", "skipped": "1"}
    outcomes = {
        (case.get("classname"), case.get("name")): [(child.tag, child.get("message")) for child in case]
        for case in suite
    }
    assert outcomes == {
        ("stage 0", "valid"): [],
        ("stage 1", "valid"): [("error", "Too <slow>. Too late.")],
        ("stage 0", "ttft_p99_ms"): [],
        ("stage 0", "error_rate"): [("failure", "measured 0.05, limit 0.01 (95 % interval 3.00% to 8.00%)")],
        ("stage 1", "usd_per_mtok_max"): [("skipped", "measured nothing, limit 2")],
    }
