# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a controller may not create Pods (Event FailedCreate, condition ReplicaFailure): admission's own words, read.

The wordings are those of Kubernetes' admission plug-ins (resourcequota, limitranger, serviceaccount, podsecurity,
priority, webhook, ValidatingAdmissionPolicy, namespace lifecycle), stable from 1.20 to 1.36.
"""

from __future__ import annotations

import re
import typing as t

_PREFIX = re.compile(
    r"^(Error creating: |create Pod \S+ in StatefulSet \S+ failed error: )?"
    r'((pods|jobs\.batch) "[^"]*" is forbidden: )?'
)

# Words of the refusal; next step, in which {namespace} and the groups of the words are filled in; whether it stays so
# until somebody acts. The first match wins.
_RULES: t.Final = tuple(
    (re.compile(words), hint, fatal)
    for words, hint, fatal in (
        (
            r'admission webhook "(?P<name>[^"]+)" denied',
            "It was the admission webhook {name}. Change the Pod to what it allows.",
            True,
        ),
        (
            r'failed calling webhook "(?P<name>[^"]+)"',
            "See to it that the service behind the admission webhook {name} answers, or remove its configuration.",
            False,  # it may just be starting
        ),
        (
            r"ValidatingAdmissionPolicy '(?P<name>[^']+)'",
            "It was the ValidatingAdmissionPolicy {name}. Change the Pod to what it allows.",
            True,
        ),
        (
            r"exceeded quota: (?P<name>[^,\s]+)",
            (
                "Raise the ResourceQuota or delete what uses it up: "
                "kubectl describe resourcequota {name} --namespace {namespace}"
            ),
            True,
        ),
        (
            r"failed quota: (?P<name>[^:,\s]+): must specify (?P<what>.+)",
            (
                "ResourceQuota {name} wants {what} in every container. Set them, or let a LimitRange in namespace "
                "{namespace} give defaults."
            ),
            True,
        ),
        (
            r'serviceaccount "(?P<name>[^"]+)" not found',
            "Create it: kubectl create serviceaccount {name} --namespace {namespace}",
            True,
        ),
        (
            r"violates PodSecurity",
            (
                "Set the named securityContext fields, or allow more in the namespace: "
                "kubectl label namespace {namespace} pod-security.kubernetes.io/enforce=LEVEL --overwrite"
            ),
            True,
        ),
        (
            r"unable to validate against any security context constraint",
            (
                "No SecurityContextConstraints of OpenShift allow this Pod. Drop what it asks for, or grant one: "
                "oc adm policy add-scc-to-user SCC --serviceaccount SERVICEACCOUNT --namespace {namespace}"
            ),
            True,
        ),
        (
            r"(maximum|minimum) \S+ usage per|limit to request ratio per",
            "Keep to the LimitRange or change it: kubectl describe limitrange --namespace {namespace}",
            True,
        ),
        (
            r"no PriorityClass with name (?P<name>\S+) was found",
            "Create the PriorityClass {name}, or name another: kubectl get priorityclass",
            True,
        ),
        (
            r"because it is being terminated",
            "Wait until namespace {namespace} is gone, then create it and everything in it again.",
            True,
        ),
    )
)


class Refusal(t.NamedTuple):
    """``message`` without the boilerplate, the next step, and whether it stays like that until somebody acts."""

    message: str
    hint: str
    fatal: bool


def read(text: str, namespace: str) -> Refusal:
    """Read the message of a FailedCreate Event or of a ReplicaFailure condition."""
    message = _PREFIX.sub("", text.strip(), count=1)
    for words, hint, fatal in _RULES:
        match = words.search(message)
        if match:
            return Refusal(message, hint.format(namespace=namespace, **match.groupdict()), fatal)
    # Anything else that the API server says may pass: timeouts, conflicts, restarts.
    return Refusal(message, "", fatal=False)
