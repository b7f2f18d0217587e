# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""inference-perf 0.7.0 as it is, but for two things.

It takes the key of the endpoint from its configuration, which it prints and stores with its results: here the key comes
from the environment and goes nowhere else. And of each request it tells when it was sent, but not when it was due.
"""

from __future__ import annotations

import os
import typing as t


def main() -> None:
    """Everything else is as the command ``inference-perf`` does it, with its arguments."""
    import inference_perf.main as tool  # type: ignore[import-not-found]  # only the container has it
    from inference_perf.reportgen import base  # type: ignore[import-not-found]  # likewise

    client, entry = tool.vLLMModelServerClient, base.build_per_request_lifecycle_entry

    def with_key(*args: t.Any, **kwargs: t.Any) -> t.Any:
        return client(*args, **(kwargs | {"api_key": os.environ.get("OPENAI_API_KEY") or None}))

    def with_schedule(metric: t.Any, *args: t.Any, **kwargs: t.Any) -> dict[str, t.Any]:
        return {"scheduled_time": metric.scheduled_time, **entry(metric, *args, **kwargs)}

    tool.vLLMModelServerClient = with_key
    base.build_per_request_lifecycle_entry = with_schedule
    tool.main_cli()


if __name__ == "__main__":
    main()
