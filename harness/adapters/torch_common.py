"""What adapters of PyTorch have in common: threads, precision, whether it knows the CPU, and compiling."""
import os
import shutil
import sys
import sysconfig

import worker


def add_options(parser, dtype):
    parser.add_argument("--dtype", default=dtype, choices=["float32", "bfloat16", "float16"], help="of the weights (default %(default)s)")


def add_device(parser):
    parser.add_argument("--device", default="cpu", help="of PyTorch: cpu, cuda, cuda:1 (default %(default)s)")


def place(torch, device):
    """New tensors lie on the device from now on. Returns what "opened" tells of it."""
    if device == "cpu":
        return {}
    if not device.startswith("cuda") or not torch.cuda.is_available():
        raise worker.Refusal(f"--device {device}: PyTorch {torch.__version__} sees no such device")
    torch.set_default_device(device)
    facts = torch.cuda.get_device_properties(device)
    return {"backend": "cuda", "device": facts.name, "device_memory_bytes": facts.total_memory}


def wait(torch, device):
    """Work on a GPU goes on after it was asked for: what is timed ends here."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def on(options):
    return products(options.dtype) if options.device == "cpu" else "on " + options.device


def add_compile(parser):
    parser.add_argument("--compile", action="store_true", help="by torch.compile, in the warm-up")


def compiler_lacks():
    """What torch.compile needs on this machine and does not find."""
    header = os.path.join(sysconfig.get_path("include"), "Python.h")
    compiler = os.environ.get("CXX", "g++").split()[0]
    lacks = [] if os.path.exists(header) else [f"{header} (Debian: apt install python3-dev)"]
    if not shutil.which(compiler):
        lacks.append(f"the compiler {compiler} (Debian: apt install g++)")
    return "torch.compile does not find " + " and ".join(lacks) if lacks else ""


def compiled(torch, function):
    """By torch.compile, once for all lengths; `start` says where what it compiles is kept."""
    if compiler_lacks():
        raise worker.Refusal(compiler_lacks())
    # PyTorch 2.10 writes checks of indices for AVX2 where their variables are not known, which no compiler takes
    return torch.compile(function, dynamic=True, options={"assert_indirect_indexing": False})


def precision(dtype):
    return {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}[dtype]


def products(dtype):
    """Of PyTorch's own MKL, which no setting moves: 175 of 480 GFLOP/s on an EPYC with AVX-512, in its kernel for the first Zen."""
    return "MKL's products by AVX2" if dtype == "float32" and worker.others_avx512() else ""


def start(threads, compiles=False):
    """PyTorch with so many threads. What the CPU has and PyTorch would not use is said, and asked for. What it compiles is kept beside the environment,
    which has to be said before anything else is imported: some packages set a folder of /tmp on their way."""
    if compiles:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.join(sys.prefix, "compiled"))
    flags = worker.cpu_flags()
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
        os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx512")
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    torch.set_num_threads(threads)
    used = torch.backends.cpu.get_cpu_capability().lower()
    if worker.best_isa().startswith("avx") and not used.startswith(worker.best_isa()):
        print(f"PyTorch runs as on a CPU with {used}; this one has {worker.best_isa()}", file=sys.stderr)
    return torch


def opened(torch, threads):
    return {"threads": torch.get_num_threads(), "isa": torch.backends.cpu.get_cpu_capability().lower()[:15]}
