# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The style sheet. Colours are variables, one set for light and one for dark."""

from __future__ import annotations

#: From the first stage to the last, away from the background for light and towards it for dark: after the colour map
#: ``viridis`` (CC0, S. van der Walt and N. Smith), whose lightness changes evenly, so that stages keep their order
#: without colour vision; cut where it would vanish in the background.
_ON_LIGHT = ("#1f9e89", "#26828e", "#31688e", "#3e4989", "#482878", "#440154")
_ON_DARK = ("#fde725", "#b5de2b", "#6ece58", "#35b779", "#1f9e89", "#3b93ad", "#7a70c4")

# c0 to c3: M. Okabe and K. Ito, "Color Universal Design" (2008), made lighter for dark.
_BASE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --raised: #f6f7f9; --ink: #1b2027; --muted: #59626d; --rule: #d9dde3; --grid: #e8ebef;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #a8558a;
  --good: #00664a; --bad: #b03a00; --open: #7a5b00;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #13171c; --raised: #1b2027; --ink: #e6e9ed; --muted: #a0a9b4; --rule: #343b45; --grid: #272d36;
    --c0: #56b4e9; --c1: #f08a3c; --c2: #2fc79a; --c3: #dd9fc4;
    --good: #4fd1a5; --bad: #ff9a66; --open: #e3bd52;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 76rem; padding: 2rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", sans-serif;
  overflow-wrap: break-word;
}
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; font-weight: 650; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 0 0 .5rem; font-weight: 650; }
h3 { font-size: 1.05rem; line-height: 1.3; margin: 0 0 .25rem; font-weight: 650; }
p { margin: 0 0 .75rem; max-width: 60rem; }
ul { margin: 0; padding-left: 1.1rem; }
p, li { text-wrap: pretty; }
code { font: .85em ui-monospace, SFMono-Regular, Menlo, "Liberation Mono", monospace; color: var(--muted); }
small { font-size: .8rem; color: var(--muted); }
a { color: var(--c0); }
:focus-visible { outline: 2px solid var(--c0); outline-offset: 2px; }
.muted { color: var(--muted); font-size: .9rem; }
.takeaway { color: var(--ink); }
header { border-bottom: 1px solid var(--rule); padding-bottom: 1rem; margin-bottom: 1.5rem; }
header p { margin: 0; }
nav ul { display: flex; flex-wrap: wrap; gap: .15rem 1rem; list-style: none; font-size: .9rem; }
nav ul { padding: 0; margin: .75rem 0 0; }
main > section { margin-bottom: 2.5rem; }
.verdict {
  --tone: var(--muted); display: flex; gap: 1rem; align-items: flex-start; padding: 1.1rem 1.25rem;
  background: var(--raised); border-left: 5px solid var(--tone); border-radius: 4px;
}
.verdict h2 { color: var(--tone); font-size: 1.5rem; margin-bottom: .25rem; }
.verdict > div { min-width: 0; }
.sign { font-size: 1.9rem; line-height: 1.1; color: var(--tone); font-weight: 700; }
.passed, .better { --tone: var(--good); }
.failed, .worse, .bad { --tone: var(--bad); }
.inconclusive { --tone: var(--open); }
.tag { color: var(--tone, var(--muted)); font-weight: 600; white-space: nowrap; }
.cards { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .75rem; margin: 0; }
.card { background: var(--raised); border-radius: 4px; padding: .8rem 1rem; }
.card dt { font-size: .85rem; color: var(--muted); }
.card dd { margin: 0; }
.card strong { font-size: 1.6rem; font-weight: 650; line-height: 1.25; font-variant-numeric: tabular-nums; }
.card .unit { font-size: .9rem; }
.figure { border-top: 1px solid var(--rule); padding: 1.25rem 0 .5rem; }
.pair { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 1rem 2rem; align-items: start; }
figure { margin: 0 0 1rem; }
.pair > .scroll { position: sticky; top: 1rem; }
figure > svg { display: block; width: 100%; height: auto; }
svg text { font-size: 12.5px; fill: var(--muted); font-variant-numeric: tabular-nums; }
svg .name { fill: var(--ink); }
svg .label { font-size: 11.5px; fill: var(--ink); }
svg .label, svg .marked, svg .limited {
  paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round;
}
svg .marked { fill: var(--ink); font-weight: 600; }
svg .limited { fill: var(--bad); }
.grid { stroke: var(--grid); }
.axis { stroke: var(--muted); }
.line { fill: none; stroke: var(--c); stroke-linecap: round; stroke-width: 2; stroke-linejoin: round; }
.dashed { stroke-dasharray: 6 4; stroke-width: 1.6; }
path.line:hover { stroke-width: 4; }
.area { fill: var(--c); fill-opacity: .12; stroke: none; }
.dot { fill: var(--c); stroke: var(--paper); stroke-width: 1; }
.hollow { fill: var(--paper); stroke: var(--c); stroke-width: 2; }
.band { fill: var(--grid); fill-opacity: .7; }
.bar, .cell { fill: var(--c0); }
.mark { stroke: var(--ink); stroke-dasharray: 2 3; stroke-width: 1.5; }
.limit { stroke: var(--bad); stroke-dasharray: 8 3; stroke-width: 1.2; }
.ideal { --c: var(--muted); }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; list-style: none; font-size: .85rem; }
.legend { padding: 0 0 0 .25rem; }
.legend li { display: flex; align-items: center; gap: .4rem; }
.swatch { width: 22px; height: 12px; flex: none; }
.inline { width: 80px; height: 10px; }
.scroll { overflow-x: auto; margin-bottom: 1.25rem; }
table { border-collapse: separate; border-spacing: 0; width: 100%; }
table { font-size: .85rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--muted); padding-bottom: .35rem; }
/* What a wide table is about, and a row's name, stay while it scrolls. */
caption span { display: block; position: sticky; left: 0; max-width: calc(100vw - 2rem); }
th:first-child { position: sticky; left: 0; background: var(--paper); }
th, td { padding: .3rem .55rem; border-bottom: 1px solid var(--grid); }
th, td { text-align: right; vertical-align: top; white-space: nowrap; }
thead th { vertical-align: bottom; white-space: normal; border-bottom-color: var(--rule); font-weight: 600; }
th:first-child, .words { text-align: left; }
td.words { white-space: normal; }
tbody th { font-weight: 500; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 1.5rem 2rem; }
.facts dl, .definitions { margin: 0; font-size: .9rem; }
.facts dt, .definitions dt { color: var(--muted); }
.facts dd, .definitions dd { margin: 0 0 .4rem; overflow-wrap: anywhere; }
.definitions dd { overflow-wrap: break-word; max-width: 48rem; }
@media (max-width: 56rem) {
  .pair { grid-template-columns: minmax(0, 1fr); }
  .pair > .scroll { position: static; }
}
@media (max-width: 36rem) {
  body { padding: 1rem 1rem 3rem; }
  h1 { font-size: 1.35rem; }
  .verdict { padding: .9rem; gap: .6rem; }
  .cards { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .5rem; }
  .card { padding: .6rem .75rem; }
  .card strong { font-size: 1.35rem; }
  /* The plots are drawn 560 wide: letters have to grow to be read at 330. */
  svg text { font-size: 17px; }
  svg .label { font-size: 16px; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  .scroll { overflow: visible; }
  .figure > .pair, figure, tr, .card { break-inside: avoid; }
  .verdict, .card, .cell, .band { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def sheet(stages: int) -> str:
    """The style sheet, with a colour ``g0``, ``g1``, ... for every stage."""
    light = _rules(_ON_LIGHT, stages)
    dark = _rules(_ON_DARK, stages)
    return f"{_BASE}{light}\n@media screen and (prefers-color-scheme: dark) {{ {dark} }}\n"


def _rules(ramp: tuple[str, ...], stages: int) -> str:
    return " ".join(f".g{index} {{ --c: {_between(ramp, index / max(1, stages - 1))}; }}" for index in range(stages))


def _between(ramp: tuple[str, ...], share: float) -> str:
    """The colour at ``share`` (0 to 1) of the ramp."""
    place = share * (len(ramp) - 1)
    index = min(int(place), len(ramp) - 2)
    low, high = (_channels(ramp[at]) for at in (index, index + 1))
    mixed = (round(a + (b - a) * (place - index)) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
