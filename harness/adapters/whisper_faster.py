"""Whisper by faster-whisper: its front end in numpy, CTranslate2 for encoder and decoder. The checkpoint is converted once (from the safetensors file, without
PyTorch) and kept beside the environment. The engine draws greedily and takes no codes: it goes on with its own. Its end is suppressed, so that each window has
exactly the tokens asked for. In small vocabularies it hears no language and takes the first."""
import hashlib
import json
import os
import shutil
import sys

import worker


def tensors_of(path):
    """Name to array of a safetensors file, F16 as it is, BF16 widened."""
    import numpy as np
    data = np.memmap(path, np.uint8, "r")
    size = int(data[:8].view("<u8")[0])
    kinds = {"F16": "<f2", "F32": "<f4", "BF16": "<u2"}
    out = {}
    for name, t in json.loads(bytes(data[8:8 + size])).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + n for n in t["data_offsets"])
        array = np.array(data[begin:end]).view(kinds[t["dtype"]]).reshape(t["shape"])
        out[name] = (array.astype("<u4") << 16).view("<f4") if t["dtype"] == "BF16" else array
    return out


class Filler:
    """Puts tensors of the transformers checkpoint where CTranslate2's specification has them."""

    def __init__(self, tensors):
        self.t = tensors

    def norm(self, spec, name):
        spec.gamma, spec.beta = self.t[name + ".weight"], self.t[name + ".bias"]

    def weights(self, spec, name):
        spec.weight = self.t[name + ".weight"]
        if name + ".bias" in self.t:
            spec.bias = self.t[name + ".bias"]
        return spec

    def fused(self, spec, name, parts):
        from ctranslate2.converters import utils
        from ctranslate2.specs import common_spec
        utils.fuse_linear(spec, [self.weights(common_spec.LinearSpec(), f"{name}.{p}_proj") for p in parts])

    def attention(self, spec, name, crossed):
        groups = ("q", "kv") if crossed else ("qkv",)
        for linear, parts in zip(spec.linear, groups):
            self.fused(linear, name, parts)
        self.weights(spec.linear[-1], name + ".out_proj")
        self.norm(spec.layer_norm, name + "_layer_norm")

    def stack(self, spec, name):
        spec.position_encodings.encodings = self.t[name + ".embed_positions.weight"]
        self.norm(spec.layer_norm, name + ".layer_norm")
        for i, layer in enumerate(spec.layer):
            at = f"{name}.layers.{i}"
            self.attention(layer.self_attention, at + ".self_attn", False)
            if hasattr(layer, "attention"):
                self.attention(layer.attention, at + ".encoder_attn", True)
            self.weights(layer.ffn.linear_0, at + ".fc1")
            self.weights(layer.ffn.linear_1, at + ".fc2")
            self.norm(layer.ffn.layer_norm, at + ".final_layer_norm")

    def model(self, spec):
        for name in ("conv1", "conv2"):
            self.weights(getattr(spec.encoder, name), "model.encoder." + name)
        self.stack(spec.encoder, "model.encoder")
        self.weights(spec.decoder.embeddings, "model.decoder.embed_tokens")
        self.stack(spec.decoder, "model.decoder")
        self.weights(spec.decoder.projection, "proj_out" if "proj_out.weight" in self.t else "model.decoder.embed_tokens")


def vocabulary_of(folder, size):
    with open(os.path.join(folder, "tokenizer.json"), encoding="utf-8") as f:
        tokenizer = json.load(f)
    ids = dict(tokenizer["model"]["vocab"])
    ids.update((t["content"], t["id"]) for t in tokenizer["added_tokens"])
    tokens = [None] * size
    for token, i in ids.items():
        if i < size:
            tokens[i] = token
    return [f"<|unused{i}|>" if t is None else t for i, t in enumerate(tokens)], ids


def convert(folder, config, out):
    """As ct2-transformers-converter does, from numpy instead of PyTorch."""
    from ctranslate2.specs import whisper_spec
    spec = whisper_spec.WhisperSpec(config["encoder_layers"], config["encoder_attention_heads"], config["decoder_layers"], config["decoder_attention_heads"])
    Filler(tensors_of(os.path.join(folder, "model.safetensors"))).model(spec)
    tokens = vocabulary_of(folder, config["vocab_size"])[0]
    with open(os.path.join(folder, "generation_config.json"), encoding="utf-8") as f:
        generation = json.load(f)
    spec.config.suppress_ids = generation.get("suppress_tokens") or []
    spec.config.suppress_ids_begin = generation.get("begin_suppress_tokens") or []
    spec.config.lang_ids = sorted((generation.get("lang_to_id") or {}).values())
    spec.config.alignment_heads = [(config["decoder_layers"] - 1, 0)]
    spec.register_vocabulary(tokens)
    spec.validate()
    spec.optimize()
    part = out + ".part"
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part)
    spec.save(part)
    for name in ("tokenizer.json", "preprocessor_config.json"):
        shutil.copy(os.path.join(folder, name), part)
    os.rename(part, out)


