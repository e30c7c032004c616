#!/usr/bin/env python3
"""Writes the pairs that train.py learns from, as JSON lines.

    training_pairs.py --squad FILE... --disflqa FILE... --banking CSV [--part train|held-out] > pairs.jsonl

The files, as their authors publish them: SQuAD 2.0 train-v2.0.json and dev-v2.0.json, Disfl-QA train.json, dev.json
and test.json (whose questions are those of SQuAD's dev), and BANKING77 train.csv; make_pairs.py tells where from.

Some of the articles and of the intents are kept apart, by a hash of the name, never by pair: `--part held-out` writes
pairs of those, for measuring. Needs nothing but Python.
"""

import argparse
import csv
import hashlib
import json
import random
import re
from collections import defaultdict
from itertools import combinations

from make_pairs import Neighbours, ask_politely, change_number, lower_case, mistype, swap_words

# How many of 100 pairs come from where. Twins are questions of one paragraph.
MIX = {
    "twins": 14, "neighbours": 4, "rewrites": 17, "other_rewrites": 11, "intents": 17, "altered": 10, "reworded": 27,
}


class Groups:
    """Words or phrases and what may stand in their place."""

    def __init__(self, text, between=","):
        self.others = defaultdict(list)
        for group in text.strip().split(between):
            group = [" ".join(word.split()) for word in group.split("/")]
            for word in group:
                self.others[word] += [other for other in group if other != word]
        longest_first = sorted(map(re.escape, self.others), key=len, reverse=True)
        self.pattern = re.compile(r"\b(" + "|".join(longest_first) + r")\b")

    def replace_one(self, question, rng):
        found = list(self.pattern.finditer(question))
        if not found:
            return None
        match = rng.choice(found)
        return question[: match.start()] + rng.choice(self.others[match[0]]) + question[match.end():]


# Words of one group may stand for each other; words of one pair turn the meaning.
SYNONYMS = Groups("""
big/large, begin/start, began/started, buy/purchase, quick/fast, help/assist, get/obtain/receive,
use/utilize/employ, used/utilized/employed, show/display, end/finish, ended/finished, build/construct,
built/constructed, children/kids, car/automobile, movie/film, kind/type/sort, kinds/types/sorts, region/area,
job/occupation, money/funds, often/frequently, nearly/almost, approximately/roughly/about how, whole/entire,
main/primary/chief, important/significant, famous/well known, found/discovered, founded/established/set up,
located/situated, in what/in which, for what/for which, at what/at which, called/named/known as, happen/occur,
happened/occurred/took place, received/got, wrote/authored, ways/methods, way/method, reason/cause,
goal/aim/purpose, amount/quantity, part/portion, rules/regulations, need/require, needs/requires,
needed/required, allow/permit, allowed/permitted, choose/select, chosen/selected, chose/selected, change/alter,
changed/altered, total/overall, several/various, doctor/physician, illness/disease, company/firm, leader/head,
country/nation, color/colour, center/centre, theater/theatre, mistake/error, problem/issue, fix/repair,
broken/damaged, wrong/incorrect, cancel/call off, fee/charge, lost/missing, delete/remove,
made/created/produced, make/create/produce, biggest/largest, initially/at first/originally,
usually/normally/typically, believed/thought, died/passed away, top up/top-up, UK/United Kingdom, US/United
States""")
ANTONYMS = Groups("""
first/last, largest/smallest, biggest/smallest, highest/lowest, most/least, more/less, more/fewer, before/after,
increase/decrease, increased/decreased, enable/disable, open/close, opened/closed, win/lose, won/lost, buy/sell,
begin/end, began/ended, start/stop, started/stopped, north/south, northern/southern, east/west, eastern/western,
male/female, men/women, father/mother, king/queen, old/new, oldest/newest, early/late, earliest/latest,
major/minor, maximum/minimum, above/below, inside/outside, upper/lower, left/right, with/without, always/never,
accept/reject, accepted/rejected, allowed/forbidden, legal/illegal, possible/impossible, good/bad, best/worst,
advantages/disadvantages, import/export, added/removed, add/remove, past/future, rich/poor, hot/cold,
support/oppose, supported/opposed, send/receive, sent/received, strong/weak, internal/external, public/private,
deposit/withdraw, longest/shortest, long/short, fast/slow, attack/defend, love/hate, lend/borrow, teach/learn,
arrive/leave, arrived/left, can/cannot, should/should not""")
CONTRACTIONS = Groups("""
what is/what's, What is/What's, who is/who's, Who is/Who's, Where is/Where's, It is/It's, I am/I'm,
I have/I've, did not/didn't, do not/don't, does not/doesn't, is not/isn't, was not/wasn't, cannot/can't""")
# A question may open in each way of a line.
OPENINGS = Groups("""
how do i/how can i/how would i/how to/what is the best way to/what should i do to/what are the steps to
what is/what's/tell me what is/what exactly is
who is/who's/which person is
who was/which person was/tell me who was
who were/which people were
when did/in what year did/in which year did/what year did/at what time did
when was/in what year was/in which year was/what year was
where is/in what place is/what is the location of
where are/in which place are/what is the location of
where did/in what place did/in which place did
why did/for what reason did/what was the reason that
how many/what number of/what is the number of
what kind of/what type of/what sort of/which kind of
can i/is it possible to/am i able to/could i
can you/could you/is it possible for you to
why is/how come/what is the reason that
what are some/what are/which are some
i need to/i want to/i would like to/i have to
is there a way to/can i/is it possible to""", between="\n")

