"""Qwen3-TTS in numpy, float64 on the stored weights, written from its description alone; no step is shared with the engine."""
import math

import numpy as np

M64 = (1 << 64) - 1
GOLD = 0x9E3779B97F4A7C15
SUPPRESSED = 1024


# ---- weights --------------------------------------------------------------------------------------------------------------------

def uniform(name, count, seed):
    key = 0xCBF29CE484222325
    for b in name.encode():
        key = ((key ^ b) * 0x100000001B3) & M64
    key ^= (seed * GOLD) & M64
    with np.errstate(over="ignore"):
        z = np.uint64(key) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLD)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)


def stored(entry, seed):
    shape = entry["shape"]
    w = np.float32(entry["offset"]) + uniform(entry["name"], math.prod(shape), seed) * np.float32(entry["scale"])
    if entry["dtype"] == "BF16":
        b = w.view(np.uint32)
        w = ((b + np.uint32(0x7FFF) + ((b >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)).view(np.float32)
    return w.reshape(shape).astype(np.float64)


class Weights:
    def __init__(self, manifest):
        self.entries = {t["name"]: t for t in manifest["tensors"]}
        self.seed, self.made = manifest["seed"], {}

    def __getitem__(self, name):
        if name not in self.made:
            self.made[name] = stored(self.entries[name], self.seed)
        return self.made[name]

    def __contains__(self, name):
        return name in self.entries


# ---- parts ----------------------------------------------------------------------------------------------------------------------

def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))


def elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def rms(x, w, eps):
    return w * x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)


def layernorm(x, w, b, eps):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + eps) * w + b


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def rotate(x, positions, base):
    """x [rows][heads][Dh], pairs (i, i + Dh/2)."""
    half = x.shape[-1] // 2
    angle = positions[:, None, None] * base ** (-2 * np.arange(half) / x.shape[-1])
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)


def attention(w, at, c, x, positions, cache, eps=None):
    """Rows of x after those in `cache`, a list of [k, v] or empty; with eps q and k are normed per head."""
    nh, nkv, hd, window = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"], c.get("window")
    q = (x @ w[at + "q_proj.weight"].T).reshape(-1, nh, hd)
    k = (x @ w[at + "k_proj.weight"].T).reshape(-1, nkv, hd)
    v = (x @ w[at + "v_proj.weight"].T).reshape(-1, nkv, hd)
    if eps is not None:
        q, k = rms(q, w[at + "q_norm.weight"], eps), rms(k, w[at + "k_norm.weight"], eps)
    q, k = rotate(q, positions, c["rope_theta"]), rotate(k, positions, c["rope_theta"])
    if cache:
        k, v = np.concatenate([cache[0], k]), np.concatenate([cache[1], v])
    cache[:] = [k, v]
    out = np.empty((len(x), nh, hd))
    keys = np.arange(len(k))
    first = len(k) - len(x)
    for row in range(len(x)):
        seen = keys <= first + row
        if window:
            seen &= keys > first + row - window
        for head in range(nh):
            kv = head // (nh // nkv)
            out[row, head] = softmax(k[seen, kv] @ q[row, head] / math.sqrt(hd)) @ v[seen, kv]
    return out.reshape(len(x), -1) @ w[at + "o_proj.weight"].T


class Stack:
    """The talker or the code predictor."""

    def __init__(self, weights, prefix, config):
        self.w, self.prefix, self.c = weights, prefix, config
        self.cache, self.length = [[] for _ in range(config["num_hidden_layers"])], 0

    def __call__(self, x):
        w, eps, outputs = self.w, self.c["rms_norm_eps"], []
        positions = np.arange(self.length, self.length + len(x))
        for i in range(self.c["num_hidden_layers"]):
            at = f"{self.prefix}layers.{i}."
            x = x + attention(w, at + "self_attn.", self.c, rms(x, w[at + "input_layernorm.weight"], eps), positions, self.cache[i], eps)
            m = rms(x, w[at + "post_attention_layernorm.weight"], eps)
            x = x + (silu(m @ w[at + "mlp.gate_proj.weight"].T) * (m @ w[at + "mlp.up_proj.weight"].T)) @ w[at + "mlp.down_proj.weight"].T
            outputs.append(x)
        self.length += len(x)
        return rms(x, w[self.prefix + "norm.weight"], eps), outputs


