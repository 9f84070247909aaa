"""Write a trained demo model as a Hugging Face LLaVA folder, and check it against transformers.

python export.py STATE DIR     STATE is train.py's file, DIR for example ../../examples/demo/model
"""
import json
import os
import shutil
import sys

import numpy as np
import torch
from PIL import Image
from transformers import (CLIPImageProcessor, CLIPVisionConfig, LlamaConfig, LlavaConfig,
                          LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerFast)

import model as M
import scene as S

TEMPLATE = ("{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}"
            "{% endif %}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
            "{{ '<image>\n' }}{% endfor %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
            "{{ content['text'] + ' ' }}{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}")


def config(vocabulary, image_token):
    vision = CLIPVisionConfig(hidden_size=M.WIDTH, intermediate_size=M.MLP, num_hidden_layers=M.LAYERS,
                              num_attention_heads=M.HEADS, image_size=S.SIDE, patch_size=S.PATCH,
                              hidden_act="quick_gelu", layer_norm_eps=1e-5, projection_dim=M.WIDTH)
    text = LlamaConfig(vocab_size=vocabulary, hidden_size=M.D, intermediate_size=M.FF, num_hidden_layers=M.DEPTH,
                       num_attention_heads=M.TEXT_HEADS, num_key_value_heads=M.TEXT_HEADS, rms_norm_eps=M.EPS,
                       rope_theta=M.THETA, max_position_embeddings=4096, tie_word_embeddings=True,
                       bos_token_id=1, eos_token_id=2, pad_token_id=vocabulary - 1)
    return LlavaConfig(vision_config=vision, text_config=text, image_token_index=image_token,
                       vision_feature_layer=-2, vision_feature_select_strategy="default",
                       projector_hidden_act="gelu", image_seq_length=S.GRID ** 2, tie_word_embeddings=True)


def renamed(net):
    """Our names -> names of a LlavaForConditionalGeneration, up to their prefixes."""
    out = {}
    v = "vision_tower.vision_model."
    w = {k: t.detach().float() for k, t in net.items()}
    out[v + "embeddings.class_embedding"] = w["vis.cls"]
    out[v + "embeddings.patch_embedding.weight"] = w["vis.patch.weight"].view(M.WIDTH, 3, S.PATCH, S.PATCH)
    out[v + "embeddings.position_embedding.weight"] = w["vis.pos"]
    for p in ("weight", "bias"):
        out[f"{v}pre_layrnorm.{p}"] = w[f"vis.pre.{p}"]
        out[f"{v}post_layernorm.{p}"] = torch.ones(M.WIDTH) if p == "weight" else torch.zeros(M.WIDTH)
        for i in range(M.LAYERS):
            a, b = f"{v}encoder.layers.{i}.", f"vis.layers.{i}."
            for n, name in enumerate(("q_proj", "k_proj", "v_proj")):
                out[f"{a}self_attn.{name}.{p}"] = w[f"{b}qkv.{p}"].chunk(3)[n].clone()
            for to, fr in (("self_attn.out_proj", "o"), ("layer_norm1", "ln1"), ("layer_norm2", "ln2"),
                           ("mlp.fc1", "fc1"), ("mlp.fc2", "fc2")):
                out[f"{a}{to}.{p}"] = w[f"{b}{fr}.{p}"]
        out[f"multi_modal_projector.linear_1.{p}"] = w[f"p1.{p}"]
        out[f"multi_modal_projector.linear_2.{p}"] = w[f"p2.{p}"]
    t = "language_model.model."
    out[t + "embed_tokens.weight"] = w["emb"]
    out[t + "norm.weight"] = w["norm"]
    for i in range(M.DEPTH):
        a, b = f"{t}layers.{i}.", f"blocks.{i}."
        for n, name in enumerate(("q_proj", "k_proj", "v_proj")):
            out[f"{a}self_attn.{name}.weight"] = w[b + "qkv.weight"].chunk(3)[n].clone()
        out[a + "self_attn.o_proj.weight"] = w[b + "o.weight"]
        gate, up = w[b + "gu.weight"].chunk(2)
        out[a + "mlp.gate_proj.weight"], out[a + "mlp.up_proj.weight"] = gate.clone(), up.clone()
        out[a + "mlp.down_proj.weight"] = w[b + "dn.weight"]
        out[a + "input_layernorm.weight"] = w[b + "n1"]
        out[a + "post_attention_layernorm.weight"] = w[b + "n2"]
    return out


