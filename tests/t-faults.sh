#!/bin/sh
# What a system may do to the programs that write a file: streams are closed, a
# reader goes, reads and writes move little or are interrupted, another run
# writes the same, a folder cannot be written, a disk is full.  Each output is
# whole or as it was, and inputs stay as they were.
. "$(dirname "$0")/lib.sh"
spine
chmod -R a+rX .
${CC:-cc} -D_GNU_SOURCE -shared -fPIC -O1 -o short.so \
    "$top/tests/short_io.c" || exit 1
inputs() {
    find scans m.tsv f.tsv d.st net.model model.st p.tsv -type f \
        -exec sha256sum {} +
}
inputs >before

# An output that is an input, or two outputs in one file, by whatever names.
ln -s d.st link.st
cp "scans/benign/benign (1).png" s.png
mkdir one
cp s.png one
for pair in "busi-predict -m model.st -o s.png s.png" \
    "busi-predict -m model.st --rejects ./s.png s.png" \
    "busi-predict -m model.st -d d.st -o model.st" \
    "$train --device ref -o ./d.st" "$train --device ref -o link.st" \
    "$train --log f.tsv -o x" "$train --init model.st -o model.st" \
    "$train --log x.st -o x.st" "busi-prep -o m.tsv m.tsv" \
    "busi-prep --marks m.tsv -o x m.tsv" "busi-dup --pairs m.tsv -o x m.tsv" \
    "busi-dup -o x --pairs ./x m.tsv" "busi-dup --pairs - m.tsv" \
    "busi-split --check -o f.tsv f.tsv" "busi-export -m model.st -o model.st" \
    "busi-strip -o x --masks $PWD/x scans" "busi-eval -o p.tsv p.tsv" \
    "busi-eval -l m.tsv -o m.tsv p.tsv" "busi-report -o p.tsv p.tsv" \
    "busi-report --model model.st -o model.st p.tsv" \
    "busi-strip -o one/s.png one" "busi-predict -m model.st -o one/s.png one" \
    "busi-dup -o one/s.png m.tsv" "busi-prep -o one/s.png m.tsv"; do
    runs 2 $pair
    says " both '| would replace (the input|a picture,) '"
    [ ! -e x ] || bad "a refusal left a file: $pair"
done
cmp -s s.png "scans/benign/benign (1).png" && cmp -s s.png one/s.png ||
    bad "a scan was written over"
rm -r link.st s.png one
inputs >after
cmp -s before after || bad "an input was written over"

# The mode of what is replaced stays, and so does a link to it.
busi-split -q -k 3 m.tsv >whole 2>/dev/null
echo old >old
chmod 640 old
ln -s old link
runs 0 busi-split -q -k 3 -o link m.tsv
cmp -s old whole || bad "not what the link points to is replaced"
is "the mode of what is replaced" 640 "$(stat -c %a old)"
[ -L link ] || bad "a link is replaced"
rm -f link old whole
strace -qq -o /dev/null true 2>/dev/null && traced=1 || traced=
[ "$traced" ] || skip "strace cannot trace here: two runs on one output"

# whole OUT WHAT COMMAND: it ends well, with the output that it should have
whole() {
    out=$1 what=$2
    shift 2
    rm -f "$out"
    "$@" >"$scratch/data" 2>"$scratch/err" </dev/null || bad "$what: status $?: $(head -n 2 "$scratch/err"): $*"
    cmp -s "$out" "$scratch/whole" || bad "$what: another output: $*"
}

# refused OUT WHAT COMMAND: it says why it cannot, and the old output is there
refused() {
    out=$1 what=$2
    shift 2
    "$@" >"$scratch/data" 2>"$scratch/err" </dev/null
    is "$what: $*" 4 $?
    [ "$(wc -l <"$scratch/err")" = 1 ] || bad "$what is told so: $(cat "$scratch/err"): $*"
    is "$what: what was there before $*" old "$(cat "$out")"
    [ -z "$(find . -name '.*.part')" ] || bad "$what: a part stays: $*"
}

