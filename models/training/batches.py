"""Groups of texts for one step of training: within a group, texts of one label want the same answer."""

from collections import defaultdict
from itertools import cycle

from families import LANGUAGE_SETS, SETS
from rules import change_number, correct, edit_trivially, hesitate, mistype, slip, turn_round

# Labels of texts that are only there to differ from others: which of them are the same is not known.
ONLY_DIFFERENT = 10
CHANGED_BY_RULE = 50


class Batch:
    """Texts with their groups and labels, and the pairs to compare."""

    def __init__(self):
        self.texts, self.groups, self.labels = [], [], []

    def add(self, text, group, label):
        self.texts.append(text)
        self.groups.append(group)
        self.labels.append(label)

    def pairs(self, rng, strangers=0.06):
        """(first, second, whether they are the same); of pairs of different groups only a share `strangers`."""
        pairs = []
        for i in range(len(self.texts)):
            for j in range(i + 1, len(self.texts)):
                if self.groups[i] != self.groups[j]:
                    if rng.random() < strangers:
                        pairs.append((i, j, False))
                elif not (self.labels[i] >= ONLY_DIFFERENT and self.labels[j] >= ONLY_DIFFERENT):
                    pairs.append((i, j, self.labels[i] == self.labels[j]))
        return pairs


class Batches:
    """Draws batches: a family with much of it, another of its domain, and some groups of third-party sets."""

    def __init__(self, families, sets, rng, kinds=SETS):
        self.families, self.sets, self.rng, self.kinds = families, sets, rng, kinds
        # Most rules know English only.
        self.is_english = kinds is SETS
        self.order = []
        self.by_domain = defaultdict(list)
        for family in families:
            self.by_domain[family.domain].append(family)
        self.names = [name for name in kinds if name in sets]
        self.weights = [kinds[name][0] for name in self.names]

    def draw(self, third_party_groups=2):
        rng, batch = self.rng, Batch()
        if len(self.order) < 2:
            self.order = rng.sample(self.families, len(self.families))
        family = self.order.pop()
        neighbour = rng.choice(self.by_domain[family.domain])
        self.add_family(batch, 0, family.siblings, wordings=4)
        self.add_copy(batch)
        self.add_changed(batch, family.siblings)
        siblings = (neighbour if neighbour is not family else self.order.pop()).siblings
        self.add_family(batch, 1, rng.sample(siblings, min(3, len(siblings))), wordings=3)
        group = 2
        for _ in range(third_party_groups):
            group = self.add_third_party(batch, group)
        return batch

    def add_family(self, batch, group, siblings, wordings):
        rng = self.rng
        for label, texts in enumerate(siblings):
            chosen = rng.sample(texts, min(len(texts), wordings))
            if texts[0] not in chosen and rng.random() < 0.5:
                chosen[0] = texts[0]
            for text in chosen:
                kind = rng.random()
                if not self.is_english:
                    text = slip(text, rng) if kind < 0.12 else text
                elif kind < 0.07:
                    text = mistype(text, rng)
                elif kind < 0.12:
                    text = edit_trivially(text, rng)
                elif kind < 0.15:
                    text = hesitate(text, rng)
                elif kind < 0.25:
                    other = rng.choice([one for one in siblings if one is not texts])
                    text = correct(rng.choice(other), text, rng) or text
                batch.add(text, group, label)

    def add_copy(self, batch):
        """A text beside its own copy with a slip."""
        rng = self.rng
        if rng.random() < 0.5:
            text = rng.choice([text for text, label in zip(batch.texts, batch.labels) if label == 0])
            batch.add(self.edit(text), 0, 0)

    def edit(self, text):
        """`text` with a slip: nothing is more the same."""
        rng = self.rng
        if not self.is_english:
            return slip(text, rng)
        return edit_trivially(text, rng) if rng.random() < 0.6 else mistype(text, rng)

    def add_changed(self, batch, siblings):
        rng = self.rng
        text = rng.choice(rng.choice(siblings))
        changed = change_number(text, rng) if rng.random() < 0.4 or not self.is_english else None
        if self.is_english:
            changed = changed or turn_round(text, rng)
        if changed:
            batch.add(changed, 0, CHANGED_BY_RULE)

    def add_third_party(self, batch, group):
        """Adds one cluster or two pairs of a set; gives the next free group."""
        rng = self.rng
        name = rng.choices(self.names, self.weights)[0]
        _, has_positives, has_near = self.kinds[name]
        clusters, pairs = self.sets[name]
        if pairs and (not clusters or rng.random() < 0.5):
            for a, b, label in rng.sample(pairs, 2):
                if label or has_near:
                    batch.add(a if rng.random() < 0.9 else (mistype if self.is_english else slip)(a, rng), group, 0)
                    batch.add(b, group, 0 if label else 1)
                    group += 1
            return group
        texts, near = rng.choice(clusters)
        chosen = rng.sample(texts, min(len(texts), 3 if has_positives else 1))
        for text in chosen:
            kind = rng.random()
            if not self.is_english:
                text = slip(text, rng) if kind < 0.2 else text
            elif kind < 0.1:
                text = mistype(text, rng)
            elif kind < 0.2:
                text = edit_trivially(text, rng)
            elif kind < 0.25:
                text = hesitate(text, rng)
            elif kind < 0.5 and near and has_near:
                text = correct(rng.choice(near), text, rng) or text
            batch.add(text, group, 0)
        if has_near:
            for place, text in enumerate(rng.sample(near, min(len(near), 3))):
                batch.add(text, group, ONLY_DIFFERENT + place)
        if len(chosen) == 1:
            if self.is_english:
                copy = mistype(chosen[0], rng) if rng.random() < 0.5 else chosen[0]
                batch.add(edit_trivially(copy, rng), group, 0)
            else:
                batch.add(slip(chosen[0], rng), group, 0)
        return group + 1


class InTurn:
    """Draws from each of several `Batches` in turn."""

    def __init__(self, *each):
        self.each = cycle(each)
        self.families = [family for batches in each for family in batches.families]

    def draw(self):
        return next(self.each).draw()
