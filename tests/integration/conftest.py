# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures of tests/support, for the tests of this folder."""

from __future__ import annotations

from aws import _aws, aws
from browser import chromium
from cluster import cluster, custom_kinds, namespace, pytest_sessionfinish, pytest_terminal_summary, requires_nodes
from google_cloud import google
from kaggle import kaggle
from kube_proxy import api_proxy
from order import pytest_collection_modifyitems
from runner import collections, playbooks
from services import _hub, _proxy, engine_zip, hub, proxy, seaweedfs, sync

__all__ = [
    "_aws",
    "_hub",
    "_proxy",
    "api_proxy",
    "aws",
    "chromium",
    "cluster",
    "collections",
    "custom_kinds",
    "engine_zip",
    "google",
    "hub",
    "kaggle",
    "namespace",
    "playbooks",
    "proxy",
    "pytest_collection_modifyitems",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "requires_nodes",
    "seaweedfs",
    "sync",
]
