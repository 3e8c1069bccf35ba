# `./hmbench test`, read by the launcher. Builds what the tier needs, runs ctest, then says what was slow, what was skipped and why, and
# how many cases passed. Case lines are CMocka's ("[       OK ] name"); a program that prints none counts as one case.

test_help() {
    cat <<'HELP'
./hmbench test [--quick|--full] [--sanitize LIST] [--allow-skips FILE] [-R PATTERN] [ctest arguments]
  --quick             seconds each, under two minutes together (after the build)
  (neither)           everything but full sizes: under 25 minutes on two cores
  --full              full sizes too
  --sanitize LIST     address,undefined or thread (then only what starts threads), in a build folder of its own
  --allow-skips FILE  a skipped case that FILE does not name is a failure
  -R PATTERN          tests whose name matches, of every tier
Exit codes: 0 all passed, 1 a case failed, 69 something is not installed, 70 it does not build.
Examples:
  ./hmbench test --quick
  ./hmbench test -R tokenizer
  ./hmbench test --sanitize address,undefined --quick
HELP
}

# Reads what ctest printed (verdicts and seconds) and its log (case lines; it calls a skipped or missing program passed).
# slowest: seconds and name of the tests; skips: "test<TAB>case<TAB>reason"; counts: the last line of all.
read_log() {
    awk -v want="$1" '
    FNR == NR {
        if (match($0, /Test +#[0-9]+: [^ ]+/)) {
            split(substr($0, RSTART, RLENGTH), part, ": ")
            verdict[part[2]] = $0 ~ /   Passed / ? "passed" : $0 ~ /\*\*\*Skipped / ? "skipped" : "failed"
            seconds[part[2]] = $(NF - 1)
        }
        next
    }
    function note_skip(what, why) { if (want == "skips") printf "%s\t%s\t%s\n", name, what, why == "" ? "no reason given" : why }
    function close_test() {
        if (name == "" || !(name in verdict)) return
        if (verdict[name] == "skipped") { note_skip("-", last); none++ }
        else if (verdict[name] == "failed" && bad == 0) bad++    # crashed, timed out, did not start, or a script
        else if (good + bad + none == 0) good++
        passed += good; failed += bad; skipped += none
        seen[name] = 1
        name = ""
    }
    /^[0-9]+\/[0-9]+ Test: / { close_test(); name = $3; good = bad = none = 0; running = last = ""; open = 1; next }
    /^<end of output>/ { open = 0; next }
    /^\[ RUN +\]/ { running = $NF; last = ""; next }
    /^\[ +OK \]/ && running != "" { good++; running = ""; next }
    /^\[  FAILED  \]/ && running != "" { bad++; running = ""; next }
    /^\[  SKIPPED \]/ && running != "" { none++; note_skip(running, last); running = ""; next }
    open && $0 != "" && $0 !~ /^(-+$|Command:|Directory:|Output:)/ { last = $0 }
    END {
        close_test()
        for (name in verdict) {
            if (!(name in seen)) failed++
            if (want == "slowest") print seconds[name], name
        }
        if (want == "counts") printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
    }' "$build/ctest.txt" "$build/Testing/Temporary/LastTest.log"
}

# Skips that FILE (lines "test case", # starts a comment, * stands for anything) does not name.
unnamed_skips() {
    local test case why line known
    read_log skips | while IFS=$'\t' read -r test case why; do
        known=
        while IFS= read -r line; do
            line=${line%%#*}
            line=$(echo $line)
            # shellcheck disable=SC2053
            [ -z "$line" ] || [[ "$test $case" != $line ]] || known=yes
        done <"$1"
        [ -n "$known" ] || echo "$test $case ($why)"
    done
}

run_tests() {
    local tier=default sanitize= allowed= pattern= targets=(all) select=() status=0 unnamed wrap=()
    while [ $# -gt 0 ]; do
        case $1 in
        --quick | --full) tier=${1#--} ;;
        --sanitize | --allow-skips | -R) [ $# -gt 1 ] || die 64 "test: $1 needs a value"
            case $1 in --sanitize) sanitize=$2 ;; --allow-skips) allowed=$2 ;; -R) pattern=$2 ;; esac
            shift ;;
        --no-install) install=no ;;
        -h | --help) test_help; return 0 ;;
        *) break ;;
        esac
        shift
    done
    case $sanitize in '' | address | undefined | address,undefined | thread) ;;
    *) die 64 "test: --sanitize $sanitize: expected address,undefined or thread" ;; esac
    [ -z "$allowed" ] || [ -r "$allowed" ] || die 66 "test: no file $allowed"
    [ "$tier" != quick ] || { targets=(quick_tests); select=(-L '^quick$'); }
    [ "$tier" != default ] || select=(-LE '^full$')
    [ -z "$pattern" ] || { select=(-R "$pattern"); targets=(all); }
    if [ -n "$sanitize" ]; then
        build=$build-${sanitize//,/-}
        # Sanitised programs take fixed addresses for themselves, which some kernels' randomisation gives away.
        ! setarch "$(uname -m)" -R true 2>/dev/null || wrap=(setarch "$(uname -m)" -R)
        [ "$sanitize" != thread ] || { targets=(thread_tests); select+=(-L '^threads$'); }
    fi

    need "$run_needs" run "build and run hmbench"
    need "$test_needs" test "run its tests"
    [ "$tier" != full ] || need "$full_needs" full "run the tests of the tier full"
    mkdir -p "$build" || die 73 "cannot create $build"
    lock
    if [ -n "$sanitize" ]; then
        configure -DCMAKE_BUILD_TYPE=Debug -DHM_TESTS=ON "-DHM_SANITIZE=$sanitize"
    else
        configure -DCMAKE_BUILD_TYPE=Release -DHM_TESTS=ON
    fi
    make_targets "${targets[@]}"
    unlock

    export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
    unset HMBENCH_MODULES HMBENCH_DB
    rm -f "$build/Testing/Temporary/LastTest.log"
    "${wrap[@]}" ctest --test-dir "$build" -j2 --output-on-failure --no-tests=error "${select[@]}" "$@" |
        tee "$build/ctest.txt"
    [ "${PIPESTATUS[0]}" = 0 ] || status=1
    [ -e "$build/Testing/Temporary/LastTest.log" ] || { say "no test ran"; return 1; }

    echo
    echo "10 slowest (s):"
    read_log slowest | sort -rn | head -n 10 | awk '{ printf "%8.2f  %s\n", $1, $2 }'
    echo "skipped:"
    read_log skips | awk -F'\t' '{ printf "  %s %s: %s\n", $1, $2, $3 } END { if (!NR) print "  none" }'
    if [ -n "$allowed" ]; then
        unnamed=$(unnamed_skips "$allowed")
        [ -z "$unnamed" ] || { printf 'skipped, but not named in %s:\n%s\n' "$allowed" "$unnamed"; status=1; }
    fi
    read_log counts
    return $status
}
