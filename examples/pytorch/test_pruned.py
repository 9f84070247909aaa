"""pruned.py against the library's own forward: the same tokens for the same policy."""

import json
import os
import pathlib
import sys
import tempfile
import unittest

try:
    import torch
    import transformers
    from PIL import Image
except ImportError as missing:
    raise unittest.SkipTest(f"{missing.name} is not here")

import tokenprune as tkp
from tokenprune import mllm

SOURCE = pathlib.Path(os.environ["TKP_SOURCE_DIR"])
sys.path.insert(0, str(SOURCE / "examples" / "pytorch"))
import pruned  # noqa: E402

DEMO = SOURCE / "examples" / "demo"
QUESTIONS = json.loads((DEMO / "questions.json").read_text())
NEW = 6

FASTV = {"at": "llm:2", "scorer": "attention", "selector": "topk",
         "budget": {"ratio": "1/4"}}
STAGES = {
    "divprune": [{"at": "projector", "selector": "diverse", "budget": {"count": 40}}],
    "fastv": [FASTV],
    "twice": [
        {"at": "projector", "selector": {"kind": "random", "seed": 5},
         "budget": {"ratio": "3/4"}},
        {**FASTV, "at": "llm:1"},
        {**FASTV, "at": "llm:3", "budget": {"ratio": "1/2"}}],
    "repacked": [{**FASTV, "positions": "repack"}],
    "merged": [{**FASTV, "merger": "nearest"}],
    "text": [{**FASTV, "scorer": {"kind": "attention", "query": "text"}}],
    "keys": [{"at": "llm:2", "scorer": {"kind": "norm", "feature": "keys"},
              "selector": "topk", "budget": {"ratio": "1/4"}}],
    "evicted": [FASTV, {"at": "kv", "scorer": {"kind": "norm"}, "selector": "topk",
                        "budget": {"ratio": "1/2"}}],
}


class Same(unittest.TestCase):
    def setUp(self):
        self.answers = set()

    def compare(self, model, engine, inputs, ask, policy):
        ours = pruned.Pruned(model, policy)
        try:
            ids, report = ours.generate(inputs, NEW)
            kept = ours.sequence.kept_cells(0).tolist()
        finally:
            ours.close()
        want = ask(engine, policy)
        self.assertEqual(ids, want.tokens)
        self.assertEqual(kept, want.pictures[0].kept.tolist())
        self.answers.add(tuple(ids))
        self.assertEqual(report.layer_visual, want.report.layer_visual)
        self.assertEqual(report.macs, want.report.macs)


class Llava(Same):
    @classmethod
    def setUpClass(cls):
        torch.manual_seed(0)
        folder = DEMO / "model"
        cls.model = transformers.LlavaForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="sdpa")
        cls.tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
        cls.pictures = transformers.CLIPImageProcessor.from_pretrained(folder)
        cls.engine = mllm.Engine(folder, dtype="f32")

    def both(self, policy, number):
        question = QUESTIONS[number]
        path = DEMO / question["image"]
        pixels = self.pictures(
            Image.open(path).convert("RGB"), return_tensors="pt")["pixel_values"]
        text = f"USER: {'<image>' * 144}\n{question['question']} ASSISTANT:"
        inputs = {"input_ids": self.tokenizer(text, return_tensors="pt")["input_ids"],
                  "pixel_values": pixels}
        self.compare(
            self.model, self.engine, inputs,
            lambda engine, policy: engine.run(
                question["question"], [path], policy=policy, max_new_tokens=NEW,
                pictures=True),
            policy)

    def test_stages(self):
        for name, stages in STAGES.items():
            for number in (0, 7):
                with self.subTest(policy=name, question=number):
                    self.both(tkp.Policy(name, stages), number)

    def test_cls_rows(self):
        for layer, logits in ((0, False), (2, True), (-1, False)):
            scorer = {"kind": "cls-attention", "logits": logits,
                      "encoder_layer": {0: "default", -1: "last"}.get(layer, layer)}
            with self.subTest(layer=layer):
                self.both(tkp.Policy("cls", [{
                    "at": "projector", "scorer": scorer, "selector": "topk",
                    "budget": {"count": 20}}]), 3)

    def test_the_fused_kernels_log_sum_exps__are_used(self):
        ours = pruned.Pruned(self.model, tkp.Policy("fastv", STAGES["fastv"]))
        self.addCleanup(ours.close)
        given = {}
        prune = ours.sequence.prune

        class Spy:
            def __getattr__(self, name):
                return getattr(ours_sequence, name)

            def prune(self, **inputs):
                given.update(inputs)
                return prune(**inputs)

        ours_sequence, ours.sequence = ours.sequence, Spy()
        question = QUESTIONS[0]
        text = f"USER: {'<image>' * 144}\n{question['question']} ASSISTANT:"
        ours.generate({
            "input_ids": self.tokenizer(text, return_tensors="pt")["input_ids"],
            "pixel_values": self.pictures(
                Image.open(DEMO / question["image"]).convert("RGB"),
                return_tensors="pt")["pixel_values"]}, 1)
        ours.sequence = ours_sequence
        q, k, lse = given["q"][0], given["k"], given["lse"][0]
        logits = torch.einsum("hc,rhc->hr", q, k) * q.shape[1] ** -0.5
        self.assertTrue(torch.allclose(logits.logsumexp(1), lse, atol=1e-5))
        # A view of the cache, not a copy.
        self.assertEqual(tkp.describe(k)[5], k.data_ptr())
        self.assertFalse(k.is_contiguous())

    def test_what_it_cannot_give__is_refused_by_name(self):
        for stages in (
                [{"at": "vision:2", "selector": "diverse", "budget": {"count": 9}}],
                [{**FASTV, "score_layer": "next"}],
                [{"at": "projector", "scorer": "external", "selector": "topk",
                  "budget": {"count": 3}}],
                [{**FASTV, "merger": {"kind": "nearest", "proportional": True}}]):
            with self.subTest(stages=stages), self.assertRaises(NotImplementedError):
                pruned.Pruned(self.model, tkp.Policy("no", stages))