# Two at once: the first one is stopped before it has synced.
two() {
    out=$1
    shift
    rm -f "$out"
    strace -f -qq -o /dev/null -e trace=fsync \
        -e inject=fsync:signal=STOP "$@" >/dev/null 2>&1 </dev/null &
    first=$!
    until [ -n "$(find . -name '.*.part' -size +0)" ]; do sleep 0.02; done
    pid=$(ps -o pid= --ppid $first | tr -d ' ')
    "$@" >"$scratch/data" 2>"$scratch/err" </dev/null
    is "the second of two: $*" 4 $?
    says "is being written by process $pid\$"
    while kill -CONT "$pid"; do sleep 0.02; done 2>/dev/null
    wait $first || bad "the first of two: $*"
    cmp -s "$out" whole || bad "the first of two: another output: $*"
}

# In a file system of its own, $scratch/small: no room for the output, room for
# half of it, no writing at all.
disk() {
    out=$1
    shift
    cd small || exit 1
    echo old >"$out"
    for pages in 1 $((1 + $(wc -c <../whole) / 8192)); do
        mount -o remount,size=$((4 * pages))k .
        refused "$out" "$pages pages of disk" "$@"
    done
    mount -o remount,ro .
    refused "$out" "a disk that is only read" "$@"
    mount -o remount,rw,size=64m .
    whole "$out" "room again" "$@"
    rm -f "$out" x.*
    cd ..
}

faults() {
    out=$1
    shift
    "$@" >data 2>err </dev/null || bad "$(head -n 2 err): $*"
    mv "$out" whole
    for how in '<&-' '>&-' '2>&-' '<&- >&- 2>&-'; do
        whole "$out" "$how" sh -c "exec \"\$@\" $how" sh "$@"
    done
    whole "$out" "little at a time" env LD_PRELOAD="$scratch/short.so" "$@"
    [ -z "$traced" ] || two "$out" "$@"
    echo old >"$out"
    [ -z "$other" ] || refused "$out" "no rights" $other "$@"
    rm -f "$out" x.*
    [ -z "$small" ] || disk "$out" "$@"
}

other='setpriv --reuid=65534 --regid=65534 --clear-groups'
[ "$(id -u)" = 0 ] && $other test -x "$BUILD/bin/busi-eval" 2>/dev/null ||
    other=
[ "$other" ] || skip "cannot become another user: folders without rights"
small=small
mkdir small
mount -t tmpfs -o size=64m none small 2>/dev/null || small=
[ "$small" ] || skip "cannot mount: full disks"
trap 'cd /; [ -z "$small" ] || umount "$scratch/small"; rm -rf "$scratch"
    [ "$failures" = 0 ] || exit 1' EXIT
for f in scans m.tsv f.tsv d.st net.model model.st p.tsv; do
    [ -z "$small" ] || ln -s ../$f small/$f
done
writers faults

# What goes to a stream: closed, full, and one whose reader has gone.
for line in "busi-strip scans" "busi-dup -q m.tsv" "busi-split -q -k 3 m.tsv" \
    "busi-predict -q -m model.st -d d.st --allow-train-rows --device ref" \
    "busi-eval -q --bootstrap 20 -l m.tsv p.tsv" "busi-info d.st"; do
    $line >&- 2>err
    is "$line >&-" 4 $?
    $line >/dev/full 2>err
    is "$line >/dev/full" 4 $?
    { sleep 0.2; $line 2>err; echo $? >status; } | :
    case $(cat status) in 4 | 141) ;; *)
        bad "$line, and nobody reads: status $(cat status)" ;;
    esac
done
# By sockets too: ranks that find each other by TCP.
for r in 0 1; do
    RANK=$r WORLD_SIZE=2 MASTER_PORT=$((20000 + $$ % 20000)) \
        LD_PRELOAD=$scratch/short.so $train --device cpu --deterministic \
        -o tcp.st 2>err.$r &
    pids="${pids-} $!"
