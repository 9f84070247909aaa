#!/usr/bin/env python3
"""The command against the transformers that is installed, on the demo model and its pictures.

live_parity.py TOKENPRUNE MODEL QUESTIONS     exit 77: PyTorch or transformers is not here

Greedy token ids must be equal. Where they part, the two candidates' logits in transformers must lie
closer than the tolerance of the comparison (1e-4 of the largest), which f32 rounding may decide.
"""
import json
import os
import subprocess
import sys

try:
    import torch
    from PIL import Image
    from transformers import CLIPImageProcessor, LlavaForConditionalGeneration, PreTrainedTokenizerFast
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

NEW = 8


@torch.no_grad()
def reference(model, pictures, tokenizer, image, question):
    pixels = pictures(Image.open(image).convert("RGB"), return_tensors="pt")["pixel_values"]
    cells = (pixels.shape[-1] // model.config.vision_config.patch_size) ** 2
    ids = tokenizer(f"USER: {'<image>' * cells}\n{question} ASSISTANT:", return_tensors="pt")["input_ids"]
    out, margins = [], []
    for _ in range(NEW):
        logits = model(input_ids=ids, pixel_values=pixels).logits[0, -1]
        best = logits.topk(2).values
        margins.append(float((best[0] - best[1]) / logits.abs().max()))
        out.append(int(logits.argmax()))
        ids = torch.cat([ids, torch.tensor([[out[-1]]])], 1)
        if out[-1] == tokenizer.eos_token_id:
            break
    return out, margins


def main(command, folder, questions):
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    pictures = CLIPImageProcessor.from_pretrained(folder)
    base = os.path.dirname(questions)
    wrong = asked = 0
    for q in json.load(open(questions))[::4]:
        image = os.path.join(base, q["image"])
        want, margins = reference(model, pictures, tokenizer, image, q["question"])
        run = subprocess.run([command, "run", "--model", folder, "--image", image, "--prompt", q["question"],
                              "--max-new-tokens", str(NEW), "--json"], capture_output=True, text=True, check=True)
        got = json.loads(run.stdout)["tokens"]
        asked += 1
        parted = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), None)
        if parted is None and len(want) == len(got) or parted is not None and margins[parted] < 1e-4:
            continue
        wrong += 1
        print(f"{q['image']}: {q['question']!r}: met {got}, wanted {want}")
    print(f"{asked} questions, {wrong} answers differ from transformers")
    return 1 if wrong or not asked else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
