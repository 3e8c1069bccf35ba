"""Whisper by transformers on PyTorch: its front end and its `generate`, greedy, without timestamps. Each window has exactly the tokens asked for; codes of the harness are
put in the place of those that it draws. Where no language is named the library hears it, which encodes each window once more."""
import torch_common as common
import worker


class Transformers(worker.Engine):
    tasks = ("transcript",)
    packages = ("transformers", "torch")

    @staticmethod
    def add_options(parser):
        common.add_options(parser, "float32")

    def __init__(self, options):
        self.options = options

    def precision(self):
        return common.precision(self.options.dtype)

    def settings(self):
        return common.products(self.options.dtype)

    def open(self, folder, threads, message):
        torch = common.start(threads)
        from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration
        folder, config = worker.whisper_folder(folder)
        self.torch = torch
        self.features = WhisperFeatureExtractor.from_pretrained(folder)
        self.model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=getattr(torch, self.options.dtype)).eval()
        self.encode_ns = 0
        self.model.model.encoder.register_forward_pre_hook(self.before)
        self.model.model.encoder.register_forward_hook(self.after)
        return {"model": "whisper", "stored_codes": True, "codebooks": 1, **common.opened(torch, threads)}

    def before(self, *args):
        self.begin = worker.now()

    def after(self, *args):
        self.encode_ns += worker.now() - self.begin

    def feeder(self, count, fed, drawn):
        """Keeps what is drawn at each step, and goes on with what is fed."""
        import transformers
        torch, model = self.torch, self.model

        class Feeder(transformers.LogitsProcessor):
            step = 0

            def __call__(self, ids, scores):
                scores[:, model.generation_config.eos_token_id] = -torch.inf
                best = scores.argmax(-1)
                if self.step < count:
                    drawn.append(best.tolist())
                    if fed is not None:
                        best = torch.tensor(fed[self.step])
                self.step += 1
                return torch.full_like(scores, -torch.inf).scatter_(1, best[:, None], 0.0)

        return transformers.LogitsProcessorList([Feeder()])

    def run(self, case, message, frames, codes, warm):
        if case["beams"] > 1:
            raise worker.Refusal("follows one text at a time: beams are not fed", 64)
        groups, audio_ns = worker.hear(case, warm)
        start = worker.now() - audio_ns
        count, mel_ns, generate_ns, first, rows = case["window_tokens"], 0, 0, 0, []
        self.encode_ns = 0
        for windows in groups:
            t0 = worker.now()
            mel = self.features(windows, sampling_rate=16000, return_tensors="pt").input_features.to(self.model.dtype)
            t1 = worker.now()
            fed = None
            if codes is not None:
                fed = [[codes[(first + w) * count + i][0] for w in range(len(windows))] for i in range(count)]
            drawn = []
            with self.torch.inference_mode():
                self.model.generate(mel, language=case.get("language"), task="transcribe", return_timestamps=False, do_sample=False, num_beams=1,
                                    max_new_tokens=count, min_new_tokens=count, logits_processor=self.feeder(count, fed, drawn))
            generate_ns += worker.now() - t1
            mel_ns += t1 - t0
            if len(drawn) != count:
                raise worker.Refusal(f"generate made {len(drawn)} tokens of {count}", 70)
            rows += [[drawn[i][w]] for w in range(len(windows)) for i in range(count)]
            first += len(windows)
        return {"wall_ns": worker.now() - start, "prefill_ns": mel_ns + self.encode_ns, "generate_ns": generate_ns - self.encode_ns,
                "audio_ns": audio_ns, "mel_ns": mel_ns, "encode_ns": self.encode_ns, "windows": first, "frames": len(rows), "audio_s": case["audio_s"],
                "rows": rows}


if __name__ == "__main__":
    worker.main(Transformers)
