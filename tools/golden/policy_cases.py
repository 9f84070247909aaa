"""Cases for tests/api/test_policy_golden.c: a text that says what, and a file
of bytes.

cases.txt, a line each:
    # comment
    case <name>
    | <line of YAML>            the stages of the policy, indented as there
    preset <name>               instead of stages
    model <dtype> <layers> <heads> <kv heads> <head dim> <hidden>
    widths <vision> <vision keys> <clip> <rows of text> <of clip_text> <of clip_tokens>
                                of the inputs beside, if any
    sequence <id> <length> <text begin> <text end>
    image <start> <frames> <rows> <cols> <row stride> <valid> <keep>
                                of the last sequence; masks are offsets, - = none
    positions <rows> <offset>   i32 [rows, R]
    point <stage>               a cut; its tensors follow
    in <input> <dtype> <shape> <offset>
    out <field> <dtype> <shape> <offset>
                                what the decision has to hold; f32 and f16 to
                                1e-5, all else exactly
    next <sequence> <layer> <position>   after the last cut
Little endian, row major, no gaps; shapes as 3x4.
"""

import pathlib

import numpy as np

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
DTYPES = {"float32": "f32", "float16": "f16", "int32": "i32", "uint8": "u8"}


class Writer:
    def __init__(self, folder, head):
        self.folder = GOLDEN / folder
        self.lines = ["# " + line for line in head]
        self.data = bytearray()

    def line(self, *words):
        self.lines.append(" ".join(str(w) for w in words))

    def store(self, array):
        """Offset of the array's bytes; equal ones are stored once."""
        raw = np.ascontiguousarray(array).tobytes()
        at = self.data.find(raw) if raw else 0
        while at >= 0 and at % 8 and raw:
            at = self.data.find(raw, at + 1)
        if at < 0:
            self.data.extend(b"\0" * (-len(self.data) % 8))
            at = len(self.data)
            self.data.extend(raw)
        return at

    def tensor(self, role, name, array):
        array = np.asarray(array)
        shape = "x".join(str(n) for n in array.shape)
        self.line(role, name, DTYPES[str(array.dtype)], shape, self.store(array))

    def mask(self, mask):
        return "-" if mask is None else self.store(np.asarray(mask, np.uint8))

    def write(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "cases.txt").write_text("\n".join(self.lines) + "\n")
        (self.folder / "vectors.bin").write_bytes(self.data)
        print(f"{self.folder}: {len(self.data)} bytes")
