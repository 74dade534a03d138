#!/bin/sh
# scaling.sh FOLDER RANKS...: the table and the diagram of scaling.mk.
set -eu
folder=$1
shift
median() {
    sed 1,2d "$1" | cut -f9 | sort -g | awk '{ x[NR] = $1 }
        END { print NR % 2 ? x[(NR + 1) / 2] : (x[NR / 2] + x[NR / 2 + 1]) / 2 }'
}
first=
{
    printf 'ranks\timages_per_second\tspeedup\tefficiency\n'
    for n; do
        rate=$(median "$folder/$n.tsv")
        [ -n "$first" ] || first=$(echo "$rate $n" | awk '{ print $1 / $2 }')
        echo "$n $rate $first" | awk '{
            printf "%d\t%.2f\t%.2f\t%.2f\n", $1, $2, $2 / $3, $2 / $3 / $1 }'
    done
} >"$folder/scaling.tsv"
awk -F'\t' '{ printf "%6s %18s %8s %11s\n", $1, $2, $3, $4 }' "$folder/scaling.tsv"
echo "on $(nproc) cores"
for n; do
    echo "$n ranks:"
    sed -n 's/^.*\(rank [0-9]*: compute .*\)/  \1/p; s/^.*\(look first: .*\)/  \1/p' \
        "$folder/$n.log"
done
if ! command -v gnuplot >/dev/null; then
    echo "gnuplot is not installed: no diagram is drawn" >&2
    exit 0
fi
gnuplot <<END
set terminal svg size 480,360 font 'sans,11'
set output '$folder/scaling.svg'
set xlabel 'ranks'; set ylabel 'images/s'; set grid lw 0.5
set key left top; set yrange [0:*]; set xrange [0:*]
set datafile separator tab
f(x) = $first * x
plot '$folder/scaling.tsv' using 1:2 skip 1 with linespoints lw 2 pt 7 \
lc rgb '#0072b2' title 'measured', f(x) lc rgb '#999999' title 'one rank times ranks'
END