# ---- talker ---------------------------------------------------------------------------------------------------------------------

class Talker:
    def __init__(self, config, manifest):
        self.top, self.c, self.w = config, config["talker_config"], Weights(manifest)
        self.p = self.c["code_predictor_config"]
        self.groups = self.c["num_code_groups"]

    def text(self, ids):
        w, p = self.w, "talker.text_projection.linear_fc"
        x = w["talker.model.text_embedding.weight"][ids]
        return silu(x @ w[p + "1.weight"].T + w[p + "1.bias"]) @ w[p + "2.weight"].T + w[p + "2.bias"]

    def codec(self, code):
        return self.w["talker.model.codec_embedding.weight"][code]

    def summed(self, frame):
        x = self.codec(frame[0])
        for g in range(1, self.groups):
            x = x + self.w[f"talker.code_predictor.model.codec_embedding.{g - 1}.weight"][frame[g]]
        return x

    def language(self, name, speaker):
        c, dialect = self.c, self.c["spk_is_dialect"].get(speaker, False) if speaker else False
        if name in ("auto", "chinese") and dialect:
            return c["codec_language_id"][dialect]
        return None if name == "auto" else c["codec_language_id"][name]

    def prompt(self, text, instruct, language, speaker, vector, streaming, reference=None, codes=None):
        """Returns the rows, the trailing text and the projected pad."""
        c, top = self.c, self.top
        pad, bos, eos = (self.text(top[f"tts_{k}_token_id"]) for k in ("pad", "bos", "eos"))
        rows = list(self.text(instruct)) if instruct is not None else []
        rows += list(self.text(text[:3]))
        lang = self.language(language, speaker)
        ids = [c[f"codec_{n}_id"] for n in ("nothink" if lang is None else "think", "think_bos", "think_eos")]
        track = [self.codec(i) for i in (ids if lang is None else ids[:2] + [lang] + ids[2:])]
        if vector is not None:
            track.append(vector.astype(np.float64))
        elif speaker:
            track.append(self.codec(c["spk_id"][speaker]))
        rows += [pad + k for k in track] + [bos + self.codec(c["codec_pad_id"])]
        said, codec_pad, codec_bos = self.text(text[3:-5]), self.codec(c["codec_pad_id"]), self.codec(c["codec_bos_id"])
        rest = [pad]
        if codes is not None:
            X = list(self.text(reference[3:-2])) + list(said) + [eos]
            Y = [codec_bos] + [self.summed(f) for f in codes]
            if streaming:
                rest = X[len(Y):] or [pad]
                X += [pad] * (len(Y) - len(X))
                rows += [x + y for x, y in zip(X, Y)]
            else:
                rows += [x + codec_pad for x in X] + [pad + y for y in Y]
        elif streaming:
            rows.append(said[0] + codec_bos)
            rest = list(said[1:]) + [eos]
        else:
            rows += [x + codec_pad for x in said] + [eos + codec_pad, pad + codec_bos]
        return np.array(rows), np.array(rest), pad

    def process(self, logits, history, penalty):
        l = logits.copy()
        for code in set(history):
            l[code] = l[code] * penalty if l[code] < 0 else l[code] / penalty
        eos, V = self.c["codec_eos_token_id"], self.c["vocab_size"]
        keep = l[eos]
        l[V - SUPPRESSED:] = -np.inf
        l[eos] = keep if len(history) >= 2 else -np.inf
        return l

    def project(self, x):
        w, p = self.w, "talker.code_predictor.small_to_mtp_projection."
        return x @ w[p + "weight"].T + w[p + "bias"] if p + "weight" in w else x

    def predict(self, z, c0, margins, told):
        w, p, frame = self.w, Stack(self.w, "talker.code_predictor.model.", self.p), [c0]
        x = self.project(np.array([z, self.codec(c0)]))
        logits = []
        for g in range(1, self.groups):
            y, outputs = p(x)
            if g == 1:
                told |= {"cp_input_frame0": x, "cp_layer0_out_prefill_frame0": outputs[0]}
            l = w[f"talker.code_predictor.lm_head.{g - 1}.weight"] @ y[-1]
            logits.append(l)
            margins.append(np.diff(np.sort(l)[-2:])[0])
            frame.append(int(l.argmax()))
            x = self.project(w[f"talker.code_predictor.model.codec_embedding.{g - 1}.weight"][[frame[-1]]])
        told["cp_logits_frame0"] = np.array(logits)
        return frame

    def talk(self, frames, penalty=1.05, **prompt):
        rows, rest, pad = self.prompt(**prompt)
        told = {"prompt_embeds": rows, "trailing_text": rest, "tts_pad_embed": pad}
        talker, head = Stack(self.w, "talker.model.", self.c), self.w["talker.codec_head.weight"]
        z, outputs = talker(rows)
        told |= {"talker_layer0_out": outputs[0], "talker_final_hidden": z[-1], "talker_prefill_logits": head @ z[-1]}
        codes, history, margins = [], [], []
        while True:
            l = self.process(head @ z[-1], history, penalty)
            margins.append(np.diff(np.sort(l)[-2:])[0])
            history.append(int(l.argmax()))
            if history[-1] == self.c["codec_eos_token_id"] or len(history) > frames:
                break
            codes.append(self.predict(z[-1], history[-1], margins, told if not codes else {}))
            n = len(codes)
            x = self.summed(codes[-1]) + (rest[n - 1] if n <= len(rest) else pad)
            z, _ = talker(x[None])
            if n == 1:
                told |= {"talker_step1_input": x, "talker_step1_logits": head @ z[-1]}
        return told | {"codes": np.array(codes), "sequence_group0": np.array(history)}, min(margins)


