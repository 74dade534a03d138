#!/bin/sh
# table1-plot.sh FOLDER ROW...: FOLDER/table1.svg and .png, where overfitting
# starts: accuracy by epoch on train and test rows (fold 0, paper's protocol).
set -eu
folder=$1
shift
[ $# -gt 0 ] || exit 0
if ! command -v gnuplot >/dev/null; then
    echo "gnuplot is not installed: no curves are drawn" >&2
    exit 0
fi
columns=$((($# + 1) / 2))
for kind in svg png; do
    {
        if [ $kind = svg ]; then
            echo "set terminal svg size $((columns * 260)),520 font 'sans,11'"
        else
            echo "set terminal pngcairo size $((columns * 260)),520 font 'sans,9'"
        fi
        echo "set output '$folder/table1.$kind'"
        echo "set multiplot layout 2,$columns"
        echo "set yrange [0:1]; set xlabel 'epoch'; set grid lw 0.5"
        echo "set key bottom right; set datafile separator tab"
        echo "set datafile missing 'NA'"
        for row; do
            log=$folder/paper/$row/fold-0.tsv
            title=$(echo "$row" | sed 's/_/\\\\_/g')
            echo "set title \"$title\""
            echo "plot '$log' using 1:4 skip 1 with lines lw 2 lc rgb '#0072b2' \
title 'train', '$log' using 1:6 skip 1 with lines lw 2 lc rgb '#d55e00' title 'test'"
        done
        echo "unset multiplot"
    } | gnuplot
done
