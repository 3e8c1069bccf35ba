"""The worker protocol of hmbench (docs/worker-protocol.md) for adapters: what they have in common.

An adapter makes a class with the methods of Engine and ends with `main(Engine class)`. It is started as one process per turn; nothing but
messages goes to standard output."""
import base64
import hashlib
import importlib.metadata
import json
import os
import re
import resource
import struct
import sys
import time

PROTOCOL = 2


class Refusal(Exception):
    """Becomes an "error" message: one sentence and an exit code of hmbench."""

    def __init__(self, text, code=69):
        super().__init__(text)
        self.code = code


def cpu_words(key):
    """What /proc/cpuinfo has beside a key, of the first CPU."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            for line in f:
                if line.startswith(key):
                    return line.split(":", 1)[1].split()
    except OSError:
        pass
    return []


def cpu_flags():
    return set(cpu_words("flags"))


def others_avx512():
    """AVX-512 on a CPU that is not Intel's: libraries of Intel's and some others pass it over there."""
    return best_isa() == "avx512" and cpu_words("vendor_id") != ["GenuineIntel"]


def set_right():
    """OpenBLAS takes CPUs newer than itself for old ones and then uses SSE alone; told the right family it does not. Says what was set."""
    flags = cpu_flags()
    family = "SkylakeX" if {"avx512f", "avx512vl", "avx512bw", "avx512dq"} <= flags else "Haswell" if {"avx2", "fma"} <= flags else None
    if family and "OPENBLAS_CORETYPE" not in os.environ:
        os.environ["OPENBLAS_CORETYPE"] = family
        return "OPENBLAS_CORETYPE=" + family
    return ""


def allowed_cpus():
    return len(os.sched_getaffinity(0))


def version_of(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "?"


def now():
    return time.perf_counter_ns()


def best_isa():
    flags = cpu_flags()
    return "avx512" if "avx512f" in flags else "avx2" if "avx2" in flags else "sse" if flags else ""


def codes_of(text, frames, codebooks):
    """The codes of a "run" message as rows."""
    data = base64.b64decode(text, validate=True)
    if len(data) != frames * codebooks * 4:
        raise Refusal(f"{len(data)} bytes of codes came, expected {frames} frames of {codebooks}", 64)
    values = struct.unpack(f"<{frames * codebooks}i", data)
    return [list(values[i * codebooks:(i + 1) * codebooks]) for i in range(frames)]


def bytes_of_codes(rows):
    flat = [int(v) for row in rows for v in row]
    return struct.pack(f"<{len(flat)}i", *flat)


def read_wav(path):
    """Mono samples at 16 kHz of a WAV file of float32 or 16 bits, as a float32 array."""
    import numpy as np
    with open(path, "rb") as f:
        data = f.read()
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise Refusal(f"{path} is no WAV file", 65)
    at, form, samples = 12, None, None
    while at + 8 <= len(data):
        name, size = data[at:at + 4], struct.unpack_from("<I", data, at + 4)[0]
        if name == b"fmt ":
            form = struct.unpack_from("<HHIIHH", data, at + 8)
        elif name == b"data":
            samples = data[at + 8:at + 8 + size]
        at += 8 + size + size % 2
    if form is None or samples is None or form[1] != 1 or form[2] != 16000 or (form[0], form[5]) not in ((3, 32), (1, 16)):
        raise Refusal(f"{path}: expected mono at 16 kHz, float32 or 16 bits, found {form}", 65)
    if form[0] == 3:
        return np.frombuffer(samples, "<f4")
    return np.frombuffer(samples, "<i2").astype(np.float32) / 32768


def windows_of(samples, chunk_s):
    """As the transformers pipeline cuts: windows that share a sixth with each neighbour."""
    chunk, shared = round(chunk_s * 16000), round(chunk_s / 6 * 16000)
    step = chunk - 2 * shared
    count = 1 if len(samples) <= chunk else -(-(len(samples) - chunk) // step) + 1
    return [samples[i * step:i * step + chunk] for i in range(count)]


def hear(case, warm):
    """The windows of a transcript's recording, in groups side by side, of a warm-up the first group alone; and how long reading it took."""
    if case.get("recording") != "voice":
        raise Refusal("transcribes recordings alone: music that is made first is hmbench's own", 64)
    if not case["chunk_s"]:
        raise Refusal("cuts at no timestamps: windows that follow one another are hmbench's own", 64)
    start = now()
    windows = windows_of(read_wav(case["path"]), case["chunk_s"])
    audio_ns = now() - start
    if len(windows) * case["window_tokens"] != case["frames"]:
        raise Refusal(f"{len(windows)} windows of {case['window_tokens']} tokens, the case has {case['frames']}", 64)
    batch = case["batch"]
    groups = [windows[i:i + batch] for i in range(0, len(windows), batch)]
    return groups[:1] if warm else groups, audio_ns


