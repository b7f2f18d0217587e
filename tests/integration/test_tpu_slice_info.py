# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tpu_slice_info and the filters: real runs of ansible-playbook."""

from __future__ import annotations

MODULE = "modelops.serving.tpu_slice_info"
IGNORE = {"ignore_errors": True}
QWEN3_32B = {"parameters": "32.8B", "num_hidden_layers": 64, "num_key_value_heads": 8, "head_dim": 128}


def task(keywords=None, **options):
    return {MODULE: options, **(keywords or {})}


def test_slices_models_and_lists(playbooks):
    filters = {
        "ansible.builtin.set_fact": {
            "found": "{{ 'v6e' | modelops.serving.tpu_slice('4x4', capacity='spot') }}",
            "listed": "{{ 'v5e' | modelops.serving.tpu_topologies }}",
        }
    }
    run = playbooks.tasks(
        [
            task(accelerator="v6e", topology="2x4"),
            task(
                accelerator="v6e", topology="4x4", capacity="spot", engine="vllm", boot_disk_type="hyperdisk-balanced"
            ),
            task(accelerator="v6e", model=QWEN3_32B | {"max_model_len": 32768}),
            task(accelerator="v5e", chips=4, model=QWEN3_32B),
            task(generation="v5p", keywords={"check_mode": True}),
            task(),
            task(accelerator="v6e-8", capacity="compute_class", compute_class="tpu-v6e-2x4"),
            filters,
        ]
    )
    one, spot, smallest, unfit, listed, all_of_them, classed, facts = run.ok().results
    assert run.recap == {"ok": 9, "changed": 1, "failed": 0}  # the change is the file of results

    assert (one["slice"]["hosts"], one["slice"]["alternatives"]) == (1, ["ct6e-standard-4t"])
    assert "could be 2 hosts ct6e-standard-4t" in run.output
    assert one["parallelism"] == {"tensor": 8, "pipeline": 1, "data": 1}
    assert spot["scheduling"]["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
    assert (spot["node_pool"]["node_count"], spot["node_pool"]["spot"]) == (4, True)
    assert (smallest["slice"]["topology"], smallest["fit"]["fits"]) == ("2x2", True)
    assert smallest["fit"]["kv_tokens"] >= 32768
    assert (unfit["slice"]["topology"], unfit["fit"]["fits"]) == ("2x2", False)
    assert "2x4 (8 chips)" in unfit["fit"]["hint"]
    (v5p,) = listed["generations"]
    assert len(v5p["topologies"]) == 414 and "slice" not in listed
    assert "tpu7x" in [generation["name"] for generation in all_of_them["generations"]]
    assert classed["node_pool"] is None
    assert classed["scheduling"]["nodeSelector"] == {"cloud.google.com/compute-class": "tpu-v6e-2x4"}

    found = facts["ansible_facts"]["found"]
    assert found["node_selector"] == spot["scheduling"]["nodeSelector"]
    assert found["resources"] == spot["slice"]["resources"]
    assert facts["ansible_facts"]["listed"][:2] == ["1x1", "2x2"]


def test_what_cannot_be_is_refused_with_a_way_out(playbooks):
    wishes = [
        ({"accelerator": "v6e", "topology": "3x4"}, "v6e has no topology 3x4. Valid are 1x1"),
        ({"accelerator": "v6e", "chips": 12}, "no slice of 12 chips"),
        ({"accelerator": "v6e", "chips": 8, "engine": "saxml"}, "saxml does not know v6e"),
        ({"accelerator": "v6e", "chips": 4, "capacity": "flex_start", "reservation": "r"}, "exclude each other"),
        ({"accelerator": "v6e", "chips": 4, "tensor_parallel": 8}, "needs more"),
        ({"accelerator": "tpu-v5-podslice", "chips": 4}, "That of v5p is tpu-v5p-slice"),
        ({"accelerator": "v6e", "chips": 1, "boot_disk_type": "pd-ssd"}, "hyperdisk-balanced"),
        ({"accelerator": "v5e", "chips": 4, "model": {"parameters": "27B"}, "fail_on_unfit": True}, "50.3 GiB"),
        ({"accelerator": "v5e", "model": {"parameters": "100T"}}, "take another generation"),
        ({"accelerator": "v5e", "model": {"parameters": "many"}}, "no number of parameters"),
        ({"topology": "2x4"}, "accelerator"),
    ]
    run = playbooks.tasks([task(IGNORE, **wish) for wish, message in wishes])
    assert [result["failed"] for result in run.ok().results] == [True] * len(wishes)
    for result, (wish, message) in zip(run.results, wishes, strict=True):
        assert message in result["msg"], wish
    assert run.results[0]["error"] == {
        "kind": "TpuError",
        "message": "v6e has no topology 3x4.",
        "hint": "Valid are 1x1, 2x2, 2x4, 4x4, 4x8, 8x8, 8x16, 16x16.",
    }