ENTITY = re.compile(r"(?<=[a-z,] )(?:[A-Z][\w'-]+(?: (?:of |the |and )?[A-Z][\w'-]+)*)")
WORD = re.compile(r"(?<= )[a-z]{5,}(?=[ ?])")


# Rules that keep what is asked for.


def use_synonym(question, rng):
    once = SYNONYMS.replace_one(question, rng)
    return once and (rng.random() < 0.5 and SYNONYMS.replace_one(once, rng) or once)


def contract(question, rng):
    return CONTRACTIONS.replace_one(question, rng)


def open_otherwise(question, rng):
    lowered = question[0].lower() + question[1:]
    ways = [opening for opening in OPENINGS.others if lowered.lower().startswith(opening + " ")]
    if not ways:
        return None
    old = max(ways, key=len)
    new = rng.choice(OPENINGS.others[old])
    return new[0].upper() + new[1:] + question[len(old):]


def move_wh(question, _rng):
    """The question word goes elsewhere: "In what year was X built?", "What year was X built in?"; "X is what?"."""
    fronted = re.match(
        r"(In|At|On|For|From|By|With|To) ((?:what|which) [\w ]+?) (did|was|were|is|are|does|do|has|had|can) (.+?)\??$",
        question,
    )
    if fronted:
        preposition, asked, verb, rest = fronted.groups()
        return f"{asked[0].upper()}{asked[1:]} {verb} {rest} {preposition.lower()}?"
    plain = re.match(r"(What|Who|Where) (is|was|are|were) (the .+?)\??$", question)
    if plain:
        asked, verb, rest = plain.groups()
        return f"{rest[0].upper()}{rest[1:]} {verb} {asked.lower()}?"
    return None


def keywords_only(question, _rng):
    """As it is typed into a search box."""
    short = re.sub(r"\b(the|a|an|do|does|did|is|are|please)\b ", "", question.rstrip("?"), flags=re.IGNORECASE)
    return short.lower() if 3 <= len(short.split()) < len(question.split()) else None


def swap_conjuncts(question, _rng):
    """What stands on both sides of "and" or "or" may change places."""
    swapped = re.sub(r"(?<=[a-z] )([A-Z]\w+) (and|or) ([A-Z]\w+)(?=[ ?,])", r"\3 \2 \1", question)
    return swapped if swapped != question else None


def move_ending(question, _rng):
    """A phrase of time or place at the end comes first."""
    match = re.match(r"([A-Z].+ .+ .+) ((?:in|during|since|after|before) [^,]{4,30})\?$", question)
    return match and f"{match[2][0].upper()}{match[2][1:]}, {match[1][0].lower()}{match[1][1:]}?"


# Rules that change it.


class Pool:
    """Rules that need other questions of the same article."""

    def __init__(self, questions):
        self.entities = sorted({entity for question in questions for entity in ENTITY.findall(question)})
        self.words = defaultdict(list)
        for word in sorted({word for question in questions for word in WORD.findall(question)}):
            self.words[word[-2:]].append(word)

    def other_entity(self, question, rng):
        found = list(ENTITY.finditer(question))
        if not found or len(self.entities) < 3:
            return None
        match, new = rng.choice(found), rng.choice(self.entities)
        return None if new in question else question[: match.start()] + new + question[match.end():]

    def other_word(self, question, rng):
        found = [match for match in WORD.finditer(question) if match[0] not in SYNONYMS.others]
        if not found:
            return None
        match = rng.choice(found)
        alike = [word for word in self.words[match[0][-2:]] if word[:4] != match[0][:4]]
        return alike and question[: match.start()] + rng.choice(alike) + question[match.end():]


