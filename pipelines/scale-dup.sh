#!/bin/sh
# What `make scale-dup` runs: phantoms with planted copies through busi-dup, more
# and more of them.  Time and memory are those of busi-dup; found is the share of
# the planted pairs that share a group, false the pairs listed that were not
# planted.
set -eu
dir=$BUILD/scale-dup
mkdir -p "$dir"
printf 'scans\tseconds\tcpu_s\tMB\tplanted\tfound\tfalse\n'
for n in ${SCANS:-1000 5000 20000}; do
    [ -s "$dir/$n/truth.tsv" ] || "$BUILD/tests/plant_dups" "$dir/$n" "$n"
    "$BUILD/bin/busi-strip" -q -o "$dir/$n.tsv" "$dir/$n"
    "$BUILD/bin/busi-dup" -v --pairs "$dir/$n.pairs" -o "$dir/$n.dup" \
        "$dir/$n.tsv" 2>"$dir/$n.err"
    # The trailer: version, wall, CPU, memory.
    tail -n 1 "$dir/$n.err" | sed 's/.*version [^,]*, //; s/ s wall//
        s/ s CPU//; s/ MB peak.*//; s/, / /g' >"$dir/$n.cost"
    awk -F'\t' -v OFS='\t' -v n="$n" -v cost="$(cat "$dir/$n.cost")" \
        -v kinds="$dir/$n.kinds" '
        FILENAME ~ /dup$/ && FNR == 1 { for (i = 1; i <= NF; i++) c[$i] = i }
        FILENAME ~ /dup$/ { group[$c["id"]] = $c["group"]; next }
        FNR == 1 { next }
        FILENAME ~ /truth/ {
            planted++; all[$3]++; true[$1, $2]
            if (group[$1] == group[$2]) { found++; kind[$3]++ }
            next
        }
        !(($1, $2) in true) && !(($2, $1) in true) { wrong++ }
        END {
            split(cost, x, " ")
            print n, x[1], x[2], x[3], planted, found / planted, wrong + 0
            for (k in all)
                printf "%s\t%d of %d\n", k, kind[k], all[k] >kinds
        }' "$dir/$n.dup" "$dir/$n/truth.tsv" "$dir/$n.pairs"
done
printf '\nby kind, of the last:\n'
sort "$dir/$n.kinds"
