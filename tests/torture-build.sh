#!/bin/sh
# The same source in two folders, at two times, makes the same bytes.
# Usage: torture-build.sh SOURCE-TREE
set -eu
from=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for copy in one "two of them"; do
    mkdir -p "$dir/$copy"
    (cd "$from" && tar cf - Makefile README.md cmd lib kernels pipelines man \
        tests examples) | (cd "$dir/$copy" && tar xf -)
    find "$dir/$copy" -type f -exec touch {} +
    (cd "$dir/$copy" && TZ="UTC-$((${#copy}))" make -s -j2 CUDA=0 all)
    sleep 1
done
for f in "$dir"/one/build/bin/* "$dir"/one/build/lib/busi/*.so; do
    cmp "$f" "$dir/two of them/build/${f#"$dir"/one/build/}"
done
echo "programs and plugins: the same bytes"
