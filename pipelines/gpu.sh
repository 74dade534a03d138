#!/bin/sh
# Build, check and time the GPU backend in one call: sh pipelines/gpu.sh DIR
# Logs go into DIR; the last lines printed are the tables.  Needs a compiler,
# CUDA and cuDNN (pipelines/cuda.mk says where they are looked for); for the
# peer PEERS_PYTHON (default python3) with PyTorch and torchvision, and the
# scripts in PEERS (default ../shared/peers).  About ten minutes.
set -u
out=${1:?usage: gpu.sh DIR}
mkdir -p "$out"
out=$(cd "$out" && pwd)
BUILD=${BUILD:-build/gpu}
export BUILD
jobs=$(nproc)

{
    nvidia-smi || echo "no nvidia-smi"
    uname -srm
} >"$out/machine.log" 2>&1
make -j"$jobs" CUDA=1 BUILD="$BUILD" gpu >"$out/build.log" 2>&1 || {
    tail -n 20 "$out/build.log"
    exit 1
}
timeout 150 make CUDA=1 BUILD="$BUILD" SANITIZE=0 check-gpu \
    >"$out/check.log" 2>&1
checked=$?
tail -n 40 "$out/check.log"
SECONDS_MOST=${SECONDS_MOST:-240}
export SECONDS_MOST
timeout 360 make CUDA=1 BUILD="$BUILD" bench-gpu >"$out/bench.log" 2>&1
cat "$out/bench.log"
tar czf "$out/bench.tgz" -C "$BUILD" bench-gpu
timeout 60 make CUDA=1 BUILD="$BUILD" sanitize-gpu >"$out/sanitize.log" 2>&1 ||
    checked=$((checked + $?))
tail -n 5 "$out/sanitize.log"
exit "$checked"