class FasterWhisper(worker.Engine):
    tasks = ("transcript",)
    packages = ("faster-whisper", "ctranslate2")

    @staticmethod
    def add_options(parser):
        parser.add_argument("--compute-type", default="float32", help="of CTranslate2: float32, int8, ... (default %(default)s)")

    def __init__(self, options):
        self.compute_type = options.compute_type
        # On CPUs that are not Intel's CTranslate2 takes AVX2. Its own float32 loops are faster by AVX-512 there, too; beside products of 8 bits they are not
        if self.compute_type == "float32" and worker.others_avx512():
            os.environ.setdefault("CT2_FORCE_CPU_ISA", "AVX512")

    def settings(self):
        forced = os.environ.get("CT2_FORCE_CPU_ISA")
        return f"CT2_FORCE_CPU_ISA={forced}" if forced else ""

    def isa(self):
        forced = os.environ.get("CT2_FORCE_CPU_ISA")
        return forced.lower() if forced else "avx2" if worker.others_avx512() else worker.best_isa()

    def precision(self):
        return {"float32": "f32", "int8": "int8", "bfloat16": "bf16", "float16": "f16"}.get(self.compute_type, self.compute_type)

    def open(self, folder, threads, message):
        from faster_whisper import WhisperModel
        folder, config = worker.whisper_folder(folder)
        weights = os.stat(os.path.join(folder, "model.safetensors"))
        name = hashlib.sha256(f"{os.path.realpath(folder)} {weights.st_size} {weights.st_mtime_ns}".encode()).hexdigest()[:16]
        converted = os.path.join(sys.prefix, "models", name)
        if not os.path.exists(converted):
            os.makedirs(os.path.dirname(converted), exist_ok=True)
            convert(folder, config, converted)
        self.model = WhisperModel(converted, device="cpu", compute_type=self.compute_type, cpu_threads=threads)
        with open(os.path.join(folder, "generation_config.json"), encoding="utf-8") as f:
            self.generation = json.load(f)
        self.tokens = vocabulary_of(folder, config["vocab_size"])[1]
        return {"model": "whisper", "threads": threads, "stored_codes": False, "codebooks": 1, "isa": self.isa()}

    def prompts(self, encoded, windows, case):
        sot, task, plain = (self.tokens[t] for t in ("<|startoftranscript|>", "<|transcribe|>", "<|notimestamps|>"))
        if case.get("language"):
            languages = [self.tokens[worker.language_token(case["language"])]] * windows
        elif self.model.model.is_multilingual:
            languages = [self.tokens[found[0][0]] for found in self.model.model.detect_language(encoded)]
        else:  # CTranslate2 hears languages in vocabularies of at least 51865 entries alone
            languages = [min(self.generation["lang_to_id"].values())] * windows
        return [[sot, language, task, plain] for language in languages]

    def run(self, case, message, frames, codes, warm):
        import numpy as np
        groups, audio_ns = worker.hear(case, warm)
        start = worker.now() - audio_ns
        mel_ns = encode_ns = generate_ns = 0
        rows, count = [], case["window_tokens"]
        end = self.generation["eos_token_id"]
        suppressed = sorted({*self.generation.get("suppress_tokens", []), end})
        for windows in groups:
            t0 = worker.now()
            mel = np.stack([self.features(w) for w in windows])
            t1 = worker.now()
            encoded = self.model.encode(mel)
            t2 = worker.now()
            prompts = self.prompts(encoded, len(windows), case)
            most = max(2 * count, len(prompts[0]) + count)  # half of it, or what the prompt leaves, is made
            results = self.model.model.generate(encoded, prompts, beam_size=case["beams"], max_length=most, suppress_blank=True,
                                                suppress_tokens=suppressed, sampling_temperature=1, sampling_topk=1)
            t3 = worker.now()
            mel_ns, encode_ns, generate_ns = mel_ns + t1 - t0, encode_ns + t2 - t1, generate_ns + t3 - t2
            for r in results:
                ids = r.sequences_ids[0]
                if len(ids) != count:
                    raise worker.Refusal(f"CTranslate2 made {len(ids)} tokens of {count}", 70)
                rows += [[i] for i in ids]
        windows = sum(len(g) for g in groups)
        return {"wall_ns": worker.now() - start, "prefill_ns": mel_ns + encode_ns, "generate_ns": generate_ns, "audio_ns": audio_ns, "mel_ns": mel_ns,
                "encode_ns": encode_ns, "windows": windows, "frames": len(rows), "audio_s": case["audio_s"], "rows": rows}

    def features(self, window):
        """Log-mel of 30 s, padded with silence first, as the other engines do (the library alone pads the mel with zeros)."""
        import numpy as np
        return self.model.feature_extractor(np.pad(window, (0, 480000 - len(window))), padding=0)


if __name__ == "__main__":
    worker.main(FasterWhisper)
