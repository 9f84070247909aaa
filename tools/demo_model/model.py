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
    half = HEAD // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


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

    def forward(self, prefix, ids, looks=None):
        """prefix [B, Tp, D], ids [B, Q, Tq] -> hidden rows of the questions [B, Q, Tq, D].

        With `looks`, a list: the log-attention [B Q, heads, Tq, Tp] that the guided heads (LOOKING)
        of the questions give the prefix is appended to it.
        """
        b, tp, _ = prefix.shape
        _, n_q, tq = ids.shape
        x = torch.cat([prefix.reshape(-1, D), self.emb[ids].reshape(-1, D)])
        n = b * tp
        cos_p, sin_p = rotary(torch.arange(tp))
        cos_q, sin_q = rotary(torch.arange(tq) + tp)
        mask = torch.cat([torch.ones(tq, tp, dtype=torch.bool), torch.ones(tq, tq, dtype=torch.bool).tril()], 1)
        for depth, block in enumerate(self.blocks):
            q, k, v = ((t[:n].view(b, tp, TEXT_HEADS, HEAD).transpose(1, 2),
                        t[n:].view(b, n_q, tq, TEXT_HEADS, HEAD).transpose(2, 3))
                       for t in block.qkv(rms(x, block.n1)).split(D, 1))
            k = rotate(k[0], cos_p, sin_p), rotate(k[1], cos_q, sin_q)
            of_prefix = F.scaled_dot_product_attention(rotate(q[0], cos_p, sin_p), k[0], v[0], is_causal=True)
            keys, values = (torch.cat([t[0][:, None].expand(b, n_q, TEXT_HEADS, tp, HEAD), t[1]], 3)
                            .view(b * n_q, TEXT_HEADS, tp + tq, HEAD) for t in (k, v))
            asking = rotate(q[1], cos_q, sin_q).reshape(b * n_q, TEXT_HEADS, tq, HEAD)
            of_questions = F.scaled_dot_product_attention(asking, keys, values, attn_mask=mask)
            if looks is not None and depth in LOOKING:
                heads = slice(0, LOOKING_HEADS)
                scores = asking[:, heads] @ keys[:, heads].transpose(2, 3) / math.sqrt(HEAD)
                looks.append(F.log_softmax(scores.masked_fill(~mask, -1e9), -1)[..., :tp])
            a = torch.cat([of_prefix.transpose(1, 2).reshape(n, D), of_questions.transpose(1, 2).reshape(-1, D)])
            x = x + block.o(a)
            h = block.gu(rms(x, block.n2))
            x = x + block.dn(F.silu(h[:, :FF]) * h[:, FF:])
        return x[n:].view(b, n_q, tq, D)

    def logits(self, hidden):
        return rms(hidden, self.norm) @ self.emb.t()


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
