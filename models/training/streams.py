#!/usr/bin/env python3
"""Streams of questions against cached ones, from the domains of the corpus that no model is trained on.

    streams.py pairs --third-party FOLDER > pairs.jsonl       # what the bundled calibration is fitted on
    streams.py stream test --out FOLDER                       # FOLDER/cached.jsonl and queries.jsonl, for `eval stream`
    streams.py warm test --out FOLDER                         # the same with three of four siblings cached
    streams.py control test > control.jsonl                   # each wording, its question and the near-twins of that
    streams.py … --languages [--encoder FOLDER]               # with the other languages, for the multilingual encoder

Of a stream, about half of the queries are wordings of a cached question, a third are near-twins of one, the rest are new.
`pairs` pairs each query with its nearest cached questions, by the encoder beside this folder or in FOLDER; the nearest
alone measures. `stream --undoubted` leaves out what ../corpus/doubtful.txt lists.
"""

import argparse
import json
import random
import re
import sys
from pathlib import Path
from types import MappingProxyType

import numpy as np
from tokenizers import Tokenizer

from export import session
from families import corpus, doubts, third_party, third_party_languages
from trunks import ENGLISH, MODELS

# Third-party sets that thresholds are chosen on, and those that only teach, as the demo's questions do: of the surest false
# hits on these, most were the same question under two labels.
MEASURED_SETS = ["mqr_stackexchange", "rqe_medical"]
TEACHING_SETS = ["advising", "spider_syn", "home_assistant", "nl2bash", "bitext_support"]
MEASURED_LANGUAGE_SETS = ["korean_question_pair"]
TEACHING_LANGUAGE_SETS = ["home_assistant", "qald_multilingual"]
CANDIDATES = 4
DEMO = MODELS.parent / "crates" / "cli" / "src" / "commands" / "demo" / "corpus" / "questions.jsonl"


class Embedder:
    """The encoder of a model folder."""

    def __init__(self, folder):
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.graph = session((folder / "model.onnx").read_bytes())
        self.known = {}

    def __call__(self, text):
        if text not in self.known:
            ids = np.array([self.tokenizer.encode(text).ids[:256]])
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            mean = self.graph.run(["last_hidden_state"], feed)[0][0].mean(0)
            self.known[text] = mean / np.linalg.norm(mean)
        return self.known[text]


def distinct(asked, cached):
    """Without texts that stand twice, or in the cache."""
    seen, kept = {text.lower() for _, text, _ in cached}, []
    for text, expected, domain in asked:
        if text.lower() not in seen:
            seen.add(text.lower())
            kept.append((text, expected, domain))
    return kept


def doubted(family, own, found):
    """The texts of a family whose label beside the sibling `own` is doubtful, according to what was `found`."""
    for at, (sibling, manners) in enumerate(zip(family.siblings, family.manners), 1):
        if frozenset((own + 1, at)) in found:
            yield from sibling
        yield from (text for text, manner in zip(sibling[1:], manners) if (at, manner) in found)


