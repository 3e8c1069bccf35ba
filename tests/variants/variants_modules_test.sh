# What is in an engine module: one symbol for the outside, and no kernel that its variant cannot reach.
. "${HM_SOURCE:?run by ctest, which sets it}/tests/script.sh" || exit 1
modules=$HM_BUILD/variants

# Names in a module that begin with a prefix.
names() { "$HM_NM" "$modules/$1.so" | awk -v prefix="$2" 'index($3, prefix) == 1 { print $3 }' | sort | tr '\n' ' ' | sed 's/ $//'; }

a_module_exports_one_symbol() {
    local module
    for module in "$modules"/*.so; do
        expect "exports of $module" hm_engine_module "$("$HM_NM" -D --defined-only "$module" | awk '{ print $3 }' | tr '\n' ' ' | sed 's/ $//')"
    done
}

naive_holds_no_streamed_attention() {
    expect "wrapper in naive.so" hm_cpu_attention_scores "$(names naive hm_cpu_attention_scores)"
    [ -n "$(names naive hm_cpu_scores_)" ] || fail "naive.so has no kernel of attention with scores in memory"
    expect "wrapper that naive.so cannot reach" "" "$(names naive hm_cpu_attention_flash)"
    expect "kernels that naive.so cannot reach" "" "$(names naive hm_cpu_flash_)"
}

best_holds_no_attention_with_scores_in_memory() {
    expect "wrapper in best.so" hm_cpu_attention_flash "$(names best hm_cpu_attention_flash)"
    [ -n "$(names best hm_cpu_flash_)" ] || fail "best.so has no kernel of streamed attention"
    expect "wrapper that best.so cannot reach" "" "$(names best hm_cpu_attention_scores)"
    expect "kernels that best.so cannot reach" "" "$(names best hm_cpu_scores_)"
}

custom_holds_every_attention() {
    expect "wrapper in custom.so" hm_cpu_attention_flash "$(names custom hm_cpu_attention_flash)"
    expect "wrapper in custom.so" hm_cpu_attention_scores "$(names custom hm_cpu_attention_scores)"
}

engines_share_no_writable_data() {
    # no mutable global in the engine but the table of Level Zero's library, which is opened once (ze_loader.c), and what CUPTI's callbacks
    # hand over, which know no context (activity.c); the C runtime's own begin with __ (and completed)
    local module
    for module in naive best custom; do
        expect "writable data of $module.so" "" "$("$HM_NM" -f sysv "$modules/$module.so" |
            awk -F '|' '$1 !~ /^(__|completed|loaded |handed )/ && $7 ~ /^ *\.(data|bss|tdata|tbss)$/ { print $1 }')"
    done
}

check a_module_exports_one_symbol
check naive_holds_no_streamed_attention
check best_holds_no_attention_with_scores_in_memory
check custom_holds_every_attention
check engines_share_no_writable_data
finish
