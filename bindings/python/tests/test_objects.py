"""Objects: what they answer, how they fail, that they leave nothing behind."""

import array
import gc
import itertools
import os
import pathlib
import tempfile
import threading
import time
import unittest
from fractions import Fraction

import tokenprune as tkp


def resident_bytes():
    """Memory of this process that is its own."""
    words = pathlib.Path("/proc/self/statm").read_text().split()
    return (int(words[1]) - int(words[2])) * os.sysconf("SC_PAGE_SIZE")


def small_batch(cells=6):
    layout = tkp.Layout()
    layout.add_sequence(cells * cells + 11, text=(cells * cells + 2, cells * cells + 11))
    layout.add_image(1, cells, cells)
    return layout


def numbers(*shape, seed=1):
    """Made-up f32 numbers of a shape, always the same."""
    count = 1
    for n in shape:
        count *= n
    values = array.array("f", (
        ((i * 2654435761 + seed * 40503) % 65536) / 65536 - 0.5 for i in range(count)))
    return memoryview(values).cast("B").cast("f", list(shape))


MODEL = dict(layers=8, heads=4, kv_heads=2, head_dim=6, hidden=12, intermediate=32)


class Basics(unittest.TestCase):
    def setUp(self):
        self.context = tkp.Context("ref")
        self.exec = tkp.Exec(self.context)
        self.layout = small_batch()
        self.model = tkp.ModelShape(**MODEL)

    def inputs(self):
        return {"q": numbers(47, 4, 6), "k": numbers(47, 2, 6, seed=2),
                "hidden": numbers(47, 12, seed=3)}

    def test_context__says_what_it_has(self):
        self.assertEqual(self.context.backends, ["ref"])
        self.assertIn("C11", self.context.backend_info["ref"])
        self.assertEqual(tkp.Context(threads=2).threads, 2)
        self.assertRegex(tkp.__version__, r"^\d+\.\d+\.\d+$")
        self.assertIn(tkp.__version__, tkp.build_info())

    def test_layout__counts(self):
        layout = self.layout
        self.assertEqual(layout.add_sequence(5, id=9), 1)
        self.assertEqual(layout.add_image(1, 1, 2, valid=bytes([1, 0])), 1)
        self.assertEqual((layout.sequences, layout.images, layout.rows), (2, 2, 52))
        self.assertEqual([layout.visual_tokens(b) for b in range(3)], [36, 1, -1])
        layout.set_positions(array.array("i", range(52)))
        with self.assertRaisesRegex(tkp.ArgumentError, "valid: has 3 elements, wanted 2"):
            layout.add_image(3, 1, 2, valid=bytes(3))

    def test_policy__three_ways_to_the_same(self):
        stages = [{"at": "llm:2", "scorer": {"kind": "attention", "query": "last"},
                   "selector": "topk", "budget": tkp.Budget(ratio=Fraction(1, 4))}]
        made = tkp.Policy("mine", stages)
        read = tkp.Policy.from_yaml(made.to_yaml())
        self.assertEqual(read.to_yaml(), made.to_yaml())
        self.assertEqual((made.name, len(made)), ("mine", 1))
        self.assertEqual(made.info.needs, {"attention"})
        self.assertEqual(made.info.flags, {"in_llm", "text_dependent"})
        self.assertEqual(made.info.last_boundary, 2)
        point = made.points[0]
        self.assertEqual((point.kind, point.boundary, point.score_layer, point.rows_in),
                         ("llm", 2, 1, 0))
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(made.to_yaml())
            file.flush()
            self.assertEqual(
                tkp.Policy.load(pathlib.Path(file.name)).to_yaml(), made.to_yaml())

    def test_policy__copies_that_are_changed(self):
        policy = tkp.Policy.preset("fastv")
        self.assertIn("count: 12", policy.with_budget(tkp.Budget(count=12)).to_yaml())
        self.assertIn("at: llm:3", policy.with_point("llm:3").to_yaml())
        self.assertIn("at: llm:4", policy.with_depth(32, 64).to_yaml())
        seeded = tkp.Policy("r", [{
            "at": "projector", "selector": "random", "budget": {"count": 3}}])
        self.assertIn(f"seed: {2 ** 64 - 1}", seeded.with_seed(2 ** 64 - 1).to_yaml())
        self.assertEqual(policy.to_yaml(), tkp.Policy.preset("fastv").to_yaml())
        self.assertIn("fastv", tkp.presets())

    def test_budget__resolves_in_whole_numbers(self):
        self.assertEqual(tkp.Budget(ratio="2/9").resolve(576), 128)
        self.assertEqual(tkp.Budget(ratio=0.5, rounding="floor").resolve(7), 3)
        with self.assertRaisesRegex(tkp.ArgumentError, "count is 9"):
            tkp.Budget(count=9).resolve(4)

    def test_parts__one_after_the_other__as_the_sequence(self):
        policy = tkp.Policy("parts", [{
            "at": "llm:2", "scorer": "attention", "selector": "topk",
            "merger": "nearest", "budget": {"ratio": "1/4"}}])
        scorer = tkp.Scorer.of(policy, 0, self.context, self.layout, self.model)
        selector = tkp.Selector.of(policy, 0, self.context, self.layout, self.model)
        merger = tkp.Merger.of(policy, 0, self.context, selector, self.model)
        own = tkp.Scorer(
            self.context, self.layout, self.model, "attention", query="last")
        inputs = self.inputs()
        self.assertEqual(scorer.needs, {"attention"})
        self.assertEqual(scorer.query_rows().tolist(), [46])
        q_and_k = {name: inputs[name] for name in "qk"}
        scores = scorer.run(self.exec, **q_and_k)
        self.assertEqual(own.run(self.exec, **q_and_k).tolist(), scores.tolist())
        offsets = tkp.Array(2, "i32")
        kept = selector.run(self.exec, scores, offsets=offsets)
        self.assertEqual(offsets.tolist(), [0, len(kept)])
        sizes = tkp.Array(len(kept), "f32")
        rows = merger.run(self.exec, kept, hidden=inputs["hidden"], sizes=sizes)
        self.assertEqual(sum(sizes), 36)

        sequence = tkp.Sequence(self.exec)
        sequence.begin(policy, self.layout, self.model)
        for point in sequence:
            self.assertEqual((point.kind, point.boundary, point.rows_in), ("llm", 2, 47))
            self.assertEqual(point.needs, {"attention", "hidden"})
            self.assertEqual(sequence.query_rows().tolist(), [46])
            decision = sequence.prune(**inputs)
        rows_kept = [1 + cell for cell in kept]
        self.assertEqual(
            [row for row in decision.indices if 1 <= row <= 36], rows_kept)
        self.assertEqual(sequence.kept_cells(0).tolist(), kept.tolist())
        gathered = decision.gather(inputs["hidden"])
        self.assertEqual(rows.tolist(), gathered.tolist()[1:1 + len(kept)])
        self.assertEqual(decision.gather(inputs["hidden"], kv=True).tolist(), [
            inputs["hidden"].tolist()[row] for row in decision.indices])
        left, begins = sequence.rows()
        self.assertEqual(left.tolist(), decision.indices.tolist())
        self.assertEqual(begins.tolist(), decision.offsets.tolist())
        report = sequence.report()
        self.assertEqual((report.visual_before, report.visual_after), (36, len(kept)))
        self.assertEqual(report.layer_tokens[:3], [47, 47, 11 + len(kept)])
        self.assertLess(report.macs, report.macs_unpruned)
        self.assertEqual(sequence.next_position(), 47)

    def test_merger__of_its_own_options(self):
        selector = tkp.Selector(
            self.context, self.layout, "window", budget={"count": 9}, pick="first",
            window=[2, 2])
        merger = tkp.Merger(self.context, selector, self.model, "window-average")
        kept = selector.run(self.exec, array.array("f", range(36)))
        hidden = self.inputs()["hidden"]
        rows = merger.run(self.exec, kept, hidden=hidden).tolist()
        grid = hidden.tolist()[1:37]
        for c in range(12):
            mean = sum(grid[i][c] for i in (0, 1, 6, 7)) / 4
            self.assertAlmostEqual(rows[0][c], mean, places=6)

    def test_errors__are_pythons_own_too(self):
        cases = [
            (lambda: tkp.Policy.preset("fastw"), ValueError, "did you mean 'fastv'"),
            (lambda: tkp.Policy.load("/no/such.yaml"), OSError, "/no/such.yaml"),
            (lambda: tkp.Policy.from_yaml("{", "x.yaml"), ValueError, "x.yaml:2:1"),
            (lambda: tkp.Context("no-such"), NotImplementedError, "no-such"),
            (lambda: tkp.Context(device="cuda"), NotImplementedError, ""),
            (lambda: tkp.Context(device="tpu"), ValueError, "tpu"),
            (lambda: tkp.Context(threads=-1), ValueError, "threads"),
            (lambda: tkp.ModelShape(layer=3), TypeError, "layer"),
            (lambda: tkp.ModelShape(dtype="f65"), ValueError, "f65"),
            (lambda: tkp.Scorer(self.context, self.layout, self.model, "atention"),
             ValueError, "attention"),
            (lambda: tkp.Selector(self.context, self.layout, "topk",
                                  budget={"count": 37}), ValueError, "37"),
            (lambda: tkp.Sequence(self.exec).prune(), RuntimeError, ""),
            (lambda: tkp.Sequence(self.exec).rows(), RuntimeError, "begin"),
            (lambda: tkp.Layout().add_sequence(0), ValueError, "length"),
            (lambda: tkp.Layout().add_sequence(3, id=2 ** 32), ValueError, "id"),
            (lambda: tkp.Layout().add_sequence(2 ** 80), OverflowError, ""),
            (lambda: tkp.Policy.preset("fastv").with_seed(-1), ValueError, "seed"),
            (lambda: tkp.Policy.preset("fastv").with_point("llm"), ValueError, ""),
            (lambda: tkp.Policy("p", [{"at": object()}]), TypeError, "object"),
            (lambda: tkp.Exec(self.context).reserve(-1), ValueError, "-1"),
            (lambda: tkp.Exec(None), ValueError, "closed"),
            (lambda: tkp.Exec(self.layout), ValueError, "met a layout"),
            (lambda: tkp.Exec(3), TypeError, "int"),
            (lambda: tkp.Policy.preset("fastv\0"), ValueError, "null"),
            (lambda: tkp.Policy.preset(3), TypeError, "int"),
            (lambda: tkp.Policy.load("a\0b"), ValueError, "null"),
        ]
        for number, (call, error, words) in enumerate(cases):
            with self.subTest(number=number), self.assertRaises(error) as met:
                call()
            self.assertIn(words, str(met.exception))

    def test_prune__bad_inputs__named(self):
        sequence = tkp.Sequence(self.exec)
        sequence.begin(tkp.Policy.preset("fastv"), self.layout, self.model)
        sequence.next()
        good = self.inputs()
        bad = [
            ({}, "q"),
            ({**good, "k": numbers(46, 2, 6)}, "k"),
            ({**good, "q": array.array("i", [1])}, "q"),
            ({**good, "text_offsets": array.array("i", [0])}, "text_offsets"),
        ]
        for inputs, word in bad:
            with self.subTest(word=word), self.assertRaises(tkp.ArgumentError) as met:
                sequence.prune(**inputs)
            self.assertIn(word, str(met.exception))
        with self.assertRaisesRegex(TypeError, "no input 'keys'"):
            sequence.prune(keys=good["k"])
        sequence.prune(**good)

    def test_decision__after_the_next_one__is_refused_not_wrong(self):
        sequence = tkp.Sequence(self.exec)
        for _ in range(2):
            sequence.begin(tkp.Policy.preset("fastv"), self.layout, self.model)
            sequence.next()
            decision = sequence.prune(**self.inputs())
        read = decision.indices.tolist()
        sequence.begin(tkp.Policy.preset("fastv"), self.layout, self.model)
        self.assertEqual(decision.indices.tolist(), read)  # a copy
        with self.assertRaisesRegex(tkp.StateError, "taken its place"):
            decision.sizes
        with self.assertRaisesRegex(tkp.StateError, "taken its place"):
            decision.gather(self.inputs()["hidden"], tkp.Array((20, 12)))

    def test_iterating_without_pruning__is_refused(self):
        sequence = tkp.Sequence(self.exec)
        sequence.begin(tkp.Policy.preset("fastv"), self.layout, self.model)
        with self.assertRaisesRegex(tkp.StateError, "prune"):
            for _ in sequence:
                pass

    def test_close__any_order_twice_and_used_after(self):
        sequence = tkp.Sequence(self.exec)
        self.context.close()
        sequence.begin(tkp.Policy.preset("fastv"), self.layout, self.model)
        with sequence:
            sequence.next()
        self.assertTrue(sequence.closed)
        sequence.close()
        for call in (sequence.next, sequence.report, lambda: sequence.prune()):
            with self.assertRaisesRegex(tkp.ArgumentError, "closed"):
                call()
        self.assertEqual(self.context.backends, [])


