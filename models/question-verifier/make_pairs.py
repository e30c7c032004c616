#!/usr/bin/env python3
"""Writes the pairs that calibration.json is fitted on, as JSON lines for `wellspring calibrate`.

    make_pairs.py SQUAD2_JSON DISFLQA_JSON BANKING77_CSV > pairs.jsonl
    wellspring calibrate pairs.jsonl --from-scratch --write calibration.json

The files, as their authors publish them:
  https://rajpurkar.github.io/SQuAD-explorer/dataset/dev-v2.0.json
  https://raw.githubusercontent.com/google-research-datasets/Disfl-QA/main/dev.json
  https://raw.githubusercontent.com/PolyAI-LDN/task-specific-datasets/master/banking_data/train.csv

It needs nothing but Python. Neighbours are found by shared words, not by embeddings, so that the pairs are the same
everywhere; the shipped file was fitted on neighbours by the bundled embedding model, with blurred logits (README.md).
"""

import csv
import json
import random
import re
import sys
from collections import Counter, defaultdict

STOP = set("the a an of in on at to is are was were what which who when where why how did do does for and by".split())


def words(question):
    return [word for word in re.findall(r"[a-z0-9]+", question.lower()) if word not in STOP]


class Neighbours:
    """The questions that share the rarest words with another."""

    def __init__(self, questions):
        self.questions = questions
        self.places = defaultdict(list)
        for place, question in enumerate(questions):
            for word in set(words(question)):
                self.places[word].append(place)

    def of(self, question, count):
        scores = Counter()
        for word in set(words(question)):
            for place in self.places[word]:
                scores[place] += 1.0 / len(self.places[word])
        ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
        return [place for place, _ in ranked if self.questions[place] != question][:count]


def swap_words(question, rng):
    """Two content words change places."""
    parts = question.split()
    places = [at for at in range(1, len(parts)) if parts[at].isalpha() and len(parts[at]) > 3]
    if len(places) < 3:
        return None
    one, other = rng.sample(places, 2)
    if abs(one - other) < 2 or parts[one].lower() == parts[other].lower():
        return None
    parts[one], parts[other] = parts[other], parts[one]
    return " ".join(parts)


def change_number(question, rng):
    """One number becomes another."""
    found = list(re.finditer(r"\d+", question))
    if not found:
        return None
    match = rng.choice(found)
    return question[: match.start()] + str(int(match[0]) + rng.choice([-2, -1, 1, 2, 10])) + question[match.end():]


def ask_politely(question, rng):
    opening = rng.choice(["Please tell me, ", "Do you know ", "Can you tell me ", "I would like to know "])
    return opening + question[0].lower() + question[1:]


def mistype(question, rng):
    """Two neighbouring letters of a long word change places."""
    parts = question.split()
    places = [at for at, part in enumerate(parts) if len(part) > 5 and part.isalpha()]
    if not places:
        return None
    at, letters = rng.choice(places), None
    letters = parts[at]
    place = rng.randrange(1, len(letters) - 2)
    parts[at] = letters[:place] + letters[place + 1] + letters[place] + letters[place + 2:]
    return " ".join(parts)


def lower_case(question, _rng):
    return question.lower().rstrip("?")


def main():
    squad_file, disflqa_file, banking_file = sys.argv[1:4]
    rng = random.Random(7)

    def emit(cached, asked, label, **more):
        print(json.dumps({"a": cached, "b": asked, "label": label, **more}, ensure_ascii=False))

    with open(squad_file, encoding="utf-8") as file:
        squad = [qa for article in json.load(file)["data"] for p in article["paragraphs"] for qa in p["qas"]]
    by_id = {qa["id"]: " ".join(qa["question"].split()) for qa in squad}
    questions = sorted(set(by_id.values()))
    neighbours = Neighbours(questions)

    # As it is asked, and measured: a rewrite with its original, and every third original without it.
    with open(disflqa_file, encoding="utf-8") as file:
        disflqa = json.load(file)
    for number, (name, entry) in enumerate(sorted(disflqa.items())):
        original, asked = by_id.get(name, entry["original"]), " ".join(entry["disfluent"].split())
        if number % 3:
            emit(original, asked, 1)
        near = [questions[place] for place in neighbours.of(original, 3)]
        for rank, other in enumerate(near):
            emit(other, asked, 0, **({} if rank == 0 and number % 3 == 0 else {"measure": False}))

    with open(banking_file, encoding="utf-8") as file:
        banking = [(row["text"].strip(), row["category"]) for row in csv.DictReader(file)]
    rng.shuffle(banking)
    texts = Neighbours([text for text, _ in banking])
    for text, intent in banking[:1200]:
        near = texts.of(text, 40)
        same = [place for place in near if banking[place][1] == intent][:1]
        other = [place for place in near if banking[place][1] != intent][:2]
        for place in same + other:
            emit(banking[place][0], text, int(banking[place][1] == intent), weight=3, measure=False)

    sample = rng.sample(questions, min(1500, len(questions)))
    rules = [(swap_words, 0), (change_number, 0), (ask_politely, 1), (mistype, 1), (lower_case, 1)]
    for question in sample:
        rule, label = rng.choice(rules)
        changed = rule(question, rng)
        if changed and changed != question:
            emit(question, changed, label, measure=False)


if __name__ == "__main__":
    main()
