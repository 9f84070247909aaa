"""The reference engine, on the demo model."""

import array
import json
import os
import pathlib
import signal
import threading
import unittest

import tokenprune as tkp
from tokenprune import mllm

SOURCE = pathlib.Path(os.environ["TKP_SOURCE_DIR"])
DEMO = SOURCE / "examples" / "demo"
QUESTIONS = json.loads((DEMO / "questions.json").read_text())


class Answers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = mllm.Engine(DEMO / "model")

    def ask(self, number=0, **words):
        question = QUESTIONS[number]
        return self.engine.run(
            question["question"], [DEMO / question["image"]], **words)

    def test_info(self):
        info = self.engine.info
        self.assertEqual(info["kind"], "llava")
        self.assertGreater(info["parameters"], 10 ** 6)
        self.assertIn(info["dtype"], ("f32", "bf16"))

    def test_most_answers_are_right__pruned_ones_cost_less(self):
        right = 0
        for number in range(0, len(QUESTIONS), 6):
            answer = self.ask(number, max_new_tokens=4)
            right += answer.text.strip().lower() == QUESTIONS[number]["answer"]
        self.assertGreaterEqual(right, 0.7 * len(range(0, len(QUESTIONS), 6)))
        whole = self.ask()
        cut = self.ask(policy="fastv")
        self.assertEqual(cut.report.visual_before, whole.report.visual_after)
        self.assertEqual(cut.report.visual_after * 4, cut.report.visual_before)
        self.assertLess(cut.report.macs, whole.report.macs)

    def test_batch__as_one_by_one__with_text_as_it_comes(self):
        requests = [
            mllm.Request(q["question"], [DEMO / q["image"]]) for q in QUESTIONS[:3]]
        heard = {0: "", 1: "", 2: ""}

        def listen(request, text):
            heard[request] += text

        answers = self.engine.generate(requests, on_text=listen, pictures=True)
        for number, answer in enumerate(answers):
            self.assertEqual(answer.tokens, self.ask(number).tokens)
            self.assertEqual(heard[number], answer.text)
            picture = answer.pictures[0]
            self.assertEqual(len(picture.kept), picture.rows * picture.cols)
            self.assertEqual(picture.rgb.shape[2], 3)
        self.assertGreater(answers[0].times.prefill, 0)

    def test_callbacks__stop_and_raise(self):
        with self.assertRaises(tkp.Cancelled):
            self.ask(on_text=lambda request, text: True, max_new_tokens=8, ignore_eos=1)

        def broken(request, text):
            raise LookupError("mine")

        with self.assertRaisesRegex(LookupError, "mine"):
            self.ask(on_text=broken, max_new_tokens=8, ignore_eos=1)
        kept = self.ask(
            on_text=lambda request, text: True, max_new_tokens=8, ignore_eos=1,
            keep_stopped=1)
        self.assertTrue(kept.stopped)

    def test_control_c__stops_it(self):
        timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
        timer.start()
        try:
            with self.assertRaises(KeyboardInterrupt):
                while True:
                    self.ask(max_new_tokens=64, ignore_eos=1)
        finally:
            timer.cancel()

    def test_custom_scorer__its_exception_passes_through(self):
        def broken(batch, inputs):
            raise ZeroDivisionError("mine")

        tkp.register_scorer("mllm-broken", broken)
        self.addCleanup(tkp.unregister_scorer, "mllm-broken")
        policy = tkp.Policy("own", [{
            "at": "llm:1", "scorer": {"kind": "custom", "custom": "mllm-broken"},
            "selector": "topk", "budget": {"count": 9}}])
        with self.assertRaises(ZeroDivisionError):
            self.ask(policy=policy)

    def test_external_scores(self):
        policy = tkp.Policy("own", [{
            "at": "projector", "scorer": "external", "selector": "topk",
            "budget": {"count": 5}}])
        n = self.ask().report.visual_before
        scores = array.array("f", [0] * n)
        for cell in (3, 4, 9, 20, n - 1):
            scores[cell] = 1
        answer = self.ask(policy=policy, scores=scores, pictures=True)
        self.assertEqual(answer.pictures[0].kept.tolist(), [3, 4, 9, 20, n - 1])

    def test_bad_calls(self):
        cases = [
            (lambda: mllm.Engine("/no/such/model"), (OSError, ValueError)),
            (lambda: self.ask(policy="fastw"), ValueError),
            (lambda: self.ask(max_new_token=3), TypeError),
            (lambda: self.ask(format="chat"), ValueError),
            (lambda: self.engine.run("x", ["/no/such.png"]), OSError),
            (lambda: self.engine.run("x", [__file__]), ValueError),
            (lambda: self.engine.run("<image>", []), ValueError),
            (lambda: self.engine.generate([]), ValueError),
            (lambda: mllm.Engine(DEMO / "model", tiling="round"), ValueError),
        ]
        for number, (call, error) in enumerate(cases):
            with self.subTest(number=number), self.assertRaises(error):
                call()


if __name__ == "__main__":
    unittest.main()
