# Intel's own compiler takes every module for real GPUs, without one: Xe-LP, Xe-HPG and Xe-HPC.
. "$HM_SOURCE/tests/script.sh"

command -v ocloc >/dev/null || skip_all "skipped: ocloc is missing (package intel-opencl-icd)"
modules=$HM_BUILD/engine/gpu
compgen -G "$modules/*_plain.spv" >/dev/null || skip_all "skipped: this build has no modules (packages clang-15, llvm-spirv-15)"

compiles_for() {
    local module
    for module in "$modules"/*_plain.spv "$modules"/*_subgroup.spv; do
        ocloc compile -spirv_input -file "$module" -device "$1" -out_dir "$scratch" -output module >"$scratch/log" 2>&1 || {
            cat "$scratch/log"
            fail "$(basename "$module") does not compile for $1"
        }
        rm -f "$scratch"/module*
    done
}

modules_compile_for_tiger_lake() { compiles_for tgllp; }
modules_compile_for_arc() { compiles_for acm-g10; }
modules_compile_for_ponte_vecchio() { compiles_for pvc; }

check modules_compile_for_tiger_lake
check modules_compile_for_arc
check modules_compile_for_ponte_vecchio
finish
