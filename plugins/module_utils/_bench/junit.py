# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdicts as JUnit XML, which continuous integration shows."""

from __future__ import annotations

import re
import typing as t
from html import escape

from .slo import Result

#: Characters that XML 1.0 does not have, even escaped.
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(run_id: str, invalid: t.Mapping[int, t.Sequence[str]], results: t.Sequence[Result]) -> str:
    """One case per stage for its honesty (``invalid``: stage -> reasons, empty when it is valid) and one per objective.

    An invalid stage is an error, a missed objective a failure; inconclusive ones are skipped.
    """
    cases = [_case(f"stage {stage}", "valid", _about_stage(reasons)) for stage, reasons in sorted(invalid.items())]
    cases += [_case(f"stage {result.stage}", result.name, _about_result(result)) for result in results]
    counts = {tag: sum(f"<{tag} " in case for case in cases) for tag in ("failure", "error", "skipped")}
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n'
        f'  <testsuite name={_quoted(run_id)} tests="{len(cases)}" failures="{counts["failure"]}" '
        f'errors="{counts["error"]}" skipped="{counts["skipped"]}">\n'
        + "".join(cases)
        + "  </testsuite>\n</testsuites>\n"
    )


def _case(stage: str, name: str, content: str) -> str:
    head = f"    <testcase classname={_quoted(stage)} name={_quoted(name)}"
    return f"{head}>\n      {content}\n    </testcase>\n" if content else f"{head}/>\n"


def _about_stage(reasons: t.Sequence[str]) -> str:
    return f"<error message={_quoted(' '.join(reasons))}/>" if reasons else ""


def _about_result(result: Result) -> str:
    if result.verdict == "passed":
        return ""
    seen = "nothing" if result.observed is None else f"{result.observed:.6g}"
    message = f"measured {seen}, limit {result.limit:.6g}"
    if result.attainment is not None:
        message += f", {result.attainment:.2%} of the requests within the limit"
    if result.low is not None and result.high is not None:
        message += f" (95 % interval {result.low:.2%} to {result.high:.2%})"
    tag = "failure" if result.verdict == "failed" else "skipped"
    return f"<{tag} message={_quoted(message)}/>"


def _quoted(text: str) -> str:
    return f'"{escape(_NOT_XML.sub("", text))}"'
