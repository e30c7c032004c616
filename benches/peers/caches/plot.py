"""The latency of a hit as a picture, in light and dark: `plot.py results.json picture.svg` draws an earlier run."""

import json
import math
import sys
from html import escape
from pathlib import Path

from catalogue import KINDS

WIDTH, LEFT, GAP, ROW, TOP, BOTTOM = 860, 256, 68, 30, 92, 62
PANEL = (WIDTH - LEFT - GAP - 24) / 2
PANELS = [("text", "Question in, answer out"), ("given", "The cache alone: vector given")]

STYLE = """
    .back { fill: #ffffff; }
    text { fill: #222; }
    .small { font-size: 12px; fill: #555; }
    .head { font-weight: 600; }
    .grid { stroke: #e3e6ea; stroke-width: 1; }
    .reference { stroke: #b7791f; stroke-width: 1.5; stroke-dasharray: 4 3; }
    .reference-label { font-size: 12px; fill: #8a5a12; }
    .peer { stroke: #7a828c; fill: #7a828c; }
    .ours { stroke: #2f6fb5; fill: #2f6fb5; }
    .span { stroke-width: 2; }
    .small-size { fill: #ffffff; stroke-width: 2; }
    .ours-label { fill: #1f5a9a; font-weight: 600; }
    @media (prefers-color-scheme: dark) {
      .back { fill: #0d1117; }
      text { fill: #e6edf3; }
      .small { fill: #9aa4ae; }
      .grid { stroke: #262c33; }
      .reference { stroke: #e0aa50; }
      .reference-label { fill: #e0aa50; }
      .peer { stroke: #8b949e; fill: #8b949e; }
      .ours { stroke: #6ea8e0; fill: #6ea8e0; }
      .small-size { fill: #0d1117; }
      .ours-label { fill: #8cc0f0; }
    }
"""


def _axis(values: list[float]) -> tuple[float, float]:
    """The powers of ten around the values, as exponents."""
    return math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))


def _label(ms: float) -> str:
    return f"{ms * 1e3:.0f} µs" if ms < 1 else f"{ms:.0f} ms" if ms < 1e3 else f"{ms / 1e3:.0f} s"


def write(results: list[dict], path: Path) -> None:
    """Draws the median hit of every cache at the least and the greatest size that all were asked for."""
    ran = [r for r in results if "error" not in r and r["given"]["hit"]["p50_ms"] and r["text"]["hit"]["p50_ms"]]
    every = sorted({r["wanted"] for r in ran if r["system"].startswith("wellspring")})
    sizes = sorted({every[0], every[-1]}) if every else []
    points = {
        (how, r["system"], r["wanted"]): r[how]["hit"]["p50_ms"]
        for r in ran
        for how, _ in PANELS
        if r["wanted"] in sizes
    }
    names = [name for name in KINDS if any((how, name, size) in points for how, _ in PANELS for size in sizes)]
    if not names:
        return
    names.sort(key=lambda name: points.get(("given", name, sizes[-1]), math.inf))
    embedding = sorted(r["embedding"]["p50_ms"] for r in ran)[len(ran) // 2]
    height = TOP + ROW * len(names) + BOTTOM
    title = f"Median latency of a semantic hit at {' and '.join(f'{size:,}' for size in sizes)} entries"
    font = "system-ui, -apple-system, 'Segoe UI', sans-serif"
    box = f'viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="{font}" font-size="14">',
        f'  <title id="title">{escape(title)}.</title>',
        f"  <style>{STYLE}  </style>",
        f'  <rect class="back" width="{WIDTH}" height="{height}" rx="8"/>',
        f'  <text class="head" x="20" y="32">{escape(title)}</text>',
    ]
    for number, name in enumerate(names):
        kind = KINDS[name]
        y = TOP + ROW * (number + 0.5)
        css = ' class="ours-label"' if kind.ours else ""
        out.append(f'  <text{css} x="20" y="{y + 5:.0f}" font-size="13">{escape(kind.label)}</text>')
    for panel, (how, heading) in enumerate(PANELS):
        left = LEFT + panel * (PANEL + GAP)
        values = [value for (kind, _, _), value in points.items() if kind == how]
        low, high = _axis([*values, embedding] if how == "text" else values)

        def x(ms: float, left: float = left, low: float = low, high: float = high) -> float:
            return left + (math.log10(ms) - low) / (high - low) * PANEL

        bottom = TOP + ROW * len(names)
        out.append(f'  <text class="head" x="{left:.0f}" y="62" font-size="13">{heading}</text>')
        for exponent in range(low, high + 1):
            at = x(10**exponent)
            out.append(f'  <path class="grid" d="M{at:.1f} {TOP - 8}V{bottom}"/>')
            tick = f'x="{at:.1f}" y="{bottom + 18}" text-anchor="middle"'
            out.append(f'  <text class="small" {tick}>{_label(10.0**exponent)}</text>')
        if how == "text":
            at = x(embedding)
            out.append(f'  <path class="reference" d="M{at:.1f} {TOP - 8}V{bottom}"/>')
            out.append(f'  <text class="reference-label" x="{at:.1f}" y="{TOP - 12}">the embedding alone</text>')
        for number, name in enumerate(names):
            y = TOP + ROW * (number + 0.5)
            css = "ours" if KINDS[name].ours else "peer"
            here = [(size, points[how, name, size]) for size in sizes if (how, name, size) in points]
            if len(here) == 2:
                ends = [x(value) for _, value in here]
                out.append(f'  <path class="span {css}" d="M{ends[0]:.1f} {y}H{ends[1]:.1f}"/>')
            for size, value in reversed(here):
                dot = css + (" small-size" if size != sizes[-1] else "")
                tip = f"{KINDS[name].label}, {size:,} entries: {value:.3g} ms"
                out.append(
                    f'  <circle class="{dot}" cx="{x(value):.1f}" cy="{y}" r="5"><title>{escape(tip)}</title></circle>'
                )
    y = height - 18
    for number, size in enumerate(sizes):
        at, dot = LEFT + 6 + 120 * number, "peer" + (" small-size" if size != sizes[-1] else "")
        out.append(f'  <circle class="{dot}" cx="{at}" cy="{y - 4}" r="5"/>')
        out.append(f'  <text class="small" x="{at + 12}" y="{y}">{size:,} entries</text>')
    note = f'class="small" x="{WIDTH - 20}" y="{y}" text-anchor="end"'
    out += [f"  <text {note}>logarithmic; less is better</text>", "</svg>"]
    path.write_text("\n".join(out) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
