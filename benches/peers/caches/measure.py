"""Measures one cache in this process, which is started for it, and prints what it found as JSON.

What is measured, once with the vectors of the questions given and once with the text alone:

- a hit: another wording of a stored question; its latency, how many near questions hit, and how many got their answer;
- a miss: a question that nothing stored is near to; the latency of learning that;
- throughput: hits in a second for 1, 8 and 64 callers, each a thread.

Beside them the memory for an entry: the growth of this process and of those that it started, from the open and empty
cache to the filled one, divided by the number of entries. Between filling and asking it has time to end what it does in
the background.
"""

import argparse
import ctypes
import gc
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle, islice
from pathlib import Path

import numpy as np

import systems
from embedding import Model
from questions import NEAR, NEW, chunks

CALLERS = (1, 8, 64)
GIVEN_SECONDS = 1.5
TEXT_SECONDS = 2.5
# How many near questions are asked without a vector: by one caller for the latency, and by all at each throughput.
MOST_QUESTIONS = 800
MOST_CALLS = 1_200
TEXT_QUESTIONS = 9_000
PUTS = 100
# A filled cache has ended its work in the background when it takes less than this part of a processor.
IDLE_SHARE = 0.03
SETTLE_SECONDS = 180


class Embedding:
    """The function that caches embed with: a table of vectors, or the model."""

    def __init__(self) -> None:
        self._model = Model()
        self._table: dict[str, np.ndarray] = {}
        self.given = True
        # The gateway embeds by itself, and gets a vector only if it is known.
        self.by_server = False

    def add(self, texts: list[str], vectors: np.ndarray) -> None:
        self._table.update({text.casefold(): vector.copy() for text, vector in zip(texts, vectors, strict=True)})

    def remove(self, texts: list[str]) -> None:
        for text in texts:
            del self._table[text.casefold()]

    def __call__(self, text: str) -> np.ndarray | None:
        if self.given:
            # Some caches fold the case of a question first. The model does so, too: the vectors are the same.
            vector = self._table.get(text.casefold())
            if vector is not None:
                return vector
        return None if self.by_server else self._model(text)

    def alone(self, texts: list[str]) -> dict:
        """The time of the model alone, as the reference."""
        return _times(texts, TEXT_SECONDS, lambda text: self._model(text) is not None)[0]


def _processes() -> Iterator[Path]:
    """This process and those that it started, in `/proc`."""
    pids = ["self"]
    while pids:
        process = Path("/proc") / pids.pop()
        yield process
        for task in (process / "task").iterdir():
            pids += (task / "children").read_text().split()


