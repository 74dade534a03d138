#!/bin/sh
# What `make bench` runs: each of our programs in turn with what a PyTorch user
# would take instead, RUNS times, two threads, medians; then a table
#
#   what  ours  peer  ratio  unit  peer's configuration
#
# A ratio above 1 is in our favour.  PARTS are those of the table to run, NETS
# the networks.  Peers are the scripts of ../shared/peers;
# pipelines/peers.sh finds a Python for them.  What cannot be run is said and
# left out.
set -u
here=$(pwd)
peers=${PEERS:-$here/../shared/peers}
scans=${BUSI:-}
threads=2
dir=$BUILD/bench
mkdir -p "$dir"
left_out=

leave() {
    left_out="$left_out
left out: $*"
}

# ------------------------------------------------------------------ the peers

python=
if [ ! -d "$peers" ]; then
    leave "all peers: there is no $peers"
else
    python=$(sh pipelines/peers.sh) || leave "all peers: no Python for them"
fi

# Run a command and print its peak memory in MB on the file named.
peak() {
    "$python" - "$@" <<'EOF'
import resource, subprocess, sys
rc = subprocess.run(sys.argv[2:], stdout=sys.stdout).returncode
kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
open(sys.argv[1], "w").write("%d\n" % (kb // 1024))
sys.exit(rc)
EOF
}

median() {
    sort -n | awk '{ x[NR] = $1 } END { if (NR == 0) print "NA";
        else if (NR % 2) print x[(NR + 1) / 2];
        else print (x[NR / 2] + x[NR / 2 + 1]) / 2 }'
}

# row WHAT OURS PEER UNIT CONFIGURATION [less]: less is better with "less"
row() {
    awk -v what="$1" -v ours="$2" -v peer="$3" -v unit="$4" -v conf="$5" \
        -v less="${6:-}" 'BEGIN {
        ratio = "NA"
        if (ours + 0 > 0 && peer + 0 > 0)
            ratio = sprintf("%.2f", less == "" ? ours / peer : peer / ours)
        printf "%s\t%s\t%s\t%s\t%s\t%s\n", what, ours, peer, ratio, unit, conf
    }' | tee -a "$dir/table.tsv"
}

# ---------------------------------------------------------------- the networks

# ours MODE NET BATCH DTYPE: images/s, and MB into $dir/ours.mb
ours() {
    "$BUILD/tests/bench_net" "$1" "$2" "$3" "$4" $threads "$steps" \
        2>"$dir/ours.err" | awk -F'\t' -v mb="$dir/ours.mb" \
        '{ print $7; print $8 > mb }'
}

# theirs MODE NET BATCH DTYPE nchw|nhwc|compiled: images/s, and MB into
# $dir/peer.mb
theirs() {
    case $5 in
    nchw) flag= ;;
    nhwc) flag=--channels-last ;;
    compiled) flag="--channels-last --compile default" ;;
    esac
    # shellcheck disable=SC2086 # words
    peak "$dir/peer.mb" "$python" "$peers/torch_train.py" --mode "$1" \
        --model "$2" --batch "$3" --dtype "$4" --threads $threads \
        --steps "$steps" --warmup 2 $flag 2>/dev/null |
        awk -F'\t' 'NR > 1 && $9 > 0 { print $9 }'
}

# One network: first find the peer's best way, then run both in turn.
network() {
    mode=$1 net=$2 batch=$3 dtype=$4
    what="$mode $net $dtype batch $batch"
    steps=2
    if [ -z "$(ours "$@")" ]; then
        leave "$what: $(cat "$dir/ours.err")"
        return
    fi
    way=nchw
    [ -z "$python" ] || way=$(for way in nchw nhwc compiled; do
        echo "$(theirs "$@" $way) $way"
    done | tee "$dir/ways" | sort -g | awk 'END { print $NF }')
    steps=$([ "$batch" = 1 ] && echo 30 || echo 4)
    rm -f "$dir/ours" "$dir/peer"
    touch "$dir/ours" "$dir/peer"
    i=0
    while [ $i -lt "$RUNS" ]; do
        ours "$@" >>"$dir/ours"
        [ -z "$python" ] || theirs "$@" "$way" >>"$dir/peer"
        i=$((i + 1))
    done
    row "$what" "$(median <"$dir/ours")" "$(median <"$dir/peer")" images/s \
        "PyTorch $way"
    [ "$mode" = infer ] || [ ! -s "$dir/peer.mb" ] ||
        row "peak memory of $what" "$(cat "$dir/ours.mb")" \
            "$(cat "$dir/peer.mb")" MB "PyTorch $way" less
}

# No cliff between small batches and large ones: ours alone.
batches() {
    steps=4
    for net in resnet18 mobilenet_v2; do
        for batch in 8 16 32 64 128; do
            row "train $net $fast batch $batch" \
                "$(ours train $net $batch "$fast")" NA images/s ""
        done
    done
}

