#!/bin/sh
# What `make bench-gpu` runs on a GPU: sh pipelines/bench-gpu.sh [PART...]
#
#   steps    our training steps beside PyTorch's, in turn; pictures lie on the
#            GPU in both; ours augment them in every step, the peer takes the
#            same batch again
#   epochs   100 epochs of 624 pictures, process start to end, beside PyTorch's
#            and the paper's seconds
#   folds    five folds of four networks, 100 epochs each: 20 processes one
#            after another, validation and test of each in it
#
# (default: all), then a table
#
#   what  batch  ours  share of peak  eager  max-autotune  ratio  unit  paper
#
# ratio: ours over the better of the two peers.  What does not fit into a
# part's budget is left out, and said; what is late is ended.
#
#   PEERS=DIR           with torch_train.py (default shared/peers, here or
#                       beside this folder)
#   PEERS_PYTHON=...    a Python with PyTorch and torchvision (python3)
#   NETS, BATCHES       of the steps (all five; 64 128)
#   RUNS                of the epochs: NET:BATCH:PAPER'S SECONDS
#   FOLD_NETS           of the folds
#   STEPS_MOST=240 EPOCHS_MOST=180 FOLDS_MOST=280      budgets, in seconds
#   DEVICE, DTYPE, SIDE, ROWS, EPOCHS   of epochs and folds: small ones on a CPU
#                       try the script out
# Logs are left in $BUILD/bench-gpu.
set -u
parts=${*:-steps epochs folds}
peers=${PEERS:-shared/peers}
[ -n "${PEERS:-}" ] || [ -e "$peers" ] || peers=../shared/peers
python=${PEERS_PYTHON:-python3}
nets=${NETS:-resnet18 resnet34 resnet50 mobilenet_v2 vgg16}
batches=${BATCHES:-64 128}
runs=${RUNS:-resnet34:64:771 resnet18:128:799 resnet50:64:770.45 \
mobilenet_v2:128:801}
fold_nets=${FOLD_NETS:-resnet18 resnet34 resnet50 mobilenet_v2}
device=${DEVICE:-cuda}
dtype=${DTYPE:-bf16}
side=${SIDE:-224}
rows=${ROWS:-624}
epochs=${EPOCHS:-100}
out=$BUILD/bench-gpu
mkdir -p "$out"
for f in ours peers warm epochs epoch-peers folds; do
    : >"$out/$f.tsv"
done
left_out=

leave() {
    left_out="$left_out
left out: $*"
}

now() {
    date +%s.%N
}

since() {
    echo "$1 $(now)" | awk '{ printf "%.2f", $2 - $1 }'
}

# Begin a part that may take $1 seconds; left: those that remain, 1 at least.
budget() {
    ends=$(($(date +%s) + $1))
}

left() {
    remain=$((ends - $(date +%s)))
    [ "$remain" -gt 0 ] || remain=1
    echo "$remain"
}

late() {
    [ "$(date +%s)" -ge "$ends" ]
}

# peer NET BATCH STEPS WARMUP COMPILE: the peer's table
peer() {
    timeout "$(left)" "$python" "$peers/torch_train.py" --device "$device" \
        --model "$1" --batch "$2" --dtype "$dtype" --channels-last \
        --steps "$3" --warmup "$4" ${5:+--compile "$5"} 2>>"$out/peers.err"
}

# ------------------------------------------------------------ steps: images/s
our_steps() {
    for net in $nets; do
        for batch in $batches; do
            late && leave "$net, batch $batch: no time" && continue
            timeout "$(left)" "$BUILD/tests/bench_gpu" step "$net" "$batch" \
                bf16 40 2>"$out/err" >>"$out/ours.tsv" ||
                leave "$net, batch $batch: $(tail -n 1 "$out/err")"
        done
    done
    # The last process's cuDNN choices are kept: start-up again, warm.
    for net in $nets; do
        late && continue
        timeout "$(left)" "$BUILD/tests/bench_gpu" step "$net" \
            "${batches%% *}" bf16 5 2>/dev/null >>"$out/warm.tsv"
    done
}

# peer_steps HOW COMPILE: appends net, batch, how, images/s
peer_steps() {
    for batch in $batches; do
        for net in $nets; do
            late && leave "$net, batch $batch, $1: no time" && continue
            peer "$net" "$batch" 40 5 "$2" | awk -F'\t' -v how="$1" 'NR > 1 {
                print $2 "\t" $7 "\t" how "\t" $9 }' >"$out/peer"
            [ -s "$out/peer" ] || leave "$net, batch $batch, $1: not ended"
            cat "$out/peer" >>"$out/peers.tsv"
        done
    done
}

# ------------------------------------------ whole trainings, from start to end
# trained NET BATCH LOG ARGS...: seconds of a training as the peer's, or NA
trained() {
    net=$1 batch=$2 log=$3
    shift 3
    start=$(now)
    if timeout "$(left)" "$BUILD/tests/busi-train" -v -d "$out/data.st" \
        -m "$net" -b "$batch" -e "$epochs" --optimizer sgd --lr 0.001 \
        --momentum 0.9 --ema 0 --dtype "$dtype" --device "$device" \
        -o "$out/model.st" "$@" 2>"$log"; then
        since "$start"
    else
        echo NA
    fi
    rm -f "$out"/model*.st
}

why() {
    grep -v '^busi-train: version' "$1" | tail -n 1
}

