#!/bin/sh
# What `make demo` runs, in the folder named: phantoms to a table of metrics.
set -eu
model=$(pwd)/examples/small.model
cd "$1"
start=$(date +%s)

# Show a command, then run it.
run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

cat <<'EOF'

Synthetic breast-ultrasound scans, 60 of each class, go through the whole
toolkit.  Each network is tested on the fold that it has not seen.
EOF
run busi-phantom -o scans --benign 60 --malignant 60 --normal 60
run busi-strip --expect benign=60,malignant=60,normal=60 -o scans.tsv scans
run busi-dup -o groups.tsv scans.tsv
run busi-split -k 5 -o folds.tsv groups.tsv
run busi-split --check folds.tsv
run busi-prep --resize 128x128 --crop 128 -o data.safetensors scans.tsv
for i in 0 1 2 3 4; do
    run busi-train -d data.safetensors -f folds.tsv --fold $i -m "$model" \
        --size 112 -e 30 -b 16 --lr 0.05 --select last --device cpu \
        --log "log-$i.tsv" -o "fold-$i.safetensors"
    run busi-predict -m "fold-$i.safetensors" -d data.safetensors \
        -f folds.tsv --fold $i --device cpu -o "pred-$i.tsv"
done
run busi-eval -l folds.tsv -o metrics.tsv pred-0.tsv pred-1.tsv pred-2.tsv \
    pred-3.tsv pred-4.tsv
printf '\nPooled over the five test folds, with 95 %% intervals:\n\n'
awk -F'\t' '$7 == "fold" || $7 == "pooled" {
    printf "%-18s %-22s %8s %8s %8s %5s\n", $1, $2, substr($3, 1, 6),
        substr($4, 1, 6), substr($5, 1, 6), $6 }' metrics.tsv
printf '\n%s s.  All files: %s\n' "$(($(date +%s) - start))" "$(pwd)"
