#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: a set of Kubernetes objects, applied, waited for, pruned, removed or rendered."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_objects
short_description: Apply, prune, wait for, remove or render a set of Kubernetes objects
version_added: 0.2.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Takes any number of objects at once and makes them so by server-side apply, as the field manager
    C(modelops.serving), in the order that they need each other.
  - Each live object is read once and compared with what is wanted and with what this manager owns of it according to
    C(managedFields). Where nothing differs nothing is sent. Fields that were dropped from the definitions are removed,
    fields of others are left alone.
  - All objects are tried as a server-side dry run before the first one is written, so that most refusals leave the
    cluster as it was.
  - Values of Secrets are shown nowhere, neither in results nor in differences, errors and logs.
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.actiongroup_serving
  - kubernetes.core.k8s_auth_options
attributes:
  check_mode:
    support: full
    details:
      - Predicts by server-side dry run. What the API server cannot try, such as objects in a namespace that the same
        set creates, is predicted without it.
  diff_mode:
    support: full
    details:
      - Shows each object that changes. Values of Secrets are masked, and marked when they change.
  idempotent:
    support: full
  async:
    support: full
options:
  state:
    description:
      - V(present) makes the objects so.
      - V(absent) removes them.
    type: str
    choices: [present, absent]
    default: present
  definitions:
    description:
      - The objects, as a list of dictionaries, one dictionary, or YAML or JSON text with any number of documents.
      - The items of a C(List) count as objects of their own. For O(state=absent), C(apiVersion), C(kind) and
        C(metadata) are enough.
      - What only the API server sets, such as C(status) and C(metadata.uid), is left out, and so are fields that are
        C(null). C(stringData) of Secrets is turned into C(data).
    type: raw
  src:
    description:
      - Files with definitions as YAML or JSON, on the host the module runs on.
    type: list
    elements: path
  namespace:
    description:
      - Namespace of objects that name none, where their kind has one. It has to exist or be one of the objects.
    type: str
  instance:
    description:
      - To what the objects belong. They get the labels C(app.kubernetes.io/instance) with this value and
        C(app.kubernetes.io/managed-by) with V(modelops.serving), by which O(prune) finds them again.
    type: str
  prune:
    description:
      - For O(state=present), remove objects that carry the labels of O(instance) and are not among the definitions.
      - For O(state=absent), remove all objects that carry the labels of O(instance).
      - Only objects of O(prune_kinds) in O(namespace), and never those that a controller made.
    type: bool
    default: false
  prune_kinds:
    description:
      - Kinds that are looked through by O(prune), as C(apiVersion/kind). Those that the cluster does not serve are
        skipped.
      - Kinds that hold data, such as V(v1/PersistentVolumeClaim), are only touched when they are named here.
    type: list
    elements: str
    default:
      - v1/ConfigMap
      - v1/Secret
      - v1/Service
      - v1/ServiceAccount
      - apps/v1/Deployment
      - apps/v1/StatefulSet
      - batch/v1/Job
      - batch/v1/CronJob
      - autoscaling/v2/HorizontalPodAutoscaler
      - policy/v1/PodDisruptionBudget
      - networking.k8s.io/v1/NetworkPolicy
      - networking.k8s.io/v1/Ingress
      - rbac.authorization.k8s.io/v1/Role
      - rbac.authorization.k8s.io/v1/RoleBinding
  force_conflicts:
    description:
      - Take over fields that another field manager owns, instead of failing.
    type: bool
    default: false
  replace:
    description:
      - Delete an object and create it anew when a field cannot be changed, such as the template of a Job or the data of
        an immutable ConfigMap, instead of failing.
      - Never done to objects that hold others or data, which are those of the kinds C(Namespace),
        C(CustomResourceDefinition), C(PersistentVolume) and C(PersistentVolumeClaim).
    type: bool
    default: false
  wait:
    description:
      - Wait until every object is ready, or with O(state=absent) gone.
      - Fails as soon as an object can be seen to never become ready, and tells why.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds after which waiting fails.
    type: int
    default: 120
  wait_conditions:
    description:
      - What counts as ready, instead of what is usual for a kind.
    type: list
    elements: dict
    suboptions:
      kind:
        description:
          - Objects of this kind are meant.
        type: str
        required: true
      name:
        description:
          - Only the object of this name is meant. All of the kind when it is missing.
        type: str
      type:
        description:
          - Type of a condition in the status of the object.
        type: str
      status:
        description:
          - Status that the condition has to have.
        type: str
        default: "True"
      reason:
        description:
          - Reason that the condition has to have. Any when it is missing.
        type: str
      jsonpath:
        description:
          - Path to a value in the object, such as V({.status.readyReplicas}).
        type: str
      value:
        description:
          - The value that has to be there. Any value will do when it is missing.
        type: str
      failure:
        description:
          - Whether this means failure instead of success.
        type: bool
        default: false
  render_to:
    description:
      - Write the objects as YAML files to this folder instead of applying them, exactly as they would be applied. No
        cluster is asked for anything.
      - There is one file per object. Files that were written by an earlier run and are not needed any more are removed,
        other files are left alone. The folder takes one set of objects.
      - Secrets with data are refused. Kinds that are not built into Kubernetes count as namespaced, unless their
        CustomResourceDefinition is among the objects.
    type: path
  argo:
    description:
      - Whether O(render_to) adds the sync waves of Argo CD.
    type: bool
    default: false
  argo_job_hooks:
    description:
      - Whether with O(argo) Jobs become hooks, which Argo CD deletes and runs anew at each sync.
    type: bool
    default: false
