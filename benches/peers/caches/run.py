"""Runs every cache, each in a process of its own, prints the table and draws the plot.

    SIZES=10000 make bench-peers

`SIZES` are numbers of entries (default 10000 and 100000, and GPTCache beside Wellspring at 60000). `SYSTEMS` names some of them only.
Results are in `target/bench-peers/`, and the picture of a whole run in `docs/peers.svg`. What fails is reported in the
table, and the rest goes on.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import plot
import table
from catalogue import KINDS
from questions import prepare
from systems import SYSTEMS

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
OUT = ROOT / "target" / "bench-peers"
DRIVEN = ("embedded", "valkey")
SIZES = "10000,100000"
FILL_SECONDS = 150
MOST_SECONDS = 600


def build() -> dict[str, str]:
    """Builds the command and the driver; their paths by name."""
    command = ["cargo", "build", "--release", "--bin", "wellspring", "--bench", "peer_driver"]
    told = subprocess.run(
        [*command, "--message-format=json-render-diagnostics"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    messages = [json.loads(line) for line in told.stdout.splitlines()]
    return {m["target"]["name"]: m["executable"] for m in messages if m.get("executable")}


def measure(name: str, command: list[str], entries: int, environment: dict[str, str]) -> list[dict]:
    """The results of one process, or the reason why there are none."""
    started = time.monotonic()
    print(f"{name}, {entries} entries …", end=" ", file=sys.stderr, flush=True)
    try:
        ran = subprocess.run(
            command, cwd=HERE, env=environment, check=False, capture_output=True, text=True, timeout=MOST_SECONDS
        )
        if ran.returncode == 0:
            found = json.loads(ran.stdout.splitlines()[-1])
            results = found if isinstance(found, list) else [found]
        else:
            said = ran.stderr.strip().splitlines() or ["nothing was said"]
            results = [{"system": name, "wanted": entries, "error": said[-1][:300]}]
    except subprocess.TimeoutExpired:
        results = [{"system": name, "wanted": entries, "error": f"not done after {MOST_SECONDS} s"}]
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return results


def main() -> None:
    sizes = [int(size) for size in os.environ.get("SIZES", SIZES).split(",")]
    wanted = os.environ.get("SYSTEMS", ",".join(KINDS)).split(",")
    prepare(OUT, max(sizes))
    built = build()
    # None of them may report to its maker or look for a model on a hub.
    quiet = {"BETTERDB_TELEMETRY": "false", "HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"}
    environment = {**os.environ, **quiet, "WELLSPRING_BINARY": built["wellspring"]}
    valkey = ROOT / ".deps" / "valkey" / "bin" / "valkey-server"
    if valkey.exists():
        environment.setdefault("VALKEY_SERVER", str(valkey))

    # Between the two, for the ratio to the one that slows down the most.
    also = [(60_000, "gptcache"), (60_000, "wellspring-embedded")] if max(sizes) > 60_000 else []
    planned = [(size, name) for size in sizes for name in KINDS] + also
    results = []
    for size, name in sorted(planned, key=lambda plan: plan[0]):
        if name not in wanted:
            continue
        store = name.removeprefix("wellspring-")
        if name in SYSTEMS:
            command = [sys.executable, "measure.py", "--system", name, "--entries", str(size)]
            command += ["--data", str(OUT), "--fill-seconds", str(FILL_SECONDS)]
        elif store in DRIVEN:
            command = [built["peer_driver"], str(OUT), str(size), store]
        else:
            # Its results come with those of the system without verification.
            continue
        results += measure(name, command, size, environment)
        (OUT / "results.json").write_text(json.dumps(results, indent=1))
    table.write(results)
    # The picture in the documentation is from a whole run.
    whole = not {"SIZES", "SYSTEMS"} & set(os.environ)
    plot.write(results, (ROOT / "docs" if whole else OUT) / "peers.svg")


if __name__ == "__main__":
    main()
