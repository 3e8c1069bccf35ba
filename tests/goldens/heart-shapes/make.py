#!/usr/bin/env python3
"""Writes the golden files of this folder with reference.py. Needs numpy.

    python3 make.py FOLDER

A case is refused when a code or a latent lies so near to a tie that the last bits of float32 would decide.
"""
import json
import math
import os
import random
import shutil
import struct
import sys

import numpy as np

from reference import Codec, MusicModel, noise, uniform

F = np.float32
HERE = os.path.dirname(os.path.abspath(__file__))


# ---- manifests: what tensors a configuration has, and their synthetic values ---------------------------------------------------

def default_rule(name, shape):
    if len(shape) <= 1:
        return (0.0, 0.02) if name.endswith("bias") else (1.0, 0.1)
    if name.endswith("weight_g") or name.endswith("original0"):
        return 1.0, 0.1
    return 0.0, float(F(math.sqrt(3.0 / math.prod(shape[1:]))))


def entry(name, shape, dtype, rule=None):
    offset, scale = rule or default_rule(name, shape)
    return {"name": name, "dtype": dtype, "shape": list(shape), "offset": offset, "scale": scale}


def lm_manifest(config, dtype="BF16"):
    K, V, Q = config["audio_num_codebooks"], config["audio_vocab_size"], config["muq_dim"]
    Db, Dd = config["backbone"]["embed_dim"], config["decoder"]["embed_dim"]
    tensors = [entry("audio_head", (K - 1, Dd, V), dtype, (0.0, float(F(4 * math.sqrt(3 / Dd)))))]
    for stack in ("backbone", "decoder"):
        c = config[stack]
        D, ff, kv = c["embed_dim"], c["intermediate_dim"], c["embed_dim"] // c["num_heads"] * c["num_kv_heads"]
        for i in range(c["num_layers"]):
            for name, shape in (("attn.q_proj.weight", (D, D)), ("attn.k_proj.weight", (kv, D)), ("attn.v_proj.weight", (kv, D)),
                                ("attn.output_proj.weight", (D, D)), ("mlp.w1.weight", (ff, D)), ("mlp.w2.weight", (D, ff)),
                                ("mlp.w3.weight", (ff, D)), ("sa_norm.scale", (D,)), ("mlp_norm.scale", (D,))):
                tensors.append(entry(f"{stack}.layers.{i}.{name}", shape, dtype))
        tensors.append(entry(f"{stack}.norm.scale", (D,), dtype))
    for name, shape, rule in (("text_embeddings.weight", (config["text_vocab_size"], Db), (0.0, 1.0)),
                              ("audio_embeddings.weight", (V * K, Db), (0.0, 1.0)),
                              ("unconditional_text_embedding.weight", (1, Db), (0.0, 1.0)),
                              ("projection.weight", (Dd, Db), None),
                              ("codebook0_head.weight", (V, Db), (0.0, float(F(4 * math.sqrt(3 / Db))))),
                              ("muq_linear.weight", (Db, Q), None),
                              ("muq_linear.bias", (Db,), (0.0, 0.5))):
        tensors.append(entry(name, shape, dtype, rule))
    return {"config": config, "tensors": tensors}


