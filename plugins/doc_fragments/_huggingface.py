# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the Hugging Face Hub is reached."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  endpoint:
    description:
      - Address of the Hub, for mirrors and private hubs.
      - When it is missing, E(HF_ENDPOINT) is used, and then V(https://huggingface.co).
    type: str
  token:
    description:
      - Access token of the Hub, needed for gated and private models. A token with read permission is enough.
      - White space around it is removed with a warning.
      - When no token and no token file is given, it is looked for as C(huggingface_hub) does, in E(HF_TOKEN), in the
        file E(HF_TOKEN_PATH) and in E(HF_HOME).
    type: str
    aliases: [hf_token]
  token_file:
    description:
      - File on the host the module runs on that holds the token and nothing else, such as a mounted secret.
    type: path
"""
