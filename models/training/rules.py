"""Changes of a text by rule: some keep what is asked, some do not. Each gives None where it does not apply."""

import re

NEXT_KEYS = dict(zip(
    "qwertyuiopasdfghjklzxcvbnm",
    "wa qes wrd etf ryg tuh yij uok ipl ol qsz adwx sfec dgrv fhtb gjyn hkum jlin kop asx zdc xfv cgb vhn bjm nk".split(),
))
CORRECTIONS = [
    "no wait", "no sorry", "I mean", "or rather", "no make that", "sorry, I mean", "wait no", "er no", "actually no",
    "um scratch that", "oh no", "no no", "sorry", "actually",
]
FILLERS = ["um", "uh", "er", "well"]
OPENERS = ["Please tell me: ", "hi, ", "Hello, ", "quick question: ", "Hey, "]
CLOSERS = [" please", " Thanks!", " thx", " Thank you.", " pls"]
OPPOSITES = [pair.split("/") for pair in """enable/disable before/after add/remove buy/sell with/without
    more_than/less_than at_least/at_most open/close start/stop increase/decrease import/export first/last send/receive
    upload/download can/cannot highest/lowest largest/smallest most/least above/below maximum/minimum always/never
    all/some some/no install/uninstall allow/block my/someone_else's from/to inside/outside do/don't is/isn't
    before/during how/why when/where how_much/how_long what/why monthly/yearly public/private upgrade/downgrade
    lock/unlock show/hide delete/restore old/new""".split()]
NUMBER = re.compile(r"(?<![\w.])(\d{1,4})(?![\w.])")


# Rules that keep what is asked.


def mistype(text, rng):
    words = text.split(" ")
    for _ in range(rng.choice([1, 1, 2, 3])):
        places = [at for at, word in enumerate(words) if len(word) > 3 and word.isalpha()]
        if not places:
            break
        at = rng.choice(places)
        word, kind = words[at], rng.random()
        here = rng.randrange(1, len(word) - 1)
        if kind < 0.35:
            words[at] = word[:here] + word[here + 1] + word[here] + word[here + 2:]
        elif kind < 0.65:
            words[at] = word[:here] + word[here + 1:]
        elif kind < 0.8:
            words[at] = word[:here] + word[here] + word[here:]
        else:
            words[at] = word[:here] + rng.choice(NEXT_KEYS.get(word[here].lower(), "e")) + word[here + 1:]
    return " ".join(words)


def edit_trivially(text, rng):
    kind = rng.random()
    if kind < 0.25:
        return text.lower()
    if kind < 0.5:
        return text.rstrip("?.! ")
    if kind < 0.6:
        return text.rstrip("?.! ") + "?"
    if kind < 0.7:
        return text.upper() if len(text) < 60 else text.lower()
    if kind < 0.85:
        return rng.choice(OPENERS) + text
    return text + rng.choice(CLOSERS)


def slip(text, rng):
    """A trivial edit or a typo, in any language."""
    if rng.random() < 0.5:
        # Scripts without capitals have no keys side by side that this knows, or no letters.
        return mistype(text, rng) if text.lower() != text.upper() else text
    return rng.choice([text.lower(), text.rstrip("?.!？。！؟।¿¡ "), text.upper() if len(text) < 60 else text.lower()])


def hesitate(text, rng):
    words = text.split()
    for _ in range(rng.choice([1, 1, 2])):
        words.insert(rng.randrange(len(words)), rng.choice([*FILLERS, "you know", "like"]))
    return " ".join(words)


def correct(other, text, rng):
    """Begins `other`, takes it back, and asks `text`."""
    begun, asked = other.rstrip("?.!").split(), text.split()
    if not (4 <= len(begun) <= 25 and 4 <= len(asked) <= 25):
        return None
    same = 0
    while same < min(len(begun), len(asked)) - 1 and begun[same].lower() == asked[same].lower():
        same += 1
    correction = rng.choice(CORRECTIONS)
    if same >= 2 and rng.random() < 0.7:
        # Taken back right where the two part company.
        stop = rng.randrange(same + 1, min(len(begun), same + 4) + 1)
        rest = asked if rng.random() < 0.85 else asked[same:]
        return " ".join(begun[:stop]) + rng.choice([" ", ", "]) + correction + rng.choice([" ", ", "]) + " ".join(rest)
    stop = rng.randrange(min(3, len(begun) - 1), len(begun))
    pause = rng.choice([" ", ", ", f" {rng.choice(FILLERS)} "])
    return " ".join(begun[:stop]) + pause + correction + rng.choice([" ", ", "]) + text


# Rules that change what is asked.


def change_number(text, rng):
    numbers = list(NUMBER.finditer(text))
    if not numbers:
        return None
    found = rng.choice(numbers)
    old = new = int(found[1])
    while new == old:
        new = max(0, old + rng.choice([-10, -2, -1, 1, 2, 5, 10, old, 100]))
    return text[: found.start()] + str(new) + text[found.end():]


def turn_round(text, rng):
    """Puts an opposite in the place of one word."""
    for pair in rng.sample(OPPOSITES, len(OPPOSITES)):
        old, new = (word.replace("_", " ") for word in rng.sample(pair, 2))
        found = re.search(rf"\b{re.escape(old)}\b", text, re.IGNORECASE)
        if found:
            new = new.capitalize() if found[0][0].isupper() else new
            return text[: found.start()] + new + text[found.end():]
    return None
