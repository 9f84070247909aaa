"""Synthetic scenes and questions for the demo model: integers only, the same bits everywhere.

Nothing here uses floating point or a library generator, so a port to another language can
reproduce every picture and every question bit by bit. The order of random draws is part of the
format and is written down below; changing it means raising SUITE_VERSION.

Generator
    splitmix64: state += GAMMA; z = state; z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB; return z ^ z >> 31    (all modulo 2^64)
    rnd(n) = ((next() >> 32) * n) >> 32

Seeds
    seed(kind, split, i): h = 0; for v in (SUITE_VERSION, kind, split, i): h = mix(h + GAMMA ^ v),
    where mix is the three-line finaliser above and the sum is taken before the exclusive or.
    Splits: 0 train, 1 validation, 2 test. The question of a scene are drawn from a second
    generator, seeded by seed(kind + 64, split, i).

Order of draws of a scene (kind: 0 general, 1 reading, 2 haystack, 3 first steps)
    1. base colour, three draws: 20 + rnd(60) for r, g, b
    2. gradient, two draws: gx = rnd(41) - 20, gy = rnd(41) - 20
    3. sign: kind 1 always has one and draws nothing; else has_sign = rnd(10) < 6.
       With a sign: three digits rnd(10); left edge rnd(96 - 36 + 1); top edge rnd(96 - 16 + 1)
    4. number of objects: lo + rnd(hi - lo + 1); (lo, hi) = (3, 7), (3, 7), (2, 4), (1, 2) by kind
    5. for each object k:
       pair: t = rnd(88); t < 64: colour t / 8, shape t % 8; else popular pair (t - 64) / 2
       if an object was placed before: rnd(3) == 0 -> j = rnd(number placed); rnd(2) == 0 copies
       the colour of object j, else its shape
       radius 6 + rnd(6); brightness rnd(31) - 15
       up to 60 times: x = r + rnd(96 - 2 r), y = r + rnd(96 - 2 r); the first place whose square
       box keeps one free pixel from all earlier boxes and from the plate is taken; without one
       the object is left out
    6. noise: one 64-bit draw for each pixel, row by row. With f(b, n) = (((z >> b) & 1023) * n) >> 10
       the background noise of channel c is f(10 c, 17) - 8, the noise of object pixels
       f(30 + 10 c, 13) - 6.

Pixel values
    background of channel c: base_c + (gx (2x - 95) + gy (2y - 95) + 3800) / 95 - 40 + noise
    (the numerator is never negative, the division drops the remainder)
    plate: 36 x 16, black; glyph j at left + 1 + 12 j, top + 1: a 5 x 7 font with pixels doubled, white
    object: colour + brightness + noise, all clipped to 0..255.
"""
import numpy as np

SUITE_VERSION = 1
GAMMA = 0x9E3779B97F4A7C15
M64 = (1 << 64) - 1
SIDE, PATCH, GRID = 96, 8, 12
PLATE_W, PLATE_H = 36, 16
TRAIN, VAL, TEST = 0, 1, 2
GENERAL, READING, HAYSTACK, FIRST = 0, 1, 2, 3
OBJECTS = {GENERAL: (3, 7), READING: (3, 7), HAYSTACK: (2, 4), FIRST: (1, 2)}
MAX_OBJECTS = 7

COLOURS = ["red", "green", "blue", "yellow", "purple", "cyan", "orange", "white"]
SHAPES = ["circle", "square", "triangle", "cross", "diamond", "ring", "bar", "star"]
PLURALS = ["circles", "squares", "triangles", "crosses", "diamonds", "rings", "bars", "stars"]
RGB = [(200, 40, 40), (40, 165, 50), (55, 75, 215), (220, 210, 50),
       (140, 50, 180), (50, 200, 210), (230, 130, 30), (225, 225, 225)]
