# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How Kaggle Models is reached, beyond what it shares with the Hugging Face Hub."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  username:
    description:
      - User name at Kaggle, which goes with O(source.key).
      - Kaggle takes this, or O(source.token) or O(source.token_file) with an API token, or O(source.kaggle_config).
        Models of everybody need none of them. Others want their terms accepted first, on the page of the model.
      - When none of them is given, they are looked for as Kaggle's own clients do, in E(KAGGLE_API_TOKEN), which may be
        the path of a file, in C(~/.kaggle/access_token), in E(KAGGLE_USERNAME) with E(KAGGLE_KEY), and in C(kaggle.json)
        in the directory E(KAGGLE_CONFIG_DIR) or C(~/.kaggle).
    type: str
  key:
    description:
      - Legacy API key of Kaggle.
    type: str
  kaggle_config:
    description:
      - File on the host the module runs on with C(username) and C(key), as Kaggle gives it out by the name
        C(kaggle.json).
    type: path
"""
