"""HeartMuLa by its authors' heartlib, from a checkout of the user's. Where the checkout has an environment of its own (.venv or venv), that one's Python runs this. Exactly the
frames asked for are made: the end of a song is no end here. Codes of the harness are put in the place of those that it draws; it draws with PyTorch's own random numbers."""
import inspect
import itertools
import json
import os
import subprocess
import sys

import torch_common as common
import worker


def change_python(path):
    """The checkout's own environment takes over."""
    for name in (".venv", "venv"):
        place = os.path.join(path, name)
        python = os.path.join(place, "bin", "python")
        if os.path.exists(python) and os.path.realpath(sys.prefix) != os.path.realpath(place):
            os.execv(python, [python, "-u", *sys.argv])


class Narrow:
    """PyTorch for heartlib's codec, which has the 256 channels of the published one's latents written out."""

    def __init__(self, torch, channels):
        self.torch, self.channels = torch, channels

    def __getattr__(self, name):
        return getattr(self.torch, name)

    def randn(self, *sizes, **kw):
        return self.torch.randn(*(self.channels if s == 256 else s for s in sizes), **kw)


class Heartlib(worker.Engine):
    tasks = ("music",)
    packages = ("heartlib", "torch", "torchtune", "transformers")

    @staticmethod
    def add_options(parser):
        common.add_options(parser, "float32")
        parser.add_argument("--heartlib", required=True, metavar="PATH", help="a checkout of heartlib")

    def __init__(self, options):
        self.options = options
        self.draw = None
        self.path = os.path.abspath(os.path.expanduser(options.heartlib))
        change_python(self.path)

    def precision(self):
        return common.precision(self.options.dtype)

    def settings(self):
        try:
            told = subprocess.run(["git", "-C", self.path, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False).stdout.strip()
        except OSError:
            told = ""
        return "checkout " + (told or "of an unknown commit")

    def load(self, threads):
        source = os.path.join(self.path, "src")
        if not os.path.exists(os.path.join(source, "heartlib", "__init__.py")):
            raise worker.Refusal(f"{self.path} is no checkout of heartlib: there is no src/heartlib in it", 66)
        sys.path.insert(0, source)
        os.environ.setdefault("TQDM_DISABLE", "1")
        try:
            self.torch = common.start(threads)
            import torchaudio
            from heartlib import HeartMuLaGenPipeline
            from heartlib.heartcodec import modeling_heartcodec
            from heartlib.heartmula import modeling_heartmula
        except ImportError as e:
            raise worker.Refusal(f"heartlib of {self.path} cannot be imported by {sys.executable}: {e}; give it an environment of its own: "
                                 f"python3 -m venv {self.path}/.venv && {self.path}/.venv/bin/pip install -e {self.path}")
        if not hasattr(modeling_heartmula, "sample_topk"):
            raise worker.Refusal(f"heartlib of {self.path} draws codes in a way that is not known here: its modeling_heartmula.py has no sample_topk")
        torchaudio.save = self.saved  # a song's end is a file
        return HeartMuLaGenPipeline, modeling_heartmula, modeling_heartcodec

    def suit_made_folders(self, lm, codec, config, channels):
        """Made folders have sizes of their own, which heartlib has no names for."""
        stacks = itertools.cycle(("backbone", "decoder"))  # the order in which the model asks for them

        def stack():
            from torchtune.models import llama3_2
            sizes = config[next(stacks)]
            return llama3_2.llama3_2(vocab_size=16, attn_dropout=0.0, norm_eps=1e-5, rope_base=500_000, scale_factor=32, **sizes)

        if "backbone" in config:
            lm.FLAVORS.update({config["backbone_flavor"]: stack, config["decoder_flavor"]: stack})
        if channels != 256:
            codec.torch = Narrow(self.torch, channels)

    def open(self, folder, threads, message):
        pipeline, lm, codec = self.load(threads)
        name = worker.music_folder(folder)
        with open(os.path.join(folder, name, "config.json"), encoding="utf-8") as f:
            config = json.load(f)
        with open(os.path.join(folder, "HeartCodec-oss", "config.json"), encoding="utf-8") as f:
            sizes = json.load(f)
        self.suit_made_folders(lm, codec, config, sizes.get("out_channels", 256))
        self.codebooks, self.vocabulary = config["audio_num_codebooks"], config["audio_vocab_size"]
        self.last_code, self.rate = sizes.get("codebook_size", 8192) - 1, sizes.get("sample_rate", 48000)
        self.draw = self.draw or lm.sample_topk
        lm.sample_topk = self.drawn
        version, dtype = name.removeprefix("HeartMuLa-oss-"), getattr(self.torch, self.options.dtype)
        parts = "lazy_load" in inspect.signature(pipeline.from_pretrained).parameters  # since then the parts are named, each with its precision
        self.pipe = pipeline.from_pretrained(folder, self.torch.device("cpu"), {"mula": dtype, "codec": self.torch.float32} if parts else dtype, version)
        self.pipe.config.audio_eos_id = 2**31 - 1
        self.pipe._muq_dim = config.get("muq_dim", 512)
        model, audio_codec = (self.pipe.mula, self.pipe.codec) if parts else (self.pipe.model, self.pipe.audio_codec)
        model.backbone.register_forward_hook(self.passed)
        self.decode = audio_codec.detokenize
        audio_codec.detokenize = self.detokenize
        return {"model": "heartmula", "stored_codes": True, "codebooks": self.codebooks, "sample_rate_hz": self.rate, "channels": 2, "frame_s": 0.08,
                **common.opened(self.torch, threads)}

    def passed(self, *args):
        if self.prefill_end is None:
            self.prefill_end = worker.now()

    def drawn(self, *args, **kw):
        tokens = self.draw(*args, **kw)
        if not self.rows or len(self.rows[-1]) == self.codebooks:
            self.rows.append([])
        row = self.rows[-1]
        row.append(int(tokens[0][0]))
        return self.torch.full_like(tokens, self.fed[len(self.rows) - 1][len(row) - 1]) if self.fed else tokens

    def detokenize(self, codes, *args, **kw):
        start = worker.now()
        if self.skip_codec:
            wav = self.torch.zeros(2, 0)
        else:  # the end of a song is no code of the codec
            wav = self.decode(self.torch.clamp(codes, max=self.last_code), num_steps=self.steps, guidance_scale=self.guidance, disable_progress=True)
        self.decode_ns += worker.now() - start
        return wav

    def saved(self, path, wav, rate, *args, **kw):
        self.wav = wav

    def run(self, case, message, frames, codes, warm):
        self.fed, self.rows, self.prefill_end, self.decode_ns = codes, [], None, 0
        self.skip_codec, self.guidance = message.get("skip_codec"), case["flow_guidance"]
        self.steps = 1 if warm else case["flow_steps"] or 10
        greedy = not case["temperature"]
        self.torch.manual_seed(int(case["seed"]) % 2**63)
        start = worker.now()
        with self.torch.no_grad():
            self.pipe({"tags": case["tags"], "lyrics": worker.styled_lyrics(case)}, max_audio_length_ms=(frames - 1) * 80,
                      temperature=1.0 if greedy else case["temperature"], topk=1 if greedy else min(case["topk"] or self.vocabulary, self.vocabulary),
                      cfg_scale=max(1.0, case["cfg"]))
        wall_ns = worker.now() - start
        if len(self.rows) != frames or len(self.rows[-1]) != self.codebooks:
            raise worker.Refusal(f"heartlib made {len(self.rows)} frames of {frames}", 70)
        prefill_ns = self.prefill_end - start
        return {"wall_ns": wall_ns, "prefill_ns": prefill_ns, "generate_ns": wall_ns - prefill_ns - self.decode_ns, "decode_ns": self.decode_ns,
                "frames": frames, "audio_s": None if self.skip_codec else self.wav.shape[-1] / self.rate, "rows": self.rows}


if __name__ == "__main__":
    worker.main(Heartlib)