# Ours first: what the budget leaves is the peer's.
all_runs() {
    "$BUILD/tests/bench_gpu" data "$out/data.st" "$rows" "$side" 3
    for run in $runs; do
        net=${run%%:*} batch=${run#*:} paper=${run##*:}
        batch=${batch%:*} ours=NA
        log=$out/$net-$batch.log
        late || ours=$(trained "$net" "$batch" "$log" --fold all)
        if [ "$ours" = NA ]; then
            late || leave "$epochs epochs of $net: $(why "$log")"
            late && leave "$epochs epochs of $net: no time"
            continue
        fi
        printf '%s\t%s\t%s\t%s\n' "$net" "$batch" "$ours" "$paper" \
            >>"$out/epochs.tsv"
    done
    while [ -n "$python" ] && read -r net batch ours paper; do
        late && leave "$epochs epochs of $net, eager: no time" && continue
        start=$(now)
        peer "$net" "$batch" $((epochs * ((rows + batch - 1) / batch))) 0 "" \
            >"$out/$net-$batch.peer" </dev/null &&
            ! grep -q failed "$out/$net-$batch.peer" &&
            printf '%s\t%s\t%s\n' "$net" "$batch" "$(since "$start")" \
                >>"$out/epoch-peers.tsv" ||
            leave "$epochs epochs of $net, eager: not ended"
    done <"$out/epochs.tsv"
}

# As many pictures as BUSI has for 624 in four folds; the paper's batch of 64.
all_folds() {
    n=$((rows * 5 / 4)) ended=0 all=0
    "$BUILD/tests/bench_gpu" data "$out/data.st" "$n" "$side" 3
    awk -v n="$n" 'BEGIN { print "id\tlabel\tfold"
        for (i = 0; i < n; i++) printf("picture-%05d\t%s\t%d\n", i,
            substr("abc", i % 3 + 1, 1), int(i / 3) % 5) }' >"$out/folds.in"
    first=$(now)
    for net in $fold_nets; do
        for fold in 0 1 2 3 4; do
            all=$((all + 1))
            late && continue
            seconds=$(trained "$net" 64 "$out/$net-fold$fold.log" \
                -f "$out/folds.in" --fold "$fold")
            if [ "$seconds" = NA ]; then
                leave "$net, fold $fold: $(why "$out/$net-fold$fold.log")"
                continue
            fi
            ended=$((ended + 1))
            printf '%s\t%s\t%s\n' "$net" "$fold" "$seconds" >>"$out/folds.tsv"
        done
    done
    took=$(since "$first")
    [ "$ended" = "$all" ] || leave "$((all - ended)) of $all folds"
    whole="$ended of $all trainings of $epochs epochs in $took s"
}

# ----------------------------------------------------------------------- run
"$python" -c 'import sys, torch, torchvision
assert sys.argv[1] == "cpu" or torch.cuda.is_available()' "$device" \
    2>"$out/python.err" || {
    leave "the peers: $python has no PyTorch with a GPU" \
        "($(tail -n 1 "$out/python.err"))"
    python=
}
[ -z "$python" ] || [ -e "$peers/torch_train.py" ] || {
    leave "the peers: there is no $peers/torch_train.py"
    python=
}
whole=
for part in $parts; do
    case $part in
    steps)
        budget "${STEPS_MOST:-240}"
        our_steps
        [ -z "$python" ] || peer_steps eager ""
        [ -z "$python" ] || peer_steps max-autotune max-autotune
        ;;
    epochs)
        budget "${EPOCHS_MOST:-180}"
        all_runs
        ;;
    folds)
        budget "${FOLDS_MOST:-280}"
        all_folds
        ;;
    *)
        echo "bench-gpu.sh: there is no part '$part'" >&2
        exit 2
        ;;
    esac
    rm -f "$out/data.st"
done

# ----------------------------------------------------------------- the table
printf 'what\tbatch\tours\tof peak\teager\tmax-autotune\tratio\tunit\tpaper\n'
awk -F'\t' 'FILENAME == ARGV[1] { rate[$1, $2, $3] = $4; next } {
    e = rate[$1, $4, "eager"]; m = rate[$1, $4, "max-autotune"]
    best = (e + 0 > m + 0) ? e + 0 : m + 0
    ratio = (best > 0) ? sprintf("%.2f", $5 / best) : "NA"
    printf("train %s bf16\t%s\t%s\t%.0f %%\t%s\t%s\t%s\timages/s\t\n", $1, $4,
        $5, 100 * $8, (e == "") ? "NA" : e, (m == "") ? "NA" : m, ratio)
}' "$out/peers.tsv" "$out/ours.tsv"
awk -F'\t' -v what="$epochs epochs of $rows" 'FILENAME == ARGV[1] {
    theirs[$1, $2] = $3; next } {
    t = theirs[$1, $2]
    ratio = (t > 0 && $3 > 0) ? sprintf("%.2f", t / $3) : "NA"
    printf("%s, %s\t%s\t%s\t\t%s\tNA\t%s\ts\t%s\n", what, $1, $2, $3,
        (t == "") ? "NA" : t, ratio, $4)
}' "$out/epoch-peers.tsv" "$out/epochs.tsv"
awk -F'\t' '{ if (!($1 in n)) order[++k] = $1; n[$1]++; s[$1] += $3 } END {
    for (i = 1; i <= k; i++)
        printf("%d folds, %s\t64\t%.2f\t\tNA\tNA\tNA\ts\t\n", n[order[i]],
            order[i], s[order[i]])
}' "$out/folds.tsv"
for f in ours warm; do
    awk -F'\t' -v f=$f '{ print "start to first step, " (f == "warm" ? \
        "warm" : "cold or warm") ":\t" $1 "\t" $4 "\t" $9 " s" }' \
        "$out/$f.tsv"
done
[ -z "$whole" ] || echo "$whole"
echo "$left_out" | sed 1d
awk -F'\t' 'NR == 1 { print $10 }' "$out/ours.tsv"
