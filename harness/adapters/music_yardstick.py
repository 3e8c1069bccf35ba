"""The yardstick of language models: HeartMuLa's two Llama-shaped stacks as one writes them in PyTorch, with the weights of the folder, caches written in place, eager or
compiled. Codes of the harness are put in the place of those that it draws; where a case leaves no choice (topk 1) it draws ours. It has no codec: nothing of it is decoding."""
import glob
import json
import math
import os

import torch_common as common
import worker

HEADS = {"llama-3B": (24, 8), "llama-7B": (32, 8), "llama-300M": (8, 4), "llama-400M": (8, 4)}  # those of queries, of keys and values
PARTS = ("sa_norm.scale", "attn.q_proj.weight", "attn.k_proj.weight", "attn.v_proj.weight", "attn.output_proj.weight", "mlp_norm.scale", "mlp.w1.weight",
         "mlp.w2.weight", "mlp.w3.weight")


def heads_of(config, name):
    sizes = config.get(name)
    return (sizes["num_heads"], sizes["num_kv_heads"]) if sizes else HEADS[config[name + "_flavor"]]


class Stack:
    """One transformer: layers, caches, rotations of interleaved pairs as in Llama 3.2."""

    def __init__(self, torch, weights, name, heads):
        self.torch, self.heads = torch, heads
        layers = name + ".layers."
        count = 1 + max(int(key[len(layers):].split(".")[0]) for key in weights if key.startswith(layers))
        self.layers = [[weights[f"{layers}{i}.{part}"] for part in PARTS] for i in range(count)]
        self.norm = weights[name + ".norm.scale"]
        self.size = self.norm.numel() // heads[0]

    def make_room(self, rows, positions):
        torch = self.torch
        shape = (rows, self.heads[1], positions, self.size)
        self.caches = [(self.norm.new_zeros(shape), self.norm.new_zeros(shape)) for _ in self.layers]
        speed = 1 / 500000 ** (torch.arange(0, self.size, 2).float() / self.size)
        wave = 2 * math.pi / speed
        smooth = (8192 / wave - 1) / 3
        between = (1 - smooth) * speed / 32 + smooth * speed
        speed = torch.where(wave < 2048, speed, torch.where(wave > 8192, speed / 32, between))
        angle = torch.outer(torch.arange(positions).float(), speed)[:, None]
        self.turn = angle.cos(), angle.sin()

    def heads_in(self, x, weight, at=None):
        """[rows, heads, positions, size]; at: turned by its position."""
        x = self.torch.nn.functional.linear(x, weight).unflatten(-1, (-1, self.size))
        if at is not None:
            cos, sin = (t[at:at + x.shape[1]] for t in self.turn)
            a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
            x = self.torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2).to(x.dtype)
        return x.transpose(1, 2)

    def step(self, x, at):
        """x: [rows, positions, width] from position `at` on; what stands at the last of them, normed. Several positions are the first ones."""
        f = self.torch.nn.functional
        end, width = at + x.shape[1], x.shape[2:]
        for (norm, q, k, v, o, mlp_norm, w1, w2, w3), (keys, values) in zip(self.layers, self.caches):
            n = f.rms_norm(x, width, norm, 1e-5)
            keys[:, :, at:end] = self.heads_in(n, k, at)
            values[:, :, at:end] = self.heads_in(n, v)
            heard = f.scaled_dot_product_attention(self.heads_in(n, q, at), keys[:, :, :end], values[:, :, :end], is_causal=x.shape[1] > 1, enable_gqa=True)
            x = x + f.linear(heard.transpose(1, 2).flatten(2), o)
            n = f.rms_norm(x, width, mlp_norm, 1e-5)
            x = x + f.linear(f.silu(f.linear(n, w1)) * f.linear(n, w3), w2)
        return f.rms_norm(x[:, -1], width, self.norm, 1e-5)


