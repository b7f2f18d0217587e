# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects of Kubernetes: apply, prune, wait, explain.

Knows nothing of models, engines or Ansible; only ``auth.py`` knows the options of a module.
"""
