# --device cuda: whole programs on the GPU backend, its kernels compiled for this
# processor; and where something that it needs is not there.
. "$(dirname "$0")/lib.sh"

busi-phantom -q -o scans --benign 20 --malignant 12 --normal 9
busi-strip -q scans | busi-split -q -k 4 -o folds.tsv 2>/dev/null
busi-prep -q --resize 40x40 --crop 40 -o data.st folds.tsv
cat >net.model <<'EOT'
input x channels=@channels size=@size
conv c x out=8 kernel=3 stride=2 pad=1
bn b c
relu r b
avgpool p r size=1
linear fc p out=@classes
EOT
# No batch-norm: N ranks are one.
cat >plain.model <<'EOT'
input x channels=@channels size=@size
conv c1 x out=8 kernel=3 stride=2 pad=1 bias=1
relu r1 c1
conv c2 r1 out=8 kernel=3 stride=2 pad=1 bias=1
relu r2 c2
avgpool p r2 size=1
dropout d p p=0.2
linear fc d out=@classes
EOT
cat >all.model <<'EOT'
input x channels=@channels size=@size
conv c1 x out=8 kernel=3 stride=2 pad=1
bn b1 c1
relu6 r1 b1
conv c2 r1 out=8 kernel=3 pad=1 groups=8
bn b2 c2
relu6 r2 b2
conv c3 r2 out=8 kernel=1
bn b3 c3
add a b3 r1
maxpool m a kernel=3 stride=2 pad=1
avgpool p m size=1
dropout d p p=0.2
linear fc d out=@classes
EOT

# ------------------------------------------- the backend without a GPU

on() {
    device=$1
    shift
    BUSI_PLUGINS=$BUILD/lib/busi
    [ "$device" = cpu ] || BUSI_PLUGINS=$BUILD/tests/host
    export BUSI_PLUGINS
    case $* in
    *--dtype*) "$@" --device "$device" ;;
    *) "$@" --device "$device" --dtype f32 --threads 2 ;;
    esac
    status=$?
    unset BUSI_PLUGINS
    return $status
}

# Logs of both within 1e-3 (or $3) but for the seconds: losses, accuracies,
# rates.
same_curves() {
    paste "$1" "$2" | awk -F'\t' -v most="${3:-1e-3}" 'NR > 1 { n++
        for (i = 1; i <= 7; i++) {
            d = $i - $(i + 9)
            if (d < 0) d = -d
            if (d > most * ($i + 1e-3)) bad = bad " line " NR " column " i
        } } END { if (n < 4) bad = bad " too few lines"; print bad }'
}

