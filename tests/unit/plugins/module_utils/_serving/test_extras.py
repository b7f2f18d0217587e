# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._serving import build, extras
from ansible_collections.modelops.serving.plugins.module_utils._serving.engine import Port
from ansible_collections.modelops.serving.plugins.module_utils._serving.extras import (
    Access,
    Autoscaling,
    Canary,
    Extras,
    Ladder,
    Monitoring,
    Pool,
    Route,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving.instances import (
    Several,
    cpu,
    instance,
    of_kind,
    tpu,
)

GROUP = {"leaderworkerset.sigs.k8s.io/worker-index": "0"}
MULTI = instance(hardware=tpu("v6e", "4x4"))
ON_LADDER = instance(hardware=tpu(capacity=Capacity("compute_class", compute_class="tpu-v6e-2x4")))
ROUTE = Route(({"name": "gateway"},))


@pytest.mark.parametrize(("made", "kind"), [(cpu(), "Deployment"), (MULTI, "LeaderWorkerSet")])
def test_replicas_are_the_autoscalers(made, kind):
    wanted = Extras(autoscaling=Autoscaling(4, target=5))
    build.check(made, wanted)
    spec = of_kind("HorizontalPodAutoscaler", made, wanted)["spec"]
    assert (spec["scaleTargetRef"]["kind"], spec["minReplicas"], spec["maxReplicas"]) == (kind, 1, 4)
    (metric,) = spec["metrics"]
    assert metric["pods"]["metric"]["name"] == "prometheus.googleapis.com|vllm:num_requests_waiting|gauge"
    assert metric["pods"]["target"]["averageValue"] == "5"
    assert "replicas" not in of_kind(kind, made, wanted)["spec"]
    assert "replicas" in of_kind(kind, made)["spec"]


def test_keda_asks_prometheus_for_this_instance():
    wanted = Extras(autoscaling=Autoscaling(2, 0, "keda", prometheus="http://prometheus:9090"))
    build.check(cpu(), wanted)
    spec = of_kind("ScaledObject", cpu(), wanted)["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 2)
    (trigger,) = spec["triggers"]
    assert trigger["metadata"] == {
        "serverAddress": "http://prometheus:9090",
        "query": 'sum(vllm:num_requests_waiting{namespace="serving",pod=~"gemma-.*"})',
        "threshold": "10",
    }


@pytest.mark.parametrize(
    ("kind", "made", "field"),
    [("PodMonitoring", "pod_monitoring", "endpoints"), ("PodMonitor", "pod_monitor", "podMetricsEndpoints")],
)
def test_metrics_are_those_of_pods_that_have_some(kind, made, field):
    wanted = Extras(monitoring=Monitoring(made, "30s", {"release": "p"}))
    found = of_kind(kind, MULTI, wanted)
    assert found["metadata"]["labels"] == {"release": "p"}
    assert found["spec"][field] == [{"port": "http", "path": "/metrics", "interval": "30s"}]
    assert GROUP.items() <= found["spec"]["selector"]["matchLabels"].items()


def test_a_route_leads_to_the_service_or_to_the_pool():
    (rule,) = of_kind("HTTPRoute", cpu(), Extras(route=ROUTE))["spec"]["rules"]
    service = of_kind("Service", cpu())
    assert rule["backendRefs"] == [{"kind": "Service", "name": "gemma", "port": 8000}]
    assert service["metadata"]["name"] == "gemma"
    assert service["spec"]["ports"][0]["port"] == 8000
    both = Extras(route=Route(({"name": "gateway"},), ("llm.test",), "/v1", "600s"), pool=Pool("picker"))
    spec = of_kind("HTTPRoute", cpu(), both)["spec"]
    (rule,) = spec["rules"]
    assert spec["hostnames"] == ["llm.test"]
    assert rule["timeouts"] == {"request": "600s"}
    assert rule["matches"][0]["path"]["value"] == "/v1"
    pool = of_kind("InferencePool", cpu(), both)
    group = {"group": pool["apiVersion"].partition("/")[0], "kind": "InferencePool", "name": pool["metadata"]["name"]}
    assert rule["backendRefs"] == [group]


@pytest.mark.parametrize("pool", [None, Pool("picker")])
@pytest.mark.parametrize("weight", [0, 10, 100])
def test_a_canary_gets_its_share(pool, weight):
    wanted = Extras(route=dataclasses.replace(ROUTE, canary=Canary("gemma-canary", weight)), pool=pool)
    build.check(cpu(), wanted)
    made = of_kind("HTTPRoute", cpu(), wanted)
    alone = of_kind("HTTPRoute", cpu(), Extras(route=ROUTE, pool=pool))
    its_own = of_kind("HTTPRoute", cpu(name="gemma-canary"), Extras(route=ROUTE, pool=pool))
    (stable,), (canary,) = (route["spec"]["rules"][0].pop("backendRefs") for route in (alone, its_own))
    backends = made["spec"]["rules"][0].pop("backendRefs")
    assert backends == [{**stable, "weight": 100 - weight}, {**canary, "weight": weight}]
    assert made == alone


def test_a_pool_holds_the_pods_that_are_asked():
    spec = of_kind("InferencePool", MULTI, Extras(pool=Pool("picker", 9003, "FailOpen")))["spec"]
    assert GROUP.items() <= spec["selector"]["matchLabels"].items()
    assert spec["targetPorts"] == [{"number": 8000}]
    picker = spec["endpointPickerRef"]
    assert (picker["name"], picker["port"], picker["failureMode"]) == ("picker", {"number": 9003}, "FailOpen")


def test_who_may_ask():
    peer = {"namespaceSelector": {"matchLabels": {"team": "ml"}}}
    spec = of_kind("NetworkPolicy", MULTI, Extras(access=Access((peer,))))["spec"]
    clients, each_other = spec["ingress"]
    assert clients == {"from": [peer], "ports": [{"protocol": "TCP", "port": "http"}]}
    assert each_other == {"from": [{"podSelector": spec["podSelector"]}]}  # Ray
    clients, _each_other = of_kind("NetworkPolicy", cpu(), Extras(access=Access()))["spec"]["ingress"]
    assert clients["from"] == [{"podSelector": {}}]


def test_metrics_may_be_read_by_who_may_ask():
    class Measured(Several):
        name = "measured"
        metrics = (Port("metrics", 9090), "/")

    made = instance(engine="measured", hardware=tpu("v5e", "4x4"))
    (workload, *_others), engine = Measured().workloads(made), Measured()
    (policy,) = extras.objects(made, engine, workload, Extras(access=Access()))
    assert [port["port"] for port in policy["spec"]["ingress"][0]["ports"]] == ["http", "metrics"]


def test_a_ladder_is_a_compute_class_that_the_pods_select():
    steps = (
        Capacity("reservation", reservation="mine", reservation_project="p"),
        Capacity(),
        Capacity("flex_start", max_run_duration=604800),
        Capacity("spot"),
    )
    wanted = Extras(ladder=Ladder("tpu-v6e-2x4", steps))
    build.check(ON_LADDER, wanted)
    found = of_kind("ComputeClass", ON_LADDER, wanted)
    assert found["metadata"] == {"name": "tpu-v6e-2x4"}
    usual = {
        "machineType": "ct6e-standard-8t",
        "tpu": {"type": "tpu-v6e-slice", "count": 8, "topology": "2x4"},
    }
    specific = {"affinity": "Specific", "specific": [{"name": "mine", "project": "p"}]}
    assert found["spec"]["priorities"] == [
        {**usual, "reservations": specific},
        usual,
        {**usual, "flexStart": {"enabled": True}, "maxRunDurationSeconds": 604800},
        {**usual, "spot": True},
    ]
    selected = of_kind("Deployment", ON_LADDER, wanted)["spec"]["template"]["spec"]["nodeSelector"]
    assert selected == {"cloud.google.com/compute-class": "tpu-v6e-2x4"}


@pytest.mark.parametrize(
    ("made", "wanted", "message"),
    [
        *(
            (cpu(), Extras(autoscaling=Autoscaling(*given)), message)
            for given, message in [
                ((2, 3), "3 to 2 replicas"),
                ((1, -1), "-1 to 1"),
                ((0, 0), "0 to 0"),
                ((1, 1, "hpa", 0), "target of 0"),
                ((2, 0), "HPA does not go down to 0"),
                ((2, 0, "keda"), "KEDA has to be told"),
                ((2, 1, "vpa"), "autoscaling 'vpa'"),
            ]
        ),
        (cpu(), Extras(monitoring=Monitoring("service_monitor")), "monitoring 'service_monitor'"),
        (cpu(), Extras(pool=Pool("p", failure_mode="Open")), "failure_mode 'Open'"),
        (cpu(), Extras(route=Route(())), "no Gateway"),
        *(
            (cpu(), Extras(route=dataclasses.replace(ROUTE, canary=Canary(*given))), message)
            for given, message in [
                (("gemma", 10), "gemma cannot be its own canary"),
                (("gemma-canary", -1), "cannot get -1 of 100"),
                (("gemma-canary", 101), "cannot get 101 of 100"),
            ]
        ),
        (cpu(), Extras(ladder=Ladder("a", (Capacity(),))), "for slices only"),
        (instance(), Extras(ladder=Ladder("a", (Capacity(),))), "does not ask for it"),
        (ON_LADDER, Extras(ladder=Ladder("tpu-v6e-2x4", ())), "no steps"),
        (ON_LADDER, Extras(ladder=Ladder("tpu-v6e-2x4", (Capacity("queued"),))), "queued is no step"),
    ],
)
def test_what_cannot_be(made, wanted, message):
    with pytest.raises(InputError, match=message) as error:
        build.check(made, wanted)
    assert error.value.hint


@pytest.mark.parametrize(
    "wanted", [Extras(autoscaling=Autoscaling(2)), Extras(monitoring=Monitoring()), Extras(pool=Pool("p"))]
)
def test_engines_that_have_no_such_thing(monkeypatch, wanted):
    monkeypatch.setitem(build.ENGINES, "saxml", type("Sax", (Several,), {"name": "saxml"})())
    made = instance(engine="saxml", hardware=tpu("v5e", "4x4"))
    build.check(made)
    with pytest.raises(InputError, match="saxml") as error:
        build.check(made, wanted)
    assert "Leave out" in error.value.hint


def test_steps_of_a_ladder_are_checked():
    steps = (Capacity("flex_start", reservation="r"),)
    with pytest.raises(TpuError, match="exclude each other"):
        build.check(ON_LADDER, Extras(ladder=Ladder("tpu-v6e-2x4", steps)))
