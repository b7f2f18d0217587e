# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clusters and node pools of GKE: from options to resources of its API v1, and what it takes to make live ones so.

Everything but ``resource`` is pure. https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1
"""
