#!/bin/sh
# Would make check notice?  Plants the faults of tests/mutants.tsv one at a time
# in a copy of the tree, and runs the tests beside each, and all the others if
# those pass, until one fails.
#
#     mutate.sh SOURCE-TREE [MOST-MISSED [FIRST LAST]]
#
# Prints a line per fault and ends with 1 if more than MOST-MISSED (1) are
# missed, or if a fault no longer fits the source.
set -eu
from=$1 most=${2:-1} first=${3:-1} last=${4:-999}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
CC=${CC:-gcc}
if command -v ccache >/dev/null; then CC="ccache $CC"; fi
(cd "$from" && tar cf - --exclude=build Makefile README.md LICENSE cmd lib \
    kernels pipelines man tests examples) | (cd "$dir" && tar xf -)
cd "$dir"
make_() {
    make -j2 CUDA=0 CC="$CC" "$@" >make.log 2>&1
}
# The paths that run.sh wants, of tests by name.
paths() {
    for t; do
        case $t in
        t-*) echo "tests/$t.sh" ;;
        *) echo "build/tests/$t" ;;
        esac
    done
}
built() {
    paths "$@" | grep '^build' || true
}
CRASH_POINTS=${CRASH_POINTS:-1}
export CRASH_POINTS

# Replace the only place of $2 in file $1 by $3.
plant() {
    awk -v from="$2" -v to="$3" '
        BEGIN { RS = "\001" }
        {
            at = index($0, from)
            rest = substr($0, at + length(from))
            if (at == 0 || index(rest, from) > 0)
                exit 1
            printf "%s%s%s", substr($0, 1, at - 1), to, rest
        }' "$1" >planted && mv planted "$1"
}

used=$(awk -F '\t' -v a="$first" -v b="$last" \
    'NR - 1 >= a && NR - 1 <= b { print $2 }' tests/mutants.tsv |
    tr ' ' '\n' | sort -u)
# t-predict makes its models with check_model.
make_ all build/tests/check_model $(built $used) || { tail make.log; exit 1; }
sh tests/run.sh build $(paths $used) >run.log ||
    { echo "tests fail without a fault:"; cat run.log; exit 1; }
n=0 caught=0
tab=$(printf '\t')
sed 1d tests/mutants.tsv >table
while IFS=$tab read -r file tests old new; do
    n=$((n + 1))
    [ $n -ge "$first" ] && [ $n -le "$last" ] || continue
    cp "$file" kept
    plant "$file" "$old" "$new" ||
        { echo "$n: '$old' is not once in $file"; exit 1; }
    by=
    make_ all $(built $tests) ||
        { tail make.log; echo "$n does not compile"; exit 1; }

    for t in $tests; do
        [ -z "$by" ] || break
        timeout 600 sh tests/run.sh build "$(paths $t)" >run.log 2>&1 </dev/null ||
            by=$t
    done
    if [ -z "$by" ]; then
        # All the rest of make check.
        make_ checks
        timeout 1800 sh tests/run.sh build >run.log 2>&1 </dev/null ||
            by=$(sed -n 's/^FAIL \([^ ]*\).*/\1/p' run.log | head -n 1)
    fi
    if [ -n "$by" ]; then
        caught=$((caught + 1))
        echo "$n caught by $by: $file: $new"
    else
        echo "$n MISSED: $file: $old -> $new"
    fi
    cp kept "$file"
    touch "$file"
done <table
total=$(wc -l <table)
[ "$last" -ge "$total" ] || total=$last
total=$((total - first + 1))
echo "$caught of $total faults caught"
[ $((total - caught)) -le "$most" ]
