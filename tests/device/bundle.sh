#!/usr/bin/env bash
# bundle.sh BUILD OUT.tar.gz: what a machine with a GPU and nothing of ours needs, at most 50 MiB. BUILD is a build for that GPU alone:
#   cmake -B BUILD -DHM_CUDA_ARCHS=90a && cmake --build BUILD --target hmbench module_best module_custom device_micro
# There: tar xzf OUT.tar.gz && hmbench-device/run
set -euo pipefail
[ $# = 2 ] || { echo "usage: bundle.sh BUILD OUT.tar.gz" >&2; exit 64; }
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$1 out=$2 most=$((50 << 20))
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
to=$folder/hmbench-device
mkdir -p "$to/variants" "$to/goldens" "$to/lib"
cp "$build/hmbench" "$to/program"
strip "$to/program"
for module in best custom naive reference-heartlib reference-qwen; do
    [ -e "$build/variants/$module.so" ] || continue
    cp "$build/variants/$module.so" "$to/variants/"
    strip --strip-unneeded "$to/variants/$module.so"
done
[ -e "$to/variants/best.so" ] || { echo "bundle.sh: $build has no module best" >&2; exit 66; }
# Libraries that Debian's packages bring here, but for the C library's: that machine may not have them.
ldd "$build/hmbench" "$to"/variants/*.so | awk '$3 ~ /^\// { print $3 }' | sort -u |
    grep -vE '/(libc|libm|libdl|librt|libpthread|ld-linux[^/]*)\.so' | while read -r library; do cp -L "$library" "$to/lib/"; done
printf '#!/bin/sh\nhere=$(dirname "$(readlink -f "$0")")\nLD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} HMBENCH_MODULES=$here/variants HMBENCH_SUITES=$here/suites exec "$here/program" "$@"\n' >"$to/hmbench"
chmod +x "$to/hmbench"
cp "$source/tests/device/run" "$to/"
[ ! -x "$build/tests/device_micro" ] || cp "$build/tests/device_micro" "$to/"
cp -r "$source/tests/goldens/heart" "$source/tests/goldens/qwen3-tts" "$to/goldens/"
cp -r "$source/suites" "$to/suites"
mkdir "$to/adapters"
cp "$source"/harness/adapters/*.py "$to/adapters/"
rm -f "$to"/suites/*.[ch] "$to/suites/CMakeLists.txt"
tar -C "$folder" -czf "$out" hmbench-device
bytes=$(stat -c %s "$out")
echo "$out: $((bytes >> 10)) KiB"
[ "$bytes" -le "$most" ] || { echo "bundle.sh: $out has $bytes bytes, at most $most are wanted; was $build made for one GPU?" >&2; exit 1; }
