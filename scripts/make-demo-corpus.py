#!/usr/bin/env python3
"""Makes the demo's corpus from SQuAD 2.0 and Disfl-QA.

    make-demo-corpus.py dev-v2.0.json DISFL_QA_DIR OUTPUT_DIR

`dev-v2.0.json` is the development set of SQuAD 2.0 (https://rajpurkar.github.io/SQuAD-explorer/), and
DISFL_QA_DIR holds the train.json, dev.json and test.json of Disfl-QA
(https://github.com/google-research-datasets/Disfl-QA). OUTPUT_DIR gets documents.jsonl and
questions.jsonl. Needs Python 3.9 and nothing else.
"""

import json
import sys
import unicodedata
from pathlib import Path

ARTICLES = [
    "Computational_complexity_theory",
    "Steam_engine",
    "1973_oil_crisis",
    "European_Union_law",
    "Harvard_University",
    "Yuan_dynasty",
    "Imperialism",
    "Warsaw",
]


def read_articles(squad):
    """The chosen articles as (title, paragraphs), each paragraph as in SQuAD."""
    by_title = {article["title"]: article["paragraphs"] for article in squad["data"]}
    return [(title, by_title[title]) for title in ARTICLES]


def read_rewrites(folder):
    """Disfl-QA's rewrites by the id of their question in SQuAD."""
    rewrites = {}
    for split in ("train", "dev", "test"):
        for key, pair in json.loads((folder / f"{split}.json").read_text("utf-8")).items():
            rewrites.setdefault(key, []).append(pair["disfluent"])
    return rewrites


def is_sound(rewrite, question):
    """Whether a rewrite is more than a spreadsheet's error, a broken escape or the question itself."""
    if "#VALUE!" in rewrite or "\\" in rewrite or len(rewrite) < 12:
        return False
    if any(unicodedata.category(character) == "Cc" for character in rewrite):
        return False
    return rewrite.casefold() != question.casefold()


def fold(text):
    """The text without spaces at its ends and with single spaces inside."""
    return " ".join(text.split())


def make_documents(articles):
    for title, paragraphs in articles:
        for number, paragraph in enumerate(paragraphs):
            yield {
                "id": f"{title}#{number}",
                "title": title.replace("_", " "),
                "text": paragraph["context"].strip(),
            }


def make_questions(articles, rewrites):
    """The answerable questions; one entry for those of a paragraph that are spelled the same."""
    for title, paragraphs in articles:
        for number, paragraph in enumerate(paragraphs):
            document = f"{title}#{number}"
            questions = {}
            for qa in paragraph["qas"]:
                if qa["is_impossible"]:
                    continue
                text = fold(qa["question"])
                question = questions.setdefault(
                    text.casefold(),
                    {
                        "id": f"{document}.{len(questions)}",
                        "question": text,
                        "document": document,
                        "answers": set(),
                        "rewrites": [],
                    },
                )
                question["answers"].update(answer["text"].strip() for answer in qa["answers"])
                for rewrite in map(fold, rewrites.get(qa["id"], [])):
                    if is_sound(rewrite, text) and rewrite not in question["rewrites"]:
                        question["rewrites"].append(rewrite)
            for question in questions.values():
                yield {**question, "answers": sorted(question["answers"])}


def write(path, records):
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__.strip())
    squad, disfl_qa, output = map(Path, sys.argv[1:])
    articles = read_articles(json.loads(squad.read_text("utf-8")))
    write(output / "documents.jsonl", make_documents(articles))
    write(output / "questions.jsonl", make_questions(articles, read_rewrites(disfl_qa)))


if __name__ == "__main__":
    main()
