# The modules for GPUs that this build embeds: valid SPIR-V, which every device of its version must take, with the entry points of the table.
. "$HM_SOURCE/tests/script.sh"

for program in spirv-val spirv-dis; do
    command -v "$program" >/dev/null || skip_all "skipped: $program is missing (package spirv-tools)"
done
modules=$HM_BUILD/engine/gpu
compgen -G "$modules/*_plain.spv" >/dev/null || skip_all "skipped: this build has no modules (packages clang-15, llvm-spirv-15)"

every_module_is_valid() {
    local source module
    for source in "$HM_SOURCE"/engine/gpu/*.cl; do
        for module in plain subgroup; do
            spirv-val --target-env opencl2.2 "$modules/$(basename "$source" .cl)_$module.spv" || fail "$source, $module"
        done
    done
}

# What a device without sub-groups, half or double would refuse is in no plain module.
plain_modules_ask_for_nothing_optional() {
    local module
    for module in "$modules"/*_plain.spv; do
        spirv-dis "$module" | sed -n 's/^ *OpCapability //p' | grep -vxE 'Addresses|Linkage|Kernel|Int64|Int16|Int8' &&
            fail "$(basename "$module") needs more than a device must have"
    done
    return 0
}

# "name group" of every kernel of a module.
kernels_of() {
    spirv-dis "$1" | awk '/OpEntryPoint/ { gsub(/"/, "", $4); name[$3] = $4 } /OpExecutionMode .* LocalSize/ { print name[$2], $4 }' | sort
}

modules_hold_the_kernels_of_the_table() {
    local source name kind
    for source in "$HM_SOURCE"/engine/gpu/*.cl; do
        name=$(basename "$source" .cl)
        sed -n "s/^HM_KERNEL(\([a-z0-9_]*\), \([0-9]*\), $name)$/hm_\1 \2/p" "$HM_SOURCE/engine/gpu/kernels.def" | sort >"$scratch/table"
        for kind in plain subgroup; do
            kernels_of "$modules/${name}_$kind.spv" >"$scratch/module"
            diff "$scratch/table" "$scratch/module" || fail "kernels.def and the module $name ($kind) differ"
        done
    done
}

# Products are rounded before they are added, unless FMA says so: kernels that have both and no FMA forbid their contraction.
products_are_not_contracted_into_sums() {
    local kernel module
    for kernel in rows/axpy rows/guide rows/masked_sum linear/depthwise; do
        for module in "$modules/${kernel%/*}"_{plain,subgroup}.spv; do
            spirv-dis "$module" | awk -v name="\"hm_${kernel#*/}\"" '
                /OpEntryPoint/ && $4 == name { id = $3 }
                /ContractionOff/ && $2 == id { off = 1 }
                END { exit !off }' || fail "$kernel in $(basename "$module") may be contracted"
        done
    done
}

check every_module_is_valid
check plain_modules_ask_for_nothing_optional
check modules_hold_the_kernels_of_the_table
check products_are_not_contracted_into_sums
finish
