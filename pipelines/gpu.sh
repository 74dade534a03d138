#!/bin/sh
# Build, check and time the GPU backend: sh pipelines/gpu.sh DIR [steps|trainings]
#
#   steps       check, training steps beside PyTorch's (the default)
#   trainings   100 epochs beside PyTorch's and the paper's; five folds of four
#               networks
#
# Each is one call of less than ten minutes.  Logs go into DIR; the last lines
# printed are the tables.  Needs a compiler, CUDA and cuDNN (pipelines/cuda.mk
# says where they are looked for); for the peer PEERS_PYTHON (default python3)
# with PyTorch and torchvision, and the scripts in PEERS (default
# ../shared/peers).
set -u
usage='usage: gpu.sh DIR [steps|trainings]'
out=${1:?$usage}
what=${2:-steps}
case $what in
steps) parts=steps ;;
trainings) parts="epochs folds" ;;
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

{
    nvidia-smi || echo "no nvidia-smi"
    uname -srm
} >"$out/machine.log" 2>&1
make -j"$jobs" CUDA=1 BUILD="$BUILD" gpu >"$out/build.log" 2>&1 || {
    tail -n 20 "$out/build.log"
    exit 1
}
if [ "$what" = steps ]; then
    timeout 150 make CUDA=1 BUILD="$BUILD" SANITIZE=0 check-gpu \
        >"$out/check.log" 2>&1
    checked=$?
    timeout 60 make CUDA=1 BUILD="$BUILD" sanitize-gpu \
        >"$out/sanitize.log" 2>&1 || checked=$((checked + $?))
    tail -n 40 "$out/check.log"
    tail -n 5 "$out/sanitize.log"
fi
# Both budgets of the trainings and the build are below ten minutes.
timeout 480 make CUDA=1 BUILD="$BUILD" PARTS="$parts" bench-gpu \
    >"$out/bench-$what.log" 2>&1 || checked=$((checked + $?))
tar czf "$out/bench-$what.tgz" -C "$BUILD" bench-gpu
cat "$out/bench-$what.log"
[ "$checked" = 0 ]