class CustomScorers(unittest.TestCase):
    def setUp(self):
        self.context = tkp.Context("ref")
        self.exec = tkp.Exec(self.context)
        self.layout = small_batch()
        self.model = tkp.ModelShape(**MODEL)

    def run_policy(self, name):
        policy = tkp.Policy("own", [{
            "at": "llm:1", "scorer": {"kind": "custom", "custom": name},
            "selector": "topk", "budget": {"count": 3}}])
        with tkp.Sequence(self.exec) as sequence:
            sequence.begin(policy, self.layout, self.model)
            for _ in sequence:
                sequence.prune(hidden=numbers(47, 12))
            return sequence.kept_cells(0).tolist()

    def register(self, function, name="test-own", **words):
        tkp.register_scorer(name, function, **words)
        self.addCleanup(tkp.unregister_scorer, name)
        return name

    def test_scores__decide(self):
        seen = {}

        def scores(batch, inputs):
            seen.update(batch, given=set(inputs), hidden=inputs["hidden"])
            return [-abs(cell - 10) for cell in batch["candidate_cells"]]

        kept = self.run_policy(self.register(scores, needs=["hidden"]))
        self.assertEqual(kept, [9, 10, 11])
        self.assertEqual((seen["sequences"], seen["rows"], seen["candidates"]), (1, 47, 36))
        self.assertEqual(seen["candidate_rows"].tolist(), list(range(1, 37)))
        self.assertEqual(seen["given"], {"hidden"})
        # It may keep what it was given.
        self.assertEqual(seen["hidden"].tolist(), numbers(47, 12).tolist())

    def test_an_array__is_taken_as_it_is(self):
        given = array.array("f", [0] * 36)
        given[5] = given[7] = given[35] = 1
        self.assertEqual(
            self.run_policy(self.register(lambda b, i: given)), [5, 7, 35])

    def test_an_exception__comes_out_of_prune(self):
        def broken(batch, inputs):
            raise KeyError("mine")

        with self.assertRaises(KeyError) as met:
            self.run_policy(self.register(broken))
        self.assertEqual(met.exception.args, ("mine",))

    def test_bad_answers__are_named(self):
        for answer, error in ((None, TypeError), ("abc", TypeError), ([1.0], ValueError),
                              ([object()] * 36, TypeError), (numbers(6, 6), ValueError)):
            tkp.register_scorer("test-bad", lambda b, i: answer)
            with self.subTest(answer=answer), self.assertRaises(error):
                self.run_policy("test-bad")
            tkp.unregister_scorer("test-bad")

    def test_names__taken_and_unknown(self):
        self.register(lambda b, i: None)
        with self.assertRaises(tkp.ArgumentError):
            tkp.register_scorer("test-own", lambda b, i: None)
        with self.assertRaises(tkp.ArgumentError):
            tkp.unregister_scorer("test-other")
        with self.assertRaises(ValueError):
            tkp.register_scorer("test-need", lambda b, i: None, needs=["hiden"])

    def test_the_same_exec__inside_a_call__is_refused(self):
        def nested(batch, inputs):
            return tkp.Scorer(
                self.context, self.layout, self.model, "norm"
            ).run(self.exec, hidden=numbers(47, 12))

        with self.assertRaisesRegex(tkp.StateError, "exec: another call"):
            self.run_policy(self.register(nested))

    def test_closing__inside_a_call__is_refused(self):
        sequence = tkp.Sequence(self.exec)

        def closing(batch, inputs):
            sequence.close()

        policy = tkp.Policy("own", [{
            "at": "llm:1",
            "scorer": {"kind": "custom", "custom": self.register(closing)},
            "selector": "topk", "budget": {"count": 3}}])
        sequence.begin(policy, self.layout, self.model)
        sequence.next()
        with self.assertRaisesRegex(tkp.StateError, "wanted none"):
            sequence.prune()
        sequence.close()


