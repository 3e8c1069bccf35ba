# Kernels of many rows and of streamed attention keep what they work on in registers: the compiler's own report for Hopper tells of no more than
# 4 bytes a kernel that go to memory and back. (Stack is what sines of great numbers need.)
. "$HM_SOURCE/tests/script.sh"

command -v nvcc >/dev/null || skip_all "skipped: nvcc is missing (CUDA's toolkit)"

hardly_anything_is_spilled() {
    local name found
    for name in many many_quantised flash; do
        nvcc -x cu -O3 -fmad=false -DHM_SUBGROUP -I "$HM_SOURCE" -gencode arch=compute_90a,code=sm_90a -Xptxas -v -cubin -o "$scratch/$name" \
            "$HM_SOURCE/engine/cuda/$name.cu" >"$scratch/log" 2>&1 || {
            cat "$scratch/log"
            fail "$name does not compile for sm_90a"
        }
        found=$(grep -c "^ptxas info.*Compiling entry function 'hm_cuda_" "$scratch/log")
        expect "kernels of $name" "$(grep -c "^HM_CUDA_KERNEL([a-z0-9_]*, [0-9]*, $name," "$HM_SOURCE/engine/cuda/kernels.def")" "$found"
        expect "kernels of $name that spill at most 4 bytes" "$found" "$(grep -c "bytes stack frame, [04] bytes spill stores, [04] bytes spill loads" "$scratch/log")"
    done
}

check hardly_anything_is_spilled
finish
