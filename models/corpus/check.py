#!/usr/bin/env python3
"""Checks the form of the written corpus, and what a model could learn from it without reading meaning.

    check.py            # form only; needs nothing but Python
    check.py --surface  # how far lengths, shared words, capitals and marks alone get; needs scikit-learn
    check.py --near     # which questions for measuring stand near one for training; needs onnxruntime and tokenizers
"""

import random
import re
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "training"))
from families import CORPUS, corpus, read, split  # noqa: E402


def faults_of(path):
    families, faults = read(path)
    seen = {}
    for family in families:
        if len(family.siblings) < 3:
            faults.append((family.id, f"only {len(family.siblings)} siblings"))
        for number, manners in enumerate(family.manners, 1):
            if Counter(manners) != Counter(family.manners[0]):
                faults.append((family.id, f"sibling {number} has other manners than the first"))
            if "minimal" not in manners or len(manners) < 6:
                faults.append((family.id, f"sibling {number} has {len(manners)} wordings, minimal must be among 6"))
        for text in (text for sibling in family.siblings for text in sibling):
            key = " ".join(re.findall(r"\w+|[^\w\s]", text.lower()))
            if key in seen:
                faults.append((family.id, f"stands in {seen[key]}, too: {text}"))
            seen[key] = family.id
    return families, faults


def words(text):
    return set(re.findall(r"\w+", text.lower()))


def manner(text):
    """What shows how a text was written, and nothing of what it asks."""
    return [len(text), len(text.split()), text.endswith("?"), text[:1].isupper(), text.count(","),
            sum(letter.isupper() for letter in text), any(letter.isdigit() for letter in text)]


def overlap(a, b):
    trigrams = [{text.lower()[n : n + 3] for n in range(len(text) - 2)} for text in (a, b)]
    return [len(words(a) & words(b)) / max(1, len(words(a) | words(b))),
            len(trigrams[0] & trigrams[1]) / max(1, len(trigrams[0] | trigrams[1]))]


def surface():
    """ROC-AUC on pairs of half of the families, learned on the other half: by manner alone, and with shared words."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    rng = random.Random(1)
    families = [family for part in ("training", "calibration", "test") for family in corpus(part)]
    rng.shuffle(families)
    half = len(families) // 2
    for name, plain in (("any two wordings", False), ("a wording against plain questions", True)):
        data = []
        for part in (families[:half], families[half:]):
            rows = []
            for family in part:
                for i, asked in enumerate(family.siblings):
                    for j, cached in enumerate(family.siblings):
                        for _ in range(3):
                            a, b = rng.choice(asked[1:]), cached[0] if plain else rng.choice(cached)
                            if a != b:
                                rows.append((a, b, i == j))
            data.append(rows)
        for kind, features in (
            ("manner alone", lambda a, b: manner(a) + manner(b)),
            ("manner and shared words", lambda a, b: manner(a) + manner(b) + overlap(a, b)),
        ):
            fit, held = ([(features(a, b), label) for a, b, label in rows] for rows in data)
            model = HistGradientBoostingClassifier(max_iter=150, random_state=1)
            model.fit([x for x, _ in fit], [y for _, y in fit])
            scores = model.predict_proba([x for x, _ in held])[:, 1]
            print(f"{name}, {kind}: ROC-AUC {roc_auc_score([y for _, y in held], scores):.3f}")


def near(most=0.85):
    """Plain questions of the domains for measuring that resemble one for training by more than `most`."""
    import numpy as np
    from streams import Embedder
    from trunks import MODELS

    embedder = Embedder(MODELS / "question-encoder")
    known, asked = ([sibling[0] for family in corpus(part) for sibling in family.siblings] for part in ("training", "test"))
    similarity = np.array([embedder(text) for text in asked]) @ np.array([embedder(text) for text in known]).T
    found = [at for at in np.argsort(-similarity.max(1)) if similarity[at].max() > most]
    for at in found:
        print(f"{similarity[at].max():.3f}  {asked[at]}  |  {known[similarity[at].argmax()]}")
    print(f"{len(found)} of {len(asked)} questions for measuring are within {most} of one for training")


def main():
    bad = families = siblings = texts = 0
    for path in [*sorted((CORPUS / "families").glob("*.txt")), *sorted((CORPUS / "languages").glob("*.txt"))]:
        found, faults = faults_of(path)
        for where, what in faults:
            print(f"{path.name}: {where}: {what}")
        bad += len(faults)
        families += len(found)
        siblings += sum(len(family.siblings) for family in found)
        texts += sum(len(sibling) for family in found for sibling in family.siblings)
    kept = {part: len(domains) + len(split(languages=True)[part]) for part, domains in split().items()}
    print(f"{families} families, {siblings} questions, {texts} texts; domains kept apart: {kept}; {bad} faults")
    if "--surface" in sys.argv[1:]:
        surface()
    if "--near" in sys.argv[1:]:
        near()
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
