# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gcp.resources import KINDS, find_resource
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

PROJECT, REGION = "demo-project", "europe-west4"
EMAIL = "sync@demo-project.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    ("kind", "name", "full", "path"),
    [
        ("project", None, f"projects/{PROJECT}", f"/v3/projects/{PROJECT}"),
        ("project", "other", "projects/other", "/v3/projects/other"),
        ("bucket", "models", "projects/_/buckets/models", "/storage/v1/b/models"),
        ("secret", "hf", f"projects/{PROJECT}/secrets/hf", f"/v1/projects/{PROJECT}/secrets/hf"),
        ("service_account", EMAIL, f"projects/-/serviceAccounts/{EMAIL}", f"/v1/projects/-/serviceAccounts/{EMAIL}"),
        ("service_account", "sync", f"projects/-/serviceAccounts/{EMAIL}", f"/v1/projects/-/serviceAccounts/{EMAIL}"),
        ("service_account", "117", "projects/-/serviceAccounts/117", "/v1/projects/-/serviceAccounts/117"),
        ("topic", "t+1", f"projects/{PROJECT}/topics/t+1", f"/v1/projects/{PROJECT}/topics/t%2B1"),
        ("subscription", "s", f"projects/{PROJECT}/subscriptions/s", f"/v1/projects/{PROJECT}/subscriptions/s"),
        ("dataset", "d", f"projects/{PROJECT}/datasets/d", f"/bigquery/v2/projects/{PROJECT}/datasets/d"),
    ],
)
def test_names(kind, name, full, path):
    short = find_resource(kind, name, project=PROJECT, location=None)
    assert (short.full_name, short.path, short.api) == (full, path, KINDS[kind].api)
    for form in (full, f"//{short.api}.googleapis.com/{full}"):
        assert find_resource(kind, form, project="another", location=None) == short


def test_names_with_a_location():
    where = {"project": PROJECT, "location": REGION}
    repository = find_resource("repository", "images", **where)
    assert repository.path == f"/v1/projects/{PROJECT}/locations/{REGION}/repositories/images"
    secret = find_resource("secret", "hf", **where)
    assert (secret.full_name, secret.api) == (
        f"projects/{PROJECT}/locations/{REGION}/secrets/hf",
        f"secretmanager.{REGION}.rep",
    )
    assert find_resource("topic", "t", **where).full_name == f"projects/{PROJECT}/topics/t"


@pytest.mark.parametrize(
    ("kind", "name", "project", "message"),
    [
        ("project", None, None, "GCP_PROJECT"),
        ("bucket", None, PROJECT, "Which bucket is meant"),
        ("bucket", "a b", PROJECT, "'a b' is not the name of a bucket"),
        ("bucket", "gs://models", PROJECT, "'gs://models' is not the full name of a bucket"),
        ("topic", f"projects/{PROJECT}/subscriptions/t", PROJECT, "is not the full name of a topic"),
        ("secret", "//storage.googleapis.com/projects/p/secrets/s", PROJECT, "is not the full name of a secret"),
        ("secret", "hf", None, "For the secret hf, project is missing"),
        ("repository", "images", None, "project and location are missing"),
        ("repository", "images", PROJECT, "location is missing"),
    ],
)
def test_no_names(kind, name, project, message):
    with pytest.raises(InputError) as found:
        find_resource(kind, name, project=project, location=None)
    assert message in str(found.value)
