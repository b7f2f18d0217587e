# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One Pod of a benchmark in a cluster, and what its controller runs in it by exec: a signal, and collecting results."""

# Whoever collects while the load runs takes as little of its cores as can be: what is here imports nothing.
#: In RESULTS: what is known of the commands of a load tool that have ended.
STEPS = "steps.json"