class Qwen(Same):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        folder = pathlib.Path(cls.folder.name)
        tokenizer = (SOURCE / "tests/golden/text/qwen2/tokenizer.json").read_text()
        special = {t["content"]: t["id"] for t in json.loads(tokenizer)["added_tokens"]}
        torch.manual_seed(11)
        config = transformers.Qwen2VLConfig(
            text_config=dict(
                hidden_size=64, intermediate_size=128, num_hidden_layers=4,
                num_attention_heads=4, num_key_value_heads=2, vocab_size=1520,
                max_position_embeddings=512, initializer_range=0.3,
                rope_parameters={"rope_type": "default", "rope_theta": 10000.0,
                                 "mrope_section": [2, 3, 3]},
                bos_token_id=special["<|endoftext|>"],
                eos_token_id=special["<|im_end|>"], tie_word_embeddings=False),
            vision_config=dict(
                depth=2, embed_dim=32, num_heads=2, hidden_size=64, mlp_ratio=2,
                patch_size=14, spatial_merge_size=2, temporal_patch_size=2,
                initializer_range=0.3),
            image_token_id=special["<|image_pad|>"], video_token_id=1510,
            vision_start_token_id=special["<|vision_start|>"],
            vision_end_token_id=special["<|vision_end|>"], tie_word_embeddings=False)
        cls.model = transformers.Qwen2VLForConditionalGeneration(config).eval()
        cls.model.generation_config.eos_token_id = special["<|im_end|>"]
        cls.model.set_attn_implementation("sdpa")
        cls.model.save_pretrained(folder)
        (folder / "tokenizer.json").write_text(tokenizer)
        (folder / "preprocessor_config.json").write_text(json.dumps({
            "size": {"shortest_edge": 3136, "longest_edge": 50176},
            "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "image_processor_type": "Qwen2VLImageProcessor"}))
        cls.tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"))
        cls.pictures = transformers.Qwen2VLImageProcessor.from_pretrained(folder)
        cls.engine = mllm.Engine(folder, dtype="f32")
        cls.path = SOURCE / "tests/golden/image/chelsea-422-progressive.jpg"

    def test_stages(self):
        seen = self.pictures(Image.open(self.path).convert("RGB"), return_tensors="pt")
        count = int(seen["image_grid_thw"].prod()) // 4
        text = ("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
                f"<|im_start|>user\n<|vision_start|>{'<|image_pad|>' * count}"
                "<|vision_end|>What is this?<|im_end|>\n<|im_start|>assistant\n")
        inputs = {**seen, "input_ids": self.tokenizer(text, return_tensors="pt")["input_ids"]}
        for name, stages in STAGES.items():
            if name == "divprune":
                stages = [{**stages[0], "budget": {"count": 9}}]
            with self.subTest(policy=name):
                self.compare(
                    self.model, self.engine, inputs,
                    lambda engine, policy: engine.run(
                        "What is this?", [self.path], policy=policy,
                        max_new_tokens=NEW, pictures=True),
                    tkp.Policy(name, stages))
        # What is kept shows in the answers, so that equal ones mean something.
        self.assertGreater(len(self.answers), 5)


if __name__ == "__main__":
    unittest.main()
