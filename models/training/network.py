"""The two networks: an encoder that reads one text, and a head that compares what it made of two."""

import torch
import torch.nn.functional as F
from torch import nn

from trunks import EPSILON, HEADS, POSITIONS, STATE, WIDTH

HEAD_HEADS = 4
# Transformer layers of the head.
BLOCKS = 2


class Layer(nn.Module):
    """A transformer layer that normalises after each part, as BERT does."""

    def __init__(self, width, heads, epsilon):
        super().__init__()
        self.heads = heads
        self.qkv, self.o = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.i, self.f = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.ln1, self.ln2 = nn.LayerNorm(width, epsilon), nn.LayerNorm(width, epsilon)

    def forward(self, x, mask):
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        # Written out: for texts this short, the fused attention takes longer, most of all backwards.
        fit = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)
        shares = fit.masked_fill(~mask[:, None, None, :], -1e4).softmax(-1).to(v.dtype)
        seen = (shares @ v).transpose(1, 2).flatten(2)
        x = self.ln1(x + self.o(seen))
        return self.ln2(x + self.f(F.gelu(self.i(x))))


class Encoder(nn.Module):
    """What `trunk` describes."""

    def __init__(self, trunk):
        super().__init__()
        self.trunk = trunk
        self.word, self.pos = nn.Embedding(trunk.vocabulary, WIDTH), nn.Embedding(POSITIONS, WIDTH)
        self.typ, self.ln = nn.Embedding(2, WIDTH), nn.LayerNorm(WIDTH, EPSILON)
        self.layers = nn.ModuleList(Layer(WIDTH, HEADS, EPSILON) for _ in range(trunk.layers))

    def freeze(self):
        """Keeps the words and the lowest layers as they are."""
        for part in (self.word, self.pos, self.typ, self.ln, *self.layers[: self.trunk.frozen]):
            part.requires_grad_(False)

    def forward(self, ids, mask):
        """The outputs of the taps."""
        x = self.ln(self.word(ids) + self.typ.weight[0] + self.pos.weight[: ids.shape[1]])
        outputs = [x]
        for layer in self.layers:
            x = layer(x, mask)
            outputs.append(x)
        return [outputs[tap] for tap in self.trunk.taps]

    def centre(self, ids, mask):
        """Moves the embeddings so that these texts' are about zero on average: then strangers are not similar."""
        with torch.no_grad():
            last, shown = self(ids, mask)[-1], mask[:, :, None].float()
            self.layers[-1].ln2.bias -= ((last * shown).sum(1) / shown.sum(1)).mean(0)


def pooled(x, mask):
    """The embedding: the mean of the tokens, of unit length."""
    shown = mask[:, :, None].to(x.dtype)
    return F.normalize((x * shown).sum(1) / shown.sum(1), dim=-1)


class Head(nn.Module):
    """Late interaction: each token beside a mixture of the other text's tokens that are most like it (decomposable
    attention, Parikh et al. 2016), one transformer layer over both texts, one logit. Symmetric in the two texts."""

    def __init__(self, trunk):
        super().__init__()
        # Run with the encoder: what makes states of its outputs.
        self.proj = nn.ModuleList(nn.Linear(WIDTH, STATE) for _ in trunk.taps)
        self.ln = nn.LayerNorm(STATE)
        self.ident = nn.Linear(WIDTH, STATE)
        # Run for each pair.
        self.align = nn.Linear(STATE, STATE, bias=False)
        self.temp = nn.Parameter(torch.tensor(2.5))
        self.compare, self.lnc = nn.Linear(4 * STATE + 1, STATE), nn.LayerNorm(STATE)
        self.blocks = nn.ModuleList(Layer(STATE, HEAD_HEADS, 1e-5) for _ in range(BLOCKS))
        self.att = nn.Linear(STATE, 1)
        self.out = nn.Sequential(nn.Linear(4 * STATE + 1, STATE), nn.GELU(), nn.Linear(STATE, 1))
        nn.init.eye_(self.align.weight)

    def states(self, taps, mask):
        """The states of the tokens, and one vector for each text."""
        states = self.ln(sum(proj(x) for proj, x in zip(self.proj, taps)))
        shown = mask[:, :, None].to(states.dtype)
        mean = (taps[-1] * shown).sum(1) / shown.sum(1)
        return states, F.normalize(self.ident(mean), dim=-1)

    def side(self, of, beside, best):
        return torch.cat([of, beside, (of - beside).abs(), of * beside, best], -1)

    def forward(self, a, a_mask, a_whole, b, b_mask, b_whole):
        similarity = F.normalize(self.align(a), dim=-1) @ F.normalize(self.align(b), dim=-1).transpose(1, 2)
        sharp = similarity * self.temp.exp()
        to_b = sharp.masked_fill(~b_mask[:, None, :], -1e4).softmax(-1)
        to_a = sharp.masked_fill(~a_mask[:, :, None], -1e4).softmax(1).transpose(1, 2)
        best_a = similarity.masked_fill(~b_mask[:, None, :], -1).amax(-1, keepdim=True)
        best_b = similarity.masked_fill(~a_mask[:, :, None], -1).amax(1)[..., None]
        both = torch.cat([self.side(a, to_b @ b, best_a), self.side(b, to_a @ a, best_b)], 1)
        x, mask = self.lnc(F.gelu(self.compare(both))), torch.cat([a_mask, b_mask], 1)
        for block in self.blocks:
            x = block(x, mask)
        shares = self.att(x).squeeze(-1).masked_fill(~mask, -1e4).softmax(-1)
        attended = (shares[..., None] * x).sum(1)
        mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        cosine = (a_whole * b_whole).sum(-1, keepdim=True)
        whole = [a_whole * b_whole * STATE**0.5, (a_whole - b_whole).abs() * STATE**0.5, cosine]
        return self.out(torch.cat([attended, mean, *whole], -1)).squeeze(-1)
