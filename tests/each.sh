#!/bin/sh
# Every program that writes a file, run by another or as it was built:
#
#     each.sh BUILD [COMMAND...]
#
# COMMAND (valgrind, say) stands in front of each.  All must end well and be
# silent, their decoders' processes too; two ranks that meet by TCP as well.
BUILD=$(cd "$1" && pwd) || exit 1
export BUILD
shift
before=$*
. "$(dirname "$0")/lib.sh"
spine
n=0
silent() {
    shift
    # The guard of decoders' processes lets no valgrind work in them.
    case "$before $*" in valgrind*busi-dup* | valgrind*busi-prep* | \
        valgrind*busi-predict*scans | valgrind*busi-report*m.tsv*) return ;;
    esac
    n=$((n + 1))
    $before "$@" >out 2>err </dev/null || bad "status $?: $*"
    [ ! -s err ] || bad "$* says: $(head -n 60 err)"
}
writers silent
silent folder busi-phantom -q -o folder --benign 2 --malignant 2 --normal 1 -j 2
silent - busi-info --verify m.tsv f.tsv d.st model.st p.tsv
silent - busi-report -q --bootstrap 20 -o x.html p.tsv
silent - busi-predict -q -j 2 -m model.st --allow-train-rows --device ref scans
port=$((20000 + $$ % 20000)) pids=
for r in 0 1; do
    RANK=$r WORLD_SIZE=2 MASTER_PORT=$port $before $train --device ref \
        -o tcp.st 2>err.$r &
    pids="$pids $!"
done
for p in $pids; do wait "$p" || bad "a rank: status $?"; done
[ ! -s err.0 ] && [ ! -s err.1 ] || bad "ranks say: $(cat err.0 err.1)"
echo "$n programs${before:+ by $before}, and two ranks: $failures failures"