done
for p in $pids; do
    wait "$p" || bad "two ranks, little at a time: $(cat err.0 err.1)"
done
$train --device cpu --deterministic -o one.st || bad "one rank"
is "two ranks, little at a time" "$(busi-info one.st | grep '^digest')" \
    "$(busi-info tcp.st | grep '^digest')"

# Links and files that wait where an output or its part is to lie.
ln -s one.tsv two.tsv
runs 2 busi-dup -q -o one.tsv --pairs two.tsv m.tsv
says "are both 'two.tsv'|are both 'one.tsv'"
ln -s round.tsv about.tsv
ln -s about.tsv round.tsv
runs 4 busi-strip -q -o round.tsv scans
ln -s far.tsv near.tsv
ln -s near.tsv here.tsv
runs 0 busi-strip -q -o here.tsv scans
cmp -s far.tsv m.tsv || bad "a link to a link to nothing yet"
for planted in "ln -s" ln; do
    echo precious >victim
    $planted victim .plant.tsv.part
    runs 0 busi-strip -q -o plant.tsv scans
    is "$planted: what a part leads to" precious "$(cat victim)"
    cmp -s plant.tsv m.tsv || bad "$planted: not the table"
    [ ! -h plant.tsv ] || bad "$planted: the output is a link"
    rm plant.tsv
done
{ echo before; busi-strip -q -o /dev/stdout scans; echo behind; } >all.txt
is "/dev/stdout, a file" "before behind" "$(sed -n '1p;$p' all.txt | xargs)"
runs 2 busi-prep -q --resize 8x8 --crop 8 -o /dev/stdout m.tsv
is "and all of it" "$(cat m.tsv)" "$(sed '1d;$d' all.txt)"

# What the machine lacks is no fault of a scan.  Of so many, two threads have two
# open at once.
mkdir many
for i in $(seq 300); do
    ln "scans/benign/benign (1).png" "many/$i.png"
done
find many -name '*.png' >list
runs 4 sh -c 'exec <list && ulimit -n 4 && exec busi-strip -q -o lack.tsv -'
[ ! -e lack.tsv ] || bad "a manifest of what could be opened"
# What may be a DICOM file is not passed over for what keeps it from being read.
mkdir dicom
{ head -c 128 /dev/zero; printf DICM; head -c 400 /dev/zero; } >dicom/IM0001
is "short reads of a name without an ending" "IM0001" "$(
    LD_PRELOAD=$scratch/short.so busi-strip -q dicom | sed 1d | cut -f 1)"
for line in "busi-strip -q --by-content -o lack.tsv scans" \
    "busi-prep -q --on-bad skip --resize 8x8 --crop 8 -o lack.tsv m.tsv" \
    "busi-dup -q -o lack.tsv m.tsv"; do
    # shellcheck disable=SC2086
    runs 4 sh -c 'ulimit -n 6 && exec "$@"' sh $line
    is "$line: one sentence" 1 "$(wc -l <err)"
    [ -z "$(find . -name '.*.part' -o -name lack.tsv)" ] || bad "$line: left something"
done
runs 4 sh -c 'ulimit -n 8 && exec "$@"' sh busi-predict -q -m model.st \
    --device ref --allow-train-rows --resume lack.tsv scans
says "Too many open files"
runs 0 busi-predict -q -m model.st --device ref --allow-train-rows \
    --resume lack.tsv scans
is "and then every scan is scored" "ok" "$(sed 1d lack.tsv | cut -f 3 | sort -u)"

# Descriptors that a careless parent left open, where there is no close_range().
runs 0 env LD_PRELOAD="$scratch/short.so" timeout 60 \
    busi-prep -q --resize 8x8 --crop 8 -o left.st m.tsv 3</dev/null 4</dev/null
rm left.st
inputs | cmp -s - before || bad "an input was changed"