def whisper_folder(folder):
    """Where its config.json is: here or in a folder within."""
    for place in [folder] + [os.path.join(folder, name) for name in sorted(os.listdir(folder))]:
        try:
            with open(os.path.join(place, "config.json"), encoding="utf-8") as f:
                config = json.load(f)
        except OSError:
            continue
        if config.get("model_type") == "whisper":
            return place, config
    raise Refusal(f"there is no Whisper model in {folder}", 66)


def music_folder(folder):
    """Name of the folder of HeartMuLa's language model in it: HeartMuLa-oss-VERSION."""
    for name in sorted(os.listdir(folder)):
        if name.startswith("HeartMuLa-oss-") and os.path.exists(os.path.join(folder, name, "config.json")):
            return name
    raise Refusal(f"there is no folder HeartMuLa-oss-... in {folder}", 66)


def styled_lyrics(case):
    """Lyrics with a line "(style)" below each section that has one."""
    styles = {name: case.get(f"{key}_style") for name, key in (("intro", "intro"), ("verse", "verse"), ("chorus", "chorus"), ("hook", "chorus"))}
    lines = []
    for line in case["lyrics"].split("\n"):
        lines.append(line)
        section = re.match(r"\[[ \t\r]*([^:\]0-9]*?)[ \t\r]*[:\]0-9]", line.strip(" \t\r"))
        style = styles.get(section[1].lower()) if section and line.rstrip(" \t\r").endswith("]") else None
        if style:
            lines.append(f"({style})")
    return "\n".join(lines)


def language_token(name):
    """Of Whisper, for a language as suites name it, or its code."""
    codes = {"english": "en", "chinese": "zh", "german": "de", "spanish": "es", "russian": "ru", "korean": "ko", "french": "fr", "japanese": "ja",
             "portuguese": "pt", "italian": "it"}
    return f"<|{codes.get(name, name)}|>"


def is_synthetic(folder):
    """Whether a safetensors file in it or a folder within says that its weights were made."""
    for place, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".safetensors"):
                with open(os.path.join(place, name), "rb") as f:
                    size = struct.unpack("<Q", f.read(8))[0]
                    if "hmsynth" in json.loads(f.read(size)).get("__metadata__", {}):
                        return True
    return False


class Engine:
    """What an adapter is. tasks and packages are of the class; the constructor gets the parsed options."""
    tasks = ()
    packages = ()  # whose versions matter

    @staticmethod
    def add_options(parser):
        """Options of the adapter's own."""

    def precision(self):
        """Of the weights: "f32", "bf16", "int8"."""
        raise NotImplementedError

    def settings(self):
        """What else was set or found, for people."""
        return ""

    def lacks(self):
        """What it would need to work here and does not find, for people."""
        return ""

    def open(self, folder, threads, message):
        """Loads; returns fields of "opened"."""
        raise NotImplementedError

    def run(self, case, message, frames, codes, warm):
        """One generation of `frames` frames, fed with `codes` or None; warm: as little as touches every part. Returns fields of a sample, wall_ns and phases among them; "rows" are its codes."""
        raise NotImplementedError