def load_into(hf, weights):
    """Fill a model; its parameter names differ between transformers releases by prefixes only."""
    def tail(name):
        for prefix in ("model.", "language_model.model.", "language_model.", "vision_tower.vision_model.",
                       "vision_tower."):
            if name.startswith(prefix):
                rest = name[len(prefix):]
                return tail(rest) if prefix == "model." else (prefix[:8], rest.removeprefix("model."))
        return ("", name)

    ours = {tail(k): t for k, t in weights.items()}
    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            if name.endswith("lm_head.weight"):
                continue
            parameter.copy_(ours.pop(tail(name)))
    assert not ours, sorted(ours)
    hf.tie_weights()


def main(state_file, folder):
    state = torch.load(state_file, map_location="cpu", weights_only=False)
    tokenizer_file = os.path.join(os.path.dirname(os.path.abspath(state_file)), "tokenizer.json")
    os.makedirs(folder, exist_ok=True)
    shutil.copy(tokenizer_file, os.path.join(folder, "tokenizer.json"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=tokenizer_file, bos_token="<s>", eos_token="</s>",
                                        unk_token="<unk>", pad_token="<pad>", padding_side="left",
                                        model_max_length=4096, extra_special_tokens={"image_token": "<image>"})
    image_token = tokenizer.convert_tokens_to_ids("<image>")
    hf = LlavaForConditionalGeneration(config(len(tokenizer), image_token)).eval()
    load_into(hf, renamed(state["net"]))
    hf.generation_config.update(bos_token_id=1, eos_token_id=2, pad_token_id=len(tokenizer) - 1)
    hf = hf.half()
    hf.save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": S.SIDE}, crop_size={"height": S.SIDE, "width": S.SIDE})
    processor = LlavaProcessor(pictures, tokenizer, patch_size=S.PATCH, vision_feature_select_strategy="default",
                               chat_template=TEMPLATE, image_token="<image>", num_additional_image_tokens=1)
    processor.save_pretrained(folder)
    pictures.save_pretrained(folder)
    shutil.copy(tokenizer_file, os.path.join(folder, "tokenizer.json"))  # as it was trained, byte for byte
    with open(os.path.join(folder, "chat_template.json"), "w") as f:
        json.dump({"chat_template": TEMPLATE}, f, indent=2)
    check(state["net"], folder)


@torch.no_grad()
def check(net, folder):
    """The folder, read by transformers, answers as the training code does."""
    hf = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    mine = M.Net(len(tokenizer))
    mine.load_state_dict(net)
    mine.eval()
    pictures = CLIPImageProcessor.from_pretrained(folder)
    for i in range(4):
        item = S.held_out(S.TASKS[i], S.TEST, 900 + i)
        picture = item["scenes"][0].image()
        pixels = pictures(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
        ids = tokenizer(f"USER: {'<image>' * S.GRID ** 2}\n{item['text']} ASSISTANT:", return_tensors="pt")["input_ids"]
        logits = hf(input_ids=ids, pixel_values=pixels).logits[0, -1]
        tokens, asked = M.tokens(tokenizer.backend_tokenizer, item["text"], item["answer"])
        features = mine.features(M.patches(picture[None]))[1]
        ids = torch.tensor(tokens)[None, None]
        hidden = mine(mine.prefix(features, 1, 1), ids, torch.ones_like(ids, dtype=torch.bool))
        want = mine.logits(hidden[asked - 1])
        error = (logits - want).abs().max() / want.abs().max()
        assert error < 2e-2, f"logits differ by {error:.4f}"
        print(f"{item['text']!r}: {tokenizer.decode([int(logits.argmax())])!r}, logits within {float(error):.1e}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