requirements:
  - kubernetes >= 28.1
  - PyYAML
notes:
  - Needs the permissions C(get), C(create) and C(patch) for each kind, C(delete) for O(state=absent), O(replace) and
    O(prune), and C(list) for O(prune). Errors name the rule that is missing.
  - Kubernetes 1.20 and newer are supported.
seealso:
  - module: kubernetes.core.k8s
"""

EXAMPLES = r"""
- name: Apply what a template holds, and wait until it is ready
  modelops.serving.kube_objects:
    namespace: models
    definitions: "{{ lookup('ansible.builtin.template', 'server.yaml.j2') }}"
    wait: true
    wait_timeout: 600

- name: Keep exactly this set
  modelops.serving.kube_objects:
    namespace: models
    instance: gemma
    prune: true
    definitions:
      - apiVersion: v1
        kind: Secret
        metadata:
          name: gemma-token
        stringData:
          token: "{{ vault_hf_token }}"
      - apiVersion: batch/v1
        kind: Job
        metadata:
          name: gemma-warmup
        spec:
          template:
            spec:
              restartPolicy: Never
              containers:
                - name: warmup
                  image: registry.example.com/warmup:1.2
    replace: true

- name: Wait for a custom resource by its own signs
  modelops.serving.kube_objects:
    src: [queue.yaml]
    wait: true
    wait_conditions:
      - kind: ClusterQueue
        type: Active
      - kind: ClusterQueue
        jsonpath: "{.status.phase}"
        value: Failed
        failure: true

- name: Write the objects to a folder that Argo CD watches
  modelops.serving.kube_objects:
    namespace: models
    src: [server.yaml, service.yaml]
    render_to: deploy/gemma
    argo: true

- name: Remove all that belongs to an instance
  modelops.serving.kube_objects:
    state: absent
    namespace: models
    instance: gemma
    prune: true
    wait: true
"""

RETURN = r"""
objects:
  description: What happened, or in check mode would happen, to each object, in the order in which it was done.
  type: list
  elements: dict
  returned: success, or when it failed after something was changed
  contains:
    api_version:
      description: Group and version.
      type: str
      sample: apps/v1
    kind:
      description: Kind.
      type: str
      sample: Deployment
    name:
      description: Name.
      type: str
      sample: gemma
    namespace:
      description: Namespace. None for kinds without one.
      type: str
      sample: models
    action:
      description: V(none), V(create), V(update), V(replace) or V(delete).
      type: str
      sample: update
error:
  description: Why the module failed.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(InputError), V(ApiError), V(ConflictError) or V(WaitError).
      type: str
    message:
      description: What happened, and to which object.
      type: str
    hint:
      description: What to do next.
      type: str
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.modelops.serving.plugins.module_utils._kube import auth
from ansible_collections.modelops.serving.plugins.module_utils._kube.apply import (
    ApplyOptions,
    Change,
    Prune,
    apply,
    remove,
)
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Object, Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError, KubeError
from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import (
    CLUSTER_KINDS,
    flatten,
    masked,
    prepare,
    secret_values,
    selector,
)
from ansible_collections.modelops.serving.plugins.module_utils._kube.render import render
from ansible_collections.modelops.serving.plugins.module_utils._kube.results import describe
from ansible_collections.modelops.serving.plugins.module_utils._kube.wait import (
    Condition,
    JsonPath,
    Target,
    Waiter,
    judge,
)

PRUNE_KINDS = [
    "v1/ConfigMap",
    "v1/Secret",
    "v1/Service",
    "v1/ServiceAccount",
    "apps/v1/Deployment",
    "apps/v1/StatefulSet",
    "batch/v1/Job",
    "batch/v1/CronJob",
    "autoscaling/v2/HorizontalPodAutoscaler",
    "policy/v1/PodDisruptionBudget",
    "networking.k8s.io/v1/NetworkPolicy",
    "networking.k8s.io/v1/Ingress",
    "rbac.authorization.k8s.io/v1/Role",
    "rbac.authorization.k8s.io/v1/RoleBinding",
]
NEVER_REPLACED = {"Namespace", "CustomResourceDefinition", "PersistentVolume", "PersistentVolumeClaim"}

