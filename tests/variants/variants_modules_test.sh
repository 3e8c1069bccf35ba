# What is in an engine module: one symbol for the outside, and no kernel that its variant cannot reach.
. "$HM_SOURCE/tests/script.sh"
modules=$HM_BUILD/variants

has() { "$HM_NM" "$modules/$1.so" | grep -q " [a-zA-Z] $2\$"; }

a_module_exports_one_symbol() {
    local module
    for module in "$modules"/*.so; do
        expect "exports of $module" hm_engine_module "$("$HM_NM" -D --defined-only "$module" | awk '{ print $3 }' | tr '\n' ' ' | sed 's/ $//')"
    done
}

naive_has_no_streamed_attention() {
    has naive hm_cpu_attention_scores || fail "naive.so has no hm_cpu_attention_scores"
    ! has naive hm_cpu_attention_flash || fail "naive.so holds hm_cpu_attention_flash, which it cannot reach"
}

best_has_streamed_attention() {
    has best hm_cpu_attention_flash || fail "best.so has no hm_cpu_attention_flash"
}

best_has_no_attention_with_scores_in_memory() {
    ! has best hm_cpu_attention_scores || fail "best.so holds hm_cpu_attention_scores, which it cannot reach"
}

custom_has_every_attention() {
    has custom hm_cpu_attention_scores && has custom hm_cpu_attention_flash || fail "custom.so lacks one of the attention kernels"
}

nothing_writable_is_shared_by_engines() {
    # style: no mutable global in the engine; what a module needs of the C library is not its own
    local module found
    for module in naive best custom; do
        found=$("$HM_NM" "$modules/$module.so" | awk '$2 ~ /^[bBdD]$/ && $3 ~ /^hm_/ { print $3 }' | grep -vx hm_engine_module | tr '\n' ' ')
        expect "writable data of $module.so" "" "$found"
    done
}

check a_module_exports_one_symbol
check naive_has_no_streamed_attention
check best_has_streamed_attention
check best_has_no_attention_with_scores_in_memory
check custom_has_every_attention
check nothing_writable_is_shared_by_engines
finish
