#!/usr/bin/env bash
# A trace of `hmbench profile` in the real Perfetto UI, without network: its slices are those of `trace stats`, its importer tells of no
# error, and a broken trace is told within 15 s. HM_PICTURE=FILE.png keeps what was seen: docs/images/trace.png was made so.
. "$(dirname "$0")/../script.sh"
. "$(dirname "$0")/browser.sh"
view=$HM_SOURCE/tests/viewer/view_trace.py
export HMBENCH_CACHE=${HMBENCH_CACHE:-$scratch/cache}
browser_python

a_trace_of_two_threads_is_what_stats_say() {
    local trace=$scratch/trace.json.gz
    "$HM_PROGRAM" profile short --model heartmula-mini --variant best:decode=overlap --seconds 60 --no-limits --repeat 1 -q \
        --trace "$trace" >"$scratch/profile.txt" || fail "profile failed"
    "$HM_PROGRAM" trace stats "$trace" -o json >"$scratch/stats.json" || fail "trace stats failed"
    "$python" "$view" "$trace" --stats "$scratch/stats.json" --seconds 90 --picture "${HM_PICTURE:-$scratch/trace.png}" >"$scratch/seen.txt" 2>&1 ||
        fail "$(tail -n 5 "$scratch/seen.txt")"
    grep -q "01 engine, 02 decoder" "$scratch/seen.txt" || fail "expected two named threads, found: $(cat "$scratch/seen.txt")"
    [ "$(head -c 8 "${HM_PICTURE:-$scratch/trace.png}" | tail -c 7)" = "$(printf 'PNG\r\n\032\n')" ] || fail "no picture was taken"
}

other_sums_are_told() {
    local trace=$scratch/other.json
    printf '%s' '{"displayTimeUnit":"ms","otherData":{},"traceEvents":[{"ph":"M","name":"process_name","pid":1,"tid":1,"args":{"name":"p"}},
        {"ph":"M","name":"thread_name","pid":1,"tid":1,"args":{"name":"01 engine"}},
        {"ph":"X","name":"a","cat":"phase","pid":1,"tid":1,"ts":0.000,"dur":5.000}]}' >"$trace"
    "$HM_PROGRAM" trace stats "$trace" -o json | sed 's/"total_ms": 0.005/"total_ms": 0.006/' >"$scratch/wrong.json"
    grep -q '"total_ms": 0.006' "$scratch/wrong.json" || fail "the sum was not changed: $(cat "$scratch/wrong.json")"
    "$python" "$view" "$trace" --stats "$scratch/wrong.json" --seconds 90 >"$scratch/seen.txt" 2>&1 && fail "a wrong sum passed"
    grep -q "viewer has 1 of 5000 ns" "$scratch/seen.txt" || fail "expected the viewer's sum, found: $(tail -n 3 "$scratch/seen.txt")"
}

a_broken_trace_is_told_within_15_seconds() {
    printf '%s' '{"traceEvents":[{"ph":"X","name":"a","cat":"phase","pid":1,"tid":1,"ts":0.000,"dur":' >"$scratch/broken.json"
    "$python" "$view" "$scratch/broken.json" --seconds 15 >"$scratch/seen.txt" 2>&1 && fail "a broken trace passed"
    grep -q "did not load it within 15 s" "$scratch/seen.txt" || fail "expected that it did not load, found: $(tail -n 3 "$scratch/seen.txt")"
}

check a_trace_of_two_threads_is_what_stats_say
check other_sums_are_told
check a_broken_trace_is_told_within_15_seconds
finish
