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
# Threads of so small a network wait for each other most of the time, and on a
# busy machine tens of times as long: one is nearly as fast.
for i in 0 1 2 3 4; do
    run busi-train -d data.safetensors -f folds.tsv --fold $i -m "$model" \
        --size 112 -e 30 -b 16 --select last --device cpu \
        --log "log-$i.tsv" -o "fold-$i.safetensors"
    run busi-predict -m "fold-$i.safetensors" -d data.safetensors \
        -f folds.tsv --fold $i --device cpu -o "pred-$i.tsv"
done
run busi-eval -l folds.tsv -o metrics.tsv pred-0.tsv pred-1.tsv pred-2.tsv \
    pred-3.tsv pred-4.tsv
for i in 0 1 2 3 4; do
    run busi-predict -m "fold-$i.safetensors" -d data.safetensors \
        -f folds.tsv --fold $(((i + 1) % 5)) --device cpu --allow-train-rows -q \
        -o "val-$i.tsv"
done
run busi-predict -m fold-0.safetensors -d data.safetensors -f folds.tsv \
    --fold 0 --device cpu --cam maps -o cam.tsv
run busi-report --title "Phantoms" -o report.html -l folds.tsv \
    --log log-0.tsv --log log-1.tsv --log log-2.tsv --log log-3.tsv \
    --log log-4.tsv --model fold-0.safetensors --validation val-0.tsv \
    --validation val-1.tsv --validation val-2.tsv --validation val-3.tsv \
    --validation val-4.tsv --cam maps pred-0.tsv pred-1.tsv pred-2.tsv \
    pred-3.tsv pred-4.tsv
printf '\nPooled over the five test folds, with 95 %% intervals:\n\n'
awk -F'\t' 'function short(x) {
        return x ~ /^-?[0-9]/ && x !~ /^[0-9]+$/ ? sprintf("%.4f", x) : x
    }
    $7 == "fold" || $7 == "pooled" {
        printf "%-18s %-22s %8s %8s %8s %5s\n", $1, $2, short($3), short($4),
            short($5), $6
    }' metrics.tsv
printf '\n%s s.  The report: %s\n' "$(($(date +%s) - start))" \
    "$(pwd)/report.html"
