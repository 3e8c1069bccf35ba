# What a machine with a GPU is given, on the software device: a bundle that stands alone, steps that pass and are not run twice.
. "$HM_SOURCE/tests/script.sh"
soft=$HM_BUILD/tests/cuda
[ -e "$soft/libcuda.so.1" ] || skip_all "the software device of CUDA is not built"
[ -e "$HM_BUILD/variants/best.so" ] || skip_all "the module best is not built"

run() { env HMBENCH_CACHE="$scratch/cache" LD_LIBRARY_PATH="$soft" "$scratch/hmbench-device/run" --small --results "$scratch/results" "$@"; }

a_bundle_is_small_and_has_what_it_needs() {
    "$HM_SOURCE/tests/device/bundle.sh" "$HM_BUILD" "$scratch/bundle.tar.gz" || fail "no bundle"
    tar -C "$scratch" -xzf "$scratch/bundle.tar.gz" || fail "no archive"
    (cd / && env -i PATH="$PATH" HOME="$scratch" "$scratch/hmbench-device/hmbench" list suites) | grep -q short || fail "its suites are not found"
}

each_step_passes_on_the_software_device() {
    run doctor speech-codes song-codes hundred || fail "$(cat "$scratch/results/summary")"
    expect "passed steps" 4 "$(grep -c passed "$scratch/results/summary")"
    grep -q "3 generations: equal codes, logits and audio, 400 bytes" "$scratch/results/hundred.log" || fail "$(cat "$scratch/results/hundred.log")"
    grep -q "speech: equal codes" "$scratch/results/speech-codes.log" || fail "codes were not compared"
}

pytorch_is_a_peer_where_it_is_there() {
    local python
    printf '#!/bin/sh\necho torch tokenizers\n' >"$scratch/python" && chmod +x "$scratch/python"
    HM_DEVICE_PYTHON=$scratch/python run torch-song >"$scratch/out" || fail "a step that is skipped is no failure"
    grep -q "torch-song .*skipped: .*python does not have: torch tokenizers" "$scratch/out" || fail "$(cat "$scratch/out")"
    python=${HMBENCH_CACHE:-$HOME/.cache/hmbench}/peers/torch/bin/python
    [ -x "$python" ] && "$python" -c "import torch, safetensors, tokenizers" 2>/dev/null || return 0
    HM_DEVICE_PYTHON=$python run torch-song | grep -q "skipped: PyTorch .* sees no GPU" || fail "$(cat "$scratch/results/torch-song.log")"
}

what_passed_is_not_run_again() {
    expect "the second time" "passed before: doctor" "$(run doctor)"
}

a_step_that_fails_is_told() {
    HM_DEVICE_STEP_SECONDS=0.1 run song-trace >"$scratch/out" && fail "no failure"
    grep -q "song-trace .*FAILED: its time was up" "$scratch/out" || fail "$(cat "$scratch/out")"
    run nonsense 2>/dev/null
    expect "a step that there is not" 64 $?
}

check a_bundle_is_small_and_has_what_it_needs
check each_step_passes_on_the_software_device
check pytorch_is_a_peer_where_it_is_there
check what_passed_is_not_run_again
check a_step_that_fails_is_told
exit $((failures > 0))