class Life(unittest.TestCase):
    def one_run(self, context):
        layout = small_batch()
        with tkp.Exec(context) as exec_, tkp.Sequence(exec_) as sequence:
            sequence.begin(tkp.Policy.preset("fastv"), layout, tkp.ModelShape(**MODEL))
            for _ in sequence:
                decision = sequence.prune(q=self.q, k=self.k)
                decision.gather(self.hidden)
                decision.positions
            try:
                sequence.prune(q=self.k, k=self.q)
            except tkp.Error:
                pass

    def test_thousands_of_runs__memory_stays(self):
        self.q, self.k = numbers(47, 4, 6), numbers(47, 2, 6)
        self.hidden = numbers(47, 12)
        context = tkp.Context("ref")
        for _ in range(300):
            self.one_run(context)
        gc.collect()
        before = resident_bytes()
        for _ in range(2000):
            self.one_run(context)
        gc.collect()
        grown = resident_bytes() - before
        # A lost layout or sequence each run would be tens of MiB.
        self.assertLess(grown, 2 << 20)

    def test_many_threads__each_its_own_exec__same_results(self):
        q, k = numbers(47, 4, 6), numbers(47, 2, 6)
        layout, model = small_batch(), tkp.ModelShape(**MODEL)
        policy, context = tkp.Policy.preset("fastv"), tkp.Context()
        results, failures = [], []

        def work():
            try:
                with tkp.Exec(context) as exec_:
                    sequence = tkp.Sequence(exec_)
                    for _ in range(50):
                        sequence.begin(policy, layout, model)
                        for _ in sequence:
                            decision = sequence.prune(q=q, k=k)
                        results.append(tuple(decision.indices))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual((len(results), len(set(results))), (400, 1))

    def test_one_exec_in_two_threads__refused_or_done__never_wrong(self):
        layout, model, context = small_batch(24), tkp.ModelShape(**MODEL), tkp.Context("ref")
        exec_ = tkp.Exec(context)
        scorer = tkp.Scorer(context, layout, model, "norm")
        hidden = numbers(587, 12)
        want = scorer.run(exec_, hidden=hidden).tolist()
        done, refused, wrong = itertools.count(), itertools.count(), []

        def work():
            for _ in range(200):
                try:
                    if scorer.run(exec_, hidden=hidden).tolist() != want:
                        wrong.append(1)
                    next(done)
                except tkp.StateError:
                    next(refused)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(next(done) + next(refused), 800)

    def test_the_gil_is_free_during_native_work(self):
        layout = small_batch(36)
        context = tkp.Context("ref")
        exec_ = tkp.Exec(context)
        scorer = tkp.Scorer(
            context, layout, tkp.ModelShape(layers=2, heads=4, head_dim=64, hidden=256),
            "attention", query="all")
        rows = 36 * 36 + 11
        q = k = memoryview(bytearray(rows * 256 * 4)).cast("f", [rows, 4, 64])
        span, ticks = [], []

        def work():
            span.append(time.perf_counter())
            scorer.run(exec_, q=q, k=k)
            span.append(time.perf_counter())

        thread = threading.Thread(target=work)
        thread.start()
        while len(span) < 2:
            ticks.append(time.perf_counter())
        thread.join()
        # Held all the while, nothing would happen here until the end.
        begin, end = span
        middle = [t for t in ticks if begin + 0.3 * (end - begin) < t
                  < begin + 0.7 * (end - begin)]
        self.assertGreater(end - begin, 0.01)
        self.assertGreater(len(middle), 0)


if __name__ == "__main__":
    unittest.main()
