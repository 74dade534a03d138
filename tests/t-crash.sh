#!/bin/sh
# A program that is killed, or runs out of disk, leaves its outputs old, whole
# or absent, never torn, and a plain rerun succeeds.
#
# Each is run under strace with SIGKILL sent at the n-th open, write, fsync or
# rename, and with an error given instead; CRASH_POINTS is how many n of each
# (default 2, make torture takes 40).  strace counts in each process for itself.
. "$(dirname "$0")/lib.sh"
if ! strace -qq -o /dev/null true 2>/dev/null; then
    skip "strace cannot trace here: crashes are not injected"
    exit 77
fi
points=${CRASH_POINTS:-2}
kills=0 faults=0 missed=0
all="openat:signal=SIGKILL write:signal=SIGKILL fsync:signal=SIGKILL \
rename:signal=SIGKILL read:error=EIO read:error=EINTR write:error=EIO \
write:error=EINTR fsync:error=EIO rename:error=ENOSPC write:error=ENOSPC \
openat:error=EMFILE"
spine

# calls CALL COMMAND: how often the process makes it that makes it most
calls() {
    call=$1
    shift
    strace $follow -qq -e trace="$call" -o trace "$@" >/dev/null 2>&1
    grep "$call(" trace | awk '{ n[/^[0-9]/ ? $1 : 0]++ }
        END { for (p in n) if (n[p] > most) most = n[p]; print most + 0 }'
}

# good OUT: is it the old file, the new one or none, and no half of one?  Of a
# folder: is each file in it?
good() {
    [ ! -e "$1" ] || [ "$(cat "$1" 2>/dev/null)" = old ] ||
        ! diff -rq whole "$1" | grep -Eqv '^Only in whole|\.part$'
}

# once OUT FAULT N COMMAND: one case, and a plain rerun
once() {
    out=$1 fault=$2 n=$3
    shift 3
    rm -rf "$out"
    [ $((n % 2)) = 0 ] || [ "$out" = folder ] || echo old >"$out"
    strace $follow -qq -o trace -e trace="${fault%%:*}" \
        -e inject="$fault:when=$n" "$@" >/dev/null 2>&1
    status=$?
    if grep -q 'killed by SIGKILL' trace; then
        kills=$((kills + 1))
    elif grep -q INJECTED trace; then
        faults=$((faults + 1))
        [ -z "$(find . -name '.*.part')" ] || bad "$fault $n: a part stays: $*"
    else
        missed=$((missed + 1))
    fi
    # 1: an input could not be opened; it is listed, the rest is whole.
    [ "$status" = 1 ] || good "$out" || bad "torn: $fault $n: $*"
    [ "$status" != 0 ] || diff -r "$out" whole >/dev/null ||
        bad "status 0 and no whole output: $fault $n: $*"
    "$@" >/dev/null 2>err </dev/null || bad "no rerun: $(head -n 2 err): $*"
    diff -r "$out" whole >/dev/null || bad "the rerun gives something else: $*"
    [ -z "$(find . -name '.*.part')" ] || bad "a part stays: $*"
}

# sweep OUT COMMAND: crashes and errors at the calls that touch files
sweep() {
    out=$1
    shift
    rm -rf "$out" whole
    "$@" >/dev/null 2>err </dev/null || bad "$(head -n 2 err): $*"
    cp -R "$out" whole
    follow=-f some=$all
    # gnuplot does not look whether its writes to our file succeed, and there
    # disks do not fill: the program alone.  A scan that cannot be opened is
    # left out.
    [ "$1" != busi-report ] || { follow='' some=${all% *}; }
    for fault in $some; do
        total=$(calls "${fault%%:*}" "$@")
        step=$(((total + points - 1) / points))
        [ "$step" -gt 0 ] || continue
        at=$total
        while [ "$at" -gt 0 ]; do
            once "$out" "$fault" "$at" "$@"
            at=$((at - step))
        done
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

writers sweep
sweep folder busi-phantom -q -o folder --benign 1 --malignant 1 --normal 1
writers ordered
echo "$kills kills, $faults errors, each with a rerun; $missed not reached"