if [ -e "$BUILD/tests/host/backend_cuda.so" ]; then
    k=0
    for args in "--augment strong" "--augment standard --optimizer adamw \
--ema 0.9 --class-weights balanced --label-smoothing 0.1" \
        "--augment flip --freeze 2 --lr-body 0.3" \
        "--augment standard --mixup 0.4 --class-weights balanced"; do
        k=$((k + 1))
        for d in cpu cuda; do
            # shellcheck disable=SC2086     # several options
            runs 0 on $d busi-train -v -d data.st -f folds.tsv \
                -m ./all.model --size 32 -b 8 -e 4 --lr 0.02 $args \
                --log $d$k.tsv -o $d$k.st
        done
        is "curves with $args" "" "$(same_curves cpu$k.tsv cuda$k.tsv)"
        # All is done in recorded steps.
        says 'computed by cuda in f32: .*plain loops$'
    done
    runs 0 on cuda busi-train -q -d data.st --fold all -m ./all.model \
        --size 32 -b 8 -e 1 -o tf32.st --dtype tf32
    busi-info --verify cuda1.st >/dev/null || bad "cuda1.st is not whole"

    # 2 + 2 epochs are 4 epochs.
    fixed="busi-train -q -d data.st -f folds.tsv -m ./all.model --size 32 -b 8 \
--schedule constant --lr 0.02"
    runs 0 on cuda $fixed -e 4 --log four.tsv -o four.st
    runs 0 on cuda $fixed -e 2 -o two.st
    runs 0 on cuda $fixed -e 4 --resume --log two.tsv -o two.st
    is "2 + 2 epochs" "$(cut -f1-7 four.tsv)" "$(cut -f1-7 two.tsv)"

    # Scans are read the same.
    for d in cpu cuda; do
        runs 0 on $d busi-predict -q -m cpu1.st --allow-train-rows scans
        cut -f3- out >$d.pred
        [ -s $d.pred ] || bad "no predictions"
    done
    is "predictions" "" "$(paste cpu.pred cuda.pred | awk -F'\t' \
        '{ for (i = 1; i <= NF / 2; i++) { d = $i - $(i + NF / 2)
           if (d > 1e-4 || d < -1e-4) print NR, $i, $(i + NF / 2) } }')"

    # ------------------------------------- ranks, by what stands for NCCL

    # N ranks of a command, with err.0 to err.N-1 and their statuses in `all`.
    ranks() {
        n=$1
        shift
        all=
        pids=
        rm -f count
        MASTER_PORT=$((MASTER_PORT + 2))
        for r in $(seq 0 $((n - 1))); do
            RANK=$r WORLD_SIZE=$n on cuda "$@" --threads 1 >out.$r 2>err.$r &
            pids="$pids $!"
        done
        for p in $pids; do
            wait "$p"
            all="$all$? "
        done
        is "$n ranks: $*" "$(seq "$n" | sed "s/.*/${want:-0}/" | xargs)" \
            "${all% }"
    }
    MASTER_PORT=$((20000 + $$ % 20000))
    CUDA_HOST_COUNT=$PWD/count
    export MASTER_PORT CUDA_HOST_COUNT
    plain="busi-train -v -d data.st -f folds.tsv -m ./plain.model --size 32 \
-e 4"

    sgd="-b 8 --optimizer sgd --lr 0.3 --ema 0 --schedule constant --warmup 0 \
--augment standard --mixup 0.4"

    # Uneven shares, parts of 256 numbers; a stream that sums as late as it may
    # and as early.  Recorded: 4 x 3 steps but for the first of two sizes, and
    # 5 batches that are read but for the first.
    k=0
    for args in "$sgd" \
        "-b 9 --lr 0.02 --ema 0.9 --class-weights balanced"; do
        k=$((k + 1))
        # shellcheck disable=SC2086     # several options
        runs 0 on cuda $plain $args --log one$k.tsv -o one$k.st
        for order in late early; do
            # shellcheck disable=SC2086     # several options
            CUDA_HOST_STREAMS=$order ranks 2 $plain $args --bucket-mb 0.001 \
                --log two$k.tsv -o two$k.st
            has err.0 '2 ranks: .* gradients in [3-9] parts'
            has err.0 'computed by cuda in f32: .*plain loops$'
            is "recorded steps" "14 14" "$(xargs <count)"
            is "one rank and two with $args, $order" "" \
                "$(same_curves one$k.tsv two$k.tsv 2e-5)"
        done
    done
    # Gradients that travel as bf16: other numbers, not far away.
    for order in late early; do
        # shellcheck disable=SC2086     # several options
        CUDA_HOST_STREAMS=$order ranks 2 $plain $sgd --bucket-mb 0.001 \
            --grad-dtype bf16 --log half$order.tsv -o half.st
        has err.0 'computed by cuda in f32: .*plain loops$'
        is "gradients in bf16, $order" "" \
            "$(same_curves one1.tsv half$order.tsv 5e-3)"
    done
    is "bf16 late and early" "$(cut -f1-7 halflate.tsv)" \
        "$(cut -f1-7 halfearly.tsv)"
    [ -n "$(same_curves one1.tsv halflate.tsv 1e-6)" ] ||
        bad "gradients were not rounded"
    # Without recording, wanted or not, and by the host's steps.
    args="$sgd --bucket-mb 0.001"
    # shellcheck disable=SC2086     # several options
    BUSI_NO_RECORD=1 ranks 2 $plain $args --log off.tsv -o off.st
    has err.0 '; steps are not recorded: BUSI_NO_RECORD is set$'
    # shellcheck disable=SC2086     # several options
    CUDA_HOST_NO_CAPTURE=1 ranks 2 $plain $args --log fails.tsv -o fails.st
    has err.0 '; steps are not recorded: operation not permitted'
    # 41 pictures of 40 x 40 have no room on one of the GPUs.
    # shellcheck disable=SC2086     # several options
    CUDA_HOST_FULL=1:65600 ranks 2 $plain $args --log host.tsv -o host.st
    has err.1 'pictures are sent batch by batch: cannot allocate'
    is "no graphs" "0 0" "$(xargs <count)"
    for how in off fails host; do
        is "recorded and $how" "" "$(same_curves one1.tsv $how.tsv 2e-5)"
    done
    # Three ranks; the last batch has a picture for one of them alone.
    # shellcheck disable=SC2086     # several options
    runs 0 on cuda $plain -b 10 --log ten.tsv -o ten.st
    # shellcheck disable=SC2086     # several options
    ranks 3 $plain -b 10 --log three.tsv -o three.st
    is "three ranks" "" "$(same_curves ten.tsv three.tsv 2e-5)"
    # With batch-norm, of each rank's share: as the host's steps.
    norm="busi-train -q -d data.st -f folds.tsv -m ./all.model --size 32 -e 4 \
-b 8 --lr 0.02 --schedule constant"
    # shellcheck disable=SC2086     # several options
    ranks 2 $norm --log norm.tsv -o norm.st
    # shellcheck disable=SC2086     # several options
    CUDA_HOST_FULL=0:65600 ranks 2 $norm --log hosts.tsv -o norm.st
    is "batch-norm by whole and host's steps" "" \
        "$(same_curves norm.tsv hosts.tsv)"
    # shellcheck disable=SC2086     # several options
    ranks 2 $norm -e 2 -o half.st
    # shellcheck disable=SC2086     # several options
    ranks 2 $norm --resume --log half.tsv -o half.st
    is "2 + 2 epochs, two ranks" "$(cut -f1-7 norm.tsv)" \
        "$(cut -f1-7 half.tsv)"

    # One rank through NCCL.
    # shellcheck disable=SC2086     # several options
    runs 0 env BUSI_NCCL=1 BUSI_PLUGINS="$BUILD/tests/host" $plain $sgd \
        --dtype f32 --device cuda --threads 2 \
        --log self.tsv -o self.st
    says '^busi-train: 1 ranks: '
    is "one rank through NCCL" "$(cut -f1-7 one1.tsv)" \
        "$(cut -f1-7 self.tsv)"

    # A rank that does not come to a recorded sum: the others give up.
    # shellcheck disable=SC2086     # several options
    NCCL_HOST_STALL=1:40 want=4 ranks 2 $norm -b 4 --rank-timeout 2 -o x.st
    has err.0 '^busi-train: rank 0: .* has not (ended|come)'
    has err.1 '^busi-train: rank 1: a sum over the GPUs has not ended for 2 s'
    [ ! -e x.st ] || bad "a model was left behind"
    unset CUDA_HOST_COUNT
