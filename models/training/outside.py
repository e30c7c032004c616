#!/usr/bin/env python3
"""Streams and pairs of third-party sets that only measure: their licences do not allow more, so they are not in this repository.

    outside.py squad FOLDER --out OUT      # OUT/cached.jsonl and queries.jsonl, for `wellspring eval stream`
    outside.py banking FOLDER --out OUT    # the same
    outside.py quora FOLDER > pairs.jsonl  # for `wellspring eval pairs`

FOLDER holds them as JSON lines: squad2_questions ({"id", "q", "doc_id", "answers"}), disflqa_pairs ({"a", "b", "squad2_id"}),
squad_para_pairs ({"id", "a", "b"}), banking77_stream ({"id", "q", "cls"}) and qqp_pairs ({"a", "b", "label"}).
"""

import argparse
import json
import random
import re
import sys
from collections import defaultdict
from pathlib import Path

PARAGRAPHS, PARAPHRASES, BANKING, QUORA = 110, 300, 4_000, 6_000


def rows(folder, name):
    with open(folder / f"{name}.jsonl", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def plain(text):
    return " ".join(re.findall(r"\w+", text.lower()))


def squad(folder, rng):
    """Every other question of a paragraph is cached; asked are the others, spoken rewrites of all, and paraphrases. Of two
    questions of a paragraph with one answer, nothing says whether they ask the same, so the one that is not cached is not asked.
    Many of the questions that were paraphrased are SQuAD's own: these are left out."""
    by_paragraph, rewrites = defaultdict(list), {row["squad2_id"]: row["b"] for row in rows(folder, "disflqa_pairs")}
    for row in rows(folder, "squad2_questions"):
        by_paragraph[row["doc_id"]].append(row)
    cached, asked = [], []
    for paragraph in rng.sample(sorted(by_paragraph), PARAGRAPHS):
        group = by_paragraph[paragraph]
        answers = {answer.lower() for row in group[::2] for answer in row["answers"]}
        for at, row in enumerate(group):
            is_cached = at % 2 == 0
            if is_cached:
                cached.append((row["id"], row["q"]))
            elif answers & {answer.lower() for answer in row["answers"]}:
                continue
            else:
                asked.append((row["q"], None))
            if row["id"] in rewrites:
                asked.append((rewrites[row["id"]], row["id"] if is_cached else None))
    known = {plain(row["q"]) for group in by_paragraph.values() for row in group}
    paraphrased = [row for row in rows(folder, "squad_para_pairs") if not {plain(row["a"]), plain(row["b"])} & known]
    for row in rng.sample(paraphrased, min(len(paraphrased), PARAPHRASES)):
        cached.append((row["id"], row["a"]))
        asked.append((row["b"], row["id"]))
    return cached, asked


def banking(folder, rng):
    """One question of each class is cached: a class is an answer."""
    by_class = defaultdict(list)
    for row in rows(folder, "banking77_stream"):
        by_class[row["cls"]].append(row["q"])
    cached = [(name, by_class[name].pop(rng.randrange(len(by_class[name])))) for name in sorted(by_class)]
    asked = [(text, name) for name in sorted(by_class) for text in by_class[name]]
    return cached, rng.sample(asked, BANKING)


def write(path, lines):
    with open(path, "w", encoding="utf-8") as file:
        for line in lines:
            print(json.dumps(line, ensure_ascii=False), file=file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("set", choices=["squad", "banking", "quora"])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    if options.set == "quora":
        for row in rng.sample(rows(options.folder, "qqp_pairs"), QUORA):
            print(json.dumps({name: row[name] for name in ("a", "b", "label")}, ensure_ascii=False))
        return
    cached, asked = {"squad": squad, "banking": banking}[options.set](options.folder, rng)
    rng.shuffle(asked)
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out / "cached.jsonl", ({"id": one, "q": text} for one, text in cached))
    write(options.out / "queries.jsonl", ({"q": text, "expect": one} for text, one in asked))


if __name__ == "__main__":
    sys.exit(main())
