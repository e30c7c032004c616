"""Reads the written corpus (../corpus) and third-party sets, and says which domains are kept apart."""

import gzip
import json
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path

CORPUS = Path(__file__).resolve().parent.parent / "corpus"
MANNERS = [
    "minimal", "terse", "polite", "imperative", "problem", "typo", "abbreviation", "synonym", "spoken", "nonnative",
    "formal",
]


@dataclass
class Family:
    """Sibling questions that look alike and want different answers, each in the same manners."""

    id: str
    domain: str
    # One list for each sibling: its plain question, then its wordings.
    siblings: list[list[str]] = field(default_factory=list)
    # The manners of the wordings, in the same order.
    manners: list[list[str]] = field(default_factory=list)

    @property
    def language(self):
        """Domains of other languages begin with theirs, such as `de: online shop`."""
        return self.domain[:2] if self.domain[2:4] == ": " else "en"


def read(path):
    """The families of a file, with its faults as (line, what)."""
    families, faults = [], []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        if line.startswith("@ "):
            parts = line[2:].split(" | ")
            if len(parts) != 2:
                faults.append((number, "the head is not '@ ID | domain'"))
            families.append(Family(parts[0].strip(), parts[-1].strip()))
        elif line.startswith("# ") and families:
            families[-1].siblings.append([line[2:].strip()])
            families[-1].manners.append([])
        else:
            match = re.match(r"([a-z]+): +(\S.*)$", line)
            if not match or match[1] not in MANNERS or not families or not families[-1].siblings:
                faults.append((number, f"not 'manner: text' within a sibling: {line[:50]}"))
                continue
            families[-1].siblings[-1].append(match[2].strip())
            families[-1].manners[-1].append(match[1])
    return families, faults


def split(languages=False):
    """The domains kept apart: {"calibration": […], "test": […]}; all others are for training."""
    file = CORPUS / "languages" / "split.json" if languages else CORPUS / "split.json"
    return json.loads(file.read_text(encoding="utf-8"))


def corpus(part, languages=False):
    """The families of a part, `training`, `calibration` or `test`: the English ones, or those in other languages."""
    kept = split(languages)
    apart = {domain: name for name, domains in kept.items() for domain in domains}
    files = sorted((CORPUS / ("languages" if languages else "families")).glob("*.txt"))
    families = [family for path in files for family in read(path)[0]]
    unknown = set(apart) - {family.domain for family in families}
    assert not unknown, f"split.json names domains that are not there: {unknown}"
    return [family for family in families if apart.get(family.domain, "training") == part]


def doubts():
    """What a second reader doubts, by family: pairs of siblings as {1, 2}, wordings as (1, manner); siblings count from 1."""
    found = {}
    for line in (CORPUS / "doubtful.txt").read_text(encoding="utf-8").splitlines():
        family, siblings, what = line.split(" | ")
        numbers = [int(number) for number in siblings.split(",")]
        found.setdefault(family, set()).add(frozenset(numbers) if what == "pair" else (numbers[0], what))
    return found


# What is drawn from third-party sets: weight of a draw, whether texts of one cluster count as the same question, and
# whether its `near` texts count as different ones. An intent is not an answer: sets of intents give negatives only.
SETS = {
    "spider_syn": (2.0, True, True),
    "advising": (2.0, True, True),
    "mqr_stackexchange": (2.5, True, False),
    "covid_similar_deepset": (0.5, True, True),
    "home_assistant": (0.5, True, True),
    "rqe_medical": (1.5, True, False),
    "meqsum": (1.0, True, False),
    "nl2bash": (1.0, True, True),
    "sgdx_descriptions": (0.5, True, True),
    "bitext_support": (0.5, True, True),
    "overnight": (0.7, True, True),
    "snips_slots": (0.4, True, False),
    "dstc10_faq": (0.3, True, True),
    "qald_multilingual": (1.0, True, True),
    "clinc150": (0.6, False, True),
    "hwu64_slots": (0.4, True, True),
    "recognizers_values": (0.2, True, True),
    "dstc11_intents": (0.3, False, True),
    "nlupp": (0.3, False, True),
    "tldr_multilingual": (0.7, False, True),
    "rubq_ru_en": (0.3, False, True),
}