def of_families(families, rng, found=MappingProxyType({}), own_of=None):
    """Seven of ten families have one sibling cached, any or that of `own_of`; of the others, everything is new. What is in
    `found` is not asked."""
    families = rng.sample(families, len(families))
    known = families[: len(families) * 7 // 10]
    cached, asked = [], []
    for family in known:
        own = own_of(family) if own_of else rng.randrange(len(family.siblings))
        cached.append((family.id, family.siblings[own][0], family.domain))
        left_out = set(doubted(family, own, found.get(family.id, ())))
        right = [text for text in family.siblings[own][1:] if text not in left_out]
        asked += [(text, family.id, family.domain) for text in right]
        others = [sibling for at, sibling in enumerate(family.siblings) if at != own]
        plain = rng.sample([sibling[0] for sibling in others], 2)
        worded = rng.sample([text for sibling in others for text in sibling[1:]], 5)
        asked += [(text, None, family.domain) for text in plain + worded if text not in left_out]
    for family in families[len(known):]:
        texts = rng.sample([text for sibling in family.siblings for text in sibling], 6)
        asked += [(text, None, family.domain) for text in texts]
    rng.shuffle(asked)
    return cached, distinct(asked, cached)


def of_warm(families, rng, count=120):
    """A cache that holds the near-twins, too: of each family all siblings but one. A wording of one that is cached is for it
    alone, and one of the last finds nothing right."""
    cached, asked = [], []
    for family in rng.sample(families, count):
        left_out = rng.randrange(len(family.siblings))
        for at, sibling in enumerate(family.siblings):
            one = None if at == left_out else f"{family.id}/{at + 1}"
            if one:
                cached.append((one, sibling[0], family.domain))
            asked += [(text, one, family.domain) for text in rng.sample(sibling[1:], 5 if at == left_out else 2)]
    rng.shuffle(asked)
    return cached, distinct(asked, cached)


def of_set(name, clusters, pairs, rng, count=300):
    """The same of a third-party set: near texts are the near-twins."""
    cached, asked = [], []
    if clusters:
        chosen = rng.sample(clusters, min(len(clusters), count))
        known = len(chosen) * 7 // 10
        for at, (texts, near) in enumerate(chosen):
            if at < known and len(texts) > 1:
                cached.append((f"{name}-{at}", texts[0], name))
                asked += [(text, f"{name}-{at}", name) for text in rng.sample(texts[1:], min(3, len(texts) - 1))]
                asked += [(text, None, name) for text in rng.sample(near, min(2, len(near)))]
            else:
                asked.append((rng.choice(texts), None, name))
        # What is near one cluster may be the same as another that is cached.
        same = {text.lower(): f"{name}-{at}" for at, (texts, _) in enumerate(chosen[:known]) for text in texts}
        known_ids = {one for one, _, _ in cached}
        label = lambda text: same.get(text.lower()) if same.get(text.lower()) in known_ids else None
        asked = [(text, expected or label(text), domain) for text, expected, domain in asked]
    else:
        chosen = rng.sample([pair for pair in pairs if pair[2]], min(len(pairs) // 2, 2 * count))
        known = len(chosen) * 6 // 10
        for at, (a, b, _) in enumerate(chosen):
            if at < known:
                cached.append((f"{name}-{at}", b, name))
            asked.append((a, f"{name}-{at}" if at < known else None, name))
    rng.shuffle(asked)
    return cached, distinct(asked, cached)


def demo_questions():
    return [json.loads(line) for line in DEMO.read_text(encoding="utf-8").splitlines()]


def unlabelled_paraphrases():
    """Tells pairs of the demo's questions that have one answer, though no one labelled them as the same."""
    def plain(text):
        return " ".join(re.findall(r"\w+", text.lower()))

    answers = {}
    for question in demo_questions():
        for text in [question["question"], *question["rewrites"]]:
            answers[plain(text)] = (question["document"], {plain(answer) for answer in question["answers"]})

    def one_answer(a, b):
        (first, ones), (second, others) = answers.get(plain(a), (0, ())), answers.get(plain(b), (1, ()))
        inside = any(len(min(x, y, key=len)) > 3 and (x in y or y in x) for x in ones for y in others)
        return first == second and (inside or bool(set(ones) & set(others)))

    return one_answer


def of_demo(rng):
    """The demo's questions (SQuAD 2.0) and their spoken rewrites (Disfl-QA): every other question of a paragraph is cached."""
    questions = demo_questions()
    rng.shuffle(questions)
    by_document, cached, asked = {}, [], []
    for question in questions:
        by_document.setdefault(question["document"], []).append(question)
    for group in by_document.values():
        for at, question in enumerate(group):
            rewrites = [(text, question["id"] if at % 2 == 0 else None, "demo") for text in question["rewrites"][:1]]
            if at % 2 == 0:
                cached.append((question["id"], question["question"], "demo"))
            else:
                asked.append((question["question"], None, "demo"))
            asked += rewrites
    rng.shuffle(asked)
    return cached, distinct(asked, cached)


def labelled(cached, asked, embed, rng):
    """Each query with its nearest cached questions; of those after the first only some, unless they are right."""
    vectors = np.stack([embed(question) for _, question, _ in cached])
    for text, expected, domain in asked:
        similarities = vectors @ embed(text)
        for rank, at in enumerate(np.argsort(-similarities)[:CANDIDATES]):
            one, question, _ = cached[at]
            row = {"a": question, "b": text, "label": int(one == expected), "domain": domain}
            if rank == 0:
                yield row
            elif row["label"] or rng.random() < 0.1:
                yield row | {"measure": False}


def families_of(part, options):
    return corpus(part) + (corpus(part, languages=True) if options.languages else [])


def write_pairs(options):
    rng, embed = random.Random(options.seed), Embedder(options.encoder)
    families, sets = families_of("calibration", options), third_party(options.third_party, "calibration")
    # In each round another sibling, so that no pair is counted twice.
    first = {family.id: rng.randrange(len(family.siblings)) for family in families}
    measured = [
        of_families(families, rng, own_of=lambda family, at=at: (first[family.id] + at) % len(family.siblings))
        for at in range(options.rounds)
    ]
    measuring, teaching = ([(name, *sets[name]) for name in names] for names in (MEASURED_SETS, TEACHING_SETS))
    if options.languages:
        sets = third_party_languages(options.third_party, "calibration")
        measuring += [(name, *sets[name]) for name in MEASURED_LANGUAGE_SETS]
        teaching += [(f"{name} in other languages", *sets[name]) for name in TEACHING_LANGUAGE_SETS]
    measured += [of_set(*one, rng) for one in measuring]
    rows = [row for stream in measured for row in labelled(*stream, embed, rng)]
    for stream in [of_demo(rng), *(of_set(*one, rng) for one in teaching)]:
        rows += [row | {"measure": False} for row in labelled(*stream, embed, rng)]
    is_one_answer = unlabelled_paraphrases()
    # A domain after the other, for whoever reads the file.
    for row in sorted(rows, key=lambda row: row["domain"]):
        if row["domain"] == "demo" and not row["label"] and is_one_answer(row["a"], row["b"]):
            continue
        print(json.dumps(row, ensure_ascii=False))


def write_stream(options):
    families, rng = families_of(options.part, options), random.Random(options.seed)
    if options.is_warm:
        cached, asked = of_warm(families, rng)
    else:
        cached, asked = of_families(families, rng, doubts() if options.undoubted else {})
    options.out.mkdir(parents=True, exist_ok=True)
    with open(options.out / "cached.jsonl", "w", encoding="utf-8") as file:
        for one, question, domain in cached:
            print(json.dumps({"id": one, "q": question, "domain": domain}, ensure_ascii=False), file=file)
    with open(options.out / "queries.jsonl", "w", encoding="utf-8") as file:
        for text, expected, domain in asked:
            print(json.dumps({"q": text, "expect": expected, "domain": domain}, ensure_ascii=False), file=file)


def write_control(options):
    for family in families_of(options.part, options):
        plain = [sibling[0] for sibling in family.siblings]
        for at, sibling in enumerate(family.siblings):
            for wording in sibling[1:]:
                row = {"wording": wording, "question": plain[at], "twins": plain[:at] + plain[at + 1:],
                       "domain": family.domain}
                print(json.dumps(row, ensure_ascii=False))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    kinds = parser.add_subparsers(required=True)
    pairs = kinds.add_parser("pairs")
    pairs.add_argument("--third-party", required=True)
    pairs.add_argument("--rounds", type=int, default=4, help="streams of the written domains, in each another sibling cached")
    pairs.set_defaults(run=write_pairs)
    stream, warm, control = (kinds.add_parser(kind) for kind in ("stream", "warm", "control"))
    for streams, is_warm in ((stream, False), (warm, True)):
        streams.add_argument("--out", type=Path, required=True)
        streams.set_defaults(run=write_stream, is_warm=is_warm)
    stream.add_argument("--undoubted", action="store_true", help="without what a second reader doubts")
    control.set_defaults(run=write_control)
    for parts in (stream, warm, control):
        parts.add_argument("part", choices=["calibration", "test"])
    pairs.add_argument("--encoder", type=Path, default=MODELS / ENGLISH.encoder)
    for kind in (pairs, stream, warm):
        kind.add_argument("--seed", type=int, default=1)
    for kind in (pairs, stream, warm, control):
        kind.add_argument("--languages", action="store_true")
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    sys.exit(main())
