"""Draw training scenes once and keep them as flat arrays: pictures, patch labels, objects.

python pool.py DIR  writes DIR/{general,haystack,first}.{images,labels,pairs,scenes}.npy from the
training split. 90 000 general scenes take 2.5 GB and about two minutes on two cores.
"""
import os
import sys
import time
from multiprocessing import Pool

import numpy as np

import scene as S

SIZES = {"general": (S.GENERAL, 90000), "haystack": (S.HAYSTACK, 24000), "first": (S.FIRST, 6000)}
FIELDS = 1 + S.MAX_OBJECTS * 6 + 6


def pack(s):
    row = np.zeros(FIELDS, np.int16)
    row[0] = len(s.objects)
    for k, o in enumerate(s.objects):
        row[1 + 6 * k:7 + 6 * k] = o
    if s.sign:
        row[43:49] = (1, *s.sign)
    return row


class Packed:
    """A stored scene with what question() and haystack_question() read."""
    __slots__ = ("objects", "sign", "kind")

    def __init__(self, row):
        row = row.tolist()
        self.objects = [tuple(row[1 + 6 * k:7 + 6 * k]) for k in range(row[0])]
        self.sign = tuple(row[44:49]) if row[43] else None

    box = S.Scene.box
    cover = S.Scene.cover


def _chunk(job):
    directory, name, kind, lo, hi = job
    out = {p: np.load(f"{directory}/{name}.{p}.npy", mmap_mode="r+") for p in ("images", "labels", "pairs", "scenes")}
    for i in range(lo, hi):
        s = S.Scene(kind, S.TRAIN, i)
        out["labels"][i] = s.patch_labels()
        out["pairs"][i] = s.pair_word()
        out["scenes"][i] = pack(s)
        out["images"][i] = s.image()
    return hi


def build(directory, processes=2, sizes=SIZES):
    os.makedirs(directory, exist_ok=True)
    done = f"{directory}/done"
    if os.path.exists(done):
        return
    jobs = []
    for name, (kind, n) in sizes.items():
        for part, shape, dtype in (("images", (n, 96, 96, 3), np.uint8), ("labels", (n, 144), np.uint32),
                                   ("pairs", (n,), np.uint64), ("scenes", (n, FIELDS), np.int16)):
            np.lib.format.open_memmap(f"{directory}/{name}.{part}.npy", "w+", dtype, shape).flush()
        jobs += [(directory, name, kind, lo, min(lo + 1000, n)) for lo in range(0, n, 1000)]
    t = time.time()
    with Pool(processes) as p:
        for _ in p.imap_unordered(_chunk, jobs):
            pass
    open(done, "w").write(f"{time.time() - t:.1f} s\n")


if __name__ == "__main__":
    build(sys.argv[1])
