"""The smallest worker there is: docs/worker-protocol.md and nothing else. Its "music" is a counter. `tiny_worker.py WRONG` does one thing wrong; `no-codec` is not wrong."""
import base64
import json
import os
import struct
import sys
import time

wrong = sys.argv[1] if len(sys.argv) > 1 else ""
CODEBOOKS = 2
is_open = False


def say(**message):
    print(json.dumps(message), flush=True)


def generate(m, warmup):
    frames = m["case"]["frames"]
    start = time.perf_counter_ns()
    codebooks = m.get("codebooks", CODEBOOKS)
    drawn = [f * codebooks + k for f in range(frames) for k in range(codebooks)]
    time.sleep(0.002)
    sample = {"wall_ns": time.perf_counter_ns() - start, "frames": frames + (wrong == "frames"), "codebooks": codebooks,
              "fed_codes": int("codes" in m and wrong != "fed"), "warmup": warmup}
    if wrong == "no-codec":
        sample.update(prefill_ns=sample["wall_ns"] // 4, generate_ns=sample["wall_ns"] // 2)
    if m["want_codes"]:
        sample["codes"] = base64.b64encode(struct.pack(f"<{len(drawn)}i", *drawn)).decode()
    say(type="sample", **sample)


for line in sys.stdin:
    m = json.loads(line)
    if m["type"] == "close":
        if wrong == "stays":
            time.sleep(60)
        break
    if m["type"] == "hello":
        say(type="hello", protocol=3 if wrong == "version" else 2, name="tiny", tasks=["speech" if wrong == "task" else "music"],
            build={"id": "tiny-1", "version": "1", "compiler": "counter 1.0", "flags": "weights none"})
    elif m["type"] == "open" and not os.path.isdir(m["model"]):
        say(type="error", code=66, text="there is no folder " + m["model"])
    elif m["type"] == "open":
        is_open = True
        say(type="opened", stored_codes=True, threads=1)
    elif m["type"] == "estimate":
        say(type="estimate")
    elif m["type"] == "run" and not is_open:
        say(type="error", code=64, text="\"run\" before \"open\"")
    elif m["type"] == "run":
        if wrong == "dies":
            raise RuntimeError("the weights are gone")
        say(type="progress", phase="generate", done=0, total=m["case"]["frames"])
        if m["warmup"] != "none":
            generate(m, True)
        for i in range(m.get("iterations", 1) + (wrong == "flood")):
            generate(m, False)
        say(type="done")
    elif wrong == "mute":
        pass
    else:
        say(type="error", code=64, text="what is \"" + m["type"] + "\"?")
