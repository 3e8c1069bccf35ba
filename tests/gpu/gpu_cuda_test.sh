# The same source is CUDA C++: nvcc compiles every file, plain and with warps' own sums, and finds the kernels of the table.
. "$HM_SOURCE/tests/script.sh"

command -v nvcc >/dev/null || skip_all "skipped: nvcc is missing (CUDA's toolkit)"

compiles_with() {
    local source name
    for source in "$HM_SOURCE"/engine/gpu/*.cl; do
        name=$(basename "$source" .cl)
        nvcc -x cu -fmad=false "$@" -I "$HM_SOURCE" -gencode arch=compute_90a,code=sm_90a -cubin -o "$scratch/$name.cubin" "$source" \
            >"$scratch/log" 2>&1 || {
            cat "$scratch/log"
            fail "$name does not compile"
        }
        sed -n "s/^HM_KERNEL(\([a-z0-9_]*\), [0-9]*, $name)$/hm_\1/p" "$HM_SOURCE/engine/gpu/kernels.def" | sort >"$scratch/table"
        nm "$scratch/$name.cubin" | awk '$2 == "T" { print $3 }' | sort >"$scratch/found"
        diff "$scratch/table" "$scratch/found" || fail "kernels.def and $name differ"
    done
}

kernels_are_cuda() { compiles_with; }
kernels_with_warps_are_cuda() { compiles_with -DHM_SUBGROUP; }

check kernels_are_cuda
check kernels_with_warps_are_cuda
finish