class Yardstick(worker.Engine):
    tasks = ("music",)
    packages = ("torch", "safetensors", "tokenizers")

    @staticmethod
    def add_options(parser):
        common.add_options(parser, "float32")
        common.add_compile(parser)
        common.add_device(parser)

    def __init__(self, options):
        self.options = options

    def precision(self):
        return common.precision(self.options.dtype)

    def settings(self):
        compiled = "torch.compile" if self.options.compile else ""
        return ", ".join(filter(None, ("no codec: prefill and generate alone", compiled, common.on(self.options))))

    def lacks(self):
        return common.compiler_lacks() if self.options.compile else ""

    def open(self, folder, threads, message):
        self.torch = torch = common.start(threads, self.options.compile)
        placed = common.place(torch, self.options.device)
        from safetensors.torch import load_file
        from tokenizers import Tokenizer
        place = os.path.join(folder, worker.music_folder(folder))
        with open(os.path.join(place, "config.json"), encoding="utf-8") as f:
            config = json.load(f)
        with open(os.path.join(folder, "gen_config.json"), encoding="utf-8") as f:
            said = json.load(f)
        self.text_ends = said.get("text_bos_id", 128000), said.get("text_eos_id", 128001)
        self.tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        dtype, self.weights = getattr(torch, self.options.dtype), {}
        for path in sorted(glob.glob(os.path.join(place, "*.safetensors"))):
            self.weights.update((name, t.to(dtype)) for name, t in load_file(path, device=self.options.device).items())
        self.codebooks, self.vocabulary = config["audio_num_codebooks"], config["audio_vocab_size"]
        self.backbone, self.decoder = (Stack(torch, self.weights, name, heads_of(config, name)) for name in ("backbone", "decoder"))
        for stack in (self.backbone, self.decoder) if self.options.compile else ():
            stack.step = common.compiled(torch, stack.step)
        return {"model": "heartmula", "stored_codes": True, "codebooks": self.codebooks, "frame_s": 0.08, **common.opened(torch, threads), **placed}

    def ids(self, text):
        first, last = self.text_ends
        ids = self.tokenizer.encode(text.lower()).ids
        return ([] if ids[:1] == [first] else [first]) + ids + ([] if ids[-1:] == [last] else [last])

    def prompt(self, case, rows):
        tags = case["tags"].lower()
        tags = ("" if tags.startswith("<tag>") else "<tag>") + tags + ("" if tags.endswith("</tag>") else "</tag>")
        tags, lyrics = self.ids(tags), self.ids(worker.styled_lyrics(case))
        x = self.weights["text_embeddings.weight"][self.torch.tensor(tags + [0] + lyrics)]
        x[len(tags)] = self.weights["muq_linear.bias"]
        return x[None] if rows == 1 else self.torch.stack((x, self.weights["unconditional_text_embedding.weight"].expand_as(x)))

    def embedded(self, codes, first, rows):
        """The sum of these codes' rows, the first of codebook `first`: [rows, 1, width]."""
        at = self.torch.tensor([(first + k) * self.vocabulary + code for k, code in enumerate(codes)])
        return self.weights["audio_embeddings.weight"][at].sum(0).expand(rows, 1, -1)

    def draw(self, logits, case):
        if len(logits) == 2:
            logits = logits[1:] + (logits[:1] - logits[1:]) * case["cfg"]
        logits, topk = logits[0].float(), case["topk"]
        if topk == 1 or not case["temperature"]:
            return int(logits.argmax())
        best, at = logits.topk(min(topk, len(logits)) if topk else len(logits))
        return int(at[self.torch.multinomial((best / case["temperature"]).softmax(-1), 1)])

    def frame(self, last, case, rows, fed):
        """Codes drawn from the backbone's last row, and those that it goes on with."""
        torch, w, drawn, taken = self.torch, self.weights, [], []
        for k in range(self.codebooks):
            if k == 0:
                logits = last @ w["codebook0_head.weight"].T
            else:
                x = self.embedded(taken[-1:], k - 1, rows)
                x = (torch.cat((last[:, None], x), 1) if k == 1 else x) @ w["projection.weight"].T
                logits = self.decoder.step(x, 0 if k == 1 else k) @ w["audio_head"][k - 1]
            drawn.append(self.draw(logits, case))
            taken.append(fed[k] if fed else drawn[-1])
        return drawn, taken

    def run(self, case, message, frames, codes, warm):
        torch, rows = self.torch, 2 if case["cfg"] > 1 else 1
        torch.manual_seed(int(case["seed"]) % 2**63)
        start = worker.now()
        with torch.inference_mode():
            x = self.prompt(case, rows)
            position, made = x.shape[1], []
            self.backbone.make_room(rows, position + frames)
            self.decoder.make_room(rows, self.codebooks)
            last = self.backbone.step(x, 0)
            common.wait(torch, self.options.device)
            prefill_ns = worker.now() - start
            for i in range(frames):
                if i:
                    last = self.backbone.step(self.embedded(taken, 0, rows), position + i - 1)
                drawn, taken = self.frame(last, case, rows, codes and codes[i])
                made.append(drawn)
            common.wait(torch, self.options.device)
        wall_ns = worker.now() - start
        return {"wall_ns": wall_ns, "prefill_ns": prefill_ns, "generate_ns": wall_ns - prefill_ns, "frames": frames, "rows": made}


if __name__ == "__main__":
    worker.main(Yardstick)