def mlp_width(width):
    return 256 * math.ceil((8 * width // 3) / 256)


def codec_manifest(c):
    C, d, V, O = c["dim"], c["codebook_dim"], c["codebook_size"], c["out_channels"]
    D1 = c["num_attention_heads"] * c["attention_head_dim"]
    D2, n, c0, r = 2 * D1, len(c["upsample_factors"]), c["init_channel"], c["num_samples"]
    flow, scalar = {}, {}

    def conv(at, name, shape, bias):
        at[name + ".bias"] = (bias,)
        at[name + ".parametrizations.weight.original0"] = (shape[0], 1, 1)
        at[name + ".parametrizations.weight.original1"] = shape

    if d != C:
        flow |= {"vq_embed.project_out.weight": (C, d), "vq_embed.project_out.bias": (C,)}
    for q in range(c["num_quantizers"]):
        flow[f"vq_embed.layers.{q}._codebook.embed"] = (1, V, d)
    flow |= {"cond_feature_emb.weight": (C, C), "cond_feature_emb.bias": (C,),
             "estimator.scale_shift_table": (2, D1), "estimator.scale_shift_table_2": (2, D2)}
    for name, inside, out in (("proj_in", c["in_channels"], D1), ("connection_proj", c["in_channels"] + D1, D2), ("proj_out", D2, O)):
        p = f"estimator.{name}."
        flow |= {p + "ffn_1.weight": (out, inside, 3), p + "ffn_1.bias": (out,), p + "ffn_2.weight": (out, out), p + "ffn_2.bias": (out,)}
    for stack, layers, D in (("transformer_blocks", c["num_layers"], D1), ("transformer_blocks_2", c["num_layers_2"], D2)):
        for i in range(layers):
            p, ff = f"estimator.{stack}.{i}.", mlp_width(D)
            flow |= {p + "scale_shift_table": (6, D), p + "attn_norm.weight": (D,), p + "mlp_norm.weight": (D,)}
            flow |= {p + f"attn.{x}_proj.weight": (D, D) for x in "qkvo"}
            flow |= {p + "mlp.gate.weight": (ff, D), p + "mlp.up.weight": (ff, D), p + "mlp.down.weight": (D, ff)}
    for name, D in (("adaln_single", D1), ("adaln_single_2", D2)):
        p = f"estimator.{name}."
        for linear, out, inside in (("emb.timestep_embedder.linear_1", D, 512), ("emb.timestep_embedder.linear_2", D, D),
                                    ("linear", 6 * D, D)):
            flow |= {p + linear + ".weight": (out, inside), p + linear + ".bias": (out,)}

    conv(scalar, "0", (c0 << n, c["latent_hidden_dim"], c["delay_kernel_size"]), c0 << n)
    for s in range(1, n + 1):
        inside, out = c0 << (n - s + 1), c0 << (n - s)
        conv(scalar, f"{s}.up_conv.layer", (inside, out, c["upsample_kernel_sizes"][s - 1]), out)
        for j in range(5):
            conv(scalar, f"{s}.convs.{j}.conv1", (out, out, c["res_kernel_size"]), out)
            conv(scalar, f"{s}.convs.{j}.conv2", (out, out, 1), out)
            scalar |= {f"{s}.convs.{j}.activation1.weight": (1,), f"{s}.convs.{j}.activation2.weight": (1,)}
    if r > 1:
        scalar |= {f"{n + 1}.conv.weight": (c0, c0, c["default_kernel_size"]), f"{n + 1}.conv.bias": (c0,),
                   f"{n + 1}.activation.weight": (1,)}
    conv(scalar, f"{n + 2 if r > 1 else n + 1}", (1, c0, c["default_kernel_size"]), 1)

    tensors = []
    for prefix, shapes in (("flow_matching.", flow), ("scalar_model.decoder.", scalar)):
        for name, shape in shapes.items():
            rule = (0.0, 0.6) if name.endswith("_codebook.embed") else None
            if ".activation" in name and name.endswith(".weight"):
                rule = (0.25, 0.1)
            tensors.append(entry(prefix + name, shape, "F32", rule))
    return {"config": c, "tensors": tensors}


# ---- golden files --------------------------------------------------------------------------------------------------------------

def save(path, tensors):
    """safetensors of F32 and I32."""
    header, at, blobs = {}, 0, []
    for name, value in tensors.items():
        value = np.asarray(value)
        kind, wanted = ("I32", np.int32) if value.dtype.kind in "iu" else ("F32", F)
        value = np.array(value, wanted, order="C")
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [at, at + value.nbytes]}
        at += value.nbytes
        blobs.append(value.tobytes())
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def save_manifest(folder, stem, manifest):
    with open(os.path.join(folder, f"{stem}.manifest.json"), "w") as f:
        f.write('{\n"config":' + json.dumps(manifest["config"]) + ',\n"tensors":[\n')
        f.write(",\n".join(json.dumps(t, separators=(",", ":")) for t in manifest["tensors"]) + "]}\n")


def demand(least, value, what):
    if value < least:
        raise SystemExit(f"{what}: a margin of {value:.2g} is below {least:g}: take another seed")


def lm_goldens(manifest, seed, tags, lyrics, groups, keep):
    """groups: {"cfg1.5": frames, "muq": frames ...}; keep(name) picks the intermediates."""
    model, out = MusicModel(manifest, seed), {"tags_ids": np.array(tags), "lyrics_ids": np.array(lyrics)}
    for group, frames in groups.items():
        muq = uniform("muq.test", manifest["config"]["muq_dim"], seed) if group == "muq" else None
        tokens, margins, seen = model.generate(tags, lyrics, frames, 1.5 if group == "muq" else float(group[3:]), muq)
        demand(1e-3, margins.min(), f"seed {seed} {group}")
        if muq is not None:
            out["muq/muq_embed"] = muq
        out |= {f"{group}/tokens": tokens, f"{group}/margins": margins}
        out |= {f"{group}/{name}": value for name, value in seen.items() if keep(name)}
    return out


def codec_goldens(manifest, seed, codes_of, solves=(), solve_codes=0, est=0, decode=0, detoks=(), keep=lambda name: True):
    """solves: (frames, guidance, steps); est, decode: lengths; detoks: (codes, salt, duration); keep(name) picks intermediates."""
    codec, c, out = Codec(manifest, seed), manifest["config"], {}
    O = c["out_channels"]
    if solve_codes:
        codes, shape = codes_of(solve_codes), (1, 2 * solve_codes, O)
        cond, z, y = codec.condition(codes), noise("noise.solve", shape, seed), noise("true_latents.solve", shape, seed)
        out |= {"solve/codes": codes, "solve/rvq_out": codec.rvq(codes), "solve/cond_feature_emb": cond, "solve/noise": z,
                "solve/true_latents": y}
        for frames, guidance, steps in solves:
            out[f"solve/ctx{frames}.g{guidance}.steps{steps}"] = codec.solve(cond, z[0], y[0], frames, steps, guidance)[None]
    if est:
        seen, x, t = {}, noise("est.x", (2, est, c["in_channels"]), seed), np.array([0.3, 0.85], F)
        codec.estimate(x, t, seen)
        out |= {"est/x": x, "est/t": t} | {f"est/{name}": value for name, value in seen.items() if keep(name) or name == "out"}
    if decode:
        seen, latents = {}, noise("decode.latents", (1, decode, O), seed)
        out |= {"decode/latents": latents, "decode/wave": codec.decode(latents[0], seen)}
        out |= {f"decode/{name}": value for name, value in seen.items() if keep(name)}
    for n, salt, duration in detoks:
        codes = codes_of(n)
        latents, wave, margin = codec.detokenize(codes, salt, duration)
        demand(2e-4, margin, f"seed {seed} detok{n} salt {salt}")
        out |= {f"detok{n}/codes": codes, f"detok{n}/salt": np.array([salt]), f"detok{n}/latents": latents, f"detok{n}/wave": wave,
                f"detok{n}/round_margin": np.array([margin], F)}
    return out


def load_i32(path, name):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        f.seek(header[name]["data_offsets"][0], os.SEEK_CUR)
        return np.frombuffer(f.read(4 * math.prod(header[name]["shape"])), np.int32)


def song_goldens(folder, name, lm, codec, seeds, **song):
    """The song of ../heart/e2e_text, whose prompt the original tokenizer made, by other models in other ways."""
    given = os.path.join(HERE, "..", "heart")
    ids = {key: load_i32(os.path.join(given, "e2e_text.safetensors"), key) for key in ("tags_ids", "lyrics_ids")}
    with open(os.path.join(given, "e2e_text.json")) as f:
        text = json.load(f)
    tokens, margins, _ = MusicModel(lm[1], seeds[0]).generate(ids["tags_ids"], ids["lyrics_ids"], 100, song["cfg_scale"],
                                                              eos=lm[1]["config"]["audio_eos_id"])
    latents, wave, margin = Codec(codec[1], seeds[1]).detokenize(tokens.T, song["noise_salt"], song["duration"], song["num_steps"],
                                                                 song["guidance_scale"])
    demand(1e-3, margins.min(), f"{name} codes")
    demand(2e-4, margin, f"{name} latents")
    save(os.path.join(folder, f"{name}.safetensors"), ids | {"tokens": tokens, "latents": latents, "wave": wave})
    with open(os.path.join(folder, f"{name}.json"), "w") as f:
        json.dump({key: text[key] for key in ("tags", "lyrics", "topk", "temperature")} | song |
                  {"lm": f"{lm[0]} seed {seeds[0]}", "codec": f"{codec[0]} seed {seeds[1]}", "frames": len(tokens)}, f, indent=1)
    shutil.copy(os.path.join(given, "tokenizer.json"), folder)


# ---- the cases -----------------------------------------------------------------------------------------------------------------

def stack(layers, heads, kv_heads, head_dim, intermediate, positions=256):
    return {"num_layers": layers, "num_heads": heads, "num_kv_heads": kv_heads, "embed_dim": heads * head_dim,
            "intermediate_dim": intermediate, "max_seq_len": positions}


def lm_config(backbone, decoder, text, bos, audio, eos, codebooks, muq):
    return {"backbone": backbone, "decoder": decoder, "text_vocab_size": text, "audio_vocab_size": audio,
            "audio_num_codebooks": codebooks, "muq_dim": muq, "text_bos_id": bos, "text_eos_id": bos + 1, "audio_eos_id": eos,
            "empty_id": 0}


def codec_config(dim, codes, codebook_dim, quantizers, head_dim, heads, layers, latent, repeat, factors, channels, kernels):
    return {"dim": dim, "codebook_size": codes, "codebook_dim": codebook_dim, "num_quantizers": quantizers,
            "attention_head_dim": head_dim, "num_attention_heads": heads, "in_channels": 4 * latent + dim, "out_channels": 2 * latent,
            "num_layers": layers[0], "num_layers_2": layers[1], "sample_rate": math.prod(factors) * repeat * 25, "num_samples": repeat,
            "upsample_factors": factors, "upsample_kernel_sizes": [2 * u for u in factors], "latent_hidden_dim": latent,
            "default_kernel_size": kernels[0], "delay_kernel_size": kernels[1], "res_kernel_size": kernels[2], "init_channel": channels}


def prompt(config, seed, tags, lyrics):
    """Random ids within BOS and EOS."""
    draw, bos = random.Random(seed), config["text_bos_id"]
    return tuple([bos] + [draw.randrange(bos) for _ in range(n)] + [bos + 1] for n in (tags, lyrics))


def random_codes(config, seed):
    draw = random.Random(seed)
    return lambda n: np.array([[draw.randrange(config["codebook_size"]) for _ in range(n)] for _ in range(config["num_quantizers"])])


def make(folder):
    # Backbone and decoder differ in width, head width and KV sharing; neither is a multiple of a vector.
    c = lm_config(stack(2, 5, 5, 6, 37), stack(3, 4, 1, 10, 19), text=61, bos=59, audio=23, eos=20, codebooks=5, muq=3)
    m = lm_manifest(c)
    save_manifest(folder, "lm_odd", m)
    for seed, groups in ((7, {"cfg1.1": 6, "cfg2.5": 20}), (15, {"cfg1.0": 20, "muq": 4})):
        save(os.path.join(folder, f"lm_odd.s{seed}.safetensors"),
             lm_goldens(m, seed, *prompt(c, seed, 6, 7), groups, lambda name: name.startswith(("backbone", "frame0", "frame1."))))

    # One repeat per sample (no post processor), codes as wide as the condition (no projection), three stages, small kernels.
    c = codec_config(16, 30, 16, 3, 6, 3, (1, 2), 3, 1, [2, 3, 2], 2, (5, 3, 3))
    m = codec_manifest(c)
    save_manifest(folder, "codec_plain", m)
    save(os.path.join(folder, "codec_plain.s4.safetensors"),
         codec_goldens(m, 4, random_codes(c, 1), solves=((0, 1.25, 10), (3, 2.0, 3), (0, 1.0, 7), (22, 1.5, 50)), solve_codes=11, est=13,
                       decode=9, detoks=((93, 0, 7.44), (106, 3, 7.44), (1, 0, 7.44))))

    # A whole song: segments of 14.88 s, four steps, no guidance in the codec, strong guidance in the language model.
    c = lm_config(stack(2, 6, 2, 8, 96), stack(2, 4, 4, 10, 64), text=1024, bos=960, audio=35, eos=32, codebooks=4, muq=9)
    lm = lm_manifest(c, "F16")
    save_manifest(folder, "lm_song", lm)
    c = codec_config(12, 32, 4, 4, 4, 2, (1, 1), 2, 3, [2, 3], 2, (7, 5, 7))
    codec = codec_manifest(c)
    save_manifest(folder, "codec_song", codec)
    song_goldens(folder, "e2e_long_segments", ("lm_song", lm), ("codec_song", codec), (1, 2), cfg_scale=2.0, noise_salt=4,
                 duration=14.88, num_steps=4, guidance_scale=1.0)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    make(sys.argv[1])
