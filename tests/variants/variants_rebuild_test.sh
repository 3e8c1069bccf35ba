# What a change to variants.def builds again, seen on a copy of the tree: one module per changed row, none for a comment.
. "${HM_SOURCE:?run by ctest, which sets it}/tests/script.sh" || exit 1
tree=$scratch/tree
tree_build=$scratch/build
row='HM_VARIANT(alone_kv, '

build() {
    ninja -C "$tree_build" module_naive module_alone-kv module_custom >"$scratch/log" 2>&1 || fail "$(tail -n 30 "$scratch/log")"
}

# Targets whose objects the last build compiled.
compiled() { sed -n 's/.*Building C object .*CMakeFiles\/\([^/]*\)\.dir\/.*/\1/p' "$scratch/log" | sort -u | tr '\n' ' ' | sed 's/ $//'; }

a_copy_of_the_tree_builds() {
    local entry
    mkdir "$tree"
    for entry in CMakeLists.txt engine variants traces reports suites harness; do
        cp -R "$HM_SOURCE/$entry" "$tree/"
    done
    cmake -S "$tree" -B "$tree_build" -G Ninja -DHM_TESTS=OFF -DHM_CUDA_ARCHS=90a -DCMAKE_BUILD_TYPE=Debug \
        >"$scratch/log" 2>&1 || fail "$(tail -n 30 "$scratch/log")"
    build
    build
    expect "compiled without a change" "" "$(compiled)"
}

a_changed_row_builds_one_module() {
    grep -qF "$row" "$tree/variants/variants.def" || fail "no row $row"
    cp "$tree_build/variants/naive.so" "$scratch/naive.so"
    sed -i "s/^$row.*/$row\"alone-kv\", \"changed\", .kv = HM_KV_PREALLOC, .load = HM_WEIGHTS_MMAP)/" "$tree/variants/variants.def"
    build
    expect "compiled after a changed row" module_alone-kv "$(compiled)"
    cmp -s "$tree_build/variants/naive.so" "$scratch/naive.so" || fail "naive.so changed too"
}

a_comment_builds_no_module() {
    printf '\n/* a comment */\n' >>"$tree/variants/variants.def"
    build
    expect "compiled after a comment" "" "$(compiled)"
}

a_row_that_does_not_parse_stops_the_build() {
    printf '\nHM_VARIANT(unfinished, "unfinished"\n' >>"$tree/variants/variants.def"
    ! ninja -C "$tree_build" module_naive >"$scratch/log" 2>&1 || fail "it built"
    grep -q 'variants.def: expected' "$scratch/log" || fail "$(tail -n 30 "$scratch/log")"
}

check a_copy_of_the_tree_builds
check a_changed_row_builds_one_module
check a_comment_builds_no_module
check a_row_that_does_not_parse_stops_the_build
finish
