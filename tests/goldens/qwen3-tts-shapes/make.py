#!/usr/bin/env python3
"""Writes the golden files of this folder with reference.py. Needs numpy.

    python3 make.py FOLDER

A case is refused when a code lies so near to a tie that the last bits of float32 would decide.
"""
import json
import math
import os
import random
import struct
import sys

import numpy as np

from reference import Decoder, SpeakerEncoder, SpeechEncoder, Talker

F = np.float32
MAIN, CODEC = "model.safetensors", "speech_tokenizer/model.safetensors"


# ---- manifests: what tensors a configuration has, and their synthetic values ---------------------------------------------------

def rule_of(name, shape):
    """Offset and scale of a tensor: the default by shape, and the rules of the family by name."""
    f = math.sqrt(3 / math.prod(shape[1:])) if len(shape) > 1 else 0
    part = name.split(".")
    if name.endswith("embedding.weight") or ".codec_embedding." in name or name.endswith(("embedding_sum", "embed_sum")):
        return 0, 1
    if name == "talker.codec_head.weight" or ".lm_head." in name:
        return 0, 6 * f
    if part[-2] in ("q_norm", "k_norm"):
        return 2, 0.2
    if part[-1] == "cluster_usage":
        return 1, 0.5
    if part[-1] in ("alpha", "beta"):
        return 0, 0.5
    if name.endswith("layer_scale.scale") or part[-1] == "gamma":
        return 0.5, 0.1
    if part[-1] == "initialized":
        return 1, 0
    if name.startswith("decoder.decoder.") and name.endswith(".conv2.conv.weight"):
        return 0, 0.5 * f
    if name.startswith("decoder.decoder.") and len(part) == 5 and part[-1] == "weight" and shape[0] == 1:
        return 0, 0.1 * f
    if len(shape) > 1:
        return 0, f
    return (0, 0.02) if part[-1] == "bias" else (1, 0.1)


def gated_stack(put, prefix, c, normed):
    H, I, hd = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    q, kv = c["num_attention_heads"] * hd, c["num_key_value_heads"] * hd
    for i in range(c["num_hidden_layers"]):
        at = f"{prefix}layers.{i}."
        for name, shape in (("q_proj", (q, H)), ("k_proj", (kv, H)), ("v_proj", (kv, H)), ("o_proj", (H, q))):
            put(f"{at}self_attn.{name}.weight", shape)
        for name in ("q_norm", "k_norm") if normed else ():
            put(f"{at}self_attn.{name}.weight", (hd,))
        for name, shape in (("gate_proj", (I, H)), ("up_proj", (I, H)), ("down_proj", (H, I))):
            put(f"{at}mlp.{name}.weight", shape)
        for name in ("input_layernorm.weight", "post_attention_layernorm.weight"):
            put(at + name, (H,))
        for name in () if normed else ("self_attn_layer_scale.scale", "mlp_layer_scale.scale"):
            put(at + name, (H,))
    put(prefix + "norm.weight", (H,))


def biased(put, name, shape, out=None):
    put(name + ".weight", shape)
    put(name + ".bias", (out or shape[0],))


def talker_tensors(put, config):
    c = config["talker_config"]
    p, H, Ht, V = c["code_predictor_config"], c["hidden_size"], c["text_hidden_size"], c["vocab_size"]
    gated_stack(put, "talker.model.", c, True)
    put("talker.model.text_embedding.weight", (c["text_vocab_size"], Ht))
    put("talker.model.codec_embedding.weight", (V, H))
    biased(put, "talker.text_projection.linear_fc1", (Ht, Ht))
    biased(put, "talker.text_projection.linear_fc2", (H, Ht))
    put("talker.codec_head.weight", (V, H))
    gated_stack(put, "talker.code_predictor.model.", p, True)
    for j in range(c["num_code_groups"] - 1):
        put(f"talker.code_predictor.model.codec_embedding.{j}.weight", (p["vocab_size"], H))
        put(f"talker.code_predictor.lm_head.{j}.weight", (p["vocab_size"], p["hidden_size"]))
    if H != p["hidden_size"]:
        biased(put, "talker.code_predictor.small_to_mtp_projection", (p["hidden_size"], H))


