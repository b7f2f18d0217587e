# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes a small tokenizer in the folder given, so that no peer asks the network for one. Runs in a peer's environment."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from tokenizers import ByteLevelBPETokenizer
from transformers import PreTrainedTokenizerFast

_UNKNOWN = "<unk>"


def main(folder: Path) -> None:
    """Learn from what every Python brings along."""
    texts = sorted(Path(sysconfig.get_path("stdlib")).glob("[a-d]*.py"))
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train([str(path) for path in texts], vocab_size=4000, special_tokens=[_UNKNOWN], show_progress=False)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, unk_token=_UNKNOWN, eos_token=_UNKNOWN)
    wrapped.save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
