#!/bin/sh
# A program that is killed, or runs out of disk, leaves its outputs old, whole
# or absent, never torn, and a plain rerun succeeds.
#
# Each is run under strace with SIGKILL sent at the n-th open, write, fsync or
# rename, and with ENOSPC or EIO given instead; CRASH_POINTS is how many n of
# each (default 3, make torture takes 40).
. "$(dirname "$0")/lib.sh"
if ! strace -qq -o /dev/null true 2>/dev/null; then
    skip "strace cannot trace here: crashes are not injected"
    exit 77
fi
points=${CRASH_POINTS:-3}
cases=0
follow=-f
faults="write:error=ENOSPC fsync:error=EIO rename:error=ENOSPC \
openat:error=EMFILE"

# shellcheck disable=SC2086     # $follow is an option or none

busi-phantom -q -o scans --benign 4 --malignant 4 --normal 4
busi-strip -q -o m.tsv scans
busi-split -q -k 3 -o f.tsv m.tsv 2>/dev/null
busi-prep -q --resize 32x32 --crop 32 -o d.st m.tsv
cat >net.model <<'EOF_NET'
input x channels=@channels size=@size
conv c x out=4 kernel=3 stride=2 pad=1
bn b c
relu r b
avgpool p r size=1
linear fc p out=@classes
EOF_NET
train="busi-train -q -d d.st -f f.tsv -m ./net.model -e 2 -b 4 --device ref"
$train -o model.st
busi-predict -q -m model.st -d d.st --allow-train-rows --device ref -o p.tsv

# calls CALL COMMAND: how often it is made
calls() {
    call=$1
    shift
    strace $follow -qq -e trace="$call" -o trace "$@" >/dev/null 2>&1
    grep -c "$call(" trace
}

# good OUT: is it the old file, the new one or none, and no half of one?
good() {
    [ ! -e "$1" ] || cmp -s "$1" whole || [ "$(cat "$1")" = old ]
}

# broken STATUS OUT HOW COMMAND: one case, after the command has run
broken() {
    status=$1 out=$2 how=$3
    shift 3
    cases=$((cases + 1))
    # 1: an input could not be opened; it is listed, the rest is whole.
    [ "$status" = 1 ] || good "$out" || bad "torn: $how: $*"
    [ "$status" != 0 ] || cmp -s "$out" whole ||
        bad "status 0 and no whole output: $how: $*"
}

# again OUT COMMAND: a plain rerun
again() {
    out=$1
    shift
    "$@" >/dev/null 2>err </dev/null || bad "no rerun: $(head -n 2 err): $*"
    cmp -s "$out" whole || bad "the rerun gives something else: $*"
    [ -z "$(find . -name '.*.part')" ] || bad "a part stays: $*"
}

# sweep OUT COMMAND: crashes and errors at the calls that touch files
sweep() {
    out=$1
    shift
    rm -f "$out"
    "$@" >/dev/null 2>err </dev/null || bad "$(head -n 2 err): $*"
    cp "$out" whole
    for call in openat write fsync rename; do
        total=$(calls $call "$@")
        step=$(((total + points - 1) / points))
        [ "$step" -gt 0 ] || continue
        n=$total
        while [ "$n" -gt 0 ]; do
            rm -f "$out"
            [ $((n % 2)) = 0 ] || echo old >"$out"
            strace $follow -qq -o /dev/null -e trace=$call \
                -e inject=$call:signal=SIGKILL:when=$n "$@" >/dev/null 2>&1
            broken $? "$out" "killed at $call $n" "$@"
            n=$((n - step))
        done
        again "$out" "$@"
    done
    for fault in $faults; do
        call=${fault%%:*}
        total=$(calls "$call" "$@")
        step=$(((total + points - 1) / points))
        [ "$step" -gt 0 ] || continue
        n=$total
        while [ "$n" -gt 0 ]; do
            echo old >"$out"
            strace $follow -qq -o /dev/null -e trace="$call" \
                -e inject="$fault:when=$n" "$@" >/dev/null 2>&1
            broken $? "$out" "$fault at $n" "$@"
            n=$((n - step))
        done
        again "$out" "$@"
    done
}

# ordered OUT COMMAND: the part is synced, then renamed, then the folder synced
ordered() {
    out=$1
    shift
    strace -f -y -qq -e trace=fsync,rename -o trace "$@" >/dev/null 2>&1
    awk -v out="$out" '
        index($0, "fsync(") && index($0, "/." out ".part>") { synced = 1 }
        index($0, "rename(") && index($0, "\"" out "\"") {
            if (!synced) early = 1
            renamed = 1
        }
        index($0, "fsync(") && !index($0, ".part>") && renamed { folder = 1 }
        END { exit !(synced && renamed && folder && !early) }' trace ||
        bad "not synced, renamed and synced: $*"
}

sweep x.tsv busi-strip -o x.tsv scans
sweep x.tsv busi-dup -q -o x.tsv m.tsv
sweep x.tsv busi-split -q -k 3 -o x.tsv m.tsv
sweep x.st busi-prep -q --resize 32x32 --crop 32 -o x.st m.tsv
# shellcheck disable=SC2086     # several words
sweep x.st $train -o x.st
sweep x.tsv busi-predict -q -m model.st -d d.st --allow-train-rows \
    --device ref -o x.tsv
sweep x.tsv busi-eval -q --bootstrap 20 -l m.tsv -o x.tsv p.tsv
sweep x.onnx busi-export --onnx -m model.st -o x.onnx
# gnuplot does not look whether its writes to our pipe succeed, and there disks
# do not fill: the program alone.  A scan that cannot be opened is left out.
follow='' faults=${faults% *}
sweep x.html busi-report -q --bootstrap 20 -l m.tsv -o x.html p.tsv
follow=-f
ordered x.tsv busi-strip -o x.tsv scans
ordered x.st busi-prep -q --resize 32x32 --crop 32 -o x.st m.tsv
ordered x.tsv busi-eval -q --bootstrap 20 -l m.tsv -o x.tsv p.tsv
# shellcheck disable=SC2086
ordered x.st $train -o x.st
echo "$cases crashes and faults"
