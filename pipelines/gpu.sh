#!/bin/sh
# Build, check and time the GPU backend: sh pipelines/gpu.sh DIR [WHAT]
#
#   steps       check, training steps beside PyTorch's (the default)
#   trainings   100 epochs beside PyTorch's and the paper's; five folds of four
#               networks
#   sanitize    the check under compute-sanitizer
#
# Each is one call of MOST seconds (570) at most: what building and checking
# leave is for the timing.  Built is for the GPU that is here; what cuDNN chose
# is kept beside that, not at home.  Logs go into DIR; the last lines printed are
# the tables.  Needs a compiler, CUDA and cuDNN (pipelines/cuda.mk
# says where they are looked for); for the peer PEERS_PYTHON (default python3)
# with PyTorch and torchvision, and the scripts in PEERS (default shared/peers,
# here or beside this folder).  NETS and BATCHES choose fewer steps: compiling
# PyTorch's takes minutes.
set -u
usage='usage: gpu.sh DIR [steps|trainings|sanitize]'
out=${1:?$usage}
what=${2:-steps}
case $what in
steps) parts=steps ;;
trainings) parts="epochs folds" ;;
sanitize) parts= ;;
*)
    echo "$usage" >&2
    exit 2
    ;;
esac
mkdir -p "$out"
out=$(cd "$out" && pwd)
BUILD=${BUILD:-build/gpu}
export BUILD
jobs=$(nproc)
checked=0
ends=$(($(date +%s) + ${MOST:-570}))
mkdir -p "$BUILD/cache"
XDG_CACHE_HOME=$(cd "$BUILD/cache" && pwd)
export XDG_CACHE_HOME
arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null |
    sed -n '1s/^\([0-9]*\)\.\([0-9]\)$/\1\2/p')
[ -z "$arch" ] || export CUDA_ARCH="${CUDA_ARCH:-$arch}"

# What is left but $1 seconds; 1 at least.
left() {
    remain=$((ends - $1 - $(date +%s)))
    [ "$remain" -gt 0 ] || remain=1
    echo "$remain"
}

{
    nvidia-smi || echo "no nvidia-smi"
    uname -srm
} >"$out/machine.log" 2>&1
make -j"$jobs" CUDA=1 BUILD="$BUILD" gpu >"$out/build.log" 2>&1 || {
    tail -n 20 "$out/build.log"
    exit 1
}
if [ "$what" = sanitize ]; then
    timeout "$(left 2)" make CUDA=1 BUILD="$BUILD" sanitize-gpu \
        >"$out/sanitize.log" 2>&1
    checked=$?
    tail -n 20 "$out/sanitize.log"
    exit $checked
fi
rest=10
if [ "$what" = steps ]; then
    timeout 240 make CUDA=1 BUILD="$BUILD" SANITIZE=0 PLANS=0 check-gpu \
        >"$out/check.log" 2>&1
    checked=$?
    tail -n 40 "$out/check.log"
fi
STEPS_MOST=${STEPS_MOST:-$(left $rest)}
EPOCHS_MOST=${EPOCHS_MOST:-$(($(left $rest) * 2 / 5))}
FOLDS_MOST=${FOLDS_MOST:-$(($(left $rest) * 3 / 5))}
export STEPS_MOST EPOCHS_MOST FOLDS_MOST
timeout "$(left $((rest - 5)))" make CUDA=1 BUILD="$BUILD" PARTS="$parts" \
    bench-gpu >"$out/bench-$what.log" 2>&1 || checked=$((checked + $?))
tar czf "$out/bench-$what.tgz" -C "$BUILD" bench-gpu
cat "$out/bench-$what.log"
[ "$checked" = 0 ]