# The same for other languages. A translation wants an answer in its own language, so it counts as a different question.
LANGUAGE_SETS = {
    "home_assistant": (2.0, True, True),
    "qald_multilingual": (2.0, True, True),
    "korean_question_pair": (1.0, True, True),
    "tldr_multilingual": (1.0, True, True),
    "recognizers_values": (0.4, True, True),
    "tatoeba_questions": (0.4, True, True),
    "rubq_ru_en": (0.3, True, True),
    "covid_similar_deepset": (0.2, True, True),
}

ENGLISH = re.compile(r"\b(the|of|is|are|did|does|in|which|who|what|how|many)\b")


def _usable(text):
    ascii_letters = sum(ord(letter) < 128 for letter in text) / max(1, len(text))
    return ascii_letters > 0.97 and 2 <= len(text.split()) <= 45


def _is_of(part, text):
    return (zlib.crc32(text.lower().encode()) % 4 == 0) == (part == "calibration")


def third_party(folder, part="training"):
    """{set: (clusters, pairs)}: clusters are (texts, near), pairs are (a, b, label); English only. A quarter of each set is
    kept apart as its part `calibration`."""
    sets = {}
    for name in SETS:
        clusters, pairs = [], []
        with gzip.open(Path(folder) / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                if row.get("lang", "en").lower()[:2] != "en":
                    continue
                if "texts" not in row:
                    if max(len(row["a"].split()), len(row["b"].split())) <= 60:
                        pairs.append((row["a"], row["b"], row["label"]))
                    continue
                if name == "home_assistant" and not row["id"].split("/")[1].startswith("en-"):
                    continue
                texts, near = row["texts"], row.get("near", [])
                if name == "tldr_multilingual":
                    texts = [row["by_lang"].get("en") or ""]
                texts, near = [t for t in texts if _usable(t)], [t for t in near if _usable(t)]
                if name in ("qald_multilingual", "rubq_ru_en"):
                    keywords = row.get("keywords")
                    keywords = [keywords] if isinstance(keywords, str) and _usable(keywords) else []
                    texts = list(dict.fromkeys([t for t in texts if ENGLISH.search(t.lower())] + keywords))
                    near = [t for t in near if ENGLISH.search(t.lower())]
                if texts and (len(texts) > 1 or near):
                    clusters.append((texts, near))
        clusters, pairs = [one for one in clusters if _is_of(part, one[0][0])], [one for one in pairs if _is_of(part, one[1])]
        sets[name] = (clusters, pairs)
    return sets


def third_party_languages(folder, part="training"):
    """The same in other languages: {set of `LANGUAGE_SETS`: (clusters, pairs)}."""
    sets = {}
    for name in LANGUAGE_SETS:
        clusters, pairs = [], []
        with gzip.open(Path(folder) / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        for row in rows:
            language = row.get("lang", "").lower()[:2]
            if "texts" not in row:
                if language != "en" and _is_of(part, row["b"]):
                    pairs.append((row["a"], row["b"], row["label"]))
                continue
            by_language = row.get("by_lang") or {language or row["id"].split("/")[1][:2]: row["texts"]}
            if name == "rubq_ru_en":
                by_language = {"en" if text.isascii() else "ru": [text] for text in row["texts"]}
            by_language = {one: [texts] if isinstance(texts, str) else texts for one, texts in by_language.items() if texts}
            if not _is_of(part, by_language.get("en", row["texts"])[0]):
                continue
            for one, texts in by_language.items():
                translations = [others[0] for other, others in by_language.items() if other != one]
                # Names and commands are often the same in two languages.
                near = [text for text in [*row.get("near", []), *translations[:3]] if text not in texts]
                if one[:2] != "en" and max(map(len, texts)) <= 300 and near:
                    clusters.append((texts, near))
        sets[name] = (clusters, pairs)
    return sets
