"""The golden cases of tests/golden, as tests/api/test_policy_golden.c runs them."""

import array
import math
import os
import pathlib
import unittest

import tokenprune as tkp

GOLDEN = pathlib.Path(os.environ["TKP_TEST_DATA"])
FORMATS = {"f32": "f", "i32": "i", "i64": "q", "u8": "B"}


class Case:
    """One case: lines in, comparisons out."""

    def __init__(self, test, name, data, context):
        self.test, self.name, self.data = test, name, data
        self.exec = tkp.Exec(context)
        self.layout = tkp.Layout()
        self.model = {}
        self.stages = []
        self.policy = self.sequence = self.decision = None
        self.inputs = {}
        self.checked = 0

    def tensor(self, dtype, shape, offset):
        sizes = [int(n) for n in shape.split("x")]
        count = math.prod(sizes)
        item = array.array(FORMATS[dtype]).itemsize
        view = memoryview(self.data)[int(offset):int(offset) + count * item]
        return view.cast(FORMATS[dtype], sizes)

    def mask(self, word, cells):
        return None if word == "-" else memoryview(self.data)[int(word):int(word) + cells]

    def read(self, line):
        word, *rest = line.split()
        if word == "|":
            self.stages.append(line[2:])
        elif word == "preset":
            self.policy = tkp.Policy.preset(rest[0])
        elif word == "model":
            names = ("layers", "heads", "kv_heads", "head_dim", "hidden")
            self.model.update(zip(names, map(int, rest[1:])), dtype=rest[0])
        elif word == "widths":
            names = ("vision_hidden", "vision_key_dim", "clip_dim", "text_rows",
                     "clip_text_rows", "clip_token_rows")
            self.model.update(zip(names, map(int, rest)))
        elif word == "sequence":
            number, length, begin, end = map(int, rest)
            self.layout.add_sequence(length, id=number, text=(begin, end))
        elif word == "image":
            start, frames, rows, cols, stride = map(int, rest[:5])
            cells = max(frames, 1) * rows * cols
            self.layout.add_image(
                start, rows, cols, frames=frames, row_stride=stride,
                valid=self.mask(rest[5], cells), keep=self.mask(rest[6], cells))
        elif word == "positions":
            shape = f"{rest[0]}x{self.layout.rows}"
            self.layout.set_positions(self.tensor("i32", shape, rest[1]))
        elif word == "point":
            self.begin()
            point = self.sequence.next()
            self.test.assertEqual(point.stage, int(rest[0]))
            self.inputs, self.decision = {}, None
        elif word == "in":
            self.inputs[rest[0]] = self.tensor(*rest[1:])
        elif word == "out":
            self.compare(rest[0], self.tensor(*rest[1:]))
        elif word == "next":
            index, layer, position = map(int, rest)
            self.test.assertEqual(
                self.sequence.next_position(index, layer), position)
            self.checked += 1
        elif word != "#":
            self.test.fail(f"line {line!r}")

    def begin(self):
        if self.sequence:
            return
        if self.stages:
            text = "tokenprune: 1\nname: golden\nstages:\n" + "\n".join(self.stages)
            self.policy = tkp.Policy.from_yaml(text, self.name)
        self.sequence = tkp.Sequence(self.exec)
        self.sequence.begin(
            self.policy, self.layout, tkp.ModelShape(**self.model))

    def compare(self, field, want):
        if self.decision is None:
            self.decision = self.sequence.prune(**self.inputs)
        met = memoryview(getattr(self.decision, field))
        self.test.assertEqual(met.shape, want.shape, field)
        met, want = (memoryview(a.tobytes()).cast(a.format) for a in (met, want))
        for i, (a, b) in enumerate(zip(met, want)):
            near = a == b or (isinstance(a, float)
                              and abs(a - b) <= 1e-5 * max(1.0, abs(b)))
            self.test.assertTrue(near, f"{field}[{i}] is {a}, not {b}")
        self.checked += 1

    def close(self):
        self.test.assertIsNone(self.sequence.next())
        self.test.assertGreater(self.checked, 0)


class Golden(unittest.TestCase):
    def folder(self, folder, backends):
        data = (GOLDEN / folder / "vectors.bin").read_bytes()
        cases = 0
        case = None
        with tkp.Context(backends) as context:
            for line in (GOLDEN / folder / "cases.txt").read_text().splitlines():
                if line.startswith("case "):
                    if case:
                        case.close()
                    case = Case(self, line.split()[1], data, context)
                    cases += 1
                elif case:
                    with self.subTest(folder=folder, case=case.name):
                        case.read(line)
            case.close()
        return cases

    def test_every_case_gives_the_same_decision(self):
        for folder in ("policies", "published", "controls", "methods"):
            self.assertGreater(self.folder(folder, "ref"), 2)

    def test_wrong_policies_have_the_same_message(self):
        names = sorted((GOLDEN / "policies" / "bad").glob("*.yaml"))
        self.assertGreater(len(names), 10)
        for path in names:
            want = path.with_suffix(".txt").read_text().rstrip("\n")
            with self.subTest(policy=path.name):
                status, message = want.split(" ", 1)
                with self.assertRaises(tkp.Error) as met:
                    tkp.Policy.from_yaml(path.read_bytes(), path.name)
                self.assertEqual(met.exception.code, status)
                self.assertEqual(str(met.exception), message)


if __name__ == "__main__":
    unittest.main()
