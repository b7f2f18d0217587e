#!/usr/bin/env bash
# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# What stands for gcloud in the image of the test cluster: buckets are folders of the container.

[[ "$1 $2" == "storage ls" ]] || { echo "gcloud: the stand-in has no $1 $2" >&2; exit 2; }
if ! ls "/tmp/buckets/${3#gs://}"; then
  echo "ERROR: (gcloud.storage.ls) One or more URLs matched no objects." >&2
  exit 1
fi
