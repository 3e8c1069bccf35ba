# Kernels of decoding keep what they work on in registers: the compiler's own report of each, for the oldest and for the newest GPUs that have
# code of their own by these sources, tells of no spills and no stack.
. "$HM_SOURCE/tests/script.sh"

command -v nvcc >/dev/null || skip_all "skipped: nvcc is missing (CUDA's toolkit)"

nothing_is_spilled() {
    local arch=$1 name found
    for name in decode_float decode_quantised attend draw; do
        nvcc -x cu -O3 -fmad=false -DHM_SUBGROUP -I "$HM_SOURCE" -gencode "arch=compute_$arch,code=sm_$arch" -Xptxas -v -cubin -o "$scratch/$name" \
            "$HM_SOURCE/engine/cuda/$name.cu" >"$scratch/log" 2>&1 || {
            cat "$scratch/log"
            fail "$name does not compile for sm_$arch"
        }
        found=$(grep -c "^ptxas info.*Compiling entry function 'hm_cuda_" "$scratch/log")
        expect "kernels of $name" "$(grep -c "^HM_CUDA_KERNEL([a-z0-9_]*, [0-9]*, $name," "$HM_SOURCE/engine/cuda/kernels.def")" "$found"
        expect "kernels of $name that spill nothing on sm_$arch" "$found" \
            "$(grep -c "^ *0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" "$scratch/log")"
    done
}

on_the_oldest() { nothing_is_spilled 80; }
on_hopper() { nothing_is_spilled 90a; }

check on_the_oldest
check on_hopper
finish
