"""A stand-in for heartlib that has its interface and no weights: what the adapter asks of it, in the places where heartlib has it. HEARTLIB_STANDIN=old: the
interface of heartlib's first weeks."""
import json
import os
import types

import torch
import torchaudio

from .heartcodec.modeling_heartcodec import HeartCodec
from .heartmula.modeling_heartmula import HeartMuLa


def config_of(*path):
    with open(os.path.join(*path, "config.json"), encoding="utf-8") as f:
        return json.load(f)


class Pipeline:
    def __init__(self, path, version):
        self.parts = HeartMuLa(config_of(path, f"HeartMuLa-oss-{version}")), HeartCodec(config_of(path, "HeartCodec-oss"))
        self.config = types.SimpleNamespace(audio_eos_id=1)
        self._muq_dim = 512

    def __call__(self, inputs, max_audio_length_ms=120_000, temperature=1.0, topk=50, cfg_scale=1.5, save_path="output.mp3"):
        model, codec = self.parts
        assert self._muq_dim == model.config["muq_dim"]
        token = model.generate_frame([len(inputs["tags"] + inputs["lyrics"])], topk, temperature)
        frames = [token]
        for _ in range(max_audio_length_ms // 80):
            token = model.generate_frame(token, topk, temperature)
            if any(code >= self.config.audio_eos_id for code in token):
                break
            frames.append(token)
        torchaudio.save(save_path, codec.detokenize([list(codes) for codes in zip(*frames)]), 48000)


class OldPipeline(Pipeline):
    @classmethod
    def from_pretrained(cls, pretrained_path, device, dtype, version, bnb_config=None):
        assert dtype == torch.float32
        pipe = cls(pretrained_path, version)
        pipe.model, pipe.audio_codec = pipe.parts
        return pipe


class NewPipeline(Pipeline):
    @classmethod
    def from_pretrained(cls, pretrained_path, device, dtype, version, lazy_load=False):
        assert dtype == {"mula": torch.float32, "codec": torch.float32}
        pipe = cls(pretrained_path, version)
        pipe.mula, pipe.codec = pipe.parts
        return pipe


HeartMuLaGenPipeline = OldPipeline if os.environ.get("HEARTLIB_STANDIN") == "old" else NewPipeline
