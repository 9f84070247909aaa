"""Give a trained encoder a sense of place before the language stage starts.

The losses of stage V are local: they leave no trace of where a patch is in the encoder's rows (a
linear map from rows to cells had R2 0.2), and neither boxes, nor the order of glyphs, nor relations
can be learned from such rows in reasonable time. Three edits of weights, made once:

keep      the ten least used directions of the encoder's rows carry a smooth two-dimensional code of
          the cell, which position embeddings write and no layer overwrites at first
pass_on   twenty hidden units of the projector, in pairs, carry the code through: gelu(z) - gelu(-z) = z
numbers   the words 0.00 ... 1.00 start on a smooth curve, so that neighbours are alike
"""
import math

import torch
import torch.nn.functional as F

import model as M
import scene as S

CODES = 10


def waves():
    """The code [144, CODES]: cosines of x and y, root mean square 1."""
    at = (torch.arange(S.GRID) + 0.5) / S.GRID * math.pi
    y, x = torch.meshgrid(at, at, indexing="ij")
    return math.sqrt(2) * torch.stack([torch.cos(f * t).reshape(-1) for f in (1, 2, 3, 4, 6) for t in (x, y)], 1)


def least_used(rows, n):
    """[n, width] directions of least energy in rows, and the projection onto the rest."""
    rows = rows - rows.mean(0)
    q = torch.linalg.eigh(rows.t() @ rows / len(rows))[1][:, :n].t()
    return q, torch.eye(rows.shape[1]) - q.t() @ q


@torch.no_grad()
def keep(net, pictures, covered, amplitude=3.0):
    vis = net.vis
    q, rest = least_used(vis(M.patches(pictures))[:, 1:][covered], CODES)
    for layer in vis.layers[:M.LAYERS - 1]:
        for linear in (layer.o, layer.fc2):
            linear.weight.copy_(rest @ linear.weight)
            linear.bias.copy_(rest @ linear.bias)
    vis.pos[1:] += amplitude * waves() @ (q / vis.pre.weight)    # the first norm scales by its weight
    net.p1.weight.copy_(net.p1.weight @ rest)


@torch.no_grad()
def pass_on(net, pictures, covered, words):
    rows = net.vis(M.patches(pictures))[:, 1:][covered]
    code = waves()[torch.nonzero(covered)[:, 1]]
    a = torch.cat([rows, torch.ones(len(rows), 1)], 1)
    read = torch.linalg.solve(a.t() @ a + 20 * torch.eye(a.shape[1]), a.t() @ code)
    hidden = F.gelu(net.p1(rows))
    idle = (hidden.std(0) * net.p2.weight.norm(dim=0)).argsort()[:2 * CODES]
    out = net.p2(hidden)
    size = out.pow(2).mean().sqrt()
    q, rest = least_used(torch.cat([out - out.mean(0), net.emb[words].repeat(20, 1)]), CODES)
    net.p2.weight.copy_(rest @ net.p2.weight)
    net.p2.bias.copy_(rest @ net.p2.bias)
    for i in range(CODES):
        gain = size * (2.2 if i < 4 else 1.5)
        for sign, unit in ((1, idle[2 * i]), (-1, idle[2 * i + 1])):
            net.p1.weight[unit], net.p1.bias[unit] = sign * read[:-1, i], sign * read[-1, i]
            net.p2.weight[:, unit] = sign * gain * q[i]


@torch.no_grad()
def numbers(net, tokenizer, words):
    ids = torch.tensor([M.encode(tokenizer, "[" + S.two_decimals(k))[-1] for k in range(M.EDGES)])
    directions = torch.linalg.qr(torch.randn(M.D, M.D))[0][:M.WAVES]
    curve = M.edge_waves() * torch.tensor([1, 1, 1, 1, 0.8, 0.7, 0.6, 0.5]) @ directions
    curve = curve / curve.norm(dim=1).mean() * net.emb[words].norm(dim=1).mean()
    net.emb[ids] = net.emb[ids].mean(0) + curve
