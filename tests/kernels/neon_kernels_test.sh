# Kernel tests on the other architecture: cross-built, and run by an emulator. CMocka comes from tests/neon.
. "$HM_SOURCE/tests/script.sh"

for program in aarch64-linux-gnu-gcc qemu-aarch64; do
    command -v "$program" >/dev/null || skip_all "skipped: $program is missing (packages gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user)"
done

flags=(-std=gnu11 "-I$HM_SOURCE" "-I$HM_SOURCE/tests/neon" -O2 -Wall -Wextra -Werror -ffunction-sections -fdata-sections
    -ffp-contract=off -fno-math-errno)

# Every source of the CPU backend that this architecture has, and what it needs, in one archive.
build() {
    local source options
    for source in "$HM_SOURCE"/engine/base/*.c "$HM_SOURCE"/engine/panel.c "$HM_SOURCE"/engine/ops.c "$HM_SOURCE"/engine/cpu/*.c; do
        options=()
        case $source in
        */json.c | */hash.c | *_ops_init.c | *_avx2.c | *_avx2vnni.c | *_avx512.c | *_avx512vnni.c) continue ;; # other libraries, other CPUs
        *_neon.c) options=(-march=armv8.2-a+dotprod -O3) ;;
        esac
        [ -e "$source" ] || continue
        aarch64-linux-gnu-gcc "${flags[@]}" "${options[@]}" -c "$source" -o "$scratch/$(basename "$source" .c).o" ||
            fail "$(basename "$source") does not compile"
    done
    aarch64-linux-gnu-ar rcs "$scratch/kernels.a" "$scratch"/*.o
}

# run NAME: a test program must pass on a CPU that has dot products, and know it.
run() {
    aarch64-linux-gnu-gcc "${flags[@]}" "$HM_SOURCE/tests/kernels/$1.c" "$scratch/kernels.a" -static -Wl,--gc-sections -pthread -lm \
        -o "$scratch/$1" || fail "$1 does not link"
    qemu-aarch64 -cpu max "$scratch/$1" >"$scratch/$1.out" 2>&1 || {
        cat "$scratch/$1.out"
        fail "$1 fails"
    }
}

the_cpu_backend_compiles() { build; }
layers_of_few_rows_over_panels_are_right() { run cpu_panel_gemv_test; }
products_and_convolutions_over_panels_are_right() { run cpu_panel_gemm_test; }
layers_are_right() { run cpu_linear_test; }
operations_on_rows_are_right() { run cpu_rows_test; }
attention_is_right() { run cpu_attention_test; }
vector_math_is_right() { run cpu_vector_math_test; }

neon_is_what_is_tested() {
    printf '#include "engine/base/isa.h"\nint main(void)\n{\n    return hm_isa_detect() != HM_ISA_NEON;\n}\n' >"$scratch/isa.c"
    aarch64-linux-gnu-gcc "${flags[@]}" "$scratch/isa.c" "$scratch/kernels.a" -static -o "$scratch/isa" || fail "isa.c does not link"
    qemu-aarch64 -cpu max "$scratch/isa" || fail "the emulated CPU is not seen as neon"
}

check the_cpu_backend_compiles
check neon_is_what_is_tested
check layers_of_few_rows_over_panels_are_right
check products_and_convolutions_over_panels_are_right
check layers_are_right
check operations_on_rows_are_right
check attention_is_right
check vector_math_is_right
finish
