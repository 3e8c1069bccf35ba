"""HeartMuLa and HeartCodec in numpy, float32, in the plainest form.

Nothing here is shared with the engine: the formulas are those of the model descriptions, one after the other. Weights are synthetic
values, so that a manifest and a seed say them all.
"""
import math

import numpy as np

F = np.float32
M64 = (1 << 64) - 1
GOLD = 0x9E3779B97F4A7C15


# ---- synthetic values ----------------------------------------------------------------------------------------------------------

def uniform(name, count, seed):
    """`count` float32 values in [-1, 1) of tensor `name`."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & M64
    with np.errstate(over="ignore"):
        z = np.uint64(h ^ (seed * GOLD & M64)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLD)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(F) * F(2.0 ** -23) - F(1)


def noise(name, shape, seed):
    return (uniform(name, math.prod(shape), seed) * F(math.sqrt(3))).reshape(shape)


def weights(manifest, seed):
    """Every tensor of a manifest by name, as float32 arrays of the values its stored type holds."""
    out = {}
    for t in manifest["tensors"]:
        if t["dtype"] == "BOOL":
            continue
        w = F(t["offset"]) + uniform(t["name"], math.prod(t["shape"]), seed) * F(t["scale"])
        if t["dtype"] == "BF16":
            b = w.view(np.uint32)
            b = (b + np.uint32(0x7FFF) + ((b >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
            w = b.view(F)
        elif t["dtype"] == "F16":
            w = w.astype(np.float16).astype(F)
        out[t["name"]] = w.reshape(t["shape"])
    return out


# ---- what both models use ------------------------------------------------------------------------------------------------------

def silu(x):
    return x / (F(1) + np.exp(-x))


def rms_norm(x, weight, eps):
    return x * (F(1) / np.sqrt(np.mean(x * x, axis=-1, keepdims=True, dtype=F) + F(eps))) * weight


def inverse_frequencies(head_dim, base):
    exponents = (np.arange(0, head_dim, 2, dtype=F) / F(head_dim)).astype(np.float64)
    return F(1) / np.power(float(base), exponents).astype(F)


def rotate(x, positions, theta):
    """Rotary embedding of x [B, heads, S, head_dim], pairs (2j, 2j + 1)."""
    angle = (np.asarray(positions, F)[:, None] * theta).astype(np.float64)
    c, s = np.cos(angle).astype(F), np.sin(angle).astype(F)
    even, odd = x[..., 0::2], x[..., 1::2]
    return np.stack([even * c - odd * s, odd * c + even * s], axis=-1).reshape(x.shape)


def softmax(x):
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True, dtype=F)


def heads_of(x, heads):
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(0, 2, 1, 3)


# ---- HeartMuLa -----------------------------------------------------------------------------------------------------------------

def llama_theta(head_dim):
    out = []
    for f in inverse_frequencies(head_dim, 500000):
        wave = F(2 * math.pi) / f
        if wave < 2048:
            out.append(f)
        elif wave > 8192:
            out.append(f / F(32))
        else:
            s = (F(8192) / wave - F(1)) / F(3)
            out.append((F(1) - s) * f / F(32) + s * f)
    return np.array(out, F)


class Stack:
    """Backbone or decoder: causal, with a key and value cache from position 0 on."""

    def __init__(self, w, name, config):
        self.w, self.name, self.c = w, name, config
        self.theta = llama_theta(config["embed_dim"] // config["num_heads"])
        self.clear()

    def clear(self):
        self.position = 0
        self.keys = [None] * self.c["num_layers"]
        self.values = [None] * self.c["num_layers"]

    def attend(self, i, x):
        p, H, KV = f"{self.name}.layers.{i}.attn.", self.c["num_heads"], self.c["num_kv_heads"]
        positions = np.arange(self.position, self.position + x.shape[1])
        q = rotate(heads_of(x @ self.w[p + "q_proj.weight"].T, H), positions, self.theta)
        k = rotate(heads_of(x @ self.w[p + "k_proj.weight"].T, KV), positions, self.theta)
        v = heads_of(x @ self.w[p + "v_proj.weight"].T, KV)
        if self.keys[i] is not None:
            k, v = np.concatenate([self.keys[i], k], axis=2), np.concatenate([self.values[i], v], axis=2)
        self.keys[i], self.values[i] = k, v
        k, v = np.repeat(k, H // KV, axis=1), np.repeat(v, H // KV, axis=1)
        scores = q @ k.swapaxes(-1, -2) / F(math.sqrt(q.shape[-1]))
        scores = np.where(np.arange(k.shape[2])[None] <= positions[:, None], scores, F(-np.inf))
        mixed = (softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(x.shape)
        return mixed @ self.w[p + "output_proj.weight"].T

    def forward(self, x, note=lambda name, value: None):
        for i in range(self.c["num_layers"]):
            p = f"{self.name}.layers.{i}."
            a = self.attend(i, rms_norm(x, self.w[p + "sa_norm.scale"], 1e-5))
            note(f"{self.name}.layer{i}.attn.out", a)
            x = x + a
            y = rms_norm(x, self.w[p + "mlp_norm.scale"], 1e-5)
            x = x + (silu(y @ self.w[p + "mlp.w1.weight"].T) * (y @ self.w[p + "mlp.w3.weight"].T)) @ self.w[p + "mlp.w2.weight"].T
            note(f"{self.name}.layer{i}.out", x)
        self.position += x.shape[1]
        return rms_norm(x, self.w[f"{self.name}.norm.scale"], 1e-5)


class MusicModel:
    def __init__(self, manifest, seed):
        self.c, self.w = manifest["config"], weights(manifest, seed)
        self.K, self.V = self.c["audio_num_codebooks"], self.c["audio_vocab_size"]

    def embed_prompt(self, tags, lyrics, rows, muq):
        ids = list(tags) + [0] + list(lyrics)
        h = np.stack([self.w["text_embeddings.weight"][ids]] * rows)
        h[0, len(tags)] = self.w["muq_linear.weight"] @ muq + self.w["muq_linear.bias"]
        if rows == 2:
            h[1, :] = self.w["unconditional_text_embedding.weight"][0]
        return h

    def embed_frame(self, codes, rows):
        total = np.zeros(self.c["backbone"]["embed_dim"], F)
        for k, code in enumerate(codes):
            total = total + self.w["audio_embeddings.weight"][k * self.V + code]
        return np.stack([total[None]] * rows)

    def pick(self, logits, cfg_scale):
        """The best token, its lead over the second, and the logits that decided."""
        z = logits[1:] + (logits[:1] - logits[1:]) * F(cfg_scale) if len(logits) == 2 else logits
        order = np.argsort(-z[0], kind="stable")
        return int(order[0]), float(z[0, order[0]] - z[0, order[1]]), z

    def codes_of(self, last, cfg_scale, note):
        """The K codes of one frame from the last hidden state of each row [B, Db]."""
        logits = last @ self.w["codebook0_head.weight"].T
        note("c0_logits", logits)
        code, margin, z = self.pick(logits, cfg_scale)
        note("sampled_logits.0", z)
        codes, margins = [code], [margin]
        decoder = Stack(self.w, "decoder", self.c["decoder"])
        for i in range(1, self.K):
            embedding = self.w["audio_embeddings.weight"][(i - 1) * self.V + codes[-1]]
            row = np.stack([embedding] * len(last))[:, None]
            x = (np.concatenate([last[:, None], row], axis=1) if i == 1 else row) @ self.w["projection.weight"].T
            note(f"proj.{i}", x)
            d = decoder.forward(x)
            note(f"decoder.out.{i}", d)
            logits = d[:, -1] @ self.w["audio_head"][i - 1]
            note(f"c{i}_logits", logits)
            code, margin, z = self.pick(logits, cfg_scale)
            note(f"sampled_logits.{i}", z)
            codes.append(code)
            margins.append(margin)
        return codes, margins

    def generate(self, tags, lyrics, frames, cfg_scale=1.0, muq=None, eos=None):
        """Greedy frames [n, K], margins [n, K] and every intermediate by name; with `eos` the run ends before the frame that has one."""
        rows = 2 if cfg_scale > 1.0 else 1
        seen = {}
        backbone = Stack(self.w, "backbone", self.c["backbone"])
        h = self.embed_prompt(tags, lyrics, rows, np.zeros(self.c["muq_dim"], F) if muq is None else muq)
        seen["backbone.in"] = h
        tokens, margins = [], []
        for n in range(frames):
            h = backbone.forward(h, (lambda name, value: seen.update({name: value})) if n == 0 else (lambda name, value: None))
            if n == 0:
                seen["backbone.out"], seen["backbone.out.last"] = h, h[:, -1]
            else:
                seen[f"frame{n}.backbone.out"] = h
            codes, leads = self.codes_of(h[:, -1], cfg_scale, lambda name, value: seen.update({f"frame{n}.{name}": value}))
            if eos is not None and n > 0 and max(codes) >= eos:
                break
            tokens.append(codes)
            margins.append(leads)
            h = self.embed_frame(codes, rows)
        return np.array(tokens, np.int32), np.array(margins, F), seen


# ---- HeartCodec ----------------------------------------------------------------------------------------------------------------

def conv1d(x, w, b, dilation=1, left=0, right=0):
    """x [B, in, T], w [out, in, k]; zero padding on both sides."""
    k = w.shape[2]
    x = np.pad(x, ((0, 0), (0, 0), (left, right)))
    length = x.shape[2] - dilation * (k - 1)
    y = np.zeros((x.shape[0], w.shape[0], length), F)
    for j in range(k):
        y += w[:, :, j] @ x[:, :, j * dilation:j * dilation + length]
    return y + b[:, None]


def cyclic(codes, length):
    return codes[:, np.arange(length) % codes.shape[1]]


def causal(x, w, b, dilation=1):
    return conv1d(x, w, b, dilation, left=dilation * (w.shape[2] - 1))


class Codec:
    def __init__(self, manifest, seed):
        self.c, self.seed = manifest["config"], seed
        w = weights(manifest, seed)
        for name in [n for n in w if n.endswith(".original1")]:
            v, g = w[name], w[name[:-1] + "0"]
            norm = np.sqrt(np.sum(v.astype(np.float64) ** 2, axis=(1, 2), keepdims=True)).astype(F)
            w[name.removesuffix(".parametrizations.weight.original1") + ".weight"] = v * (g / norm)
        self.f = {n.removeprefix("flow_matching."): t for n, t in w.items()}
        self.s = {n.removeprefix("scalar_model.decoder."): t for n, t in w.items()}

    # -- conditioning

    def rvq(self, codes):
        e = sum(self.f[f"vq_embed.layers.{q}._codebook.embed"][0][row] for q, row in enumerate(codes))
        if self.c["codebook_dim"] != self.c["dim"]:
            e = e @ self.f["vq_embed.project_out.weight"].T + self.f["vq_embed.project_out.bias"]
        return e[None].astype(F)

    def condition(self, codes):
        return self.rvq(codes) @ self.f["cond_feature_emb.weight"].T + self.f["cond_feature_emb.bias"]

    # -- estimator

    def linear(self, x, name):
        return x @ self.f[name + ".weight"].T + self.f[name + ".bias"]

    def project(self, x, name):
        p = f"estimator.{name}."
        y = conv1d(x.swapaxes(1, 2), self.f[p + "ffn_1.weight"], self.f[p + "ffn_1.bias"], left=1, right=1).swapaxes(1, 2)
        return (y * F(3 ** -0.5)) @ self.f[p + "ffn_2.weight"].T + self.f[p + "ffn_2.bias"]

    def timestep(self, t, name):
        frequencies = np.exp((F(-math.log(10000)) * np.arange(256, dtype=F) / F(256)).astype(np.float64)).astype(F)
        angle = (np.asarray(t, F)[:, None] * frequencies * F(1000)).astype(np.float64)
        vector = np.concatenate([np.cos(angle), np.sin(angle)], axis=1).astype(F)
        p = f"estimator.{name}."
        emb = self.linear(silu(self.linear(vector, p + "emb.timestep_embedder.linear_1")), p + "emb.timestep_embedder.linear_2")
        return emb, self.linear(silu(emb), p + "linear")

    def block(self, x, name, mod, note):
        p, H = f"estimator.{name}.", self.c["num_attention_heads"]
        m = self.f[p + "scale_shift_table"][None] + mod.reshape(len(x), 6, -1)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = (m[:, i:i + 1] for i in range(6))
        y = rms_norm(x, self.f[p + "attn_norm.weight"], 1e-6)
        note("attn_norm", y)
        y = y * (F(1) + scale_a) + shift_a
        q, k, v = (heads_of(y @ self.f[f"{p}attn.{n}_proj.weight"].T, H) for n in "qkv")
        theta, positions = inverse_frequencies(q.shape[-1], 10000), np.arange(x.shape[1])
        q, k = rotate(q, positions, theta), rotate(k, positions, theta)
        a = softmax(q @ k.swapaxes(-1, -2) / F(math.sqrt(q.shape[-1]))) @ v
        a = a.transpose(0, 2, 1, 3).reshape(x.shape) @ self.f[p + "attn.o_proj.weight"].T
        note("attn", a)
        x = x + gate_a * a
        y = rms_norm(x, self.f[p + "mlp_norm.weight"], 1e-6) * (F(1) + scale_m) + shift_m
        y = (silu(y @ self.f[p + "mlp.gate.weight"].T) * (y @ self.f[p + "mlp.up.weight"].T)) @ self.f[p + "mlp.down.weight"].T
        note("mlp", y)
        x = x + gate_m * y
        note("out", x)
        return x

    def output_norm(self, x, table, emb):
        mean = np.mean(x, axis=-1, keepdims=True, dtype=F)
        variance = np.mean((x - mean) ** 2, axis=-1, keepdims=True, dtype=F)
        rows = self.f["estimator." + table][None] + emb[:, None]
        return (x - mean) / np.sqrt(variance + F(1e-6)) * (F(1) + rows[:, 1:2]) + rows[:, 0:1]

    def estimate(self, x, t, seen=None):
        seen = {} if seen is None else seen
        emb, mod = self.timestep(t, "adaln_single")
        emb2, mod2 = self.timestep(t, "adaln_single_2")
        s = self.project(x, "proj_in")
        seen |= {"proj_in": s, "temb": emb, "adaln_single": mod}
        for i in range(self.c["num_layers"]):
            s = self.block(s, f"transformer_blocks.{i}", mod, lambda n, v: seen.update({f"block{i}.{n}": v}))
        seen["stack1.out"] = s
        s = self.output_norm(s, "scale_shift_table", emb)
        y = self.project(np.concatenate([x, s], axis=-1), "connection_proj")
        seen["connection_proj"] = y
        for i in range(self.c["num_layers_2"]):
            y = self.block(y, f"transformer_blocks_2.{i}", mod2, lambda n, v: None)
        seen["stack2.out"] = y
        y = self.project(self.output_norm(y, "scale_shift_table_2", emb2), "proj_out")
        seen["out"] = y
        return y

    # -- solver and segments

    def solve(self, cond, z, y, frames, steps, guidance):
        """cond [1, n, C]; z, y [2n, O]; the first `frames` rows of y are given. Returns [2n, O]."""
        mu = np.repeat(cond[0], 2, axis=0)
        context = np.where(np.arange(len(z))[:, None] < frames, y, F(0)).astype(F)
        s = F(1) / F(steps)
        times = [F(i) * s if i < (steps + 1) // 2 else F(1.0 - float(steps - i) * float(s)) for i in range(steps + 1)]
        x, t, dt = z.copy(), F(0), times[1]
        for m in range(1, steps + 1):
            x[:frames] = (F(1) - F(1 - 1e-6) * t) * z[:frames] + t * y[:frames]
            given = np.concatenate([x, context, mu], axis=1)
            if guidance > 1:
                empty = np.concatenate([x, context, np.zeros_like(mu)], axis=1)
                v = self.estimate(np.stack([empty, given]), [t, t])
                v = v[0] + F(guidance) * (v[1] - v[0])
            else:
                v = self.estimate(given[None], [t])[0]
            x = x + dt * v
            t = t + dt
            if m < steps:
                dt = times[m + 1] - t
        x[:frames] = y[:frames]
        return x

    def detokenize(self, codes, salt, duration=7.44, steps=10, guidance=1.25):
        """Latents [segments, 2 ns, O], wave [2, samples] and the least distance of 9 x to a rounding boundary."""
        rate, O = self.c["sample_rate"], self.c["out_channels"]
        ns = int(duration * 12.5)
        hop = ns // 93 * 80
        overlap = ns - hop
        target = int(codes.shape[1] / 12.5 * rate)
        if codes.shape[1] < ns:
            codes = cyclic(codes, ns)
        if (codes.shape[1] - 2 * overlap) % hop > 0:  # latents where codes are meant: some lengths lose their end
            codes = cyclic(codes, math.ceil((codes.shape[1] - overlap) / hop) * hop + overlap)
        latents = []
        for k, start in enumerate(range(0, codes.shape[1] - hop + 1, hop)):
            z = noise(f"noise.{salt}.seg{k}", (2 * ns, O), self.seed)
            y, frames = np.zeros_like(z), 0
            if k > 0:
                frames = 2 * overlap
                y[:frames] = latents[-1][-frames:]
            latents.append(self.solve(self.condition(codes[:, start:start + ns]), z, y, frames, steps, guidance))
        wave = None
        for x in latents:
            piece = self.decode(x)[:, 0, :int(duration * rate)]
            fade = piece.shape[1] - piece.shape[1] // 93 * 80
            if wave is None:
                wave = piece
                continue
            w = np.arange(fade) / (fade - 1)
            wave[:, -fade:] = (wave[:, -fade:] * (1 - w) + piece[:, :fade] * w).astype(F)
            wave = np.concatenate([wave, piece[:, fade:]], axis=1)
        nine = F(9) * np.stack(latents)
        margin = float(np.min(np.abs(np.abs(nine - np.floor(nine)) - F(0.5))))
        return np.stack(latents), wave[:, :target], margin

    # -- latents to sound

    def prelu(self, x, name):
        return np.where(x >= 0, x, self.s[name + ".weight"] * x)

    def decode(self, latents, seen=None):
        """latents [T, 2 Z] -> [2, 1, T * samples per latent]; the output of every module goes to `seen`."""
        s, n, r = self.s, len(self.c["upsample_factors"]), self.c["num_samples"]
        seen = {} if seen is None else seen
        x = np.stack(np.split(latents, 2, axis=1)).swapaxes(1, 2)
        x = np.rint(F(9) * x) / F(9)
        side = (self.c["delay_kernel_size"] - 1) // 2
        x = seen["decoder.0.out"] = conv1d(x, s["0.weight"], s["0.bias"], left=side, right=side)
        for i, stride in enumerate(self.c["upsample_factors"], 1):
            w = s[f"{i}.up_conv.layer.weight"]
            T = x.shape[2]
            y = np.zeros((2, w.shape[1], (T + 1) * stride), F)
            for k in range(2 * stride):
                y[:, :, k:k + T * stride:stride] += w[:, :, k].T @ x
            x = y[:, :, :T * stride] + s[f"{i}.up_conv.layer.bias"][:, None]
            for j, dilation in enumerate((1, 3, 5, 7, 9)):
                p = f"{i}.convs.{j}."
                y = self.prelu(causal(x, s[p + "conv1.weight"], s[p + "conv1.bias"], dilation), p + "activation1")
                x = x + self.prelu(causal(y, s[p + "conv2.weight"], s[p + "conv2.bias"]), p + "activation2")
            seen[f"decoder.{i}.out"] = x
        if r > 1:
            x = causal(np.repeat(x, r, axis=2), s[f"{n + 1}.conv.weight"], s[f"{n + 1}.conv.bias"])
            x = seen[f"decoder.{n + 1}.out"] = self.prelu(x, f"{n + 1}.activation")
        last = n + 2 if r > 1 else n + 1
        seen[f"decoder.{last}.out"] = causal(x, s[f"{last}.weight"], s[f"{last}.bias"])
        return seen[f"decoder.{last}.out"]