# ---- speech decoder -------------------------------------------------------------------------------------------------------------

def causal_conv(x, w, b, dilation=1, groups=1):
    """x [in][T], w [out][in/groups][k]."""
    k, T = w.shape[2], x.shape[1]
    p = np.pad(x, ((0, 0), ((k - 1) * dilation, 0)))
    taps = np.stack([p[:, j * dilation:j * dilation + T] for j in range(k)], -1)
    y = np.einsum("itk,oik->ot", taps, w, optimize=True) if groups == 1 else np.einsum("itk,ik->it", taps, w[:, 0])
    return y + b[:, None]


def transposed_conv(x, w, b, stride):
    k, T = w.shape[2], x.shape[1]
    y = np.zeros((w.shape[1], T * stride + k - stride))
    for t in range(T):
        y[:, t * stride:t * stride + k] += np.einsum("iok,i->ok", w, x[:, t])
    return y[:, :T * stride] + b[:, None]


class Decoder:
    def __init__(self, config, manifest):
        self.c, self.w, self.groups = config["decoder_config"], Weights(manifest), config["encoder_valid_num_quantizers"]
        self.rate = config["decode_upsample_rate"]

    def snake(self, at, x):
        a, b = self.w[at + ".alpha"][:, None], self.w[at + ".beta"][:, None]
        return x + np.sin(x * np.exp(a)) ** 2 / (np.exp(b) + 1e-9)

    def conv(self, at, x, dilation=1, groups=1):
        return causal_conv(x, self.w[at + ".weight"], self.w[at + ".bias"], dilation, groups)

    def dequantise(self, codes):
        sums = [0, 0]
        for g in range(self.groups):
            at = f"decoder.quantizer.rvq_{'rest' if g else 'first'}.vq.layers.{max(g - 1, 0)}._codebook."
            table = self.w[at + "embedding_sum"] / np.maximum(self.w[at + "cluster_usage"], 1e-5)[:, None]
            sums[g > 0] = sums[g > 0] + table[codes[:, g]]
        first, rest = (self.w[f"decoder.quantizer.rvq_{n}.output_proj.weight"][:, :, 0] for n in ("first", "rest"))
        return (sums[0] @ first.T + sums[1] @ rest.T).T

    def transformer(self, x, told):
        w, c, p = self.w, self.c | {"window": self.c["sliding_window"]}, "decoder.pre_transformer."
        x = x @ w[p + "input_proj.weight"].T + w[p + "input_proj.bias"]
        told["pt_input_proj"] = x
        for i in range(c["num_hidden_layers"]):
            at, eps = f"{p}layers.{i}.", c["rms_norm_eps"]
            y = attention(w, at + "self_attn.", c, rms(x, w[at + "input_layernorm.weight"], eps), np.arange(len(x)), [])
            x = x + w[at + "self_attn_layer_scale.scale"] * y
            m = rms(x, w[at + "post_attention_layernorm.weight"], eps)
            y = (silu(m @ w[at + "mlp.gate_proj.weight"].T) * (m @ w[at + "mlp.up_proj.weight"].T)) @ w[at + "mlp.down_proj.weight"].T
            x = x + w[at + "mlp_layer_scale.scale"] * y
            if i == 0:
                told["pt_layer0"] = x
        x = rms(x, w[p + "norm.weight"], c["rms_norm_eps"])
        return x @ w[p + "output_proj.weight"].T + w[p + "output_proj.bias"]

    def decode(self, codes):
        w, c, told = self.w, self.c, {}
        told["quantized"] = x = self.dequantise(codes)
        told["pre_conv"] = x = self.conv("decoder.pre_conv.conv", x)
        x = self.transformer(x.T, told)
        told["pt_out"], x = x, x.T
        for u, r in enumerate(c["upsampling_ratios"]):
            at = f"decoder.upsample.{u}."
            told[f"up{u}_transconv"] = x = transposed_conv(x, w[at + "0.conv.weight"], w[at + "0.conv.bias"], r)
            y = self.conv(at + "1.dwconv.conv", x, groups=len(x)).T
            y = layernorm(y, w[at + "1.norm.weight"], w[at + "1.norm.bias"], 1e-6)
            y = gelu(y @ w[at + "1.pwconv1.weight"].T + w[at + "1.pwconv1.bias"])
            y = (y @ w[at + "1.pwconv2.weight"].T + w[at + "1.pwconv2.bias"]) * w[at + "1.gamma"]
            told[f"up{u}"] = x = x + y.T
        told["dec0"] = x = self.conv("decoder.decoder.0.conv", x)
        for b, s in enumerate(c["upsample_rates"], 1):
            at = f"decoder.decoder.{b}.block."
            x = transposed_conv(self.snake(at + "0", x), w[at + "1.conv.weight"], w[at + "1.conv.bias"], s)
            told[f"dec{b}_transconv"] = x
            for j, dilation in ((2, 1), (3, 3), (4, 9)):
                y = self.conv(f"{at}{j}.conv1.conv", self.snake(f"{at}{j}.act1", x), dilation)
                x = x + self.conv(f"{at}{j}.conv2.conv", self.snake(f"{at}{j}.act2", y))
                if j == 2:
                    told[f"dec{b}_res0"] = x
            told[f"dec{b}"] = x
        n = len(c["upsample_rates"])
        told[f"dec{n + 1}"] = x = self.snake(f"decoder.decoder.{n + 1}", x)
        told[f"dec{n + 2}"] = x = self.conv(f"decoder.decoder.{n + 2}.conv", x)
        return told | {"waveform": np.clip(x[0], -1, 1)}

    def chunked(self, codes, chunk, context):
        parts = []
        for start in range(0, len(codes), chunk):
            before = context if start > context else start
            parts.append(self.decode(codes[start - before:start + chunk])["waveform"][before * self.rate:])
        return np.concatenate(parts)


