"""What adapters of PyTorch have in common: threads, precision, and whether it knows the CPU."""
import os
import sys

import worker


def add_options(parser, dtype):
    parser.add_argument("--dtype", default=dtype, choices=["float32", "bfloat16", "float16"], help="of the weights (default %(default)s)")


def precision(dtype):
    return {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}[dtype]


def start(threads):
    """PyTorch with so many threads. What the CPU has and PyTorch would not use is said, and asked for."""
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
