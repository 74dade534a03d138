#!/bin/sh
# What `make bench-gpu` runs: our training steps on a GPU beside PyTorch's, in
# turn, and 100 epochs from process start to end; then a table
#
#   what  batch  ours  share of peak  eager  max-autotune  ratio  unit
#
# ratio: ours over the better of the two peers.  Pictures lie on the GPU in
# both; ours augment them in every step, the peer takes the same batch again.
#
#   PEERS=DIR           with torch_train.py (default ../shared/peers)
#   PEERS_PYTHON=...    a Python with PyTorch and torchvision (python3)
#   NETS, BATCHES       what is timed (all five; 64 128)
#   SECONDS_MOST=480    max-autotune compiles for minutes: what would begin
#                       later than this is left out, and said
# Logs are left in $BUILD/bench-gpu.
set -u
peers=${PEERS:-../shared/peers}
python=${PEERS_PYTHON:-python3}
nets=${NETS:-resnet18 resnet34 resnet50 mobilenet_v2 vgg16}
batches=${BATCHES:-64 128}
most=${SECONDS_MOST:-480}
out=$BUILD/bench-gpu
begun=$(date +%s)
mkdir -p "$out"
: >"$out/ours.tsv"
: >"$out/peers.tsv"
left_out=

leave() {
    left_out="$left_out
left out: $*"
}

late() {
    [ $(($(date +%s) - begun)) -gt "$most" ]
}

now() {
    date +%s.%N
}

since() {
    echo "$1 $(now)" | awk '{ printf "%.2f", $2 - $1 }'
}

"$python" -c 'import torch, torchvision
assert torch.cuda.is_available()' 2>"$out/python.err" || {
    leave "the peers: $python has no PyTorch with a GPU" \
        "($(tail -n 1 "$out/python.err"))"
    python=
}
[ -z "$python" ] || [ -e "$peers/torch_train.py" ] || {
    leave "the peers: there is no $peers/torch_train.py"
    python=
}

# ---------------------------------------------------------------------- ours
for net in $nets; do
    for batch in $batches; do
        "$BUILD/tests/bench_gpu" step "$net" "$batch" bf16 40 \
            2>"$out/err" | tee -a "$out/ours.tsv"
        [ ! -s "$out/err" ] || leave "$net, batch $batch: $(cat "$out/err")"
    done
done

# The last process's cuDNN choices are kept: start-up again, warm.
for net in $nets; do
    "$BUILD/tests/bench_gpu" step "$net" "${batches%% *}" bf16 5 2>/dev/null |
        awk -F'\t' '{ print "start to first step, warm:\t" $1 "\t" $9 " s" }'
done >"$out/warm.tsv"

# ----------------------------------------------------------------- the peers
# peer NET BATCH COMPILE: appends net, batch, mode, images/s
peer() {
    timeout 400 "$python" "$peers/torch_train.py" --device cuda --model "$1" \
        --batch "$2" --dtype bf16 --channels-last --steps 40 --warmup 5 \
        ${3:+--compile "$3"} 2>>"$out/peers.err" |
        awk -F'\t' -v how="${3:-eager}" 'NR > 1 {
            print $2 "\t" $7 "\t" how "\t" $9; fflush() }' \
        >>"$out/peers.tsv"
}

if [ -n "$python" ]; then
    for batch in $batches; do
        for net in $nets; do
            late && leave "$net, batch $batch, eager: no time" && continue
            peer "$net" "$batch" ""
        done
    done
fi

# ----------------------------------- 100 epochs, from start to end of process
epochs() {
    net=$1 batch=$2
    "$BUILD/tests/bench_gpu" data "$out/data.st" 624 224 3
    start=$(now)
    "$BUILD/tests/busi-train" -v -d "$out/data.st" --fold all -m "$net" \
        -b "$batch" -e 100 --lr 0.001 --dtype bf16 --device cuda \
        -o "$out/model.st" 2>"$out/train.log" || {
        leave "100 epochs of $net: $(grep -v version "$out/train.log" |
            tail -n 1)"
        return
    }
    ours=$(since "$start") theirs=NA
    if [ -n "$python" ]; then
        start=$(now)
        "$python" "$peers/torch_train.py" --device cuda --model "$net" \
            --batch "$batch" --dtype bf16 --channels-last --warmup 0 \
            --steps $((100 * ((624 + batch - 1) / batch))) \
            >"$out/epochs.log" 2>&1 && theirs=$(since "$start")
    fi
    rm -f "$out/data.st" "$out"/model*.st
    echo "100 epochs of 624, $net, process start to end	$batch	$ours	$theirs" \
        >>"$out/epochs.tsv"
}
: >"$out/epochs.tsv"
epochs resnet34 64

if [ -n "$python" ]; then
    for net in $nets; do
        for batch in $batches; do
            late && leave "$net, batch $batch, max-autotune: no time" &&
                continue
            peer "$net" "$batch" max-autotune
        done
    done
fi

# ----------------------------------------------------------------- the table
printf 'what\tbatch\tours\tof peak\teager\tmax-autotune\tratio\tunit\n'
awk -F'\t' 'FILENAME == ARGV[1] { rate[$1, $2, $3] = $4; next } {
    e = rate[$1, $4, "eager"]; m = rate[$1, $4, "max-autotune"]
    best = (e + 0 > m + 0) ? e + 0 : m + 0
    ratio = (best > 0) ? sprintf("%.2f", $5 / best) : "NA"
    printf("train %s bf16\t%s\t%s\t%.0f %%\t%s\t%s\t%s\timages/s\n", $1, $4,
        $5, 100 * $8, (e == "") ? "NA" : e, (m == "") ? "NA" : m, ratio)
}' "$out/peers.tsv" "$out/ours.tsv"
awk -F'\t' '{ ratio = ($4 + 0 > 0) ? sprintf("%.2f", $4 / $3) : "NA"
    printf("%s\t%s\t%s\t\t%s\tNA\t%s\ts\n", $1, $2, $3, $4, ratio)
}' "$out/epochs.tsv"
awk -F'\t' '{ print "start to first step, cold or warm:\t" $1 "\t" $4 "\t" \
    $9 " s" }' "$out/ours.tsv"
cat "$out/warm.tsv"
echo "the paper took 771 s for 100 epochs of ResNet-34 on two RTX 3080"
echo "$left_out" | sed 1d
awk -F'\t' 'NR == 1 { print $10 }' "$out/ours.tsv"
