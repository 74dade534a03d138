#!/bin/sh
# The main job, as `make demo` runs it.
. "$(dirname "$0")/lib.sh"
mkdir demo
(cd "$top" && sh pipelines/demo.sh "$scratch/demo") >out 2>err || bad "make demo: $(tail -n 3 err)"
has out '^accuracy'
for f in metrics.tsv report.html; do
    [ -s demo/$f ] || bad "demo/$f was not made: $(ls demo)"
done