else
    skip "the backend on this processor: make check builds it"
fi

# --------------------------------------------------- what may be missing

runs 2 busi-train -d data.st --fold all -m ./net.model --size 32 --device cpu \
    --dtype tf32 -o x.st
says 'tf32 is for GPUs'

train="busi-train -d data.st --fold all -m ./net.model --size 32 -e 1 -b 7"
runs 0 $train -q --device cpu -o cpu.st

# No plugin: as on a machine without CUDA's compiler, or not installed.
mkdir plugins
cp "$BUILD"/lib/busi/backend_cpu.so plugins
BUSI_PLUGINS=$PWD/plugins
export BUSI_PLUGINS
runs 4 $train --device cuda -o cuda.st
says '^busi-train: backend_cuda is not built or installed'
is "one line" 1 "$(wc -l <err | xargs)"
runs 0 $train -v --device auto -o auto.st
says 'no GPU: backend_cuda is not built.*; going on with the CPU'
unset BUSI_PLUGINS

plugin=$BUILD/lib/busi/backend_cuda.so
if [ ! -e "$plugin" ]; then
    skip "the plugin without a GPU: built with CUDA=0"
    exit
fi
if $train -q --device cuda -o gpu.st 2>why; then
    runs 4 $train --device cuda:999 -o gpu.st
    says '^busi-train: there is no GPU number 999'
    skip "what is said without a GPU: here is one"
    exit
fi

# The plugin itself loads without driver and cuDNN, and says what it lacks.
is "what the plugin loads" "" "$(ldd "$plugin" | grep -E 'cuda|cudnn|stdc')"
lacks='no NVIDIA driver is installed|the NVIDIA driver|cuDNN|compute cap'
runs 4 $train --device cuda -o gpu.st
says "^busi-train: .*($lacks)"
is "one line" 1 "$(wc -l <err | xargs)"
[ ! -e gpu.st ] || bad "a model was left behind"
runs 4 $train --device cuda:3 -o gpu.st
runs 4 busi-predict -m cpu.st --allow-train-rows --device cuda scans
says "^busi-predict: .*($lacks)"
is "one line" 1 "$(wc -l <err | xargs)"

# A driver alone: none of its GPUs is there, or it is older than the plugin.
mkdir driver
if ${CC:-cc} -shared -fPIC -o driver/libcuda.so.1 "$top/tests/fake_driver.c" \
    2>cc.err; then
    LD_LIBRARY_PATH=$PWD/driver
    export LD_LIBRARY_PATH
    runs 4 $train --device cuda -o gpu.st
    says '^busi-train: the NVIDIA driver shows no GPU'
    FAKE_DRIVER=11080
    export FAKE_DRIVER
    runs 4 $train --device cuda -o gpu.st
    says '^busi-train: the NVIDIA driver is too old: it speaks CUDA 11.8, the'
    unset LD_LIBRARY_PATH FAKE_DRIVER
else
    skip "a driver without a GPU: $(head -n 1 cc.err)"
fi

# auto says so, where it is asked, and goes on.
runs 0 $train -v --device auto -o auto.st
says "no GPU: .*($lacks).*; going on with the CPU"
runs 0 $train --device auto -o auto.st
is "silent without -v" "" "$(cat out err)"