# ---- speaker encoder ------------------------------------------------------------------------------------------------------------

def mel_of(audio, mels, rate):
    n_fft, hop = 1024, 256
    x = np.pad(audio.astype(np.float64), (n_fft - hop) // 2, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    frames = np.stack([x[i * hop:i * hop + n_fft] * window for i in range(len(audio) // hop)])
    f = np.fft.rfft(frames)
    magnitude = np.sqrt(f.real**2 + f.imag**2 + 1e-9)
    top = rate / 2
    last = top * 3 / 200 if top < 1000 else 15 + 27 * math.log(top / 1000) / math.log(6.4)
    points = np.linspace(0, last, mels + 2)
    corners = np.where(points < 15, points * 200 / 3, 1000 * np.exp((points - 15) * math.log(6.4) / 27))
    bins = np.arange(n_fft // 2 + 1) * rate / n_fft
    bank = np.stack([np.maximum(0, np.minimum((bins - a) / (b - a), (c - bins) / (c - b))) * 2 / (c - a)
                     for a, b, c in zip(corners, corners[1:], corners[2:])])
    return np.log(np.maximum(magnitude @ bank.T, 1e-5))


class SpeakerEncoder:
    def __init__(self, config, manifest):
        self.c, self.w = config["speaker_encoder_config"], Weights(manifest)

    def conv(self, at, x, dilation=1):
        w, b = self.w[f"speaker_encoder.{at}.weight"], self.w[f"speaker_encoder.{at}.bias"]
        pad = (w.shape[2] - 1) * dilation // 2
        p = np.pad(x, ((0, 0), (pad, pad)), mode="reflect") if pad else x
        T = x.shape[1]
        return sum(w[:, :, j] @ p[:, j * dilation:j * dilation + T] for j in range(w.shape[2])) + b[:, None]

    def embed(self, mel):
        c, told = self.c, {}
        relu = lambda v: np.maximum(v, 0)
        x = relu(self.conv("blocks.0.conv", mel.T, c["enc_dilations"][0]))
        told["block0"] = x
        outputs = []
        for k in range(1, len(c["enc_channels"]) - 1):
            at = f"blocks.{k}."
            parts = np.split(relu(self.conv(at + "tdnn1.conv", x)), c["enc_res2net_scale"])
            done = [parts[0]]
            for i in range(1, len(parts)):
                done.append(relu(self.conv(f"{at}res2net_block.blocks.{i - 1}.conv", parts[i] + (done[-1] if i > 1 else 0),
                                           c["enc_dilations"][k])))
            y = relu(self.conv(at + "tdnn2.conv", np.concatenate(done)))
            gate = relu(self.conv(at + "se_block.conv1", y.mean(1, keepdims=True)))
            x = x + y * sigmoid(self.conv(at + "se_block.conv2", gate))
            told[f"block{k}"] = x
            outputs.append(x)
        told["mfa"] = x = relu(self.conv("mfa.conv", np.concatenate(outputs)))
        mean = x.mean(1, keepdims=True)
        std = np.sqrt(np.maximum(((x - mean) ** 2).mean(1, keepdims=True), 1e-12))
        a = np.concatenate([x, np.broadcast_to(mean, x.shape), np.broadcast_to(std, x.shape)])
        a = softmax(self.conv("asp.conv", np.tanh(relu(self.conv("asp.tdnn.conv", a)))), 1)
        mean = (a * x).sum(1, keepdims=True)
        std = np.sqrt(np.maximum((a * (x - mean) ** 2).sum(1, keepdims=True), 1e-12))
        told["asp"] = np.concatenate([mean, std])
        return told | {"embedding": self.conv("fc", told["asp"])[:, 0]}

    def encode(self, audio):
        mel = mel_of(audio, self.c["mel_dim"], self.c["sample_rate"])
        return {"mel": mel} | self.embed(mel)


# ---- speech encoder -------------------------------------------------------------------------------------------------------------

def padded_conv(x, w, b, stride=1, dilation=1, replicate=False):
    k, n = w.shape[2], x.shape[1]
    K = (k - 1) * dilation + 1
    P = K - stride
    frames = math.ceil((n - K + P) / stride + 1)
    p = np.pad(x, ((0, 0), (P, (frames - 1) * stride + K - P - n)), mode="edge" if replicate else "constant")
    taps = np.stack([p[:, j * dilation:j * dilation + (frames - 1) * stride + 1:stride] for j in range(k)], -1)
    y = np.einsum("itk,oik->ot", taps, w, optimize=True)
    return y if b is None else y + b[:, None]


class SpeechEncoder:
    def __init__(self, config, manifest):
        self.c, self.w, self.groups = config["encoder_config"], Weights(manifest), config["encoder_valid_num_quantizers"]
        self.step = config["encode_downsample_rate"] // math.prod(self.c["upsampling_ratios"])

    def conv(self, at, x, stride=1, dilation=1):
        at = "encoder.encoder.layers." + at
        return padded_conv(x, self.w[at + ".weight"], self.w[at + ".bias"], stride, dilation)

    def nearest(self, prefix, layers, x, margins):
        x, codes = x @ self.w[prefix + "input_proj.weight"][:, :, 0].T, []
        for i in range(layers):
            at = f"{prefix}layers.{i}.codebook."
            table = self.w[at + "embed_sum"] / np.maximum(self.w[at + "cluster_usage"], 1e-5)[:, None]
            distance = np.sqrt(((x[:, None] - table) ** 2).sum(-1))
            codes.append(distance.argmin(1))
            margins += list(np.diff(np.sort(distance)[:, :2])[:, 0])
            x = x - table[codes[-1]]
        return codes

    def encode(self, audio):
        w, c, margins = self.w, self.c, []
        x, layer = self.conv("0.conv", audio[None].astype(np.float64)), 1
        for r in reversed(c["upsampling_ratios"]):
            for j in range(c["num_residual_layers"]):
                y = self.conv(f"{layer}.block.1.conv", elu(x), dilation=c["dilation_growth_rate"] ** j)
                x = x + self.conv(f"{layer}.block.3.conv", elu(y))
                layer += 1
            x = self.conv(f"{layer + 1}.conv", elu(x), stride=r)
            layer += 2
        told = {"seanet": self.conv(f"{layer + 1}.conv", elu(x))}
        x = told["seanet"].T
        for i in range(c["num_hidden_layers"]):
            at, eps = f"encoder.encoder_transformer.layers.{i}.", c["norm_eps"]
            n = layernorm(x, w[at + "input_layernorm.weight"], w[at + "input_layernorm.bias"], eps)
            x = x + w[at + "self_attn_layer_scale.scale"] * attention(w, at + "self_attn.", c, n, np.arange(len(x)), [])
            n = layernorm(x, w[at + "post_attention_layernorm.weight"], w[at + "post_attention_layernorm.bias"], eps)
            x = x + w[at + "mlp_layer_scale.scale"] * (gelu(n @ w[at + "mlp.fc1.weight"].T) @ w[at + "mlp.fc2.weight"].T)
        told["transformer"] = x
        told["downsample"] = padded_conv(x.T, w["encoder.downsample.conv.weight"], None, self.step, replicate=True)
        z, q = told["downsample"].T, "encoder.quantizer."
        codes = self.nearest(q + "semantic_residual_vector_quantizer.", 1, z, margins)
        codes += self.nearest(q + "acoustic_residual_vector_quantizer.", self.groups - 1, z, margins)
        return told | {"codes": np.array(codes).T}, min(margins)