def resident_bytes() -> int:
    """The resident memory of this process and of those that it started, in bytes."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    total = 0
    for process in _processes():
        status = (process / "status").read_text()
        total += next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))
    return total


def _used_seconds() -> float:
    """The processor time of all of them."""
    fields = [(process / "stat").read_text().rpartition(")")[2].split() for process in _processes()]
    return sum(int(times[11]) + int(times[12]) for times in fields) / os.sysconf("SC_CLK_TCK")


def _settle() -> None:
    """Waits until background work, such as building an index, is done."""
    ends, before = time.monotonic() + SETTLE_SECONDS, -1.0
    while time.monotonic() < ends and (used := _used_seconds()) - before > IDLE_SHARE:
        before = used
        time.sleep(1)


def _times(questions: list, seconds: float, ask: Callable[..., bool]) -> tuple[dict, int]:
    """Asks one question after another; the latencies of those for which `ask` is true, and how many were asked."""
    took, asked = [], 0
    ends = time.perf_counter() + seconds
    for question in questions:
        started = time.perf_counter()
        counts = ask(question)
        ended = time.perf_counter()
        asked += 1
        if counts:
            took.append(ended - started)
        if ended > ends:
            break
    if not took:
        return {"p50_ms": None, "p99_ms": None, "count": 0}, asked
    p50, p99 = np.percentile(took, [50, 99]) * 1e3
    return {"p50_ms": float(p50), "p99_ms": float(p99), "count": len(took)}, asked


class Bench:
    """An open and filled cache with the questions to ask."""

    def __init__(self, system: systems.System, embedding: Embedding, folder: Path) -> None:
        self._system, self._embedding = system, embedding
        self._near, self._new = [], []
        for name, kept, count in (("near", self._near, NEAR), ("new", self._new, NEW)):
            for rows, vectors in chunks(folder, name, count):
                kept += rows
                embedding.add([row["question"] for row in rows], vectors)
        # Without its vector a question is asked once, so that nothing is gained by remembering the vector.
        self._text = iter(self._near[:TEXT_QUESTIONS])
        self._given = cycle(self._near[TEXT_QUESTIONS:])

    def reference(self) -> dict:
        return self._embedding.alone([f"So, {row['question']}" for row in self._near[:MOST_QUESTIONS]])

    def given(self) -> dict:
        return self._run(self._given, GIVEN_SECONDS, most_calls=None)

    def text(self) -> dict:
        return self._run(self._text, TEXT_SECONDS, MOST_CALLS)

    def _run(self, rows: Iterator[dict], seconds: float, most_calls: int | None) -> dict:
        near = list(islice(rows, MOST_QUESTIONS))
        right = 0

        def hit(row: dict) -> bool:
            nonlocal right
            answer = self._system.get(row["question"])
            right += answer is not None and answer.split(":", 1)[0] == row["answer"]
            return answer is not None

        hits, asked = _times(near, seconds, hit)
        hits["share"] = hits["count"] / asked
        hits["right"] = right / max(hits["count"], 1)
        misses, _ = _times(self._new, seconds, lambda row: self._system.get(row["question"]) is None)
        callers = {n: self._throughput(n, islice(rows, most_calls), seconds) for n in CALLERS}
        return {"hit": hits, "miss": misses, "hits_per_second": callers}

    def _throughput(self, callers: int, rows: Iterator[dict], seconds: float) -> float | str:
        """Hits in a second, until the time or the questions run out; or the exception."""
        counts, errors = [0] * callers, []
        lock, barrier = threading.Lock(), threading.Barrier(callers + 1)

        def call(number: int) -> None:
            barrier.wait()
            ends = time.perf_counter() + seconds
            try:
                while time.perf_counter() < ends:
                    with lock:
                        row = next(rows, None)
                    if row is None:
                        break
                    counts[number] += self._system.get(row["question"]) is not None
            except Exception as error:  # noqa: BLE001, what a cache raises is its own
                errors.append(error)

        threads = [threading.Thread(target=call, args=[number], daemon=True) for number in range(callers)]
        for thread in threads:
            thread.start()
        barrier.wait()
        started = time.perf_counter()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - started
        return f"{type(errors[0]).__name__}: {errors[0]}"[:200] if errors else sum(counts) / elapsed

    def puts(self, seconds: float) -> dict:
        """The time to store one answer after a miss, its vector given."""
        rows = self._new[:PUTS]

        def put(row: dict) -> bool:
            self._system.put(row["question"], "-1: a new answer")
            return True

        return _times(rows, seconds, put)[0]


def _fill(system: systems.System, embedding: Embedding, folder: Path, entries: int, limit: float) -> int:
    """Stores the entries, or as many as the time allows; how many."""
    stored, ends = 0, time.monotonic() + limit
    for rows, vectors in chunks(folder, "entries", entries, system.batch):
        questions = [row["question"] for row in rows]
        embedding.add(questions, vectors)
        system.fill(questions, [row["answer"] for row in rows])
        embedding.remove(questions)
        stored += len(rows)
        if time.monotonic() > ends:
            break
    return stored


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--system", choices=systems.SYSTEMS, required=True)
    parser.add_argument("--entries", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fill-seconds", type=float, default=120)
    options = parser.parse_args()

    kind = systems.load(options.system)
    embedding = Embedding()
    embedding("Is everything loaded?")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        setting = systems.Setting(Path(folder), embedding, options.entries)
        system = kind(setting)
        try:
            bench = Bench(system, embedding, options.data)
            embedding.by_server = options.system.startswith("wellspring")
            before, started = resident_bytes(), time.monotonic()
            entries = _fill(system, embedding, options.data, options.entries, options.fill_seconds)
            filled = time.monotonic() - started
            _settle()
            after = resident_bytes()
            result = {
                "system": options.system,
                "version": _version(kind.package),
                "wanted": options.entries,
                "entries": entries,
                "fill_seconds": filled,
                "bytes_per_entry": (after - before) / entries,
                "embedding": bench.reference(),
                "given": bench.given(),
            }
            embedding.given = False
            result["text"] = bench.text()
            embedding.given = True
            result["put"] = bench.puts(GIVEN_SECONDS)
        finally:
            system.close()
    json.dump(result, sys.stdout)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