# Hiding shorter values would make messages unreadable and hide nothing.
_SHORTEST_HIDDEN = 4
# Words of the results that a value of a Secret must not turn into asterisks: it could be "e", and hides nothing then.
_PUBLIC = "True False None none create update replace delete present absent"


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "definitions": {"type": "raw"},
        "src": {"type": "list", "elements": "path"},
        "namespace": {"type": "str"},
        "instance": {"type": "str"},
        "prune": {"type": "bool", "default": False},
        "prune_kinds": {"type": "list", "elements": "str", "default": PRUNE_KINDS},
        "force_conflicts": {"type": "bool", "default": False},
        "replace": {"type": "bool", "default": False},
        "wait": {"type": "bool", "default": False},
        "wait_timeout": {"type": "int", "default": 120},
        "wait_conditions": {
            "type": "list",
            "elements": "dict",
            "options": {
                "kind": {"type": "str", "required": True},
                "name": {"type": "str"},
                "type": {"type": "str"},
                "status": {"type": "str", "default": "True"},
                "reason": {"type": "str"},
                "jsonpath": {"type": "str"},
                "value": {"type": "str"},
                "failure": {"type": "bool", "default": False},
            },
            "required_one_of": [("type", "jsonpath")],
            "mutually_exclusive": [("type", "jsonpath")],
        },
        "render_to": {"type": "path"},
        "argo": {"type": "bool", "default": False},
        "argo_job_hooks": {"type": "bool", "default": False},
        **auth.ARGUMENTS,
    }


