"""Qwen3-TTS by its authors' package qwen-tts on PyTorch, eager or with its two language models compiled. Exactly the frames asked for are made: the end is masked. Codes of the harness are put in the
place of those that it draws; it draws with PyTorch's own random numbers, so what it draws is ours only where a case leaves no choice (topk 1)."""
import os

import torch_common as common
import worker


def suit_made_folders(folder):
    """Made folders are narrow and have no preprocessor_config.json beside their speech tokenizer: the package gets the published file's values, and a width that
    the encoder's unused upsampling can be built with."""
    import transformers
    from qwen_tts.core.tokenizer_12hz import modeling_qwen3_tts_tokenizer_v2 as model
    from qwen_tts.inference import qwen3_tts_tokenizer as tokenizer
    if os.path.exists(os.path.join(folder, "speech_tokenizer", "preprocessor_config.json")):
        return
    encoder = model.Qwen3TTSTokenizerV2Encoder
    from_config = encoder._from_config

    def narrow(config, **kw):
        if config.hidden_size % config.upsample_groups:
            config.upsample_groups = config.hidden_size
        return from_config(config, **kw)

    encoder._from_config = narrow

    class Published:
        @staticmethod
        def from_pretrained(path):
            return transformers.EncodecFeatureExtractor(feature_size=1, sampling_rate=24000, padding_value=0.0)

    tokenizer.AutoFeatureExtractor = Published


class QwenTts(worker.Engine):
    tasks = ("speech",)
    packages = ("qwen-tts", "transformers", "torch")

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
        return ", ".join(filter(None, ("torch.compile" if self.options.compile else "", common.on(self.options))))

    def lacks(self):
        return common.compiler_lacks() if self.options.compile else ""

    def open(self, folder, threads, message):
        self.torch = torch = common.start(threads, self.options.compile)
        placed = common.place(torch, self.options.device)
        torch.set_default_device(None)  # the package places its own
        import qwen_tts
        suit_made_folders(folder)
        self.tts = qwen_tts.Qwen3TTSModel.from_pretrained(folder, device_map=self.options.device, dtype=getattr(torch, self.options.dtype))
        model = self.tts.model
        self.talker, self.predictor = model.talker, model.talker.code_predictor
        self.groups = self.talker.config.num_code_groups
        self.end = model.config.talker_config.codec_eos_token_id
        self.prefill_end = None
        for part in (self.talker.model, self.predictor.model) if self.options.compile else ():
            part.forward = common.compiled(torch, part.forward)
        self.talker.register_forward_hook(self.passed)
        self.wrap(self.talker, self.first_codes)
        self.wrap(self.predictor, self.other_codes)
        return {"model": "qwen3-tts", "kind": model.tts_model_type, "stored_codes": True, "codebooks": self.groups, "sample_rate_hz": 24000, "channels": 1,
                "frame_s": 0.08, **common.opened(torch, threads), **placed}

    def passed(self, *args):
        if self.prefill_end is None:
            common.wait(self.torch, self.options.device)
            self.prefill_end = worker.now()

    def wrap(self, module, processor):
        """`generate` of the module, with one more processor of logits."""
        import transformers
        generate = module.generate
        module.generate = lambda **kw: generate(logits_processor=transformers.LogitsProcessorList([processor()]), **kw)

    def draw(self, scores, sampling):
        temperature, topk = sampling
        if topk == 1:
            return int(scores[0].argmax())
        values, at = scores[0].float().topk(min(topk, scores.shape[-1]) if topk else scores.shape[-1])
        return int(at[self.torch.multinomial((values / temperature).softmax(-1), 1)])

    def go_on(self, scores, code):
        out = self.torch.full_like(scores, -self.torch.inf)
        out[0, code] = 0
        return out

    def first_codes(self):
        def process(ids, scores):
            frame = len(self.rows)
            scores[:, self.end] = -self.torch.inf
            drawn = self.draw(scores, self.sampling)
            self.rows.append([drawn])
            return self.go_on(scores, self.fed[frame][0] if self.fed and frame < len(self.fed) else drawn)
        return process

    def other_codes(self):
        frame = len(self.rows) - 1

        def process(ids, scores):
            row = self.rows[frame]
            drawn = self.draw(scores, self.sub_sampling)
            row.append(drawn)
            return self.go_on(scores, self.fed[frame][len(row) - 1] if self.fed else drawn)
        return process

    def run(self, case, message, frames, codes, warm):
        self.fed, self.rows, self.prefill_end = codes and codes[:frames], [], None
        self.sampling = (case["temperature"], case["topk"])
        self.sub_sampling = (case["sub_temperature"], case["sub_topk"])
        self.torch.manual_seed(int(case["seed"]) % 2**63)
        kind = case.get("kind", "custom_voice")
        said = {"text": case["text"], "language": case.get("language") or "Auto", "max_new_tokens": frames + 1, "do_sample": False,
                "subtalker_dosample": False, "repetition_penalty": case["repetition_penalty"]}
        if case.get("streaming_text", -1) >= 0:
            said["non_streaming_mode"] = not case["streaming_text"]
        decode = self.tts.model.speech_tokenizer.decode
        spent = []

        def timed(encoded):
            common.wait(self.torch, self.options.device)
            start = worker.now()
            out = ([], 24000) if message.get("skip_codec") else decode(encoded)
            common.wait(self.torch, self.options.device)
            spent.append(worker.now() - start)
            return out

        self.tts.model.speech_tokenizer.decode = timed
        start = worker.now()
        try:
            with self.torch.inference_mode():
                if kind == "custom_voice":
                    wavs, _ = self.tts.generate_custom_voice(speaker=case["speaker"], instruct=case.get("instruct"), **said)
                elif kind == "voice_design":
                    wavs, _ = self.tts.generate_voice_design(instruct=case["instruct"], **said)
                else:
                    wavs, _ = self.tts.generate_voice_clone(ref_audio=case["reference"], ref_text=case.get("reference_text"),
                                                            x_vector_only_mode=not case.get("reference_text"), **said)
        finally:
            self.tts.model.speech_tokenizer.decode = decode
        wall = worker.now() - start
        prefill = self.prefill_end - start
        if len(self.rows) != frames + 1 or any(len(r) != self.groups for r in self.rows[:-1]):
            raise worker.Refusal(f"qwen-tts made {len(self.rows) - 1} frames of {frames}", 70)
        audio_s = len(wavs[0]) / 24000 if wavs else None
        return {"wall_ns": wall, "prefill_ns": prefill, "generate_ns": wall - prefill - sum(spent), "decode_ns": sum(spent), "frames": frames,
                "audio_s": audio_s, "rows": self.rows[:frames]}


if __name__ == "__main__":
    worker.main(QwenTts)
