# The launcher, with programs of its own in place of cmake, ninja and the compiler: what it builds, passes on, and says.
. "${HM_SOURCE:?run by ctest, which sets it}/tests/script.sh" || exit 1
root="${scratch:?}/a folder"
mkdir -p "$root/variants" "$scratch/bin" "$scratch/elsewhere"
cp "$HM_SOURCE/hmbench" "$root/"
cp "$HM_SOURCE/variants/variants.def" "$root/variants/"

# The stand-in for cmake leaves a build whose program prints its arguments, one a line; ninja notes its targets.
cat >"$scratch/bin/cmake" <<'PROGRAM'
#!/bin/bash
while [ $# -gt 0 ]; do [ "$1" != -B ] || build=$2; shift; done
echo configured >>"$build/calls"
[ ! -e "$build/../cmake-fails" ] || { echo "CMake Error: no such thing"; exit 1; }
: >"$build/build.ninja"
printf '#!/bin/bash\nprintf "<%%s>" "$@"\nexit 7\n' >"$build/hmbench"
chmod +x "$build/hmbench"
PROGRAM
cat >"$scratch/bin/ninja" <<'PROGRAM'
#!/bin/bash
build=$2; shift 4
echo "ninja $*" >>"$build/calls"
[ ! -e "$build/../ninja-fails" ] || { echo "[1/2] Building C object a.o"; echo "a.c:1: error: no"; exit 1; }
[ ! -e "$build/running" ] || echo "two at once" >>"$build/calls"
: >"$build/running"; sleep 0.1; rm "$build/running"
PROGRAM
printf '#!/bin/bash\n[ ! -e "%s/no-$2" ]\n' "$scratch" >"$scratch/bin/pkg-config"
for name in gcc gnuplot clang-15 llvm-spirv-15 spirv-val; do printf '#!/bin/bash\n' >"$scratch/bin/$name"; done
for name in apt-get apt-cache sudo; do printf '#!/bin/bash\necho "$(basename "$0") $*" >>"%s/apt"\nexit 1\n' "$scratch" >"$scratch/bin/$name"; done
chmod +x "$scratch/bin"/*
export PATH=$scratch/bin:$PATH
unset HMBENCH_BUILD

fresh() { rm -rf "$root/build" "$root"/*-fails "$scratch"/no-* "$scratch/apt"; }
targets() { sed -n 's/^ninja //p' "$root/build/calls" | tail -n 1; }
expect_targets() {
    local wanted=$1
    shift
    "$root/hmbench" "$@" >"$scratch/out" 2>&1
    expect "targets of: $*" "$wanted" "$(targets)"
}

arguments_and_exit_code_go_through() {
    local out status
    fresh
    out=$("$root/hmbench" list 'two words' '' '*' --flag 2>/dev/null)
    status=$?
    expect status 7 $status
    expect arguments '<list><two words><><*><--flag>' "$out"
}

it_is_configured_once() {
    fresh
    "$root/hmbench" list >/dev/null 2>&1
    "$root/hmbench" list >/dev/null 2>&1
    expect calls 'configured ninja hmbench ninja hmbench ' "$(tr '\n' ' ' <"$root/build/calls")"
}

it_runs_through_a_link_from_another_folder() {
    fresh
    ln -sf "$root/hmbench" "$scratch/elsewhere/link"
    expect arguments '<doctor>' "$(cd "$scratch/elsewhere" && ./link doctor 2>/dev/null)"
}

it_builds_the_engine_modules_that_a_command_names() {
    fresh
    expect_targets 'hmbench' list variants
    expect_targets 'hmbench module_best module_naive' suite short
    expect_targets 'hmbench module_best' generate --tags pop -o a.wav
    expect_targets 'hmbench module_naive' generate --variant naive
    expect_targets 'hmbench module_best' speak --text hello -o a.wav
    expect_targets 'hmbench module_best' transcribe voice.wav --srt voice.srt
    expect_targets 'hmbench module_naive' suite short -V naive
    expect_targets 'hmbench module_best module_naive module_reference-heartlib' inspect dir
    expect_targets 'hmbench module_alone-kv module_best module_naive' suite short --variant naive,alone-kv --variant=best
    expect_targets 'hmbench module_custom' decode --variant best:attn=scores,kv=concat
    expect_targets 'hmbench module_custom module_naive' suite --variant naive,best:attn=scores,kv=concat
    expect_targets 'hmbench module_best module_custom module_naive' suite short -a threads=1,2 # a toggle needs the runtime build
    expect_targets 'hmbench module_best module_custom' suite short --variant best --axis=flow_steps=5,10
    expect_targets 'hmbench module_best' gate short --base ../main
    expect_targets 'hmbench module_best module_naive' gate short --base naive
    expect_targets 'hmbench module_custom module_naive' gate short --base naive --cand best:kv=concat
    expect_targets 'hmbench variants' verify dir --variant all
    expect_targets 'hmbench' verify dir --variant 'no;such' # the program refuses it
}

a_tab_asks_the_program_that_is_there_and_builds_nothing() {
    local out status
    fresh
    : >"$scratch/no-jansson"
    out=$("$root/hmbench" completion words -- su 2>&1)
    status=$?
    expect 'status without a program' 0 $status
    expect 'answer without a program' '' "$out"
    [ ! -e "$root/build" ] || fail "it made a build folder"
    rm "$scratch/no-jansson"
    "$root/hmbench" list >/dev/null 2>&1
    out=$("$root/hmbench" completion words -- su 2>&1)
    status=$?
    expect status 7 $status
    expect answer '<completion><words><--><su>' "$out"
    expect 'calls' 'configured ninja hmbench ' "$(tr '\n' ' ' <"$root/build/calls")"
}

what_is_missing_is_listed_and_not_installed() {
    local status
    fresh
    : >"$scratch/no-jansson"
    : >"$scratch/no-uuid"
    "$root/hmbench" --no-install list >"$scratch/out" 2>&1
    status=$?
    expect status 69 $status
    [ ! -e "$scratch/apt" ] || fail "it called: $(cat "$scratch/apt")"
    grep -q 'libjansson-dev (JSON)' "$scratch/out" || fail "$(cat "$scratch/out")"
    grep -q 'apt-get install libjansson-dev uuid-dev$' "$scratch/out" || fail "$(cat "$scratch/out")"
}

what_cannot_be_installed_is_said() {
    local status
    fresh
    : >"$scratch/no-jansson"
    "$root/hmbench" list >"$scratch/out" 2>&1 </dev/null
    status=$?
    expect status 69 $status
    grep -q 'install --no-install-recommends libjansson-dev$' "$scratch/apt" || fail "calls: $(cat "$scratch/apt")"
    grep -q 'apt-get failed' "$scratch/out" || fail "$(cat "$scratch/out")"
}

a_failed_configuration_is_shown() {
    local status
    fresh
    : >"$root/cmake-fails"
    "$root/hmbench" list >"$scratch/out" 2>&1
    status=$?
    expect status 70 $status
    grep -q 'CMake Error: no such thing' "$scratch/out" || fail "$(cat "$scratch/out")"
}

a_failed_build_shows_what_the_compiler_said() {
    local status
    fresh
    : >"$root/ninja-fails"
    "$root/hmbench" list >"$scratch/out" 2>&1
    status=$?
    expect status 70 $status
    grep -q 'a.c:1: error: no' "$scratch/out" || fail "$(cat "$scratch/out")"
}

two_at_once_build_one_after_the_other() {
    local i
    fresh
    for i in 1 2 3 4; do "$root/hmbench" list >/dev/null 2>&1 & done
    wait
    ! grep -q 'two at once' "$root/build/calls" || fail "two builds ran at once"
    expect 'configured' 1 "$(grep -c configured "$root/build/calls")"
    expect 'ninja calls' 4 "$(grep -c ninja "$root/build/calls")"
}

a_build_from_another_place_is_configured_again() {
    fresh
    "$root/hmbench" list >/dev/null 2>&1
    mv "$root" "$scratch/moved"
    expect arguments '<list>' "$("$scratch/moved/hmbench" list 2>/dev/null)"
    expect 'configured' 2 "$(grep -c configured "$scratch/moved/build/calls")"
    mv "$scratch/moved" "$root"
}

check arguments_and_exit_code_go_through
check it_is_configured_once
check it_runs_through_a_link_from_another_folder
check it_builds_the_engine_modules_that_a_command_names
check a_tab_asks_the_program_that_is_there_and_builds_nothing
check what_is_missing_is_listed_and_not_installed
check what_cannot_be_installed_is_said
check a_failed_configuration_is_shown
check a_failed_build_shows_what_the_compiler_said
check two_at_once_build_one_after_the_other
check a_build_from_another_place_is_configured_again
finish
