# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order files of tests are begun: with several workers, the file that ends last decides how long all of it takes."""

from __future__ import annotations

#: Files that take minutes, the longest first.
_LONG = (
    "test_role_serving",
    "test_model_sync_module",
    "test_model_sync_job_faults",
    "test_kube_objects",
    "test_model_sync_job",
    "test_hf_token_secret",
    "test_role_hf_token",
    "test_local_services",
    "test_kill",
    "test_tpu_serving",
    "test_inference_benchmark_job",
    "test_kserve",
    "test_role_base_environment",
    "test_role_bootstrap",
    "test_role_perf_testing",
    "test_gke",
    "test_role_model_sync_cluster",
    "test_hf_token_secret_gcp",
    "test_kube_diagnosis",
    "test_gcp_iam",
    "test_sweep",
    "test_tpu_serving_faults",
    "test_secret_provider_class",
    "test_model_status",
    "test_stores",
    "test_quickstart",
)


def pytest_collection_modifyitems(items) -> None:
    ranks = {name: rank for rank, name in enumerate(_LONG)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(_LONG)))
