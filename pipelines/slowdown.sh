#!/bin/sh
# What a PyTorch run like the paper's pays in an epoch besides computing, each
# measured alone on this machine (make BUSI=DIR slowdown):
#
#   decoding    Pillow opens, resizes and crops every scan, in one process;
#               then as 2 and 4 ranks do that each open all scans
#   start-up    the workers of a DataLoader, started anew in every epoch (the
#               default), 4 for training and 4 for validation; in 1, 2, 4 ranks
#   batches     images/s of a training step when a rank's share shrinks
#
# and, without PyTorch, what busi-train's epoch spends on the same.
set -eu
peers=${PEERS:-$(pwd)/../shared/peers}
dir=$BUILD/slowdown
mkdir -p "$dir"
python=$(sh pipelines/peers.sh)
cores=$(nproc)
"$BUILD/bin/busi-strip" -q "$BUSI" >"$dir/scans.tsv"
n=$(($(wc -l <"$dir/scans.tsv") - 1))

row() {
    printf '%s\t%s\t%s\n' "$1" "$2" "$3"
}

# The slowest of N that run side by side counts: a step waits for all.
side_by_side() {
    ranks=$1
    shift
    rm -f "$dir"/time.*
    i=0
    while [ $i -lt "$ranks" ]; do
        "$@" >"$dir/time.$i" &
        i=$((i + 1))
    done
    wait
    cat "$dir"/time.* | sort -g | tail -n 1
}

decode() {
    "$python" "$peers/pil_prep.py" -j 1 "$BUSI" |
        awk '{ printf "%.3f\n", $1 / $3 }'
}

workers() {
    OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore "$python" - <<'EOF'
import time
import torch
from torch.utils.data import DataLoader, Dataset
class Nothing(Dataset):
    def __len__(self): return 64
    def __getitem__(self, i): return torch.zeros(1)
seconds = []
for epoch in range(6):
    start = time.perf_counter()
    for loader in (DataLoader(Nothing(), 16, num_workers=4) for _ in "ab"):
        for batch in loader: pass
    seconds.append(time.perf_counter() - start)
print("%.3f" % sorted(seconds)[3])
EOF
}

echo "what	figure	unit (on $cores cores)"
for ranks in 1 2 4; do
    row "decoding $n scans, $ranks processes each" \
        "$(side_by_side $ranks decode)" "s an epoch"
done
for ranks in 1 2 4; do
    row "starting 2 x 4 loader workers, $ranks ranks" \
        "$(side_by_side $ranks workers)" "s an epoch"
done
for batch in 64 32 16 8 4 2 1; do
    row "training step, $NET, batch $batch, one thread" \
        "$("$BUILD/tests/bench_net" train "$NET" $batch f32 1 2 | cut -f 7)" \
        images/s
done
"$BUILD/bin/busi-prep" -q -o "$dir/data.st" "$dir/scans.tsv"
"$BUILD/bin/busi-train" -q --profile -d "$dir/data.st" --fold all -m "$NET" \
    --device cpu --no-calibrate -e 2 -b 64 -o "$dir/model.st" 2>"$dir/profile"
sed -n 's/^.*\(rank 0: compute .*\)/busi-train, \1/p' "$dir/profile"
rm -f "$dir"/model* "$dir/data.st"
