"""The demo model for training: the forward of a Hugging Face LLaVA, with questions packed.

All questions of an image are answered in one go: each sees the image prefix and itself, and its
positions go on from the prefix, so the result equals asking them one by one. export.py holds the
forward against transformers.

Shapes: B items, Q questions each, Tp prefix tokens, Tq tokens of a question (padded), D width.
"""
import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import scene as S

WIDTH, LAYERS, HEADS, MLP = 96, 4, 3, 288                      # vision
D, DEPTH, TEXT_HEADS, HEAD, FF, EPS, THETA = 128, 8, 4, 32, 352, 1e-5, 1e6
CELLS = S.GRID * S.GRID
LOOKING, LOOKING_HEADS = (1, 3), 2      # layers and heads that training tells where to look
RECALLING = 5                           # a layer whose first two heads are told which nouns to compare
MOST = 8                                # counts 0 ... 7
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])
EDGES, WAVES = 49, 8                                           # coordinates of a box, and their basis
LABELS = 26                                                    # 8 colours, 8 shapes, 10 digits


def patches(images):
    """Byte pictures [B, 96, 96, 3] -> normalised patches [B, 144, 192], elements (c, y, x)."""
    x = (torch.from_numpy(np.ascontiguousarray(images)).float() / 255 - MEAN) / STD
    g, p = S.GRID, S.PATCH
    return x.view(-1, g, p, g, p, 3).permute(0, 1, 3, 5, 2, 4).reshape(-1, CELLS, 3 * p * p)


def edge_waves():
    """Cosines over the coordinates of a box [EDGES, WAVES], orthonormal."""
    k, f = torch.arange(EDGES)[:, None] + 0.5, torch.arange(1, WAVES + 1)[None]
    return math.sqrt(2 / EDGES) * torch.cos(math.pi * k / EDGES * f)


class VisionLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(WIDTH, eps=1e-5), nn.LayerNorm(WIDTH, eps=1e-5)
        self.qkv, self.o = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.fc1, self.fc2 = nn.Linear(WIDTH, MLP), nn.Linear(MLP, WIDTH)

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = self.qkv(self.ln1(x)).view(b, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, WIDTH)
        x = x + self.o(a)
        h = self.fc1(self.ln2(x))
        return x + self.fc2(h * torch.sigmoid(1.702 * h))


