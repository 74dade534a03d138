#!/bin/sh
# When the n-th allocation of our own code fails, a program says so in one
# sentence and ends with status 4, with its output old, whole or absent.
#
# NOMEM_POINTS is how many n of each program (default 8; make torture: all).
. "$(dirname "$0")/lib.sh"
points=${NOMEM_POINTS:-8}
${CC:-cc} -D_GNU_SOURCE -shared -fPIC -O1 -o fail.so \
    "$top/tests/fail_alloc.c" || exit 1
cases=0
spine

# fail OUT N COMMAND: one case
fail() {
    out=$1 n=$2
    shift 2
    cases=$((cases + 1))
    rm -rf "$out"
    [ $((n % 2)) = 0 ] || [ "$out" = folder ] || echo old >"$out"
    FAIL_AT=$n LD_PRELOAD=$PWD/fail.so timeout 60 "$@" >data 2>err </dev/null
    status=$?
    case $status in
    0) [ "$out" = folder ] || cmp -s "$out" whole ||
        bad "allocation $n: status 0 and no whole output: $*" ;;
    4) [ "$(wc -l <err)" = 1 ] && grep -q "^$1: out of memory (" err ||
        bad "allocation $n is told so: $(head -n 3 err): $*" ;;
    *) bad "allocation $n: status $status: $(head -n 3 err): $*" ;;
    esac
    [ "$out" = folder ] || [ ! -e "$out" ] || cmp -s "$out" whole ||
        [ "$(cat "$out")" = old ] || bad "allocation $n: torn: $*"
}

# sweep OUT COMMAND: from the first allocation to the last
sweep() {
    out=$1
    shift
    rm -rf "$out"
    FAIL_COUNT=count LD_PRELOAD=$PWD/fail.so "$@" >data 2>err </dev/null ||
        bad "$(head -n 2 err): $*"
    total=$(cat count)
    [ "$out" = folder ] || cp "$out" whole
    step=$(((total + points - 1) / points))
    n=$total before=$failures
    while [ "$n" -gt 0 ]; do
        fail "$out" "$n" "$@"
        n=$((n - step))
    done
    "$@" >data 2>err </dev/null || bad "no rerun: $(head -n 2 err): $*"
    [ "$out" = folder ] || cmp -s "$out" whole || bad "another rerun: $*"
    [ -z "$(find . -name '.*.part')" ] || bad "a part stays: $*"
    echo "$1: $total allocations, $((failures - before)) failures"
}

sweep folder busi-phantom -q -o folder --benign 1 --malignant 1 --normal 1
writers sweep
sweep x.st $train --device cpu --threads 2 -o x.st
sweep x.tsv busi-predict -q -m model.st -d d.st --allow-train-rows \
    --device cpu -o x.tsv
sweep folder busi-info --verify d.st f.tsv model.st
echo "$cases failing allocations"
