#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: a server of a model on TPUs, with an endpoint that has answered."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tpu_serving
short_description: Serve a model on TPUs with an endpoint that has answered
version_added: 0.3.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Makes a server of a model in a Kubernetes cluster from the model, an engine and a slice of TPUs, waits until it is
    ready and asks it for a completion.
  - Before anything is written it is checked that the slice is one that GKE makes, that the model fits it, that its copy is
    complete, that the token may read it, that the cluster serves all kinds of objects, and that there are nodes or an
    autoscaler that makes them.
  - When the server does not become ready, the module says why, as Kubernetes and the server tell it, and what to do next.
  - Where nothing differs, the module only reads.
  - Instances are kept apart by their labels. Removing one leaves others, the service account V(default), the model and
    every claim alone.
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.action
  - modelops.serving._attributes.actiongroup_serving
  - modelops.serving._serving
  - kubernetes.core.k8s_auth_options
attributes:
  check_mode:
    support: full
    details:
      - Objects are sent to the API server as dry run, and everything is checked that can be. No Pod starts.
  diff_mode:
    support: full
    details:
      - Shows the objects that are created, changed and deleted.
  idempotent:
    support: partial
    details:
      - With O(state=restarted) all Pods are replaced each time.
  async:
    support: full
    details:
      - O(manifest) is looked at before the job begins, also where nothing is to be written.
  action:
    details:
      - The action plugin looks at O(manifest), with M(modelops.serving.model_sync_info), where something is to be written.
      - The action plugin prints what the instance waits for, with a local connection, or with any connection when C(async)
        is used with a C(poll) greater than V(0).
