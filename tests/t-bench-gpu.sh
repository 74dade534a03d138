# pipelines/bench-gpu.sh: its table, with programs that say known figures in the
# places of ours and of PyTorch; no GPU.
. "$(dirname "$0")/lib.sh"

real=$BUILD
BUILD=$PWD/build
export BUILD
mkdir -p build/tests peers
: >peers/torch_train.py

# ours: 300 images/s a picture of the batch; "vgg16" fails, "slow" hangs.
cat >build/tests/bench_gpu <<'EOT'
#!/bin/sh
case $1:$2 in
data:*) : >"$2" ;;
step:vgg16) echo "bench_gpu: no memory" >&2; exit 4 ;;
step:slow) exec sleep 60 ;;
*) printf '%s\tcuda\tbf16\t%s\t%s\t100\t400\t0.250\t2.5\tNVIDIA X\n' \
       "$2" "$3" $((300 * $3)) ;;
esac
EOT
cat >build/tests/busi-train <<'EOT'
#!/bin/sh
echo "$*" >>"$BUILD/args"
case $* in
*slow*) exec sleep 60 ;;
*vgg16*) echo "busi-train: no memory" >&2; exit 4 ;;
esac
sleep 0.2
EOT
# The peer: 100 a picture, compiled 200; as slow as ours but for the start.
cat >python <<'EOT'
#!/bin/sh
[ "$1" != -c ] || exit 0
how=eager
while [ $# -gt 0 ]; do
    case $1 in
    --model) net=$2 ;;
    --batch) batch=$2 ;;
    --compile) how=$2 ;;
    --warmup) [ "$2" != 0 ] || sleep 0.8 ;;
    esac
    shift
done
rate=$((100 * batch))
[ $how = eager ] || rate=$((2 * rate))
[ "$net" != resnet50 ] || [ $how = eager ] || rate="failed: no"
printf 'mode\tmodel\n'
printf 'train\t%s\tcuda\tbf16\tnhwc\t%s\t%s\t1\t%s\n' "$net" $how $batch "$rate"
EOT
chmod +x build/tests/* python
PEERS=peers
PEERS_PYTHON=$PWD/python
export PEERS PEERS_PYTHON
bench="sh $top/pipelines/bench-gpu.sh"

runs 0 env NETS="resnet18 resnet50 vgg16" BATCHES="64 128" $bench steps
is "lines of the steps" "train resnet18 bf16 64 19200 25 % 6400 12800 1.50
train resnet18 bf16 128 38400 25 % 12800 25600 1.50
train resnet50 bf16 64 19200 25 % 6400 failed: no 3.00
train resnet50 bf16 128 38400 25 % 12800 failed: no 3.00" \
    "$(grep ^train out | cut -f1-7 | tr '\t' ' ')"
has out '^left out: vgg16, batch 64: bench_gpu: no memory$'
has out '^NVIDIA X$'
is "warm starts" 2 "$(grep -c 'first step, warm:.*2.5 s' out)"

runs 0 env RUNS="resnet34:64:771 vgg16:128:801" $bench epochs
is "ours, peer and paper" "100 epochs of 624, resnet34	64	771" \
    "$(grep '^100 epochs' out | cut -f1,2,9)"
grep '^100 epochs' out | awk -F'\t' '{ exit !($3 >= 0.2 && $5 >= 0.8 &&
    $7 > 1 && $7 <= $5 / $3 + 0.01 && $7 >= $5 / $3 - 0.01) }' ||
    bad "figures of 100 epochs: $(grep '^100 epochs' out)"
has out '^left out: 100 epochs of vgg16: busi-train: no memory$'
has build/args ' -m resnet34 -b 64 -e 100 .*--fold all$'

# What hangs is ended when the budget is, and the rest is left out.
start=$(date +%s)
runs 0 env FOLD_NETS="resnet18 slow" FOLDS_MOST=4 $bench folds
[ $(($(date +%s) - start)) -lt 20 ] || bad "the budget does not end it"
has out '^5 folds, resnet18	64	1\.'
has out '^5 of 10 trainings of 100 epochs in '
has out '^left out: 5 of 10 folds$'
is "folds" "$(seq 0 4)" "$(sed -n 's/.*-m resnet18.*--fold \([0-4]\)$/\1/p' \
    build/args)"
is "rows of the folds" 780 "$(grep -c picture build/bench-gpu/folds.in)"

runs 2 $bench nothing
says "no part 'nothing'"
runs 2 sh "$top/pipelines/gpu.sh" "$PWD/logs" nothing
says usage

# gpu.sh: for the GPU that is here; timing gets what the rest leaves.
mkdir fake
cat >fake/nvidia-smi <<'EOT'
#!/bin/sh
case $* in *compute_cap*) printf '9.0\n9.0\n' ;; esac
EOT
cat >fake/make <<'EOT'
#!/bin/sh
for target; do :; done
mkdir -p "$BUILD/bench-gpu"
echo "$target $CUDA_ARCH $((STEPS_MOST + 0)) $((EPOCHS_MOST + FOLDS_MOST))" \
    "$XDG_CACHE_HOME" >>made
EOT
chmod +x fake/*
for what in steps trainings sanitize; do
    runs 0 env -u CUDA_ARCH PATH="$PWD/fake:$PATH" BUILD=gpu MOST=300 \
        sh "$top/pipelines/gpu.sh" logs $what
    [ -s "logs/bench-$what.tgz" ] || [ -e "logs/$what.log" ] ||
        bad "no logs of $what"
done
is "what gpu.sh makes" "gpu check-gpu bench-gpu gpu bench-gpu gpu sanitize-gpu" \
    "$(cut -d' ' -f1 made | xargs)"
is "architectures" 90 "$(cut -d' ' -f2 made | sort -u)"
is "kept choices" "$PWD/gpu/cache" "$(cut -d' ' -f5 made | sort -u)"
awk '$1 == "bench-gpu" && n++ == 0 && ($3 < 250 || $3 > 290) { exit 1 }
     $1 == "bench-gpu" && n == 2 && ($4 < 250 || $4 > 290) { exit 1 }' made ||
    bad "budgets: $(cat made)"

# The same with our own programs, on the CPU, where they are built.
if [ -x "$real/tests/bench_gpu" ] && [ -x "$real/tests/busi-train" ]; then
    cp "$real/tests/bench_gpu" "$real/tests/busi-train" build/tests
    printf '#!/bin/sh\nexit 1\n' >python
    runs 0 env BUSI_PLUGINS="$real/lib/busi" DEVICE=cpu DTYPE=f32 SIDE=32 \
        ROWS=24 EPOCHS=1 FOLD_NETS=mobilenet_v2 RUNS=mobilenet_v2:8:801 \
        $bench epochs folds
    has out '^1 epochs of 24, mobilenet_v2	8	[0-9.]*		NA	NA	NA	s	801$'
    has out '^5 folds, mobilenet_v2	64	[0-9.]*	'
    has out '^5 of 5 trainings of 1 epochs in '
else
    skip "our programs on the CPU: make gpu builds them"
fi