def speaker_tensors(put, s):
    C, kernels, scale, at = s["enc_channels"], s["enc_kernel_sizes"], s["enc_res2net_scale"], "speaker_encoder."
    biased(put, at + "blocks.0.conv", (C[0], s["mel_dim"], kernels[0]))
    for k in range(1, len(C) - 1):
        b = f"{at}blocks.{k}."
        biased(put, b + "tdnn1.conv", (C[k], C[k - 1], 1))
        for i in range(scale - 1):
            biased(put, f"{b}res2net_block.blocks.{i}.conv", (C[k] // scale, C[k] // scale, kernels[k]))
        biased(put, b + "tdnn2.conv", (C[k], C[k], 1))
        biased(put, b + "se_block.conv1", (s["enc_se_channels"], C[k], 1))
        biased(put, b + "se_block.conv2", (C[k], s["enc_se_channels"], 1))
    biased(put, at + "mfa.conv", (C[-1], sum(C[1:-1]), 1))
    biased(put, at + "asp.tdnn.conv", (s["enc_attention_channels"], 3 * C[-1], 1))
    biased(put, at + "asp.conv", (C[-1], s["enc_attention_channels"], 1))
    biased(put, at + "fc", (s["enc_dim"], 2 * C[-1], 1))


def decoder_tensors(put, c):
    D, Z, V, C = c["codebook_dim"], c["latent_dim"], c["codebook_size"], c["decoder_dim"]
    for group, layers in (("first", 1), ("rest", c["num_quantizers"] - 1)):
        at = f"decoder.quantizer.rvq_{group}."
        put(at + "input_proj.weight", (D // 2, D, 1))
        put(at + "output_proj.weight", (D, D // 2, 1))
        for i in range(layers):
            put(f"{at}vq.layers.{i}._codebook.embedding_sum", (V, D // 2))
            put(f"{at}vq.layers.{i}._codebook.cluster_usage", (V,))
    biased(put, "decoder.pre_conv.conv", (Z, D, 3))
    gated_stack(put, "decoder.pre_transformer.", c, False)
    biased(put, "decoder.pre_transformer.input_proj", (c["hidden_size"], Z))
    biased(put, "decoder.pre_transformer.output_proj", (Z, c["hidden_size"]))
    for u, r in enumerate(c["upsampling_ratios"]):
        at = f"decoder.upsample.{u}."
        biased(put, at + "0.conv", (Z, Z, r))
        put(at + "1.gamma", (Z,))
        biased(put, at + "1.dwconv.conv", (Z, 1, 7))
        biased(put, at + "1.norm", (Z,))
        biased(put, at + "1.pwconv1", (4 * Z, Z))
        biased(put, at + "1.pwconv2", (Z, 4 * Z))
    biased(put, "decoder.decoder.0.conv", (C, Z, 7))

    def snake(name):
        put(name + ".alpha", (C,))
        put(name + ".beta", (C,))

    for b, s in enumerate(c["upsample_rates"], 1):
        at = f"decoder.decoder.{b}.block."
        snake(at + "0")
        biased(put, at + "1.conv", (C, C // 2, 2 * s), C // 2)
        C //= 2
        for j in (2, 3, 4):
            snake(f"{at}{j}.act1")
            biased(put, f"{at}{j}.conv1.conv", (C, C, 7))
            snake(f"{at}{j}.act2")
            biased(put, f"{at}{j}.conv2.conv", (C, C, 1))
    n = len(c["upsample_rates"])
    snake(f"decoder.decoder.{n + 1}")
    biased(put, f"decoder.decoder.{n + 2}.conv", (1, C, 7))


def encoder_tensors(put, c, step):
    D, d, channels, layer = c["hidden_size"], c["codebook_dim"], c["num_filters"], 1
    at = "encoder.encoder.layers."
    biased(put, at + "0.conv", (channels, 1, c["kernel_size"]))
    for r in reversed(c["upsampling_ratios"]):
        for _ in range(c["num_residual_layers"]):
            biased(put, f"{at}{layer}.block.1.conv", (channels // c["compress"], channels, c["residual_kernel_size"]))
            biased(put, f"{at}{layer}.block.3.conv", (channels, channels // c["compress"], 1))
            layer += 1
        biased(put, f"{at}{layer + 1}.conv", (2 * channels, channels, 2 * r))
        layer, channels = layer + 2, 2 * channels
    biased(put, f"{at}{layer + 1}.conv", (D, channels, c["last_kernel_size"]))
    q, kv = c["num_attention_heads"] * c["head_dim"], c["num_key_value_heads"] * c["head_dim"]
    for i in range(c["num_hidden_layers"]):
        at = f"encoder.encoder_transformer.layers.{i}."
        for name, shape in (("q_proj", (q, D)), ("k_proj", (kv, D)), ("v_proj", (kv, D)), ("o_proj", (D, q))):
            put(f"{at}self_attn.{name}.weight", shape)
        put(at + "mlp.fc1.weight", (c["intermediate_size"], D))
        put(at + "mlp.fc2.weight", (D, c["intermediate_size"]))
        biased(put, at + "input_layernorm", (D,))
        biased(put, at + "post_attention_layernorm", (D,))
        put(at + "self_attn_layer_scale.scale", (D,))
        put(at + "mlp_layer_scale.scale", (D,))
    put("encoder.downsample.conv.weight", (D, D, 2 * step))
    for group, layers in (("semantic", 1), ("acoustic", c["num_quantizers"] - 1)):
        at = f"encoder.quantizer.{group}_residual_vector_quantizer."
        for i in range(layers):
            put(f"{at}layers.{i}.codebook.initialized", (1,))
            put(f"{at}layers.{i}.codebook.cluster_usage", (c["codebook_size"],))
            put(f"{at}layers.{i}.codebook.embed_sum", (c["codebook_size"], d))
        put(at + "input_proj.weight", (d, D, 1))
        put(at + "output_proj.weight", (D, d, 1))


def manifest_of(stem, seed, main, codec):
    tensors = []

    def put_in(file, dtype):
        def put(name, shape):
            offset, scale = rule_of(name, shape)
            tensors.append({"name": name, "dtype": dtype, "shape": list(shape), "offset": float(offset), "scale": float(F(scale)),
                            "file": file})
        return put

    talker_tensors(put_in(MAIN, "BF16"), main)
    speaker_tensors(put_in(MAIN, "BF16"), main["speaker_encoder_config"])
    decoder_tensors(put_in(CODEC, "F32"), codec["decoder_config"])
    encoder = codec["encoder_config"]
    encoder_tensors(put_in(CODEC, "F32"), encoder, codec["encode_downsample_rate"] // math.prod(encoder["upsampling_ratios"]))
    return {"preset": stem, "seed": seed, "tensors": tensors}


# ---- configs --------------------------------------------------------------------------------------------------------------------

def stack(width, layers, heads, kv_heads, head_dim, hidden, **more):
    return {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
            "head_dim": head_dim, "intermediate_size": hidden} | more


def main_config(talker, predictor, text_width, text_vocab, codebook, groups, speaker):
    """Base: the kind with everything in it. Special ids stand at the distances from the codebook that the released models have."""
    ids = {"pad": 100, "bos": 101, "eos_token": 102, "think": 106, "nothink": 107, "think_bos": 108, "think_eos": 109}
    languages = {"english": 2, "chinese": 7, "sichuan_dialect": 14, "korean": 16}
    return {"model_type": "qwen3_tts", "tokenizer_type": "qwen3_tts_tokenizer_12hz", "tts_model_size": "tiny", "tts_model_type": "base",
            "im_start_token_id": text_vocab - 6, "im_end_token_id": text_vocab - 5, "assistant_token_id": text_vocab - 4,
            "tts_pad_token_id": text_vocab - 3, "tts_bos_token_id": text_vocab - 2, "tts_eos_token_id": text_vocab - 1,
            "talker_config": talker | {f"codec_{k}_id": codebook + v for k, v in ids.items()} | {
                "text_hidden_size": text_width, "text_vocab_size": text_vocab, "vocab_size": codebook + 1024, "num_code_groups": groups,
                "max_position_embeddings": 512, "rope_scaling": {"type": "default", "rope_type": "default"},
                "codec_language_id": {k: codebook + v for k, v in languages.items()}, "spk_id": {}, "spk_is_dialect": {},
                "code_predictor_config": predictor | {"vocab_size": codebook, "num_code_groups": groups, "max_position_embeddings": 512}},
            "speaker_encoder_config": speaker | {"enc_dim": talker["hidden_size"], "sample_rate": 24000}}


def of_kind(config, kind, speakers=None):
    """Another kind with the same weights. speakers: name -> (row, dialect or False)."""
    talker = config["talker_config"] | {"spk_id": {k: v[0] for k, v in (speakers or {}).items()},
                                        "spk_is_dialect": {k: v[1] for k, v in (speakers or {}).items()}}
    return {k: v for k, v in config.items() if k != "speaker_encoder_config"} | {"tts_model_type": kind, "talker_config": talker}


def codec_config(groups, codebook, decoder, encoder):
    rate = math.prod(decoder["upsample_rates"]) * math.prod(decoder["upsampling_ratios"])
    return {"model_type": "qwen3_tts_tokenizer_12hz", "encoder_valid_num_quantizers": groups, "input_sample_rate": 24000,
            "output_sample_rate": 24000, "decode_upsample_rate": rate, "encode_downsample_rate": rate,
            "decoder_config": {"codebook_size": codebook, "num_quantizers": groups} | decoder,
            "encoder_config": {"codebook_size": codebook, "num_semantic_quantizers": 1, "_frame_rate": 24000 / rate,
                               "vector_quantization_hidden_dimension": encoder["codebook_dim"]} | encoder}


# ---- files ----------------------------------------------------------------------------------------------------------------------

def save(path, tensors):
    header, data = {}, b""
    for name, value in sorted(tensors.items()):
        value = np.ascontiguousarray(value, np.int32 if np.asarray(value).dtype.kind in "iu" else F)
        header[name] = {"dtype": "I32" if value.dtype == np.int32 else "F32", "shape": list(value.shape),
                        "data_offsets": [len(data), len(data) + value.nbytes]}
        data += value.tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


class Stem:
    """Writes the files of one model."""

    def __init__(self, folder, name, seed, main, codec, others=()):
        self.folder, self.name, self.codec, self.stats = folder, name, codec, {}
        self.draw = np.random.RandomState(seed)
        self.manifest = manifest_of(name, seed, main, codec)
        self.main = {"base": main} | {c["tts_model_type"]: c for c in others}
        self.json("manifest", self.manifest, compact=True)
        self.json("speech_tokenizer.config", codec)
        for kind, config in self.main.items():
            self.json(f"{kind}.config", config)

    def path(self, name):
        return os.path.join(self.folder, f"{self.name}.{name}")

    def json(self, name, value, compact=False):
        with open(self.path(name + ".json"), "w") as f:
            json.dump(value, f, **({"separators": (",", ":")} if compact else {"indent": 1}))
            f.write("\n")

    def demand(self, margin, what):
        if margin < 1e-3:
            raise SystemExit(f"{self.name} {what}: {margin:.1e} from a tie; take another seed")

    def codes(self, frames):
        groups = self.codec["encoder_valid_num_quantizers"]
        return self.draw.randint(0, self.codec["decoder_config"]["codebook_size"], (frames, groups))

    def ids(self, kind, words, before, behind):
        vocab = self.main[kind]["talker_config"]["text_vocab_size"]
        return np.array([random.Random(len(self.stats)).randrange(vocab - 6) for _ in range(before)] +
                        list(self.draw.randint(0, vocab - 6, words)) + [vocab - 5] * behind)

    def talk(self, name, kind, frames, words, language, speaker=None, streaming=False, instruct=0, reference=None, vector=False,
             unused=None):
        """reference: (words of its text, frames of its codes). unused: texts that the statistics tell and the case does not use."""
        given = {"input_ids": self.ids(kind, words, 3, 5)}
        if instruct:
            given["instruct_ids"] = self.ids(kind, instruct, 3, 2)
        if vector or reference:
            given["speaker_embedding"] = (self.draw.standard_normal(self.main[kind]["talker_config"]["hidden_size"])).astype(F)
        if reference:
            given |= {"ref_ids": self.ids(kind, reference[0], 3, 2), "ref_codes": self.codes(reference[1])}
        told, margin = Talker(self.main[kind], self.manifest).talk(
            frames, text=given["input_ids"], instruct=given.get("instruct_ids"), language=language, speaker=speaker,
            vector=given.get("speaker_embedding"), streaming=streaming, reference=given.get("ref_ids"), codes=given.get("ref_codes"))
        self.demand(margin, name)
        made, eos = len(told["codes"]), self.main[kind]["talker_config"]["codec_eos_token_id"]
        for tensor in ("talker_prefill_logits", "talker_step1_logits") if self.stats else ():
            del told[tensor]
        save(self.path(name + ".safetensors"), given | told)
        self.stats[name] = {"model_type": kind, "language": language, "speaker": speaker, "non_streaming": not streaming, "text": None,
                            "instruct": None, "ref_text": None, "frames": made, "ended_by_eos": bool(told["sequence_group0"][-1] == eos),
                            "min_margin": float(margin)} | (unused or {})
        print(f"{self.name} {name}: {made} frames of {frames}, margin {margin:.4f}")

    def decoder(self, name, frames, keep=None, chunks=None):
        codes, decoder = self.codes(frames), Decoder(self.codec, self.manifest)
        if chunks:
            told = {"waveform": decoder.chunked(codes, *chunks), "params": np.array(chunks)}
        else:
            told = {k: v for k, v in decoder.decode(codes).items() if keep is None or k in keep}
        save(self.path(name + ".safetensors"), told | {"codes": codes})

    def audio(self, samples):
        t = np.arange(samples) / 24000
        tones = sum(np.sin(2 * np.pi * f * t + self.draw.rand()) for f in self.draw.uniform(80, 6000, 5))
        return (0.1 * tones + 0.02 * self.draw.standard_normal(samples)).astype(F)

    def speaker(self, name, samples):
        audio = self.audio(samples)
        save(self.path(name + ".safetensors"), {"audio": audio} | SpeakerEncoder(self.main["base"], self.manifest).encode(audio))

    def speech(self, name, samples, tries=40):
        for _ in range(tries):
            audio = self.audio(samples)
            told, margin = SpeechEncoder(self.codec, self.manifest).encode(audio)
            if margin >= 1e-3:
                break
        self.demand(margin, name)
        save(self.path(name + ".safetensors"), {"audio": audio} | told)

    def finish(self):
        self.json("stats", self.stats)


# ---- the cases ------------------------------------------------------------------------------------------------------------------

def make(folder):
    # Few of everything: 4 groups, one layer each, one rate, one ratio, no sharing of heads, predictor as wide as the talker, a window
    # wider than any piece; two residual layers per level of the encoder, kernels unlike the released ones.
    main = main_config(stack(36, 1, 3, 3, 10, 50, rms_norm_eps=1e-5, rope_theta=20000),
                       stack(36, 1, 2, 1, 14, 30, rms_norm_eps=1e-4, rope_theta=500),
                       text_width=20, text_vocab=64, codebook=40, groups=4,
                       speaker={"mel_dim": 20, "enc_channels": [6, 6, 6, 12], "enc_kernel_sizes": [3, 3, 5, 1],
                                "enc_dilations": [2, 1, 2, 1], "enc_attention_channels": 5, "enc_res2net_scale": 3, "enc_se_channels": 4})
    codec = codec_config(4, 40, stack(18, 1, 3, 1, 6, 22, codebook_dim=14, latent_dim=10, sliding_window=100, rope_theta=300,
                                      rms_norm_eps=1e-3, upsampling_ratios=[3], upsample_rates=[5], decoder_dim=12),
                         stack(15, 1, 4, 2, 4, 21, num_filters=4, upsampling_ratios=[3], kernel_size=5, last_kernel_size=1,
                               residual_kernel_size=5, num_residual_layers=2, dilation_growth_rate=3, compress=4, codebook_dim=5,
                               num_quantizers=6, rope_theta=700, norm_eps=1e-4))
    speakers = {"ann": (41, False), "bo": (43, "sichuan_dialect")}
    s = Stem(folder, "few", 11, main, codec, (of_kind(main, "custom_voice", speakers), of_kind(main, "voice_design")))
    s.talk("custom_voice", "custom_voice", 30, 6, "chinese", "bo", instruct=4)
    s.talk("custom_voice_auto", "custom_voice", 8, 1, "auto", "bo", streaming=True)
    s.talk("custom_voice_korean", "custom_voice", 60, 5, "korean", "bo", streaming=True)
    s.talk("custom_voice_plain", "custom_voice", 1, 3, "auto", "ann", unused={"instruct": "Whisper.", "ref_text": "No."})
    s.talk("voice_design", "voice_design", 9, 2, "chinese", instruct=1)
    s.talk("base_icl", "base", 12, 3, "english", streaming=True, reference=(2, 20))
    s.talk("base_icl_equal", "base", 5, 3, "english", streaming=True, reference=(2, 5))
    s.talk("base_icl_text", "base", 14, 9, "auto", streaming=True, reference=(6, 3))
    s.talk("base_icl_nonstream", "base", 7, 4, "auto", reference=(1, 2))
    s.decoder("decoder", 10)
    s.decoder("decoder_one", 1, keep=("quantized", "pt_out", "dec0", "dec3", "waveform"))
    s.decoder("decoder_chunked", 60, chunks=(7, 3))
    s.decoder("decoder_chunked_context", 41, chunks=(4, 9))
    s.decoder("decoder_chunked_bare", 30, chunks=(10, 0))
    s.speaker("speaker_encoder", 1280)
    s.speaker("speaker_encoder_more", 1281)
    s.speech("speech_encoder", 151)
    s.speech("speech_encoder_one", 1)
    s.speech("speech_encoder_frames", 150)
    s.finish()

    # Many: 32 groups, three rates and three ratios with ones among them, a window of 3, widths that are no multiple of a vector.
    main = main_config(stack(26, 2, 6, 2, 6, 33, rms_norm_eps=1e-6, rope_theta=1e6),
                       stack(19, 2, 2, 2, 18, 20, rms_norm_eps=1e-6, rope_theta=1e6),
                       text_width=31, text_vocab=50, codebook=17, groups=32,
                       speaker={"mel_dim": 80, "enc_channels": [8, 8, 8, 8, 8, 32], "enc_kernel_sizes": [5, 3, 1, 7, 3, 1],
                                "enc_dilations": [1, 2, 3, 1, 4, 1], "enc_attention_channels": 3, "enc_res2net_scale": 2,
                                "enc_se_channels": 2})
    codec = codec_config(32, 17, stack(11, 2, 2, 2, 10, 13, codebook_dim=6, latent_dim=9, sliding_window=3, rope_theta=10000,
                                       rms_norm_eps=1e-5, upsampling_ratios=[3, 1, 2], upsample_rates=[1, 5, 2], decoder_dim=24),
                         stack(10, 2, 1, 1, 6, 12, num_filters=2, upsampling_ratios=[5, 3], kernel_size=7, last_kernel_size=3,
                               residual_kernel_size=3, num_residual_layers=1, dilation_growth_rate=2, compress=2, codebook_dim=4,
                               num_quantizers=32, rope_theta=10000, norm_eps=1e-5))
    s = Stem(folder, "many", 5, main, codec)
    s.talk("base_xvector", "base", 9, 4, "english", streaming=True, vector=True)
    s.talk("base_icl", "base", 6, 5, "chinese", streaming=True, reference=(7, 4))
    s.decoder("decoder", 7, keep=("quantized", "pre_conv", "pt_layer0", "up0", "up1_transconv", "up2", "dec1", "dec3", "waveform"))
    s.decoder("decoder_chunked", 20, chunks=(6, 2))
    s.speaker("speaker_encoder", 2560)
    s.speech("speech_encoder", 241)
    s.speech("speech_encoder_frames", 240)
    s.finish()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    make(sys.argv[1])
