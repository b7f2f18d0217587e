# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the error of an image pull means: a wrong name, missing credentials, a registry out of reach, ..."""

from __future__ import annotations

import re
import typing as t

#: Reasons of waiting containers that speak of their image.
REASONS: t.Final = (
    "ErrImagePull", "ErrImagePullBackOff", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
    "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed",
)  # fmt: skip


class Pull(t.NamedTuple):
    """What it means, the next step, and whether it stays so until somebody acts."""

    meaning: str
    hint: str
    fatal: bool


# Words of registries and of containerd, CRI-O and Docker. The first match wins, so what is special comes first.
_PULLS: t.Final = tuple(
    (re.compile(words), pull)
    for words, pull in (
        (
            r"toomanyrequests|\b429\b|rate limit",
            Pull(
                "The registry refuses more pulls for now (rate limit).",
                "Pull with credentials (imagePullSecrets), or from a mirror.",
                fatal=False,
            ),
        ),
        (
            r"no match(ing manifest)? for (platform|linux)",
            Pull(
                "The image is not built for the node's architecture.",
                "Use an image for this architecture, or nodes of another one.",
                fatal=True,
            ),
        ),
        (
            r"unauthorized|\b40[13]\b|denied|forbidden|insufficient_scope|authentication required|no basic auth",
            Pull(
                "The registry does not give the image to this Pod: it does not exist there, or credentials are missing.",
                "Check the image's name. If it is private, name a Secret in imagePullSecrets: "
                "kubectl create secret docker-registry NAME --namespace {namespace} --docker-server=REGISTRY "
                "--docker-username=USER --docker-password=...",
                fatal=True,
            ),
        ),
        (
            r"x509|certificate|server gave http response to https client",
            Pull(
                "The node does not trust the registry's certificate, or the registry speaks no TLS.",
                "Give the registry's CA to the nodes' container runtime, or use a registry that they trust.",
                fatal=True,
            ),
        ),
        (
            r"no space left",
            Pull(
                "The node's disk is full.",
                "Free space on the node, or use nodes with larger boot disks.",
                fatal=False,
            ),
        ),
        (
            (
                r"connection refused|no such host|timeout|timed out|unreachable|connection reset|\beof\b|no route to host"
                r"|server misbehaving|deadline exceeded|\b50[0-4]\b"
            ),
            Pull(
                "The node cannot reach the registry.",
                "Check the registry's name in the image, and DNS, proxy, firewall and NAT of the nodes.",
                fatal=False,
            ),
        ),
        (
            r"not found|manifest unknown|name unknown|no such manifest|does not exist",
            Pull("The registry has no such image or tag.", "Correct the image's name, tag or digest.", fatal=True),
        ),
    )
)
_UNKNOWN: t.Final = Pull("", "See what the node's container runtime says: kubectl describe pod", fatal=False)


def read(text: str) -> Pull:
    """Read the error of a pull. Images and addresses in it (quoted, or with a slash) may contain any word."""
    plain = re.sub(r'"[^"]*"|\S*/\S*', "", text).lower()
    return next((pull for words, pull in _PULLS if words.search(plain)), _UNKNOWN)
