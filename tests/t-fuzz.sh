#!/bin/sh
# The parsers on the fuzzers' corpus, and on every cut of each file in it.
. "$(dirname "$0")/lib.sh"
for f in "$top"/tests/fuzz/fuzz_*.c; do
    name=$(basename "$f" .c)
    name=${name#fuzz_}
    "$BUILD/tests/replay_$name" "$top/tests/fuzz/corpus/$name"/* >out 2>err ||
        bad "$name: status $?: $(tail -n 2 err)"
done
