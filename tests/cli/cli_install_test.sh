# An installed tree works from where it was installed, with nothing of the build or the sources in reach of its environment.
. "${HM_SOURCE:?run by ctest, which sets it}/tests/script.sh" || exit 1
prefix="$scratch/a prefix"

installed() { (cd / && env -i HOME="$scratch" PATH=/usr/bin:/bin "$prefix/bin/hmbench" "$@"); }

it_installs() {
    cmake --install "$HM_BUILD" --prefix "$prefix" >"$scratch/log" 2>&1 || fail "$(tail -n 20 "$scratch/log")"
    [ -x "$prefix/bin/hmbench" ] || fail "no bin/hmbench"
}

every_variant_is_installed() {
    local name
    for name in custom $(sed -n 's/^HM_VARIANT([a-z0-9_]*, "\([^"]*\)".*/\1/p' "$HM_SOURCE/variants/variants.def"); do
        [ -e "$prefix/lib/hmbench/variants/$name.so" ] || fail "no lib/hmbench/variants/$name.so"
    done
}

every_suite_is_installed() {
    local suite
    for suite in "$HM_SOURCE"/suites/*.yaml; do
        cmp -s "$suite" "$prefix/share/hmbench/suites/${suite##*/}" || fail "share/hmbench/suites/${suite##*/} is not $suite"
    done
}

manual_completions_schema_and_docs_are_installed() {
    local file
    for file in share/man/man1/hmbench.1 share/bash-completion/completions/hmbench share/zsh/site-functions/_hmbench \
        share/fish/vendor_completions.d/hmbench.fish share/doc/hmbench/README.md share/doc/hmbench/docs/architecture.md; do
        [ -s "$prefix/$file" ] || fail "no $file"
    done
    grep -q '^\.SS suite' "$prefix/share/man/man1/hmbench.1" || fail "the manual page has no suite"
    bash -n "$prefix/share/bash-completion/completions/hmbench" || fail "the completion is no script"
    for file in "$HM_SOURCE"/docs/schema/*.json; do
        cmp -s "$file" "$prefix/share/hmbench/schema/${file##*/}" || fail "share/hmbench/schema/${file##*/} is not $file"
    done
}

it_lists_variants_and_suites() {
    installed list variants >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
    grep -q 'reference-heartlib' "$scratch/out" || fail "$(cat "$scratch/out")"
    installed list suites >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
    grep -q 'short' "$scratch/out" || fail "$(cat "$scratch/out")"
}

it_runs_its_own_engine_module() {
    # a folder with one golden that takes no time
    mkdir "$scratch/golden"
    cp "$HM_SOURCE"/tests/goldens/heart/sampling.* "$HM_SOURCE"/tests/goldens/heart/rope_hd128.* "$scratch/golden/"
    installed verify "$scratch/golden" --variant best >"$scratch/out" 2>&1 || fail "$(cat "$scratch/out")"
}

check it_installs
check every_variant_is_installed
check every_suite_is_installed
check manual_completions_schema_and_docs_are_installed
check it_lists_variants_and_suites
check it_runs_its_own_engine_module
finish
