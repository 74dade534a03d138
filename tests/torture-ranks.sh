#!/bin/sh
# One rank of three dies (SIGKILL), hangs (SIGSTOP) or exits, at a random moment
# of its life: sh tests/torture-ranks.sh BUILD [TRIALS]
#
# After a death all must be gone within a second, after a hang within the ranks'
# deadline and 4 s, with a status that is not 0 and the rank named; no
# process and no shared memory may stay, and the state, if there is
# one, must be whole.  Prints a line per kind: trials, failures, and the slowest
# end in seconds.  FOLDER (default: a new one) keeps what failed.
set -u
BUILD=$(cd "${1:?usage: torture-ranks.sh BUILD [TRIALS]}" && pwd)
trials=${2:-100}
top=$(cd "$(dirname "$0")/.." && pwd)
PATH=$BUILD/bin:$PATH
LC_ALL=C
export PATH LC_ALL
deadline=2
ranks=3
folder=${FOLDER:-$(mktemp -d)}
cd "$folder" || exit 4
mkdir -p tmp
TMPDIR=$folder/tmp
export TMPDIR
if ! command -v mpirun >/dev/null; then
    echo "SKIP: mpirun is not installed"
    exit 77
fi
${CC:-cc} -shared -fPIC -o exit_later.so "$top/tests/exit_later.c" || exit 4

busi-phantom -q -o scans --benign 20 --malignant 12 --normal 9
busi-strip scans | busi-split -q -k 4 -o folds.tsv 2>/dev/null
busi-prep -q --resize 32x32 --crop 32 -o data.st folds.tsv
cat >net.model <<'END'
input x channels=@channels size=@size
conv c1 x out=8 kernel=3 stride=2 pad=1
bn b1 c1
relu r1 b1
avgpool p r1 size=1
linear fc p out=@classes
END

# 0 <= random N < N
random() {
    od -An -N4 -tu4 /dev/urandom | awk -v n="$1" '{ print $1 % n }'
}

now() {
    date +%s.%N
}

mine() {
    pgrep -f "busi-train .*-o $name.st" 2>/dev/null
}

rank_pid() {
    for p in $(mine); do
        tr '\0' '\n' 2>/dev/null <"/proc/$p/environ" |
            grep -q "^OMPI_COMM_WORLD_RANK=$1\$" && echo "$p"
    done | head -n 1
}

# What nobody uses; other runs on this machine may have shared memory of theirs.
shared() {
    find /dev/shm -mindepth 1 ! -name 'sem.*' | sort | while read -r f; do
        [ -d "$f" ] && [ -n "$(ls -A "$f" 2>/dev/null)" ] && continue
        grep -qsF "$f" /proc/[0-9]*/maps || echo "$f"
    done
}

bad() {
    echo "$name: $*"
    wrong=1
}

# One trial of $kind; leaves $took and $wrong.
trial() {
    name=$kind$i
    wrong=0
    rank=$(random $ranks)
    after=$(random 1500)
    before=$(shared)
    limit=1
    set -- busi-train -q -d data.st -f folds.tsv -m ./net.model -b 9 \
        --device cpu --threads 1 --ranks $ranks --rank-timeout $deadline \
        --schedule constant -e 1000000 -o "$name.st"
    if [ "$kind" = exit ]; then
        set -- env EXIT_RANK="$rank" EXIT_MS="$after" \
            EXIT_STATUS=$((i % 2 * 9)) LD_PRELOAD="$folder/exit_later.so" "$@"
    fi
    "$@" 2>"$name.err" &
    launcher=$!
    until target=$(rank_pid "$rank") && [ -n "$target" ]; do
        kill -0 $launcher 2>/dev/null || break
        sleep 0.02
    done
    case $kind in
    kill | stop)
        sleep "$(awk -v ms="$after" 'BEGIN { print ms / 1000 }')"
        # Where mpirun hangs too, it takes the launcher two seconds more.
        [ "$kind" = kill ] || limit=$((deadline + 4))
        kill -"$(echo "$kind" | tr "[:lower:]" "[:upper:]")" "$target"
        ;;
    exit)
        while kill -0 "$target" 2>/dev/null &&
            ! grep -q '^State:.Z' "/proc/$target/status" 2>/dev/null; do
            sleep 0.01
        done
        ;;
    esac
    start=$(now)
    # Whatever hangs, hangs no longer than this.
    sleep 20 && kill -9 "$target" $launcher 2>/dev/null &
    guard=$!
    wait $launcher
    status=$?
    kill $guard 2>/dev/null
    took=$(echo "$(now) $start" | awk '{ print $1 - $2 }')
    [ "$status" != 0 ] || bad "status 0"
    awk -v t="$took" -v l="$limit" 'BEGIN { exit !(t <= l * '"${SLACK:-1}"') }' ||
        bad "all gone only after $took s"
    # One that hangs or exits before MPI is open, nobody can name.
    grep -Eq "rank $rank\b|have not met for|a rank ended with" "$name.err" ||
        bad "rank $rank is not named: $(head -n 3 "$name.err")"
    # One that was killed may need a moment to go.
    [ -z "$(mine)" ] || sleep 1
    [ -z "$(mine)" ] || bad "left: $(mine | xargs ps -o pid,stat,args -p)"
    new=$(shared | grep -vxF "${before:-none}")
    # A run of others may just be opening or closing.
    [ -z "$new" ] || { sleep 1; new=$(shared | grep -xF "$new"); }
    [ -z "$new" ] || bad "left in /dev/shm: $new"
    for f in "$name".state*; do
        [ ! -e "$f" ] || busi-info -q --verify "$f" >/dev/null 2>&1 ||
            bad "$f is damaged"
    done
    rm -rf tmp/*
    [ $wrong = 1 ] || rm -f "$name".*
}

failures=0
for kind in kill stop exit; do
    i=0
    failed=0
    slowest=0
    while [ $i -lt "$trials" ]; do
        i=$((i + 1))
        trial
        failed=$((failed + wrong))
        slowest=$(echo "$took $slowest" | awk '{ print ($1 > $2) ? $1 : $2 }')
    done
    failures=$((failures + failed))
    printf '%s\t%d trials\t%d failures\tslowest %.2f s\n' "$kind" "$trials" \
        "$failed" "$slowest"
done
[ -n "${FOLDER:-}" ] || [ $failures != 0 ] || rm -rf "$folder"
[ $failures = 0 ]