# onnx NET: what busi-export writes, in ONNX Runtime, against ours in f32 and
# in what is fastest here.  Its 0.5 % for normalising pixels is not taken off.
onnx() {
    any_model "$1" && "$BUILD/bin/busi-export" --onnx -m "$dir/$1.st" \
        -o "$dir/$1.onnx" || return
    for batch in 1 32; do
        steps=$([ "$batch" = 1 ] && echo 30 || echo 4)
        rm -f "$dir/peer" "$dir/ours.f32" "$dir/ours.bf16"
        i=0
        while [ $i -lt "$RUNS" ]; do
            "$python" - "$dir/$1.onnx" "$batch" $threads "$steps" \
                >>"$dir/peer" <<'EOF'
import statistics, sys, time
import numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = int(sys.argv[3])
net = ort.InferenceSession(sys.argv[1], options)
x = np.random.default_rng(1).integers(
    0, 256, (int(sys.argv[2]), 224, 224, 3), dtype=np.uint8)
times = []
for i in range(2 + int(sys.argv[4])):
    start = time.perf_counter()
    net.run(None, {"pixels": x})
    times.append(time.perf_counter() - start)
print(len(x) / statistics.median(times[2:]))
EOF
            for dtype in $dtypes; do
                ours infer "$1" "$batch" "$dtype" >>"$dir/ours.$dtype"
            done
            i=$((i + 1))
        done
        for dtype in $dtypes; do
            row "infer $1 $dtype batch $batch" \
                "$(median <"$dir/ours.$dtype")" "$(median <"$dir/peer")" \
                images/s "ONNX Runtime f32"
        done
    done
}