def parse(text: str, where: str) -> list[t.Any]:
    """The documents of a YAML or JSON text.

    :raises InputError: it is not YAML. Nothing of the text is quoted.
    """
    try:
        import yaml
    except ImportError as error:
        raise InputError(missing_required_lib("PyYAML")) from error

    class Loader(yaml.SafeLoader):
        """Leaves dates as they are written, as Kubernetes does."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    documents: list[t.Any] = []
    try:
        for document in yaml.load_all(text, Loader=Loader):
            documents += document if isinstance(document, list) else [document]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or type(error).__name__
        raise InputError(f"{where} cannot be read as YAML{line}: {problem}.") from None
    return documents


def listed(definitions: t.Any) -> list[t.Any]:
    """The option C(definitions), whatever its form, as a list.

    :raises InputError: it is text, but not YAML.
    """
    if isinstance(definitions, str):
        return parse(definitions, "The option definitions")
    return definitions if isinstance(definitions, list) else [] if definitions is None else [definitions]


class Module(AnsibleModule):
    """Takes the definitions out of the options before Ansible logs these, or shows them when it refuses others."""

    definitions: t.Any = None

    def _load_params(self) -> None:
        super()._load_params()
        self.definitions = self.params.get("definitions")
        if self.definitions is not None:
            try:
                self.params["definitions"] = [masked(definition) for definition in listed(self.definitions)]
            except InputError:
                self.params["definitions"] = "unreadable"


def read(module: Module) -> list[t.Any]:
    """All definitions. Values of Secrets in them are known to Ansible from here on.

    :raises InputError: a text is not YAML, or a file cannot be read.
    """
    definitions = listed(module.definitions)
    for path in module.params["src"] or ():
        try:
            with open(path, encoding="utf-8") as file:
                definitions += parse(file.read(), path)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read: {error}.") from error
    values: set[str] = set().union(*map(secret_values, definitions))
    options = (module.params["namespace"], module.params["instance"])
    public = "\n".join([_PUBLIC, *filter(None, options), *_names(definitions)])
    # A second line of defence: nothing that is returned holds values of Secrets, but the API server might quote one.
    module.no_log_values.update(value for value in values if len(value) >= _SHORTEST_HIDDEN and value not in public)
    return definitions


def _names(definitions: list[t.Any]) -> t.Iterator[str]:
    """What results say of objects."""
    for obj in flatten(item for item in definitions if isinstance(item, dict)):
        metadata = obj.get("metadata")
        found = metadata if isinstance(metadata, dict) else {}
        yield from (str(obj.get("apiVersion")), str(obj.get("kind")))
        yield from (str(found.get("name")), str(found.get("namespace")))


@dataclasses.dataclass(frozen=True)
class All:
    """Several expectations at once."""

    parts: tuple[Condition | JsonPath, ...]

    def __str__(self) -> str:
        return " and ".join(map(str, self.parts))

    def met(self, obj: Object) -> bool:
        """Whether the object meets them all."""
        return all(part.met(obj) for part in self.parts)


def target(ref: Ref, options: t.Iterable[t.Mapping[str, t.Any]]) -> Target:
    """What to wait for, for one object.

    :param options: the option ``wait_conditions``.
    :raises InputError: a JSONPath is not supported.
    """
    success: list[Condition | JsonPath] = []
    failure: list[Condition | JsonPath] = []
    for option in options:
        if option["kind"] != ref.kind or option["name"] not in (None, ref.name):
            continue
        expectation: Condition | JsonPath = (
            Condition(option["type"], option["status"], option["reason"])
            if option["type"]
            else JsonPath(option["jsonpath"], option["value"])
        )
        (failure if option["failure"] else success).append(expectation)
    return Target(ref, All(tuple(success)) if len(success) > 1 else next(iter(success), None), tuple(failure))


def _prune(params: t.Mapping[str, t.Any]) -> Prune | None:
    if not params["prune"]:
        return None
    kinds = []
    for text in params["prune_kinds"]:
        api_version, _slash, kind = text.rpartition("/")
        if not api_version or not kind:
            raise InputError(f"{text!r} in prune_kinds is not a kind.", hint="Write it like apps/v1/Deployment.")
        kinds.append((api_version, kind))
    return Prune(tuple(kinds), params["namespace"], selector(params["instance"]))


def _present(module: Module, client: Client, definitions: list[t.Any]) -> list[Change]:
    params = module.params
    objects = prepare(
        definitions,
        namespace=params["namespace"],
        instance=params["instance"],
        namespaced=lambda api_version, kind: client.resource(api_version, kind).namespaced,
    )
    kinds = {obj["kind"] for obj in objects} - NEVER_REPLACED
    options = ApplyOptions(
        force_conflicts=params["force_conflicts"],
        check=module.check_mode,
        prune=_prune(params),
        replace=frozenset(kinds if params["replace"] else ()),
        timeout=params["wait_timeout"],
    )
    return apply(client, objects, options)


def _absent(module: Module, client: Client, definitions: list[t.Any]) -> list[Change]:
    def namespaced(api_version: str, kind: str) -> bool:
        if client.serves(api_version, kind):
            return client.resource(api_version, kind).namespaced
        return kind not in CLUSTER_KINDS

    objects = prepare(definitions, namespace=module.params["namespace"], namespaced=namespaced)
    changes = remove(client, [Ref.of(obj) for obj in objects], check=module.check_mode)
    prune = _prune(module.params)
    if prune:
        done = {change.ref for change in changes}
        changes += [change for change in remove(client, prune, check=module.check_mode) if change.ref not in done]
    return changes


def _wait(module: Module, client: Client, changes: list[Change]) -> None:
    """Wait for what is not ready or gone already.

    :raises WaitError: it never will be, or not in time.
    """
    waiter = Waiter(client, timeout=module.params["wait_timeout"])
    kept = [change for change in changes if change.action != "delete"]
    if module.params["state"] == "absent":
        waiter.wait_gone([change.ref for change in changes if change.before is not None])
        return
    targets = [(target(change.ref, module.params["wait_conditions"] or ()), change.after) for change in kept]
    waiter.wait([one for one, after in targets if not (after and judge(one, after).state == "ready")])


def _run(module: Module, result: dict[str, t.Any]) -> None:
    """Do what was asked for; what is known of it is in ``result``, also when it fails later."""
    params = module.params
    definitions = read(module)
    absent = params["state"] == "absent"
    if not definitions and not (absent and (params["prune"] or params["render_to"])):
        hint = "To remove everything of an instance, use state: absent with prune: true."
        raise InputError("There are no definitions.", hint=hint)
    if params["render_to"]:
        if params["prune"] or params["wait"]:
            raise InputError(
                "Files that are rendered cannot be pruned or waited for.", hint="Leave out prune and wait."
            )
        objects = prepare(definitions, namespace=params["namespace"], instance=params["instance"])
        changes = render(
            [] if absent else objects,
            params["render_to"],
            argo=params["argo"],
            job_hooks=params["argo_job_hooks"],
            check=module.check_mode,
        )
        result.update(describe(module, changes))
        return
    client = auth.connect(module)
    changes = (_absent if absent else _present)(module, client, definitions)
    result.update(describe(module, changes))
    if params["wait"] and not module.check_mode:
        _wait(module, client, changes)


def main() -> None:
    """Entry point of the module."""
    module = Module(
        argument_spec=argument_spec(),
        required_if=[("prune", True, ("instance", "namespace"))],
        supports_check_mode=True,
    )
    result: dict[str, t.Any] = {"changed": False}
    try:
        _run(module, result)
    except KubeError as error:
        if error.changes:
            result.update(describe(module, error.changes))
        kind = type(error).__name__
        told = {"kind": kind, "message": error.message, "hint": error.hint}
        module.fail_json(msg=str(error), error=told, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