def swap_arguments(question, rng):
    """Two entities, or what follows "from" and "to", change places, unless "and" or "or" joins them."""
    routes = re.search(r"\bfrom (\w+) to (\w+)", question)
    if routes:
        return question[: routes.start()] + f"from {routes[2]} to {routes[1]}" + question[routes.end():]
    found = list(ENTITY.finditer(question))
    if len(found) < 2:
        return None
    one, other = sorted(rng.sample(found, 2), key=lambda match: match.start())
    between = question[one.end(): other.start()]
    if between.strip() in ("and", "or", ",") or one[0] == other[0]:
        return None
    return question[: one.start()] + other[0] + between + one[0] + question[other.end():]


def turn(question, rng):
    return ANTONYMS.replace_one(question, rng)


def negate(question, rng):
    found = list(re.finditer(r"\b(is|are|was|were|did|does|do|can|could|should|will|has|have)\b(?= [a-z])", question))
    if not found:
        return None
    match = rng.choice(found)
    if question[match.end():].startswith(" not "):
        return question[: match.end()] + question[match.end() + 4:]
    return question[: match.end()] + " not" + question[match.end():]


def ask_another(question, rng):
    """Another question word."""
    match = re.match(r"(When|Where|Why|How|Who)(?= (did|is|was|do|does|are|were|has|have|can) )", question)
    if not match:
        return None
    return rng.choice([w for w in ("When", "Where", "Why", "How") if w != match[0]]) + question[match.end():]


def date_apart(question, rng):
    """Both ask for a time of their own; gives the pair."""
    if not question.endswith("?") or re.search(r"\d", question):
        return None
    way = rng.choice([" in {}?", " as of {}?", " before {}?", " after {}?", " in the {}s?"])
    one, other = rng.sample(range(1990, 2025) if "s?" not in way else range(1900, 2000, 10), 2)
    return question[:-1] + way.format(one), question[:-1] + way.format(other)


KEEPING = [
    use_synonym, use_synonym, contract, open_otherwise, open_otherwise, move_wh, keywords_only, swap_conjuncts,
    move_ending,
]
DRESSING = [lower_case, mistype, ask_politely, lower_case, contract, use_synonym, open_otherwise]


def reword(question, rng):
    """One to three changes that keep what is asked for."""
    changed = question
    for rule in rng.sample(KEEPING, len(KEEPING)):
        changed = rule(changed, rng) or changed
        if changed != question and rng.random() < 0.5:
            break
    if changed == question or rng.random() < 0.3:
        changed = rng.choice(DRESSING)(changed, rng) or changed
    return changed


def dress(question, rng):
    """What the asker's manner does, whatever the label: the label must not follow from it."""
    return rng.random() < 0.3 and rng.choice(DRESSING)(question, rng) or question


def overlap(one, other):
    one, other = (set(re.findall(r"\w+", question.lower())) for question in (one, other))
    return len(one & other) / max(1, len(one | other))


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