# trained RANKS THREADS NET: images/s of the last epoch
trained() {
    "$BUILD/bin/busi-train" -q -d "$dir/ranks.st" --fold all -m "$3" -e 3 \
        -b 32 --ranks "$1" --threads "$2" --device cpu --no-calibrate \
        --log "$dir/ranks.tsv" -o "$dir/ranks.model" 2>"$dir/err" ||
        cat "$dir/err" >&2
    awk -F'\t' 'END { print $9 }' "$dir/ranks.tsv"
    rm -f "$dir"/ranks.model "$dir"/ranks.tsv "$dir"/*.state.*
}

# Two ranks of one thread against one rank of two.
ranks() {
    rm -rf "$dir/192"
    "$BUILD/bin/busi-phantom" -q -o "$dir/192" --benign 64 --malignant 64 \
        --normal 64
    "$BUILD/bin/busi-strip" -q "$dir/192" |
        "$BUILD/bin/busi-prep" -q --channels 3 -o "$dir/ranks.st" -
    for net in resnet18 mobilenet_v2; do
        rm -f "$dir/ours" "$dir/peer"
        i=0
        while [ $i -lt "$RUNS" ]; do
            trained 2 1 $net >>"$dir/ours"
            trained 1 2 $net >>"$dir/peer"
            i=$((i + 1))
        done
        row "train $net $fast, 2 ranks" "$(median <"$dir/ours")" \
            "$(median <"$dir/peer")" images/s "ours, 1 rank of 2 threads"
    done
}

# What another program on one of the cores costs a training.
busy() {
    steps=10
    for net in resnet18 mobilenet_v2 examples/small.model; do
        rm -f "$dir/ours" "$dir/peer"
        i=0
        while [ $i -lt "$RUNS" ]; do
            ours train $net 16 "$fast" >>"$dir/peer"
            sh -c 'while :; do :; done' &
            loop=$!
            ours train $net 16 "$fast" >>"$dir/ours"
            kill $loop
            wait $loop 2>/dev/null
            i=$((i + 1))
        done
        row "train $net $fast batch 16 beside a busy program" \
            "$(median <"$dir/ours")" "$(median <"$dir/peer")" images/s \
            "ours alone"
    done
}

# ----------------------------------------------------------------- the programs

now() {
    date +%s.%N
}

# seconds COMMAND...
seconds() {
    start=$(now)
    "$@" >/dev/null 2>"$dir/err" || cat "$dir/err" >&2
    echo "$start $(now)" | awk '{ print $2 - $1 }'
}

# prep_scans DTYPE
prep_scans() {
    n=$(($(wc -l <"$dir/scans.tsv") - 1))
    rm -f "$dir/ours" "$dir/peer"
    touch "$dir/ours" "$dir/peer"
    i=0
    while [ $i -lt "$RUNS" ]; do
        s=$(seconds "$BUILD/bin/busi-prep" -q --on-bad skip -j $threads \
            --dtype "$1" -o "$dir/scans.st" "$dir/scans.tsv")
        echo "$n $s" | awk '{ print $1 / $2 }' >>"$dir/ours"
        [ -z "$python" ] || "$python" "$peers/pil_prep.py" -j $threads \
            -o "$dir/peer.npy" "$scans" |
            awk -F'\t' '{ print $2 + 0 }' >>"$dir/peer"
        i=$((i + 1))
    done
    row "busi-prep $1, $n scans, -j $threads" "$(median <"$dir/ours")" \
        "$(median <"$dir/peer")" images/s "Pillow and NumPy, import not counted"
}

# The same work in PyTorch: 156 scans, from process start to the last row.
predict_peer() {
    OMP_NUM_THREADS=$threads "$python" - "$1" "$dir/156" <<'EOF'
import sys, torch, torchvision
import numpy as np
from PIL import Image
net = getattr(torchvision.models, sys.argv[1])(num_classes=3).eval()
net = net.to(memory_format=torch.channels_last)
paths = [p.rstrip("\n") for p in open(sys.argv[2])]
def one(path):
    im = Image.open(path).convert("L").resize((256, 256), Image.BILINEAR)
    x = np.asarray(im.crop((16, 16, 240, 240)), dtype=np.float32)
    return torch.from_numpy((x / 255 - 0.5) / 0.5).expand(3, -1, -1)
with torch.no_grad():
    for i in range(0, len(paths), 32):
        x = torch.stack([one(p) for p in paths[i:i + 32]])
        p = torch.softmax(net(x.to(memory_format=torch.channels_last)), 1)
        for path, row in zip(paths[i:i + 32], p.tolist()):
            print(path, *row, sep="\t")
EOF
}

# A model whose weights do not matter: one epoch on a handful of phantoms.
any_model() {
    rm -rf "$dir/phantoms"
    "$BUILD/bin/busi-phantom" -q -o "$dir/phantoms" --benign 2 \
        --malignant 2 --normal 2 &&
        "$BUILD/bin/busi-strip" -q "$dir/phantoms" |
        "$BUILD/bin/busi-prep" -q --channels 3 -o "$dir/any.st" - &&
        "$BUILD/bin/busi-train" -q -d "$dir/any.st" --fold all -m "$1" -e 1 \
            -b 2 --dtype f32 --device cpu -o "$dir/$1.st"
}

# predict_scans NET DTYPE
predict_scans() {
    net=$1
    any_model "$net" || return
    awk -F'\t' 'NR > 1 && NR < 158 { print $2 }' "$dir/scans.tsv" >"$dir/156"
    n=$(wc -l <"$dir/156")
    rm -f "$dir/ours" "$dir/peer" "$dir/first"
    touch "$dir/ours" "$dir/peer" "$dir/first"
    i=0
    while [ $i -lt "$RUNS" ]; do
        seconds sh -c "'$BUILD/bin/busi-predict' -q --threads $threads \
            --allow-train-rows --dtype $2 --device cpu -m '$dir/$net.st' \
            <'$dir/156'" >>"$dir/ours"
        seconds sh -c "head -n 1 '$dir/156' | '$BUILD/bin/busi-predict' -q \
            --threads $threads --allow-train-rows --dtype $2 --device cpu \
            -m '$dir/$net.st'" >>"$dir/first"
        [ -z "$python" ] || seconds predict_peer "$net" >>"$dir/peer"
        i=$((i + 1))
    done
    row "busi-predict, $n scans, $net $2, start to last row" \
        "$(median <"$dir/ours")" "$(median <"$dir/peer")" s \
        "PyTorch and Pillow in one script, f32" less
    row "busi-predict, start to first row, $net $2" "$(median <"$dir/first")" \
        NA s "" less
}

# ----------------------------------------------------------------- all of it

printf 'what\tours\tpeer\tratio\tunit\tpeer is\n' | tee "$dir/table.tsv"
dtypes=f32
steps=2
half=$(ours infer resnet18 4 bf16)
if [ -z "$half" ]; then
    leave "bf16: $(cat "$dir/ours.err")"
elif echo "$(ours infer resnet18 4 f32) $half" | awk '{ exit $1 < $2 }'; then
    leave "bf16: this processor has no instructions for it"
else
    dtypes="f32 bf16"
fi
fast=${dtypes##* }
if [ -z "$scans" ]; then
    scans=$dir/scans
    rm -rf "$scans"
    "$BUILD/bin/busi-phantom" -q -o "$scans" --benign 100 --malignant 50 \
        --normal 30
    leave "real scans: name them with BUSI=DIR; phantoms stand in for them"
fi
"$BUILD/bin/busi-strip" -q "$scans" >"$dir/scans.tsv"
for part in $PARTS; do
    case $part in
    machine)
        "$BUILD/tests/bench_machine" $threads "$dir/scans.tsv" |
            while IFS='	' read -r what figure unit; do
                row "$what" "$figure" NA "$unit" "the machine's limit"
            done
        ;;
    networks)
        for dtype in $dtypes; do
            for net in $NETS; do
                network train "$net" 32 "$dtype"
                network infer "$net" 1 "$dtype"
                network infer "$net" 32 "$dtype"
            done
        done
        ;;
    batches | ranks | busy) $part ;;
    onnx)
        [ -z "$python" ] || for net in $NETS; do onnx "$net"; done
        ;;
    programs)
        prep_scans f32
        prep_scans u8
        for net in resnet18 mobilenet_v2; do
            for dtype in $dtypes; do
                predict_scans "$net" "$dtype"
            done
        done
        ;;
    esac
done
echo "$left_out" | sed 1d >&2
grep -m 1 'model name' /proc/cpuinfo | sed 's/.*: /CPU: /' >&2
