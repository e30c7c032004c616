"""Results as Markdown tables, on standard output.

`table.py results.json` prints those of an earlier run.
"""

import json
import sys
from pathlib import Path

from catalogue import KINDS, LEFT_OUT


def _ms(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _rate(value: float | str | None) -> str:
    if isinstance(value, str):
        return "fails"
    return "–" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _print(head: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
    print()


def _latency(row: dict) -> str:
    return f"{_ms(row['p50_ms'])} / {_ms(row['p99_ms'])}"


def _rates(row: dict) -> str:
    rates = sorted(row["hits_per_second"].items(), key=lambda rate: int(rate[0]))
    return " / ".join(_rate(rate) for _, rate in rates)


def _row(result: dict) -> list[str]:
    label = KINDS[result["system"]].label
    if "error" in result:
        return [label, f"did not run: {result['error']}", *[""] * 8]
    text, given = result["text"], result["given"]
    p50 = text["hit"]["p50_ms"]
    filled = (
        "" if result["entries"] == result["wanted"] else f" ({result['entries']:,} in {result['fill_seconds']:.0f} s)"
    )
    return [
        label + filled,
        _latency(text["hit"]),
        "–" if p50 is None else f"{p50 / result['embedding']['p50_ms']:.2f} ×",
        _latency(given["hit"]),
        _latency(given["miss"]),
        _ms(result["put"]["p50_ms"]),
        _rates(text),
        _rates(given),
        f"{result['bytes_per_entry'] / 1e3:.1f}",
        f"{text['hit']['share']:.1%}, {text['hit']['right']:.1%}",
    ]


HEAD = [
    "cache",
    "hit by text, p50 / p99 ms",
    "to the embedding alone",
    "hit, vector given",
    "miss, vector given",
    "store one",
    "hits/s by text, 1 / 8 / 64 callers",
    "hits/s, vector given",
    "KB an entry",
    "near questions that hit, of these right",
]


def _summary(results: list[dict]) -> None:
    """The medians of a hit at the sizes that all were asked for, as the README has them."""
    sizes = sorted({r["wanted"] for r in results if r["system"] == "wellspring-valkey"})
    ran = {(r["system"], r["wanted"]): r for r in results if "error" not in r}
    if not sizes:
        return
    counts = " / ".join(f"{size:,}" for size in sizes)
    rows = []
    for name, kind in KINDS.items():
        here = [ran.get((name, size)) for size in sizes]
        if any(here):
            by_text, given = (
                " / ".join(_ms(r[how]["hit"]["p50_ms"]) if r else "–" for r in here) for how in ("text", "given")
            )
            last = here[-1]
            rate = _rate(last["text"]["hits_per_second"]["64"]) if last else "–"
            rows.append([kind.label, by_text, given, rate])
    head = ["cache", f"hit, {counts} entries", "of it the cache's own", f"hits/s, 64 callers, {sizes[-1]:,} entries"]
    _print(head, rows)


def write(results: list[dict]) -> None:
    """Prints a table for every size, and what to know of each cache."""
    for size in sorted({result["wanted"] for result in results}):
        rows = [_row(result) for result in results if result["wanted"] == size]
        print(f"### {size:,} entries\n")
        _print(HEAD, rows)
    _summary(results)
    asked = {result["system"]: result for result in results}
    facts = [
        [kind.label, asked[name].get("version") or "–", kind.setup, kind.checks, kind.ends]
        for name, kind in KINDS.items()
        if name in asked
    ]
    _print(
        [
            "cache",
            "version",
            "entries and vectors",
            "checks beside similarity",
            "its answers can be ended by",
        ],
        facts,
    )
    _print(["not measured", "why"], [list(pair) for pair in LEFT_OUT.items()])
    for result in results:
        failed = {
            (how, callers): rate
            for how in ("text", "given")
            for callers, rate in result.get(how, {}).get("hits_per_second", {}).items()
            if isinstance(rate, str)
        }
        for (how, callers), why in failed.items():
            print(f"{KINDS[result['system']].label}, {result['wanted']:,} entries, {callers} callers ({how}): {why}")


if __name__ == "__main__":
    write(json.loads(Path(sys.argv[1]).read_text()))