class Material:
    """Everything of one part of the published files."""

    def __init__(self, options):
        def wanted(name):
            held_out = hashlib.sha256(name.encode()).digest()[0] < 256 * options.held_out
            return held_out == (options.part == "held-out")

        self.same_answer, self.different_answers, self.disflqa = [], [], []
        self.articles, place_of = defaultdict(list), {}
        for article in (article for path in options.squad for article in read_json(path)["data"]):
            title = article["title"]
            for paragraph in article["paragraphs"] if wanted(title) else []:
                asked = []
                for qa in paragraph["qas"]:
                    question = " ".join(qa["question"].split())
                    answers = {answer["text"].lower() for answer in qa["answers"]}
                    asked.append((question, answers))
                    place_of[qa["id"]] = (title, question, answers, asked)
                self.articles[title] += [question for question, _ in asked]
                for (one, answers), (other, other_answers) in combinations(asked, 2):
                    if answers & other_answers:
                        if 0.6 <= overlap(one, other) < 1:
                            self.same_answer.append((one, other))
                    # Of two without an answer nobody knows whether they ask for the same.
                    elif (answers or other_answers) and 0.3 <= overlap(one, other) < 1:
                        self.different_answers.append((one, other))
        for name, entry in (item for path in options.disflqa for item in read_json(path).items()):
            if name in place_of:
                title, question, answers, asked = place_of[name]
                near = [other for other, its in asked if not answers & its and overlap(other, question) < 0.9]
                self.disflqa.append((title, question, " ".join(entry["disfluent"].split()), near))

        with open(options.banking, encoding="utf-8") as file:
            rows = [(row["text"].strip(), row["category"]) for row in csv.DictReader(file)]
        self.banking = [row for row in rows if wanted(row[1])]
        self.banking_index, self.near_in_banking = Neighbours([text for text, _ in self.banking]), {}
        for text, intent in self.banking:
            self.articles["intent " + intent].append(text)
        self.titles = sorted(title for title in self.articles if self.articles[title])
        self.sizes = [len(self.articles[title]) ** 0.75 for title in self.titles]
        self.pools = {title: Pool(self.articles[title]) for title in self.titles}
        self.indexes = {}

    def any_question(self, rng):
        title = rng.choices(self.titles, self.sizes)[0]
        return title, rng.choice(self.articles[title])

    def near(self, title, question):
        """Questions of the same article that share rare words with it, and are not nearly the same."""
        if title not in self.indexes:
            self.indexes[title] = Neighbours(self.articles[title])
        found = (self.articles[title][place] for place in self.indexes[title].of(question, 4))
        return [other for other in found if overlap(other, question) < 0.7]

    # One method for each source of MIX. It gives two questions, the label and the weight, or nothing if a try fails.

    def twins(self, rng):
        if self.same_answer and rng.random() < 0.1:
            return *rng.choice(self.same_answer), 1, 0.5
        return *rng.choice(self.different_answers), 0, 1

    def neighbours(self, rng):
        title, question = self.any_question(rng)
        near = not title.startswith("intent ") and self.near(title, question)
        return near and (question, rng.choice(near), 0, 1)

    def rewrites(self, rng):
        _, question, rewrite, _ = rng.choice(self.disflqa)
        return question, rewrite, 1, 1

    def other_rewrites(self, rng):
        """A rewrite often names first what another question asks for."""
        title, question, rewrite, near = rng.choice(self.disflqa)
        near = sorted(near or self.near(title, question), key=lambda other: -overlap(other, rewrite))
        return near and (rng.choice(near[:3]), rewrite, 0, 1)

    def intents(self, rng):
        text, intent = rng.choice(self.banking)
        if text not in self.near_in_banking:
            self.near_in_banking[text] = self.banking_index.of(text, 20)
        near = [self.banking[place] for place in self.near_in_banking[text]]
        is_same = rng.random() < 0.5
        near = [other for other, its in near if (its == intent) == is_same][: 3 if is_same else 6]
        return near and (text, rng.choice(near), int(is_same), 0.3 if is_same else 1)

    def altered(self, rng):
        title, question = self.any_question(rng)
        pool = self.pools[title]
        changed = rng.choice([
            pool.other_entity, pool.other_word, pool.other_word, swap_arguments, swap_arguments, swap_words,
            change_number, turn, turn, negate, ask_another, date_apart,
        ])(question, rng)
        if isinstance(changed, tuple):
            question, changed = changed
        if not changed or changed == question:
            return None
        return question, reword(changed, rng) if rng.random() < 0.4 else changed, 0, 1

    def reworded(self, rng):
        _, question = self.any_question(rng)
        changed = reword(question, rng)
        if question.endswith("?") and changed.endswith("?") and rng.random() < 0.15:
            # With the same date in both, so that a date alone does not say no.
            date = f" in {rng.randrange(1990, 2025)}?"
            question, changed = question[:-1] + date, changed[:-1] + date
        return question, changed, 1, 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--squad", nargs="+", required=True)
    parser.add_argument("--disflqa", nargs="+", required=True)
    parser.add_argument("--banking", required=True)
    parser.add_argument("--part", choices=["train", "held-out"], default="train")
    parser.add_argument("--held-out", type=float, default=0.1, help="share of articles and intents to keep apart")
    parser.add_argument("--count", type=int, default=120_000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()

    rng = random.Random(options.seed)
    material = Material(options)
    sources = rng.choices(list(MIX), list(MIX.values()), k=options.count)
    seen = set()
    for source in sources:
        # Many tries give nothing, or what was written before; small material can run out.
        for _ in range(50):
            made = getattr(material, source)(rng)
            if not made:
                continue
            one, other, label, weight = made
            one, other = dress(one, rng), dress(other, rng)
            if one != other and (one, other) not in seen:
                seen.add((one, other))
                pair = {"a": one, "b": other, "label": label, "weight": weight, "from": source}
                print(json.dumps(pair, ensure_ascii=False))
                break


if __name__ == "__main__":
    main()