class Server:
    def __init__(self, engine, remark):
        self.out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # what libraries print goes to standard error
        self.engine = engine
        self.remark = remark
        self.load_ns = None

    def say(self, message):
        self.out.write(json.dumps(message, separators=(",", ":")) + "\n")
        self.out.flush()

    def hello(self, message):
        if message.get("protocol") != PROTOCOL:
            raise Refusal(f"speaks protocol {PROTOCOL}, was greeted in {message.get('protocol')}", 64)
        e = self.engine
        versions = ", ".join(f"{p} {version_of(p)}" for p in e.packages)
        flags = "weights " + e.precision() + (", " + self.remark if self.remark else "")
        build = {"version": version_of(e.packages[0])[:31], "compiler": versions[:127], "flags": flags, "dirty": False}
        build["id"] = hashlib.sha256(json.dumps(build, sort_keys=True).encode()).hexdigest()[:32]
        self.say({"type": "hello", "protocol": PROTOCOL, "name": versions[:127], "tasks": list(e.tasks), "build": build})

    def open(self, message):
        folder = message.get("model", "")
        if not os.path.exists(folder):
            raise Refusal(f"there is no folder {folder}", 66)
        if message.get("backend") not in (None, "cpu", "command"):
            raise Refusal(f"runs on the CPU alone, was asked for {message['backend']}")
        self.load_ns = None
        start = now()
        fields = self.engine.open(folder, int(message.get("threads") or 0) or allowed_cpus(), message)
        self.load_ns = now() - start
        self.say({"type": "opened", "backend": "cpu", "synthetic": is_synthetic(folder), **fields, "load_ns": self.load_ns})

    def sample(self, message, frames, warmup):
        case = message["case"]
        codes = None
        if "codes" in message:
            codes = codes_of(message["codes"], case["frames"], int(message["codebooks"]))
        made = self.engine.run(case, message, frames, codes, warmup and message.get("warmup", "first") == "first")
        rows = made.pop("rows", None)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        sample = {"type": "sample", "warmup": warmup, "load_ns": self.load_ns, "peak_rss_bytes": peak, **made}
        if rows:
            sample.update(codebooks=len(rows[0]), fed_codes=int(codes is not None))
            if message.get("want_codes") and not warmup:
                sample["codes"] = base64.b64encode(bytes_of_codes(rows)).decode()
        self.say({k: v for k, v in sample.items() if v is not None})

    def run(self, message):
        if self.load_ns is None:
            raise Refusal('"run" came before "open"', 64)
        case = message.get("case") or {}
        if case.get("task") not in self.engine.tasks:
            raise Refusal(f"makes {' and '.join(self.engine.tasks)}, not {case.get('task')}", 64)
        frames = case.get("frames")
        warmup = message.get("warmup", "first")
        if warmup != "none":
            short = warmup == "first" and case["task"] != "transcript"
            self.sample(message, min(4, frames) if short else frames, True)
        for _ in range(int(message.get("iterations", 1))):
            self.sample(message, frames, False)
        self.say({"type": "done"})

    def serve(self):
        handlers = {"hello": self.hello, "open": self.open, "run": self.run, "estimate": lambda m: self.say({"type": "estimate"})}
        for line in sys.stdin:
            try:
                message = json.loads(line)
                kind = message.get("type")
                if kind == "close":
                    break
                if kind not in handlers:
                    raise Refusal(f"message \"{kind}\" is not known here", 64)
                handlers[kind](message)
            except Refusal as e:
                self.say({"type": "error", "code": e.code, "text": str(e)})
            except Exception as e:  # one sentence for the harness, the rest for people
                import traceback
                traceback.print_exc()
                self.say({"type": "error", "code": 70, "text": f"{type(e).__name__}: {e}"[:400].replace("\n", " ")})


def main(make):
    import argparse
    remark = set_right()
    parser = argparse.ArgumentParser(description=make.__doc__)
    parser.add_argument("--about", action="store_true", help="one line of JSON about itself")
    make.add_options(parser)
    options = parser.parse_args()
    engine = make(options)
    remark = ", ".join(filter(None, (remark, engine.settings())))
    if options.about:
        versions = ", ".join(f"{p} {version_of(p)}" for p in make.packages)
        about = {"versions": versions, "threads": str(allowed_cpus()), "precision": engine.precision()}
        if remark:
            about["settings"] = remark
        if engine.lacks():
            about["remark"] = engine.lacks()
        print(json.dumps(about))
        return
    Server(engine, remark).serve()
    os._exit(0)  # what libraries clear up at their end may take long