options:
  state:
    description:
      - V(present) makes sure that the instance is there as described, and serves.
      - V(restarted) does the same and replaces all of its Pods.
      - V(absent) removes everything that was made for the instance, apart from the ComputeClass of O(ladder), which others
        may use.
    type: str
    choices: [present, absent, restarted]
    default: present
  name:
    description:
      - Name of the instance and of its objects, at most 40 characters.
    type: str
    required: true
  namespace:
    description:
      - Namespace of the instance. It must be there.
    type: str
    required: true
  engine:
    description:
      - The server. Those other than V(vllm) are legacy.
    type: str
    choices: [vllm, jetstream, jetstream_pytorch, saxml]
    default: vllm
  model:
    description:
      - What is served. Its weights come from one of O(model.bucket), O(model.stream), O(model.claim) and
        O(model.connection), and without any of them from the Hugging Face Hub, when the server starts.
      - Required unless O(state=absent).
    type: dict
    suboptions:
      name:
        description:
          - Repository id, such as V(google/gemma-3-27b-it).
        type: str
        required: true
      served_name:
        description:
          - What clients ask for. O(model.name) when missing.
        type: str
      revision:
        description:
          - Commit, tag or branch that the server downloads from the Hub.
        type: str
      bucket:
        description:
          - A bucket of Google Cloud Storage that is mounted read-only with Cloud Storage FUSE.
        type: dict
        suboptions:
          name:
            description:
              - Name of the bucket.
            type: str
            required: true
          prefix:
            description:
              - Folder of the model in the bucket, such as V(models/google/gemma-3-27b-it).
            type: str
            required: true
          warm_up:
            description:
              - Whether all weights are read once, many at a time, before the server starts.
            type: bool
            default: false
      stream:
        description:
          - An object store that the server reads the weights from itself.
        type: dict
        suboptions:
          url:
            description:
              - Folder of the model, such as V(gs://models/google/gemma-3-27b-it) or an address with V(s3://).
            type: str
            required: true
          endpoint_url:
            description:
              - Address of an S3-compatible store, as Pods reach it.
            type: str
          region:
            description:
              - Region of the bucket.
            type: str
          credentials_secret:
            description:
              - Secret in the namespace with the keys C(AWS_ACCESS_KEY_ID) and C(AWS_SECRET_ACCESS_KEY).
            type: str
      claim:
        description:
          - A PersistentVolumeClaim with the weights. It is mounted read-only.
        type: dict
        suboptions:
          name:
            description:
              - Name of the claim. It must be there.
            type: str
            required: true
          path:
            description:
              - Folder of the model in it.
            type: str
            default: ""
      connection:
        description:
          - A data connection of OpenShift AI, from which KServe copies the weights before the server starts. With O(kserve)
            and only there.
        type: dict
        version_added: 0.5.0
        suboptions:
          secret:
            description:
              - Name of the Secret of the data connection, which is its key in the Secret C(storage-config), too.
            type: str
            required: true
          path:
            description:
              - Folder of the model in the bucket, such as V(models/google/gemma-3-27b-it).
            type: str
            required: true
      parameters:
        description:
          - How many parameters it has, such as V(27B), to see whether it fits the slice. Not checked when missing.
        type: str
      dtype:
        description:
          - Format of the weights, V(bfloat16) when missing.
        type: str
        choices: [float32, bfloat16, float16, int8, fp8, int4, fp4]
      num_hidden_layers:
        description:
          - Layers. With O(model.num_key_value_heads) and O(model.head_dim) it says how large the KV cache is. All three are
            in the C(config.json) of the model.
        type: int
      num_key_value_heads:
        description:
          - Heads of keys and values in each layer.
        type: int
      head_dim:
        description:
          - Size of each head.
        type: int
  token_secret:
    description:
      - Secret in the namespace that holds the token of the Hugging Face Hub.
    type: dict
    suboptions:
      name:
        description:
          - Name of the Secret.
        type: str
        required: true
      key:
        description:
          - Key of the token in it.
        type: str
        default: token
      mount:
        description:
          - Where the server looks for the token.
        type: str
        choices: [standard, jetstream_pytorch, env, custom]
        default: standard
      path:
        description:
          - File of the token, with O(token_secret.mount=custom).
        type: str
  token_secret_provider_class:
    description:
      - SecretProviderClass in the namespace from which a CSI driver fetches the token, instead of O(token_secret).
    type: dict
    suboptions:
      name:
        description:
          - Name of the SecretProviderClass.
        type: str
        default: huggingface-token-read
      provider:
        description:
          - Where it takes the token from.
        type: str
        choices: [gke, aws]
        required: true
      paths:
        description:
          - The files that the class has.
        type: list
        elements: str
        default: [token, HUGGINGFACE_TOKEN]
      mount:
        description:
          - Where the server looks for the token. V(env) needs a Secret.
        type: str
        choices: [standard, jetstream_pytorch, env, custom]
        default: standard
      path:
        description:
          - File of the token, with O(token_secret_provider_class.mount=custom).
        type: str
  accelerator:
    description:
      - What the server runs on. Options that mean nothing for its type are refused.
      - Required unless O(state=absent).
    type: dict
    suboptions:
      type:
        description:
          - V(tpu) is a slice. The others are for trying the same way elsewhere, with O(engine=vllm).
        type: str
        choices: [tpu, gpu, neuron, cpu]
        default: tpu
      generation:
        description:
          - Of TPUs, such as V(v6e), or a value of the label C(cloud.google.com/gke-tpu-accelerator), a machine type or an
            accelerator type. With O(preset=true) it may be missing.
        type: str
      topology:
        description:
          - Sides of the slice, such as V(2x4).
        type: str
      chips:
        description:
          - Chips of the slice, instead of O(accelerator.topology).
        type: int
      machine_type:
        description:
          - Says whether a slice 2x4 of v5e or v6e is one host of 8 chips or two of 4.
        type: str
      tensor_parallel:
        description:
          - Devices of the slice that each layer is spread over. All that are left when it is missing.
        type: int
      pipeline_parallel:
        description:
          - Stages that the layers are spread over, V(1) when missing.
        type: int
      data_parallel:
        description:
          - Copies of the model in the slice, V(1) when missing.
        type: int
      capacity:
        description:
          - Where the nodes of the slice come from, V(on_demand) when missing. V(queued) is flex-start by a
            ProvisioningRequest.
        type: str
        choices: [on_demand, spot, reservation, flex_start, queued, compute_class]
      reservation:
        description:
          - Name of the reservation, with O(accelerator.capacity=reservation) and only there.
        type: str
      reservation_project:
        description:
          - Project of a shared reservation.
        type: str
      max_run_duration:
        description:
          - Seconds that nodes may live with V(flex_start) and V(queued), at most 604800.
        type: int
      compute_class:
        description:
          - Name of the ComputeClass, with O(accelerator.capacity=compute_class) and only there.
        type: str
      count:
        description:
          - GPUs or Neuron devices of each Pod.
        type: int
      node_selector:
        description:
          - Labels of the nodes for Pods that do not run on a slice.
        type: dict
      tolerations:
        description:
          - Taints that Pods tolerate which do not run on a slice.
        type: list
        elements: dict
  preset:
    description:
      - Whether slice, size of the model and settings are filled in from what is known to work for O(model.name). What is
        given here counts more.
    type: bool
    default: false
  image:
    description:
      - Image of the server with a tag that does not move, or a digest. The usual one of the engine when missing.
    type: str
  image_pull_policy:
    description:
      - When the image is pulled.
    type: str
    choices: [Always, IfNotPresent, Never]
    default: IfNotPresent
  image_pull_secrets:
    description:
      - Names of Secrets for the registry.
    type: list
    elements: str
    default: []
  replicas:
    description:
      - How many servers, each on a slice of its own. Left to the autoscaler with O(autoscaling).
    type: int
    default: 1
  settings:
    description:
      - Options of the engine's own, by their names with underscores, such as C(max_model_len) of V(vllm). Unknown ones are
        refused.
    type: dict
    default: {}
  args:
    description:
      - More arguments of the server.
    type: list
    elements: str
    default: []
  env:
    description:
      - More variables of the server. They are not secret.
    type: dict
    default: {}
  cpu:
    description:
      - CPUs that the server requests, such as V(8).
    type: str
  memory:
    description:
      - Memory that the server requests and is limited to, such as V(64Gi).
    type: str
  compile_cache:
    description:
      - A PersistentVolumeClaim for compiled programs, so that the next start is faster. Without it they go with the Pod.
    type: dict
    suboptions:
      name:
        description:
          - Name of the claim. It must be there.
        type: str
        required: true
      path:
        description:
          - Folder in it.
        type: str
        default: ""
  max_surge:
    description:
      - Servers that a rollout may add to those that serve. With V(0) it needs no spare slice, and takes each server away
        before its successor starts.
    type: int
    default: 0
  service_account:
    description:
      - Service account of the Pods. When missing, one is made for this instance.
    type: str
  service_account_annotations:
    description:
      - Annotations of the service account that is made, such as C(iam.gke.io/gcp-service-account).
    type: dict
    default: {}
  labels:
    description:
      - More labels of the Pods.
    type: dict
    default: {}
  annotations:
    description:
      - Annotations of the Pods.
    type: dict
    default: {}
  startup_timeout:
    description:
      - Seconds that a server may take from its start until it serves, for loading and compiling.
    type: int
    default: 3600
  termination_grace_period:
    description:
      - Seconds that running requests are given when a Pod ends.
    type: int
    default: 120
  autoscaling:
    description:
      - Replicas by the number of requests that wait.
    type: dict
    suboptions:
      kind:
        description:
          - V(hpa) needs an adapter for custom metrics, V(keda) asks Prometheus and can go down to 0.
        type: str
        choices: [hpa, keda]
        default: hpa
      min_replicas:
        description:
          - Fewest servers.
        type: int
        default: 1
      max_replicas:
        description:
          - Most servers.
        type: int
        required: true
      target:
        description:
          - Waiting requests per server.
        type: int
        default: 10
      metric:
        description:
          - Name of the metric in the adapter, or the query with V(keda). That of the engine when missing.
        type: str
      prometheus:
        description:
          - Address of Prometheus, with V(keda).
        type: str
  monitoring:
    description:
      - Lets Prometheus scrape the metrics of the server.
    type: dict
    suboptions:
      kind:
        description:
          - V(pod_monitoring) of Google Cloud Managed Service for Prometheus, or V(pod_monitor) of the Prometheus Operator.
        type: str
        choices: [pod_monitoring, pod_monitor]
        default: pod_monitoring
      interval:
        description:
          - How often.
        type: str
        default: 15s
      labels:
        description:
          - Labels of the object, which a Prometheus Operator may look for.
        type: dict
        default: {}
  pool:
    description:
      - An InferencePool of the Gateway API Inference Extension.
    type: dict
    suboptions:
      picker:
        description:
          - Service of the endpoint picker. It must be there.
        type: str
        required: true
      picker_port:
        description:
          - Its port.
        type: int
        default: 9002
      failure_mode:
        description:
          - What happens without the endpoint picker.
        type: str
        choices: [FailOpen, FailClose]
        default: FailClose
  route:
    description:
      - An HTTPRoute to the Service, or to the InferencePool with O(pool).
    type: dict
    suboptions:
      gateways:
        description:
          - The C(parentRefs) of the route, each at least with C(name).
        type: list
        elements: dict
        required: true
      hostnames:
        description:
          - Host names that it is for.
        type: list
        elements: str
        default: []
      path:
        description:
          - Prefix of paths that it is for.
        type: str
        default: /
      timeout:
        description:
          - Longest duration of a request, such as V(600s).
        type: str
      canary:
        description:
          - Another instance in the namespace, with the same engine, that gets a part of the requests. With O(pool) it has to
            have an InferencePool, too.
          - It is the other instance that has to be there and serve first. The role P(modelops.serving.serving#role) sees to
            that.
        type: dict
        version_added: 0.4.0
        suboptions:
          name:
            description:
              - Name of that instance.
            type: str
            required: true
          weight:
            description:
              - How many of 100 requests it gets.
            type: int
            required: true
  access:
    description:
      - A NetworkPolicy that says who may ask the server. V({}) is everybody in the namespace.
      - The smoke test comes from the API server. Where the network lets it through only if a policy says so, add its
        address to O(access.sources), or set O(smoke_test=false).
    type: dict
    suboptions:
      sources:
        description:
          - Peers as a NetworkPolicy has them in C(from), those that scrape metrics included.
        type: list
        elements: dict
        default: []
  ladder:
    description:
      - A ComputeClass of GKE, which takes nodes from the first of several capacities that has them. The instance has to ask
        for it with O(accelerator.compute_class).
      - It belongs to the whole cluster and may be shared, so it stays when the instance goes.
    type: dict
    suboptions:
      name:
        description:
          - Name of the ComputeClass.
        type: str
        required: true
      steps:
        description:
          - The capacities, the first choice first.
        type: list
        elements: dict
        required: true
        suboptions:
          capacity:
            description:
              - Where nodes come from, V(on_demand) when missing. V(queued) and V(compute_class) cannot be a step.
            type: str
            choices: [on_demand, spot, reservation, flex_start, queued, compute_class]
          reservation:
            description:
              - Name of the reservation.
            type: str
          reservation_project:
            description:
              - Project of a shared reservation.
            type: str
          max_run_duration:
            description:
              - Seconds that nodes may live.
            type: int
          compute_class:
            description:
              - Refused, since a ComputeClass cannot be a step of another.
            type: str
  kserve:
    description:
      - Has KServe make the Pods, with a ServingRuntime and an InferenceService in place of Deployment and Service, as Red Hat
        OpenShift AI 2.x and 3.x have it, in the deployment mode RawDeployment.
      - For O(engine=vllm) on one host. It needs O(cpu) and O(memory), because KServe sets low limits where they are missing.
        O(autoscaling) and O(route) are refused, since KServe makes such objects itself.
      - An instance is either one of KServe or it is not. To change that, remove it first.
    type: dict
    version_added: 0.5.0
    suboptions:
      auth:
        description:
          - Who is served. V(proxy) has OpenShift AI put a proxy in front that asks for a token of somebody who may C(get)
            the InferenceService; where nothing does, the module fails when the server is ready. V(authorino) makes an
            AuthConfig that says the same to Authorino, for a Gateway or mesh that asks it. With V(none) it is everybody.
        type: str
        choices: [proxy, authorino, none]
        default: proxy
      exposed:
        description:
          - Whether OpenShift AI makes a Route, for clients outside the cluster.
        type: bool
        default: false
      token:
        description:
          - Whether there is a ServiceAccount that may ask this instance, and a Secret C(token-<name>-sa) with a token of it,
            which the dashboard shows. The token does not expire. Without it, C(kubectl create token) makes some that do.
        type: bool
        default: false
      endpoint_secret:
        description:
          - Name of a Secret with address, model and token, for the environment of workbenches. It has the variables of
            clients of the API of OpenAI and those of AnythingLLM, and is empty until the server is ready.
        type: str
      connection_type:
        description:
          - The connection type that the dashboard shows that Secret as, such as V(anythingllm-generic-openai).
        type: str
  check_token:
    description:
      - Whether the Hub is asked if the token in O(token_secret) may read the model before anything is written. A Hub that
        does not answer from here is a warning. Without effect on O(token_secret_provider_class), which only Pods can read.
    type: bool
    default: true
  check_nodes:
    description:
      - Whether it is checked before anything is written that the cluster has nodes for all replicas, free or not, or an
        autoscaler that can make them.
    type: bool
    default: true
  wait:
    description:
      - Whether to wait until the instance is ready, or gone.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait.
    type: int
    default: 5400
  progress_file:
    description:
      - File on the host the module runs on to which what is waited for is appended, one JSON object per line. It is created
        with mode V(0600) and is not touched in check mode.
    type: path
  smoke_test:
    description:
      - Whether an instance is asked for its models and for a completion of one token when it is ready, through the API
        server, also where nothing has changed. This needs O(wait) and the right to C(create) and C(get) C(services/proxy).
      - An answer without a completion is a failure, whatever its status. O(engine=saxml) is not asked, since it has no model
        before one is published to it.
    type: bool
    default: true
  rollback:
    description:
      - Whether the objects are made as they were before when a rollout fails. What was there for the first time is removed.
        The module fails all the same, after it has waited, for as long as O(wait_timeout) again, until what was there
        before is ready.
    type: bool
    default: false
  force_conflicts:
    description:
      - Whether fields are taken over that others manage.
    type: bool
    default: false
  render_to:
    description:
      - Directory on the host the module runs on, one for each instance. The objects are written there as files, for GitOps,
        and the cluster is left alone. Nothing is then checked in the cluster, waited for or asked.
    type: path
  argo:
    description:
      - Whether rendered files carry the sync waves of Argo CD.
    type: bool
    default: false
requirements:
  - kubernetes >= 28.1
seealso:
  - module: modelops.serving.model_sync
  - module: modelops.serving.tpu_slice_info
"""

EXAMPLES = r"""
- name: Serve a model on a slice of TPU v6e, from the bucket that it was copied to
  modelops.serving.tpu_serving:
    name: gemma
    namespace: serving
    model:
      name: google/gemma-3-27b-it
      parameters: 27B
      bucket:
        name: models-tpu
        prefix: models/google/gemma-3-27b-it
    manifest:
      type: gcs
      bucket: models-tpu
      prefix: models
    accelerator:
      generation: v6e
      topology: 2x4
    settings:
      max_model_len: 16384
  register: server

- name: The same, as it is known to work
  modelops.serving.tpu_serving:
    name: gemma
    namespace: serving
    model:
      name: google/gemma-3-27b-it
    token_secret:
      name: huggingface-token-read
    accelerator:
      generation: v6e
    preset: true

- name: Roll out another version, and go back when it does not serve
  modelops.serving.tpu_serving:
    name: gemma
    namespace: serving
    model:
      name: google/gemma-3-27b-it
    accelerator:
      generation: v6e
    preset: true
    image: docker.io/vllm/vllm-tpu:v0.27.1
    rollback: true

- name: Take spot nodes where there are some, and pay more where there are none
  modelops.serving.tpu_serving:
    name: qwen
    namespace: serving
    model:
      name: Qwen/Qwen3-4B
      stream:
        url: gs://models-tpu/models/Qwen/Qwen3-4B
    accelerator:
      generation: v6e
      topology: 1x1
      capacity: compute_class
      compute_class: v6e-spot-first
    ladder:
      name: v6e-spot-first
      steps:
        - capacity: spot
        - capacity: on_demand
    service_account_annotations:
      iam.gke.io/gcp-service-account: models@example.iam.gserviceaccount.com

- name: Write the objects as files for Argo CD
  modelops.serving.tpu_serving:
    name: gemma
    namespace: serving
    model:
      name: google/gemma-3-27b-it
    accelerator:
      generation: v6e
    preset: true
    render_to: gitops/gemma
    argo: true

- name: Serve the copy behind a data connection of OpenShift AI, and tell workbenches where
  modelops.serving.tpu_serving:
    name: granite
    namespace: demo
    model:
      name: ibm-granite/granite-3.3-8b-instruct
      connection:
        secret: demo-models
        path: models/ibm-granite/granite-3.3-8b-instruct
    accelerator:
      type: gpu
      count: 1
    cpu: "4"
    memory: 16Gi
    kserve:
      exposed: true
      token: true
      endpoint_secret: granite-endpoint

- name: Remove an instance
  modelops.serving.tpu_serving:
    name: gemma
    namespace: serving
    state: absent
"""

RETURN = r"""
objects:
  description: What happened, or in check mode would happen, to each object.
  type: list
  elements: dict
  returned: when the API server was asked, or files were rendered
  contains:
    api_version:
      description: Version of the API.
      type: str
    kind:
      description: Kind of the object.
      type: str
    name:
      description: Name of the object.
      type: str
    namespace:
      description: Namespace of the object.
      type: str
    action:
      description: V(none), V(create), V(update), V(replace) or V(delete).
      type: str
endpoint:
  description: Address of the server in the cluster. With O(kserve) it is what KServe tells, such as that of a Route.
  type: str
  returned: unless O(state=absent), with O(kserve) when KServe has told it
  sample: http://gemma.serving.svc:8000
replicas:
  description: How many servers there are to be.
  type: int
  returned: when the instance was there before, or was waited for
ready_replicas:
  description: How many of them are ready. Of a JobSet they are Jobs.
  type: int
  returned: when the instance was there before, or was waited for
time_to_ready:
  description: Seconds that were waited until the instance was ready.
  type: float
  returned: when it was waited for
  sample: 312.4
models:
  description: What can be asked for. None where the engine has no such list.
  type: list
  elements: str
  returned: when a server is ready
  sample: [google/gemma-3-27b-it]
completion:
  description: The text that the server answered in the smoke test. None where the engine was not asked.
  type: str
  returned: when the smoke test was made
rolled_back:
  description: V(true) when a rollout failed and everything is again as it was before.
  type: bool
  returned: when O(rollback=true) and a rollout failed
error:
  description: What went wrong.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(WaitError), V(EndpointError), V(TpuError) or V(IntegrityError).
      type: str
    message:
      description: What happened, and where.
      type: str
    hint:
      description: What to do next.
      type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._doors import fail
from ansible_collections.modelops.serving.plugins.module_utils._endpoint.door import Door
from ansible_collections.modelops.serving.plugins.module_utils._kube import auth
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError
from ansible_collections.modelops.serving.plugins.module_utils._mounts import DRIVERS, PATHS
from ansible_collections.modelops.serving.plugins.module_utils._serving.build import ENGINES
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import RESOURCES
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import KINDS
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._tpu.fit import BYTES
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    mapping = {"type": "dict", "default": {}}
    names = {"type": "list", "elements": "str", "default": []}
    claim = {"name": {"type": "str", "required": True}, "path": {"type": "str", "default": ""}}
    capacity = {
        "capacity": {"type": "str", "choices": list(KINDS)},
        "reservation": {"type": "str"},
        "reservation_project": {"type": "str"},
        "max_run_duration": {"type": "int"},
        "compute_class": {"type": "str"},
    }
    token = {
        "mount": {"type": "str", "choices": ["standard", "jetstream_pytorch", "env", "custom"], "default": "standard"},
        "path": {"type": "str"},
    }
    return {
        "state": {"type": "str", "choices": ["present", "absent", "restarted"], "default": "present"},
        "name": {"type": "str", "required": True},
        "namespace": {"type": "str", "required": True},
        "engine": {"type": "str", "choices": list(ENGINES), "default": "vllm"},
        "model": {
            "type": "dict",
            "options": {
                "name": {"type": "str", "required": True},
                "served_name": {"type": "str"},
                "revision": {"type": "str"},
                "bucket": {
                    "type": "dict",
                    "options": {
                        "name": {"type": "str", "required": True},
                        "prefix": {"type": "str", "required": True},
                        "warm_up": {"type": "bool", "default": False},
                    },
                },
                "stream": {
                    "type": "dict",
                    "options": {
                        "url": {"type": "str", "required": True},
                        "endpoint_url": {"type": "str"},
                        "region": {"type": "str"},
                        "credentials_secret": {"type": "str", "no_log": False},
                    },
                },
                "claim": {"type": "dict", "options": claim},
                "connection": {
                    "type": "dict",
                    "options": {
                        "secret": {"type": "str", "required": True, "no_log": False},
                        "path": {"type": "str", "required": True},
                    },
                },
                "parameters": {"type": "str"},
                "dtype": {"type": "str", "choices": list(BYTES)},
                "num_hidden_layers": {"type": "int"},
                # A count, although "key" stands in its name.
                "num_key_value_heads": {"type": "int", "no_log": False},
                "head_dim": {"type": "int"},
            },
            "mutually_exclusive": [("bucket", "stream", "claim", "connection", "revision")],
        },
        "token_secret": {
            "type": "dict",
            "no_log": False,
            "options": {
                "name": {"type": "str", "required": True},
                "key": {"type": "str", "default": "token", "no_log": False},
                **token,
            },
            "required_if": [("mount", "custom", ("path",))],
        },
        "token_secret_provider_class": {
            "type": "dict",
            "no_log": False,
            "options": {
                "name": {"type": "str", "default": "huggingface-token-read"},
                "provider": {"type": "str", "choices": list(DRIVERS), "required": True},
                "paths": {"type": "list", "elements": "str", "default": [*PATHS]},
                **token,
            },
            "required_if": [("mount", "custom", ("path",))],
        },
        "accelerator": {
            "type": "dict",
            "options": {
                "type": {"type": "str", "choices": ["tpu", *RESOURCES, "cpu"], "default": "tpu"},
                "generation": {"type": "str"},
                "topology": {"type": "str"},
                "chips": {"type": "int"},
                "machine_type": {"type": "str"},
                "tensor_parallel": {"type": "int"},
                "pipeline_parallel": {"type": "int"},
                "data_parallel": {"type": "int"},
                **capacity,
                "count": {"type": "int"},
                "node_selector": {"type": "dict"},
                "tolerations": {"type": "list", "elements": "dict"},
            },
            "mutually_exclusive": [("topology", "chips")],
        },
        "preset": {"type": "bool", "default": False},
        "image": {"type": "str"},
        "image_pull_policy": {"type": "str", "choices": ["Always", "IfNotPresent", "Never"], "default": "IfNotPresent"},
        "image_pull_secrets": {**names, "no_log": False},
        "replicas": {"type": "int", "default": 1},
        "settings": mapping,
        "args": names,
        "env": mapping,
        "cpu": {"type": "str"},
        "memory": {"type": "str"},
        "compile_cache": {"type": "dict", "options": claim},
        "max_surge": {"type": "int", "default": 0},
        "service_account": {"type": "str"},
        "service_account_annotations": mapping,
        "labels": mapping,
        "annotations": mapping,
        "startup_timeout": {"type": "int", "default": 3600},
        "termination_grace_period": {"type": "int", "default": 120},
        "autoscaling": {
            "type": "dict",
            "options": {
                "kind": {"type": "str", "choices": ["hpa", "keda"], "default": "hpa"},
                "min_replicas": {"type": "int", "default": 1},
                "max_replicas": {"type": "int", "required": True},
                "target": {"type": "int", "default": 10},
                "metric": {"type": "str"},
                "prometheus": {"type": "str"},
            },
        },
        "monitoring": {
            "type": "dict",
            "options": {
                "kind": {"type": "str", "choices": ["pod_monitoring", "pod_monitor"], "default": "pod_monitoring"},
                "interval": {"type": "str", "default": "15s"},
                "labels": mapping,
            },
        },
        "pool": {
            "type": "dict",
            "options": {
                "picker": {"type": "str", "required": True},
                "picker_port": {"type": "int", "default": 9002},
                "failure_mode": {"type": "str", "choices": ["FailOpen", "FailClose"], "default": "FailClose"},
            },
        },
        "route": {
            "type": "dict",
            "options": {
                "gateways": {"type": "list", "elements": "dict", "required": True},
                "hostnames": names,
                "path": {"type": "str", "default": "/"},
                "timeout": {"type": "str"},
                "canary": {
                    "type": "dict",
                    "options": {
                        "name": {"type": "str", "required": True},
                        "weight": {"type": "int", "required": True},
                    },
                },
            },
        },
        "access": {"type": "dict", "options": {"sources": {"type": "list", "elements": "dict", "default": []}}},
        "ladder": {
            "type": "dict",
            "options": {
                "name": {"type": "str", "required": True},
                "steps": {"type": "list", "elements": "dict", "required": True, "options": capacity},
            },
        },
        "kserve": {
            "type": "dict",
            "options": {
                "auth": {"type": "str", "choices": ["proxy", "authorino", "none"], "default": "proxy"},
                "exposed": {"type": "bool", "default": False},
                "token": {"type": "bool", "default": False, "no_log": False},
                "endpoint_secret": {"type": "str", "no_log": False},
                "connection_type": {"type": "str"},
            },
        },
        "manifest": {
            **{key: value for key, value in _auth.DESTINATIONS_OPTION.items() if key not in ("elements", "required")},
            "type": "dict",
        },
        "check_token": {"type": "bool", "default": True, "no_log": False},
        "check_nodes": {"type": "bool", "default": True},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 5400},
        "progress_file": {"type": "path"},
        "smoke_test": {"type": "bool", "default": True},
        "rollback": {"type": "bool", "default": False},
        "force_conflicts": {"type": "bool", "default": False},
        "render_to": {"type": "path"},
        "argo": {"type": "bool", "default": False},
        **auth.ARGUMENTS,
    }


def main() -> None:
    """Entry point of the module."""
    needed = ("model", "accelerator")
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[("token_secret", "token_secret_provider_class")],
        required_if=[
            ("state", "present", needed),
            ("state", "restarted", needed),
            ("argo", True, ("render_to",)),
        ],
        supports_check_mode=True,
    )
    door = Door(module)
    try:
        result = door.absent() if module.params["state"] == "absent" else door.present()
    except (KubeError, TpuError, TransferError) as error:
        fail(module, t.cast(KubeError, error), **door.result)  # all three tell the same way
    module.exit_json(**result)


if __name__ == "__main__":
    main()
