"""The questions that every cache is asked, made of the demo's corpus and the same in every run.

An entry is one of the corpus's own questions, or a template with two of its names in it. Its answer is a number,
which shows whether a cache served the right one, and about 1 KB of the corpus's text. A near question is another
wording of one of the first 10,000 entries; a new question asks in other words for names that no entry has.
"""

import json
import random
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from embedding import DIMENSIONS, Model

CORPUS = Path(__file__).resolve().parents[3] / "src" / "cli" / "demo" / "corpus"
NEAR_AMONG = 10_000
NEAR = 12_000
NEW = 2_500
ANSWER_BYTES = 1_000

ASKED = [
    "How did {a} influence {b}?",
    "What is the relation between {a} and {b}?",
    "When was {a} first mentioned together with {b}?",
    "Which role did {a} play in the history of {b}?",
    "Who described {a} as a rival of {b}?",
    "Why is {a} compared with {b}?",
    "What do {a} and {b} have in common?",
    "How many years lie between {a} and {b}?",
    "Where can documents on {a} and {b} be found?",
    "Did {a} exist before {b}?",
    "What did critics of {b} say about {a}?",
    "In which article are both {a} and {b} explained?",
    "How much did {a} cost compared to {b}?",
    "Which laws concern {a} as well as {b}?",
    "What changed for {b} after {a}?",
    "Who studied {a} before turning to {b}?",
]
ASKED_NEW = [
    "Would you recommend a museum about {a} to children?",
    "Is there a song, a film or a novel called {a}?",
    "How do you spell and pronounce {a} in Portuguese?",
    "What would a tourist photograph near {a} in winter?",
    "Does anyone sell posters or stamps that show {a}?",
    "Could you write a birthday poem that ends with {a}?",
    "Which board game features {a} on its box?",
    "Can my dog be named {a}, and is it common?",
]
REWORDED = [
    "Please tell me: {}",
    "{} Thank you.",
    "I would like to know: {}",
    "Quick question: {}",
]


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _names(texts: list[str]) -> list[str]:
    """What is written with a capital inside of a sentence, in the order of its first appearance."""
    found: dict[str, None] = {}
    for text in texts:
        for match in re.finditer(r"(?<=[a-z,] )[A-Z][a-z]{2,}(?: (?:of |the )*[A-Z][a-z]{2,}){0,3}", text):
            found[match.group()] = None
    return list(found)


def _make(entries: int) -> tuple[list[dict], list[dict], list[dict]]:
    rng = random.Random(1)
    documents = [line["text"] for line in _lines(CORPUS / "documents.jsonl")]
    names = _names(documents)
    rng.shuffle(names)
    known, unknown = names[: len(names) * 9 // 10], names[len(names) * 9 // 10 :]
    asked = dict.fromkeys(line["question"] for line in _lines(CORPUS / "questions.jsonl"))
    while len(asked) < entries:
        a, b = rng.sample(known, 2)
        asked[rng.choice(ASKED).format(a=a, b=b)] = None
    questions = list(asked)[:entries]
    rng.shuffle(questions)
    stored = [
        {"question": question, "answer": f"{number}: {documents[number % len(documents)]}"[:ANSWER_BYTES]}
        for number, question in enumerate(questions)
    ]
    near = [
        {
            "question": REWORDED[number // NEAR_AMONG % len(REWORDED)].format(questions[number % NEAR_AMONG]),
            "answer": str(number % NEAR_AMONG),
        }
        for number in range(NEAR)
    ]
    rng.shuffle(near)
    new = [{"question": asked.format(a=name)} for asked in ASKED_NEW for name in unknown]
    rng.shuffle(new)
    return stored, near, new[:NEW]


def prepare(folder: Path, entries: int) -> None:
    """Writes `entries`, `near` and `new`, each as JSON lines and as float32 vectors, unless they are there.

    More entries than wanted do as well: the near questions are for the first ones.
    """
    done = folder / "prepared.json"
    entries = max(entries, NEAR_AMONG)
    wanted = {"entries": entries, "near": NEAR, "new": NEW}
    if done.exists():
        there = json.loads(done.read_text())
        if there["entries"] >= entries and {**there, "entries": entries} == wanted:
            return
    folder.mkdir(parents=True, exist_ok=True)
    done.unlink(missing_ok=True)
    model, started = Model(), time.monotonic()
    for name, rows in zip(("entries", "near", "new"), _make(entries), strict=True):
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        with ThreadPoolExecutor() as pool:
            vectors = list(pool.map(model, [row["question"] for row in rows]))
        np.array(vectors, dtype="<f4").tofile(folder / f"{name}.f32")
        print(f"{len(rows)} {name} embedded, {time.monotonic() - started:.0f} s", file=sys.stderr)
    done.write_text(json.dumps(wanted))


def chunks(folder: Path, name: str, limit: int, size: int = 1_000) -> Iterator[tuple[list[dict], np.ndarray]]:
    """The first `limit` rows and their vectors in chunks, read again each time, so that nothing else holds them."""
    with (folder / f"{name}.jsonl").open(encoding="utf-8") as lines, (folder / f"{name}.f32").open("rb") as floats:
        for start in range(0, limit, size):
            count = min(size, limit - start)
            rows = [json.loads(line) for line in islice(lines, count)]
            if not rows:
                return
            vectors = np.fromfile(floats, dtype="<f4", count=len(rows) * DIMENSIONS)
            yield rows, vectors.reshape(len(rows), DIMENSIONS)