# Twelve pairs that are three times as frequent as the others: colour, shape.
POPULAR = [(k % 8, (3 * k + k // 8) % 8) for k in range(12)]

FONT = ["01110 10001 10011 10101 11001 10001 01110", "00100 01100 00100 00100 00100 00100 01110",
        "01110 10001 00001 00010 00100 01000 11111", "11111 00010 00100 00010 00001 10001 01110",
        "00010 00110 01010 10010 11111 00010 00010", "11111 10000 11110 00001 00001 10001 01110",
        "00110 01000 10000 11110 10001 10001 01110", "11111 00001 00010 00100 01000 01000 01000",
        "01110 10001 10001 01110 10001 10001 01110", "01110 10001 10001 01111 00001 00010 01100"]
GLYPHS = [np.kron(np.array([[int(c) for c in row] for row in g.split()], bool), np.ones((2, 2), bool))
          for g in FONT]


def mix(z):
    z &= M64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


def seed(kind, split, i):
    h = 0
    for v in (SUITE_VERSION, kind, split, i):
        h = mix(((h + GAMMA) & M64) ^ v)
    return h


class Rng:
    def __init__(self, state):
        self.state = state

    def next(self):
        self.state = (self.state + GAMMA) & M64
        return mix(self.state)

    def rnd(self, n):
        return ((self.next() >> 32) * n) >> 32

    def block(self, n):
        """The next n draws as an array."""
        with np.errstate(over="ignore"):
            z = np.uint64(self.state) + np.uint64(GAMMA) * np.arange(1, n + 1, dtype=np.uint64)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        self.state = (self.state + n * GAMMA) & M64
        return z ^ (z >> np.uint64(31))


def _shape_mask(shape, r):
    """Pixels of a shape of radius r, as a (2r+1, 2r+1) mask; integer predicates only."""
    d = np.arange(-r, r + 1)
    dx, dy = d[None, :], d[:, None]
    ax, ay = abs(dx), abs(dy)
    d2 = dx * dx + dy * dy
    u, v = abs(dx + dy), abs(dx - dy)
    full = np.ones((2 * r + 1, 2 * r + 1), bool)
    return full & [
        d2 <= r * r,
        full,
        2 * ax <= dy + r,
        (3 * ax <= r) | (3 * ay <= r),
        ax + ay <= r,
        (d2 <= r * r) & (16 * d2 > 5 * r * r),
        2 * ay <= r,
        3 * np.minimum(u, v) + np.maximum(u, v) <= 2 * r,
    ][shape]


MASKS = {(s, r): _shape_mask(s, r) for s in range(8) for r in range(6, 12)}
_AXIS = 2 * np.arange(SIDE) - (SIDE - 1)


class Scene:
    """objects: list of (colour, shape, x, y, r, brightness); sign: None or (d0, d1, d2, left, top)."""
    __slots__ = ("kind", "objects", "sign", "base", "slope", "rng")

    def __init__(self, kind, split, index):
        self.kind = kind
        rng = self.rng = Rng(seed(kind, split, index))
        rnd = rng.rnd
        self.base = [20 + rnd(60) for _ in range(3)]
        self.slope = [rnd(41) - 20 for _ in range(2)]
        self.sign = None
        taken = []
        if kind == READING or rnd(10) < 6:
            digits = [rnd(10) for _ in range(3)]
            left, top = rnd(SIDE - PLATE_W + 1), rnd(SIDE - PLATE_H + 1)
            self.sign = (*digits, left, top)
            taken.append((left, top, left + PLATE_W - 1, top + PLATE_H - 1))
        lo, hi = OBJECTS[kind]
        self.objects = []
        for _ in range(lo + rnd(hi - lo + 1)):
            t = rnd(88)
            colour, shape = (t // 8, t % 8) if t < 64 else POPULAR[(t - 64) // 2]
            if self.objects and rnd(3) == 0:
                j = rnd(len(self.objects))
                if rnd(2) == 0:
                    colour = self.objects[j][0]
                else:
                    shape = self.objects[j][1]
            r = 6 + rnd(6)
            light = rnd(31) - 15
            for _ in range(60):
                x, y = r + rnd(SIDE - 2 * r), r + rnd(SIDE - 2 * r)
                if all(x - r > b[2] + 1 or x + r < b[0] - 1 or y - r > b[3] + 1 or y + r < b[1] - 1
                       for b in taken):
                    taken.append((x - r, y - r, x + r, y + r))
                    self.objects.append((colour, shape, x, y, r, light))
                    break

    def image(self):
        """The picture as a (96, 96, 3) byte array. Call once: it consumes the noise draws."""
        z = self.rng.block(SIDE * SIDE).reshape(SIDE, SIDE)
        gx, gy = self.slope
        shade = (gx * _AXIS[None, :] + gy * _AXIS[:, None] + 3800) // 95 - 40
        noise = [(((z >> np.uint64(10 * c)) & np.uint64(1023)).astype(np.int32)) for c in range(6)]
        out = np.empty((SIDE, SIDE, 3), np.int32)
        for c in range(3):
            out[:, :, c] = self.base[c] + shade + (noise[c] * 17 >> 10) - 8
        if self.sign:
            left, top = self.sign[3:]
            out[top:top + PLATE_H, left:left + PLATE_W] = 0
            for j in range(3):
                x, y = left + 1 + 12 * j, top + 1
                out[y:y + 14, x:x + 10][GLYPHS[self.sign[j]]] = 255
        for colour, shape, x, y, r, light in self.objects:
            m = MASKS[shape, r]
            ys, xs = slice(y - r, y + r + 1), slice(x - r, x + r + 1)
            for c in range(3):
                v = RGB[colour][c] + light - 6 + (noise[3 + c][ys, xs] * 13 >> 10)
                np.copyto(out[ys, xs, c], v, where=m)
        return np.clip(out, 0, 255).astype(np.uint8)

    def box(self, k):
        """Tight box of object k: first and last pixel, x1 y1 x2 y2, inclusive."""
        _, shape, x, y, r, _ = self.objects[k]
        h = r // 2 if shape == 6 else r
        return x - r, y - h, x + r, y + h

    def cover(self):
        """For every object, then every glyph: pixels covered in each of the 144 cells."""
        rows = []
        for _, shape, x, y, r, _ in self.objects:
            full = np.zeros((SIDE, SIDE), np.int32)
            full[y - r:y + r + 1, x - r:x + r + 1] = MASKS[shape, r]
            rows.append(full)
        if self.sign:
            for j in range(3):
                full = np.zeros((SIDE, SIDE), np.int32)
                x, y = self.sign[3] + 1 + 12 * j, self.sign[4] + 1
                full[y:y + 14, x:x + 10] = 1
                rows.append(full)
        if not rows:
            return np.zeros((0, GRID * GRID), np.int32)
        a = np.stack(rows).reshape(-1, GRID, PATCH, GRID, PATCH)
        return a.sum((2, 4)).reshape(-1, GRID * GRID)

    def cells(self, k):
        """Cells touched by object k, or by the plate when k is "sign"."""
        if k == "sign":
            left, top = self.sign[3:]
            return [cy * GRID + cx for cy in range(top // 8, (top + PLATE_H - 1) // 8 + 1)
                    for cx in range(left // 8, (left + PLATE_W - 1) // 8 + 1)]
        return np.flatnonzero(self.cover()[k]).tolist()

    def patch_labels(self):
        """One word a cell: bit c colour, 8 + s shape, 16 + d digit, of all that covers 12 pixels of it."""
        words = np.zeros(GRID * GRID, np.uint32)
        cover = self.cover() >= 12
        for k, (colour, shape, *_) in enumerate(self.objects):
            words[cover[k]] |= np.uint32(1 << colour | 1 << (8 + shape))
        if self.sign:
            for j in range(3):
                words[cover[len(self.objects) + j]] |= np.uint32(1 << (16 + self.sign[j]))
        return words

    def pair_word(self):
        """Bit 8 colour + shape for each object."""
        w = 0
        for colour, shape, *_ in self.objects:
            w |= 1 << (8 * colour + shape)
        return w


# ------------------------------------------------------------------------------------------ questions

SUFFIX = "\nAnswer the question using a single word or phrase."
REF = "Please provide the bounding box coordinate of the region this sentence describes: "
HAY = "You are given a set of images. Please answer the following question in Yes or No: "
TASKS = ["existence", "colour", "shape", "count", "relation", "digits", "box", "count_yn", "colour_yn"]
RELATIONS = ["left of", "right of", "above", "below"]


def two_decimals(k):
    """k / 48 rounded to two decimals, as text."""
    v = (200 * k + 48) // 96
    return f"{v // 100}.{v % 100:02d}"


def box_text(box):
    x1, y1, x2, y2 = box
    return "[" + ", ".join(two_decimals(k) for k in (x1 // 2, y1 // 2, (x2 + 2) // 2, (y2 + 2) // 2)) + "]"


def _article(word):
    return "an" if word[0] in "aeiou" else "a"


def _absent_pair(scene, rnd, mode):
    have = {(o[0], o[1]) for o in scene.objects}
    if mode == 2:
        c_seen, s_seen = {o[0] for o in scene.objects}, {o[1] for o in scene.objects}
        cand = [(c, s) for c in sorted(c_seen) for s in sorted(s_seen) if (c, s) not in have]
    elif mode == 1:
        cand = [p for p in POPULAR if p not in have]
    else:
        cand = []
    if not cand:
        cand = [(c, s) for c in range(8) for s in range(8) if (c, s) not in have]
    return cand[rnd(len(cand))]


def question(scene, task, rnd, mode=None):
    """(text, answer, target) of one question, or None where the scene has none of this task.

    target is the object's number, "sign" or None. Draws, in this order, by task:
    existence  yes = rnd(2); yes: object rnd(n); no: kind of negative rnd(3) unless given, then the pair
    colour     object: rnd over those whose shape is unique in the scene
    shape      object: rnd over those whose colour is unique
    count      by = rnd(2) (0 shape, 1 colour); rnd(8) == 0: rnd over absent values; else rnd over objects
    relation   rnd(4) relation, rnd(2) yes/no, then rnd over the fitting ordered pairs of objects whose
               colour-shape pair is unique and whose centres differ by at least 8 pixels on the axis
    box        object: rnd over those whose colour-shape pair is unique
    count_yn   as count without the absent case, then rnd(2) yes/no; no: the true number plus 1, or minus 1
               if rnd(2) and the number is above 1
    colour_yn  as colour, then rnd(2); no: the colour rnd(7) places further
    """
    obj = scene.objects
    n = len(obj)
    if task == "digits":
        if not scene.sign:
            return None
        return "What does the sign say?" + SUFFIX, " ".join(str(d) for d in scene.sign[:3]), "sign"
    if not n:
        return None
    if task == "existence":
        if rnd(2):
            k = rnd(n)
            c, s = obj[k][:2]
            target, answer = k, "yes"
        else:
            c, s = _absent_pair(scene, rnd, rnd(3) if mode is None else mode)
            target, answer = None, "no"
        return f"Is there {_article(COLOURS[c])} {COLOURS[c]} {SHAPES[s]} in the image?" + SUFFIX, answer, target
    if task in ("colour", "colour_yn"):
        cand = [k for k in range(n) if sum(o[1] == obj[k][1] for o in obj) == 1]
        if not cand:
            return None
        k = cand[rnd(len(cand))]
        c, s = obj[k][:2]
        if task == "colour":
            return f"What color is the {SHAPES[s]}?" + SUFFIX, COLOURS[c], k
        if rnd(2):
            return f"Is the {SHAPES[s]} {COLOURS[c]}?" + SUFFIX, "yes", k
        return f"Is the {SHAPES[s]} {COLOURS[(c + 1 + rnd(7)) % 8]}?" + SUFFIX, "no", k
    if task == "shape":
        cand = [k for k in range(n) if sum(o[0] == obj[k][0] for o in obj) == 1]
        if not cand:
            return None
        k = cand[rnd(len(cand))]
        return f"What shape is the {COLOURS[obj[k][0]]} object?" + SUFFIX, SHAPES[obj[k][1]], k
    if task in ("count", "count_yn"):
        by = rnd(2)
        field = 1 if by == 0 else 0
        seen = {o[field] for o in obj}
        if task == "count" and rnd(8) == 0:
            absent = [v for v in range(8) if v not in seen]
            v = absent[rnd(len(absent))]
        else:
            v = obj[rnd(n)][field]
        number = sum(o[field] == v for o in obj)
        many = PLURALS[v] if by == 0 else f"{COLOURS[v]} objects"
        if task == "count":
            return f"How many {many} are there?" + SUFFIX, str(number), None
        if rnd(2):
            asked, answer = number, "yes"
        else:
            asked, answer = (number - 1 if rnd(2) and number > 1 else number + 1), "no"
        if asked == 1:
            one = SHAPES[v] if by == 0 else f"{COLOURS[v]} object"
            return f"Is there 1 {one} in the image?" + SUFFIX, answer, None
        return f"Are there {asked} {many} in the image?" + SUFFIX, answer, None
    pairs = [o[:2] for o in obj]
    unique = [k for k in range(n) if pairs.count(pairs[k]) == 1]
    if task == "box":
        if not unique:
            return None
        k = unique[rnd(len(unique))]
        return REF + f"the {COLOURS[obj[k][0]]} {SHAPES[obj[k][1]]}", box_text(scene.box(k)), k
    if task == "relation":
        rel, yes = rnd(4), rnd(2)
        axis = 2 if rel < 2 else 3
        sign = 1 if (rel % 2 == 0) == bool(yes) else -1
        fit = [(a, b) for a in unique for b in unique if (obj[b][axis] - obj[a][axis]) * sign >= 8]
        if not fit:
            return None
        a, b = fit[rnd(len(fit))]
        text = (f"Is the {COLOURS[obj[a][0]]} {SHAPES[obj[a][1]]} {RELATIONS[rel]} "
                f"the {COLOURS[obj[b][0]]} {SHAPES[obj[b][1]]}?")
        return text + SUFFIX, "yes" if yes else "no", a
    raise ValueError(task)


def haystack_question(scenes, rnd):
    """(text, answer, needle) over several scenes; None where no shape occurs in exactly one of them.

    Draws: rnd over (scene, shape) with the shape in that scene alone; rnd(2) yes/no; yes: rnd over the
    needle's objects for the colour; no: rnd over the colours absent from the needle but present in
    another scene, or, without such, over all absent colours.
    """
    shapes = [{o[1] for o in s.objects} for s in scenes]
    cand = [(i, v) for i, mine in enumerate(shapes) for v in sorted(mine)
            if all(v not in other for j, other in enumerate(shapes) if j != i)]
    if not cand:
        return None
    i, v = cand[rnd(len(cand))]
    here = {o[0] for o in scenes[i].objects}
    if rnd(2):
        c, answer = scenes[i].objects[rnd(len(scenes[i].objects))][0], "yes"
    else:
        away = sorted({o[0] for j, s in enumerate(scenes) if j != i for o in s.objects} - here)
        away = away or [c for c in range(8) if c not in here]
        c, answer = away[rnd(len(away))], "no"
    text = (f"{HAY}For the image with {_article(SHAPES[v])} {SHAPES[v]}, "
            f"is there {_article(COLOURS[c])} {COLOURS[c]} object?")
    return text, answer, i


def held_out(task, split, index, images=1):
    """Item `index` of a held-out task: dict with scenes, text, answer, target. Deterministic.

    Scenes without a question of the task are passed over: item index takes seeds index, index + 10^6,
    index + 2 10^6, ... until one fits. A haystack of m images takes seeds (16 index + j), j < m.
    """
    if task == "haystack":
        for step in range(50):
            first = 16 * (index + step * 1000000) + images * (1 << 40)
            scenes = [Scene(HAYSTACK, split, first + j) for j in range(images)]
            q = haystack_question(scenes, Rng(seed(HAYSTACK + 64, split, first)).rnd)
            if q:
                return dict(scenes=scenes, text=q[0], answer=q[1], target=q[2], task=task)
    kind = READING if task == "digits" else GENERAL
    for step in range(50):
        i = index + step * 1000000
        scene = Scene(kind, split, i)
        # Each task has its own generator, so that tasks share pictures but not draws.
        rng = Rng(seed(kind + 64 * (2 + TASKS.index(task)), split, i))
        q = question(scene, task, rng.rnd)
        if q:
            return dict(scenes=[scene], text=q[0], answer=q[1], target=q[2], task=task)
    raise RuntimeError("no scene fits")
