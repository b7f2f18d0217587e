# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Kubernetes cluster for tests: the one of KUBECONFIG, one of kind, or one built from Debian's own sources.

And a browser, from the same place. Needs nothing but the standard library, so that it runs before anything is installed.
"""
