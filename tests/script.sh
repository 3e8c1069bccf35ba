# For tests that are scripts: cases are functions, their lines are CMocka's, so that `./hmbench test` counts them alike.
#   check FUNCTION    runs it in a shell of its own; it fails by `fail TEXT` or `expect`
#   skip_all TEXT     ends the script as skipped
set -uo pipefail
failures=0
scratch=$(mktemp -d "${TMPDIR:-/tmp}/hmbench-test.XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT

fail() {
    echo "    $*"
    exit 1
}

check() {
    echo "[ RUN      ] $1"
    if ("$1"); then
        echo "[       OK ] $1"
    else
        echo "[  FAILED  ] $1"
        failures=$((failures + 1))
    fi
}

# expect WHAT EXPECTED FOUND
expect() { [ "$2" = "$3" ] || fail "$1: expected \"$2\", found \"$3\""; }

skip_all() {
    echo "$*"
    exit 77
}

finish() { [ "$failures" = 0 ]; }