class Vision(nn.Module):
    """CLIP's encoder up to its next to last layer; the last one is there and unused, as in LLaVA."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Linear(3 * S.PATCH * S.PATCH, WIDTH, bias=False)
        self.cls = nn.Parameter(torch.randn(WIDTH) * 0.02)
        self.pos = nn.Parameter(torch.randn(CELLS + 1, WIDTH) * 0.02)
        self.pre = nn.LayerNorm(WIDTH, eps=1e-5)
        self.layers = nn.ModuleList(VisionLayer() for _ in range(LAYERS))

    def forward(self, x):
        x = torch.cat([self.cls.expand(x.shape[0], 1, WIDTH), self.patch(x)], 1) + self.pos
        x = self.pre(x)
        for layer in self.layers[:LAYERS - 1]:
            x = layer(x)
        return x


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.n1, self.n2 = nn.Parameter(torch.ones(D)), nn.Parameter(torch.ones(D))
        self.qkv, self.o = nn.Linear(D, 3 * D, bias=False), nn.Linear(D, D, bias=False)
        self.gu, self.dn = nn.Linear(D, 2 * FF, bias=False), nn.Linear(FF, D, bias=False)
        self.reset()

    @torch.no_grad()
    def reset(self, gain=1.5, copy=0.6):
        """Attention starts as a search for like content (keys near queries) whose finding is copied
        (values through a rotation and back): a noun of the question gathers its patches from the start."""
        q = torch.randn(D, D) / math.sqrt(D) * gain
        rotation = torch.linalg.qr(torch.randn(D, D))[0]
        self.qkv.weight[:D] = q
        self.qkv.weight[D:2 * D] = 0.9 * q + 0.3 * gain * torch.randn(D, D) / math.sqrt(D)
        self.qkv.weight[2 * D:] = rotation
        self.o.weight.copy_(copy * rotation.t())
        self.gu.weight.normal_(0, 1 / math.sqrt(D))
        self.dn.weight.normal_(0, 1 / math.sqrt(FF) / 4)


def rms(x, w):
    return F.rms_norm(x, (D,), w, EPS)


def rotary(positions):
    inverse = 1 / THETA ** (torch.arange(0, HEAD, 2).float() / HEAD)
    angle = positions.float()[..., None] * inverse
    return torch.cat([angle.cos()] * 2, -1), torch.cat([angle.sin()] * 2, -1)


def rotate(x, cos, sin):
    low, high = x.chunk(2, -1)
    return x * cos + torch.cat([-high, low], -1) * sin


class Rotate(torch.autograd.Function):
    """rotate(), whose gradient is the rotation back."""

    @staticmethod
    def forward(ctx, x, cos, sin):
        ctx.save_for_backward(cos, sin)
        return rotate(x, cos, sin)

    @staticmethod
    def backward(ctx, grad):
        cos, sin = ctx.saved_tensors
        return rotate(grad, cos, -sin), None, None


class Net(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.vis = Vision()
        self.p1, self.p2 = nn.Linear(WIDTH, D), nn.Linear(D, D)
        self.emb = nn.Parameter(torch.randn(vocabulary, D) * 0.08)
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm = nn.Parameter(torch.ones(D))
        self.ph, self.ch = nn.Linear(WIDTH, LABELS), nn.Linear(WIDTH, 64)  # used in training only:
        self.edge, self.slot, self.mid = nn.Linear(D, 4 * WAVES), nn.Linear(D, 3), nn.Linear(D, 1)
        self.where, self.many, self.side = nn.Linear(D, 4 * WAVES), nn.Linear(D, MOST), nn.Linear(D, 2)

    def features(self, x):
        """-> encoder rows [B, 145, WIDTH] (CLS first), projected rows [B, 144, D]."""
        x = self.vis(x)
        return x, self.p2(F.gelu(self.p1(x[:, 1:])))

    def prefix(self, projected, items, images):
        """Embedded "USER: <image>\\n<image>..." of items with `images` pictures each."""
        parts = [self.emb[torch.tensor(PREFIX["start"])].expand(items, -1, -1)]
        newline = self.emb[torch.tensor(PREFIX["newline"])].expand(items, -1, -1)
        rows = projected.view(items, images, CELLS, D)
        for j in range(images):
            parts += ([newline] if j else []) + [rows[:, j]]
        return torch.cat(parts, 1)

    def forward(self, prefix, ids, real, seen=None):
        """prefix [B, Tp, D], ids [B, Q, Tq], real [B, Q, Tq] (false on padding) -> hidden rows of
        the real tokens of the questions [sum of real, D].

        `seen`, a dict, is given what training guides: "looks", for each layer of LOOKING the
        log-attention [B Q, heads, Tq, Tp] of its guided heads to the prefix; "middle", the
        questions' rows behind the last of these layers; "recalled", the log-attention
        [B Q, heads, Tq, Tq] of layer RECALLING to the question itself; "compared", the
        questions' rows behind that layer.
        """
        b, tp, _ = prefix.shape
        _, n_q, tq = ids.shape
        n, kept = b * tp, torch.nonzero(real.reshape(-1))[:, 0]
        place = (real.reshape(-1).cumsum(0) - 1).clamp(min=0)     # padded place -> row; padding gets any row
        x = torch.cat([prefix.reshape(n, D), self.emb[ids[real]]])
        cos_p, sin_p = rotary(torch.arange(tp))
        cos_q, sin_q = rotary(torch.arange(tq) + tp)
        later = torch.full((tq, tq), -1e9).triu(1)
        for depth, block in enumerate(self.blocks):
            of_prefix, of_questions = block.qkv(rms(x, block.n1)).split((n, len(kept)))
            pq, pk, pv = (t.view(b, tp, TEXT_HEADS, HEAD).transpose(1, 2) for t in of_prefix.split(D, 1))
            qq, qk, qv = (t.view(b, n_q, tq, TEXT_HEADS, HEAD).permute(0, 3, 1, 2, 4)
                          for t in of_questions.index_select(0, place).split(D, 1))
            pk, qk, qq = Rotate.apply(pk, cos_p, sin_p), Rotate.apply(qk, cos_q, sin_q), Rotate.apply(qq, cos_q, sin_q)
            # all questions meet the prefix in one product, and each itself
            far = torch.baddbmm(ZERO, qq.reshape(b * TEXT_HEADS, n_q * tq, HEAD),
                                pk.reshape(b * TEXT_HEADS, tp, HEAD).transpose(1, 2), beta=0, alpha=HEAD ** -0.5)
            own = (qq @ qk.transpose(3, 4)) * HEAD ** -0.5 + later
            scores = torch.cat([far.view(b, TEXT_HEADS, n_q, tq, tp), own], -1)
            if seen is not None and depth in (*LOOKING, RECALLING):
                guided = scores[:, :LOOKING_HEADS].transpose(1, 2).reshape(b * n_q, LOOKING_HEADS, tq, tp + tq)
                looks = F.log_softmax(guided, -1)
                if depth == RECALLING:
                    seen["recalled"] = looks[..., tp:]
                else:
                    seen.setdefault("looks", []).append(looks[..., :tp])
            far, own = scores.softmax(-1).split((tp, tq), -1)
            a = (far.reshape(b, TEXT_HEADS, n_q * tq, tp) @ pv).view(b, TEXT_HEADS, n_q, tq, HEAD) + own @ qv
            a = a.permute(0, 2, 3, 1, 4).reshape(-1, D).index_select(0, kept)
            if depth < DEPTH - 1:                                  # the last layer needs the questions' rows only
                before = F.scaled_dot_product_attention(Rotate.apply(pq, cos_p, sin_p), pk, pv, is_causal=True)
                a = torch.cat([before.transpose(1, 2).reshape(n, D), a])
            else:
                x = x[n:]
            x = x + block.o(a)
            gate, up = block.gu(rms(x, block.n2)).chunk(2, 1)
            x = x + block.dn(F.silu(gate) * up)
            if seen is not None and depth == LOOKING[-1]:
                seen["middle"] = x[n:]
            if seen is not None and depth == RECALLING:
                seen["compared"] = x[n:]
        return x

    def logits(self, hidden):
        return rms(hidden, self.norm) @ self.emb.t()


ZERO = torch.zeros(1, 1, 1)
PREFIX = {}
_ENCODED = {}


def use_tokenizer(tokenizer):
    """Ids of the fixed parts of a prompt; call once before anything else."""
    PREFIX["start"] = tokenizer.encode("USER: <image>").ids[:-1]
    PREFIX["newline"] = encode(tokenizer, "\n")


def encode(tokenizer, text):
    if text not in _ENCODED:
        _ENCODED[text] = tokenizer.encode(text, add_special_tokens=False).ids
    return _ENCODED[text]


def tokens(tokenizer, text, answer):
    """Ids of "\\n{text} ASSISTANT:" + answer + </s>, and how many of them are the question's."""
    if not PREFIX:
        use_tokenizer(tokenizer)
    question = encode(tokenizer, "\n" + text + " ASSISTANT:")
    return question + encode(tokenizer, answer) + [2], len(question)
