#!/bin/sh
# A run that is killed at any moment resumes to the same model and the same log.
#
#     torture-resume.sh BUILD [KILLS [TERMS]]
#
# KILLS runs (default 200) are killed with SIGKILL at random moments, TERMS
# (default 100) sent SIGTERM, and as many of two ranks: all must be gone within
# 2 s, their state saved.  A run that had ended before does not count.  Ends
# with 1 at the first difference.
set -eu
BUILD=$(cd "$1" && pwd)
kills=${2:-200} terms=${3:-100}
PATH=$BUILD/bin:$PATH
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
busi-phantom -q -o scans --benign 20 --malignant 12 --normal 9
busi-strip -q scans | busi-split -q -k 4 -o f.tsv 2>/dev/null
busi-prep -q --resize 40x40 --crop 40 -o d.st f.tsv
cat >net.model <<'END'
input x channels=@channels size=@size
conv c1 x out=8 kernel=3 stride=2 pad=1
bn b1 c1
relu r1 b1
conv c2 r1 out=16 kernel=3 stride=2 pad=1
bn b2 c2
relu r2 b2
avgpool p r2 size=1
dropout d p p=0.2
linear fc d out=@classes
END
# The shell becomes it, so that a signal reaches it: call it in a subshell.
train() {
    exec busi-train -q -d d.st -f f.tsv -m ./net.model --size 32 -b 5 -e 40 \
        --ema 0.9 --optimizer adamw --lr 0.003 --mixup 0.2 --device cpu \
        --threads 1 --save-every 0 --log run.tsv $ranks "$@" -o run.st
}
digest() {
    busi-info "$1" | awk '$1 == "digest" { print $2 }'
}
now() {
    date +%s%N | cut -c1-13
}
# How it is without an interruption, and how long that takes at least.
reference() {
    long=60000
    for _ in 1 2 3; do
        rm -f run.*
        start=$(now)
        (train)
        took=$(($(now) - start))
        [ $took -gt $long ] || long=$took
    done
    want=$(digest run.st)
    cut -f1-7 run.tsv >want.tsv
}
ranks=
reference
seed=$$

# A moment in 0..long, in seconds.
moment() {
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    echo "$seed $long" | awk '{ printf "%.3f", $1 / 2147483648 * $2 / 1000 }'
}
same() {
    [ "$(digest run.st)" = "$want" ] && cut -f1-7 run.tsv | cmp -s - want.tsv ||
        { echo "FAIL: $1 resumes to something else"; exit 1; }
}
i=0 hit=0
while [ $hit -lt "$kills" ]; do
    rm -f run.*
    at=$(moment)
    train & pid=$!
    sleep "$at"
    if kill -9 $pid 2>/dev/null; then hit=$((hit + 1)); fi
    wait $pid 2>/dev/null || true
    # Killed again while it resumes, every third time.
    if [ $((i % 3)) = 0 ]; then
        train --resume & pid=$!
        sleep "$(moment)"
        kill -9 $pid 2>/dev/null || true
        wait $pid 2>/dev/null || true
    fi
    (train --resume) || { echo "FAIL: no resuming after $at s"; exit 1; }
    same "killed after $at s, it"
    [ -z "$(find . -name '*.part')" ] || { echo "FAIL: a part stays"; exit 1; }
    i=$((i + 1))
done
echo "$i runs killed ($hit while running): the same model and log"

# Processes of runs here.
left() {
    for p in $(pgrep busi-train; pgrep mpirun); do
        [ "$(readlink "/proc/$p/cwd")" != "$dir" ] || echo "$p"
    done
}
stopped() {
    i=0 hit=0 slowest=0
    while [ $hit -lt "$terms" ]; do
        rm -f run.*
        at=$(moment)
        train & pid=$!
        sleep "$at"
        asked=$(now)
        if kill -TERM $pid 2>/dev/null; then hit=$((hit + 1)); fi
        status=0
        wait $pid 2>/dev/null || status=$?
        # A rank may end a moment after mpirun.
        while [ -n "$(left)" ] && [ $(($(now) - asked)) -le 2000 ]; do
            sleep 0.01
        done
        took=$(($(now) - asked))
        [ $took -le $slowest ] || slowest=$took
        [ -z "$(left)" ] || { echo "FAIL: left: $(left)"; exit 1; }
        case $status in 0 | 143) ;; *) echo "FAIL: status $status"; exit 1 ;; esac
        [ ! -e run.state.st ] || busi-info -q --verify run.state.st >/dev/null
        (train --resume)
        same "stopped after $at s, it"
        i=$((i + 1))
    done
    echo "$i runs stopped ($hit while running)${ranks:+, $ranks}: gone within $slowest ms"
    [ $slowest -le 2000 ] || { echo "FAIL: more than 2 s"; exit 1; }
}
stopped
if command -v mpirun >/dev/null; then
    ranks="--ranks 2"
    reference
    stopped
else
    echo "SKIP: mpirun is not installed: stopped ranks"
fi
