#!/bin/sh
# table1.sh PAPER.tsv FOLDER PART...: one table of what the parts gave.
#
# p_secs, p_train, p_test: the paper's figures.  seconds: of training, per fold;
# train: accuracy at the chosen epoch, mean over the folds; test, lo, hi, n: that
# of the test rows with its 95 % interval, pooled over the folds tested.
# test_10, test_50: the best of the first 10 and 50 epochs, as the paper's rows
# that chose on the test rows would have had it.
set -eu
paper=$1 folder=$2
shift 2
printf 'row\tprotocol\tp_secs\tp_train\tp_test\tseconds\t'
printf 'train\ttest\tlo\thi\tn\ttest_10\ttest_50\n'

# The mean over the logs of one part: seconds, accuracy at the kept epoch, ...
logs() {
    # cv.mk keeps the list of its folds; more may lie there from before.
    read -r folds <"$1/metrics.settings"
    for fold in $folds; do
        model=$1/fold-$fold.safetensors
        epoch=$("${BUSI_BIN:-}busi-info" "$model" | awk '$1 == "epoch" { print $2 }')
        awk -F'\t' -v epoch="$epoch" '
            NR == 1 { for (i = 1; i <= NF; i++) c[$i] = i; next }
            {
                s += $c["seconds"]
                v = $c["val_acc"]
                if ($1 <= 10 && v > ten) ten = v
                if ($1 <= 50 && v > fifty) fifty = v
                if ($1 == epoch) train = $c["train_acc"]
            }
            END { print s, train, ten, fifty }' "${model%.safetensors}.tsv"
    done | awk '{ for (i = 1; i < 5; i++) s[i] += $i }
        END { printf "%.1f %.3f %.3f %.3f\n", s[1] / NR, s[2] / NR, s[3] / NR,
            s[4] / NR }'
}

for part in "$@"; do
    row=${part#*/} protocol=${part%%/*}
    figures=$(awk -F'\t' -v row="$row" -v OFS='\t' '
        $1 == row { print $7, $8, $9; found = 1 }
        END { if (!found) print "NA", "NA", "NA" }' "$paper")
    # shellcheck disable=SC2046     # four words
    set -- $(logs "$folder/$part")
    [ "$protocol" = paper ] || set -- "$1" "$2" NA NA
    awk -F'\t' -v OFS='\t' -v row="$row" -v protocol="$protocol" \
        -v figures="$figures" -v s="$1" -v train="$2" -v ten="$3" \
        -v fifty="$4" '
        NR == 1 { for (i = 1; i <= NF; i++) c[$i] = i; next }
        $c["metric"] == "accuracy" && (n == "" || $c["fold"] == "pooled") { v = $c["value"]; lo = $c["lo"]
            hi = $c["hi"]; n = $c["n"] }
        END { printf "%s\t%s\t%s\t%s\t%s\t%.3f\t%.3f\t%.3f\t%s\t%s\t%s\n", row,
            protocol, figures, s, train, v, lo, hi, n, ten, fifty }' \
        "$folder/$part/metrics.tsv"
done
