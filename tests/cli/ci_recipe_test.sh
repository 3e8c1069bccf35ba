# The commands of docs/ci.md's workflow, as they stand there, on a copy of the build as main's and another as the change's.
. "${HM_SOURCE:?run by ctest, which sets it}/tests/script.sh" || exit 1
cd "$scratch" || exit 1
export HMBENCH_CACHE="$scratch/cache" GITHUB_STEP_SUMMARY="$scratch/summary.md"
for tree in main change; do
    mkdir "$tree"
    cp "$HM_PROGRAM" "$tree/hmbench"
    ln -s "${HM_PROGRAM%/*}/variants" "$tree/variants"
done
# "run" lines between ```yaml and ```
sed -n '/^```yaml$/,/^```$/p' "$HM_SOURCE/docs/ci.md" | sed -n 's/^ *run: //p' >commands

the_workflow_builds_main_and_has_both_gates() {
    expect "commands" 4 "$(wc -l <commands | tr -d ' ')"
    expect "builds of main" 2 "$(grep -c '^main/hmbench list variants$' commands)"
    expect "gates on counts" 1 "$(grep -c -- '--counts-only' commands)"
    expect "gates on times" 1 "$(grep -c -- '--margin' commands)"
    expect "gates against main's build" 2 "$(grep -c '^change/hmbench gate .*--base main/hmbench' commands)"
}

mains_build_runs() { sh -c "$(grep '^main/' commands | head -n 1)" >out 2>&1 || fail "$(cat out)"; }

# run_gate PATTERN CASES OPTIONS: the command with options of less work behind it
run_gate() {
    local command
    command=$(grep -- "$1" commands)
    # shellcheck disable=SC2086
    set -- $command --filter "/($2)\$" $3
    "$@" >out 2>err || fail "exit code $?: $*: $(tail -n 5 out err)"
}

counts_of_equal_builds_pass() {
    run_gate --counts-only 'plain|speech' '--model heartmula-tiny,qwen3-tts-tiny'
    grep -q '^\*\*PASS\*\*' out || fail "$(cat out)"
    grep -q '<testsuite .*failures="0"' counts.xml || fail "$(cat counts.xml)"
    grep -q '| PASS ' summary.md || fail "$(cat summary.md)"
}

times_of_equal_builds_pass_a_wide_margin() {
    run_gate --margin speech '--model qwen3-tts-tiny --margin 150% --settle 0'
    grep -q '<testsuite .*failures="0"' times.xml || fail "$(cat times.xml)"
    grep -q '"kind": "gate"' times.json || fail "$(cat times.json)"
}

check the_workflow_builds_main_and_has_both_gates
check mains_build_runs
check counts_of_equal_builds_pass
check times_of_equal_builds_pass_a_wide_margin
finish
