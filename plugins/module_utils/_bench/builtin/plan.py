# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is sent, and when: prompts, lengths and times of a stage, all drawn from the seed. Pure."""

from __future__ import annotations

import random
import typing as t

from ..workload import Dataset, Length, Stage, Workload

# Short words that common tokenizers have as one token each, together with the space before them.
_COMMON = (
    "the of and to in is was for on that with as it by at from his an be are this have or which had not but first also "
    "its one new they has been their were all after more two when other time who some into year them only over can out "
    "city most would made about up will many part then used there later between her no these may state under such years"
)
_WORDS = _COMMON.split()
_TEXT = 1 << 16
_HEAD = 8


class Question(t.NamedTuple):
    """One request: the prompt, how many tokens it is meant to have, and how many the answer may have."""

    prompt: str
    input_tokens: int | None
    output_tokens: int


class Plan:
    """One repeat of a stage. The same seed, stage and repeat always give the same plan."""

    def __init__(self, workload: Workload, dataset: Dataset | None, index: int, repeat: int) -> None:
        self._data = workload.data
        self._prompts = dataset.prompts if dataset else ()
        # Each purpose has dice of its own, so that one does not shift the other.
        name = f"{workload.seed}/{repeat}/{index}"
        self._dice = random.Random(f"{name}/questions")  # noqa: S311 - load, no secret
        self._words = random.Random(f"{workload.seed}/words").choices(_WORDS, k=_TEXT)  # noqa: S311 - load, no secret
        self._next = self._dice.randrange(len(self._prompts)) if self._prompts else 0
        self._times = random.Random(f"{name}/arrivals")  # noqa: S311 - load, no secret

    def question(self) -> Question:
        """The next request. Prompts of a file come in its order, again and again, from a place that the seed decides."""
        output = _draw(self._data.output_tokens, self._dice)
        if self._data.input_tokens is None:
            prompt = self._prompts[self._next % len(self._prompts)]
            self._next += 1
            return Question(prompt, None, output)
        wanted = _draw(self._data.input_tokens, self._dice)
        return Question(self._synthetic(wanted), wanted, output)

    def _synthetic(self, count: int) -> str:
        """So many words. The first ones are drawn one by one, so that no cache of prefixes knows the prompt."""
        words = self._dice.choices(_WORDS, k=min(count, _HEAD))
        while (missing := count - len(words)) > 0:
            at = self._dice.randrange(_TEXT)
            words += self._words[at : at + missing]
        return " ".join(words)

    def arrivals(self, stage: Stage, arrival: str) -> list[float]:
        """Seconds since the stage began at which an open loop sends, in order.

        There are exactly as many as the rate asks for. With that number given, the arrivals of a Poisson process lie
        anywhere in the window with the same probability.
        """
        rate = stage.asked
        count = stage.requests or max(1, round(rate * (stage.duration or 0)))
        if arrival == "poisson":
            return sorted(self._times.uniform(0, count / rate) for _index in range(count))
        return [(index + (stage.phase or 0)) / rate for index in range(count)]


def _draw(length: Length, dice: random.Random) -> int:
    """A number of tokens. What lies outside is drawn again, so that nothing piles up at the limits."""
    if not length.stddev:
        return round(length.mean)
    for _attempt in range(100):
        value = round(dice.gauss(length.mean, length.stddev))
        if length.min <= value <= length.max:
            return value
    return round(length.mean)
