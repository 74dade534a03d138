# Sourced by tests/t-*.sh: a scratch folder, the programs on PATH, and checks.
# A test runs in its scratch folder, which is removed at the end; $top is the
# source tree.
#
#   is WHAT EXPECTED GOT      two strings are equal
#   runs STATUS COMMAND...    a command ends with that status; its output is
#                             left in the files out and err
#   says PATTERN              a line of err matches (grep -E)
#   has FILE PATTERN          a line of FILE matches
#   skip WHY                  leave a part out, loudly
#   spine                     inputs for every program: scans, m.tsv, f.tsv,
#                             d.st, net.model, model.st, p.tsv; sets $train
#   writers FUNCTION          FUNCTION OUT COMMAND... for each that writes a file
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
PATH=$BUILD/bin:$PATH
LC_ALL=C
export PATH LC_ALL
scratch=$(mktemp -d)
failures=0
trap 'rm -rf "$scratch"; [ "$failures" = 0 ] || exit 1' EXIT
trap 'exit 1' INT TERM
cd "$scratch" || exit 1

bad() {
    failures=$((failures + 1))
    printf 'FAIL: %s\n' "$*"
}

is() {
    [ "$2" = "$3" ] || bad "$1
  expected: $2
  got:      $3"
}

runs() {
    want=$1
    shift
    "$@" >out 2>err </dev/null
    got=$?
    [ "$got" = "$want" ] || bad "status $got, not $want: $*
$(head -n 5 err)"
}

says() {
    grep -Eq -- "$1" err || bad "stderr does not say '$1': $(head -n 5 err)"
}

has() {
    grep -Eq -- "$2" "$1" || bad "$1 has no line '$2': $(head -n 5 "$1")"
}

skip() {
    echo "SKIP: $*"
}

spine() {
    busi-phantom -q -o scans --benign 4 --malignant 4 --normal 4
    busi-strip -q -o m.tsv scans
    busi-split -q -k 3 -o f.tsv m.tsv 2>/dev/null
    busi-prep -q --resize 32x32 --crop 32 -o d.st m.tsv
    cat >net.model <<'END'
input x channels=@channels size=@size
conv c x out=4 kernel=3 stride=2 pad=1
bn b c
relu r b
avgpool p r size=1
linear fc p out=@classes
END
    train="busi-train -q -d d.st -f f.tsv -m ./net.model -e 2 -b 4"
    $train --device ref -o model.st
    busi-predict -q -m model.st -d d.st --allow-train-rows --device ref \
        -o p.tsv
}

writers() {
    $1 x.tsv busi-strip -o x.tsv scans
    $1 x.tsv busi-dup -q -o x.tsv m.tsv
    $1 x.tsv busi-split -q -k 3 -o x.tsv m.tsv
    $1 x.st busi-prep -q --resize 32x32 --crop 32 -o x.st m.tsv
    $1 x.st $train --device ref -o x.st
    $1 x.tsv busi-predict -q -m model.st -d d.st --allow-train-rows \
        --device ref -o x.tsv
    $1 x.tsv busi-eval -q --bootstrap 20 -l m.tsv -o x.tsv p.tsv
    $1 x.onnx busi-export --onnx -m model.st -o x.onnx
    $1 x.html busi-report -q --bootstrap 20 -l m.tsv -o x.html p.tsv
}

# Every program: --help and --version work, unknown options are refused, and
# the man page describes every option of --help.
common_checks() {
    runs 0 "$1" --help
    is "$1 --help is silent on stderr" "" "$(cat err)"
    sed -n 's/^ *\(-\(.\),\)* *--\([a-z0-9-]*\).*/\3 \2/p' out >options
    [ -s options ] || bad "$1 --help lists no options"
    sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESC/p' "$top/man/$1.1" >synopsis
    while read -r name letter; do
        grep -Eq "^\.It .*Fl -$name( |$)" "$top/man/$1.1" ||
            bad "man/$1.1 does not describe --$name"
        case $name in quiet | verbose | help | version | completion) continue ;; esac
        grep -Eq "Fl (-$name|${letter:--})( |$)|Ar options" synopsis ||
            bad "man/$1.1: --$name is not in the synopsis"
    done <options
    runs 0 "$1" --version
    has out "^$1 [0-9]"
    runs 2 "$1" --no-such-option
    says "no-such-option"
    if [ -e /dev/full ]; then
        "$1" --help >/dev/full 2>err
        is "$1 --help to a full device" 4 $?
        says "^$1: cannot write 'stdout': "
    fi
    if command -v mandoc >/dev/null; then
        is "mandoc -T lint man/$1.1" "" "$(mandoc -T lint -W warning \
            "$top/man/$1.1" 2>&1)"
        # A lone dot or bracket of a command keeps its blanks.
        mandoc -T utf8 -O width=500 "$top/man/$1.1" |
            tr -s ' \t' ' ' >page
        sed -n 's/^\.Dl \(.*[^\]\)$/\1/p' "$top/man/$1.1" |
            sed 's/\\&//g; s/\\e/\\/g; s/  */ /g' >commands
        while read -r line; do
            grep -Fq -- "$line" page || bad "man/$1.1 does not show: $line"
        done <commands
    else
        skip "mandoc is not installed: man/$1.1 not linted"
    fi
}
