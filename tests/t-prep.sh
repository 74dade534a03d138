#!/bin/sh
# busi-prep: scans into a dataset.
. "$(dirname "$0")/lib.sh"
common_checks busi-prep

# A 3 x 2 gray PNG, 0 255 0 / 255 128 0, made by Pillow.
picture() {
    printf '\211PNG\015\012\032\012\000\000\000\015IHDR\000\000\000\003'
    printf '\000\000\000\002\010\000\000\000\000\270\0379\306'
    printf '\000\000\000\020IDATx\234c\140\370\317\300\364\277\221\001\000\012'
    printf '\011\002\202\010\267\135\240\000\000\000\000IEND\256B\140\202'
}
sha=3c6e35fc36c86ca7c98e90113d9cddf455b57db7f113477f6d3604ac83b2778c
picture >a.png
is "the picture's SHA-256" "$sha" "$(sha256sum <a.png | cut -d' ' -f1)"
tab=$(printf '\t')
small="--resize 4x4 --crop 2 --std 0.25"

# The first $2 bytes of the data of file $1, in hexadecimal.
data() {
    tail -c +$(($(od -An -tu8 -N8 "$1") + 9)) "$1" | head -c "$2" |
        od -An -v -tx1 | tr -d ' \n'
}
row() {
    printf '%s\t%s\t%s\t%s\n' "$@"
}
head() {
    if [ $# -gt 0 ]; then command head "$@"; else row id path label sha256; fi
}

# ------------------------------------------------- values: Pillow and NumPy
{ head; row x a.png b $sha; row y a.png "" ""; row z a.png a $sha; } >m.tsv
runs 0 busi-prep $small -o u8.st m.tsv
is "silence" "" "$(cat out err)"
is "pixels" a38bac64a38bac64a38bac64 "$(data u8.st 12)"
is "labels: b is 1, none -1, a 0" \
    0100000000000000ffffffffffffffff0000000000000000 \
    "$(data u8.st 36 | cut -c25-)"
has u8.st '"classes":"a\\u0009b"'
has u8.st '"recipe":"resize=4x4 crop=2 channels=1 mean=0.5 std=0.25"'
has u8.st "\"manifest_sha256\":\"$(sha256sum <m.tsv | cut -d' ' -f1)\""
runs 0 busi-prep $small --dtype f32 -o f32.st m.tsv
is "floats" 908e0e3fc0b8383eb4b2323fdcdcdcbe "$(data f32.st 16)"
runs 0 busi-prep $small --channels 3 -o rgb.st m.tsv
is "RGB" a3a3a38b8b8bacacac646464 "$(data rgb.st 12)"

# ------------------------------------------------- same bytes, whatever -j
busi-phantom -o scans --benign 6 --malignant 5 --normal 4 --seed 3 -q
busi-strip -o s.tsv scans
runs 0 busi-prep -j 1 -o j1.st s.tsv
for j in 2 5; do
    runs 0 busi-prep -j $j -o j$j.st s.tsv
    cmp j1.st j$j.st || bad "-j $j gives other bytes than -j 1"
done
busi-prep -o pipe.st <s.tsv || bad "manifest on stdin"
cmp j1.st pipe.st || bad "stdin gives other bytes than a file"
# Rows in the manifest's order: the reverse is the reverse.
{ command head -n 1 s.tsv; tail -n +2 s.tsv | sort -r; } >r.tsv
{ command head -n 1 s.tsv; tail -n +2 s.tsv | sort; } >f.tsv
runs 0 busi-prep $small -o r.st r.tsv
runs 0 busi-prep $small -o f.st f.tsv
is "order of rows" "$({ data f.st 60; echo; } | fold -w 8 | tac)" \
    "$(data r.st 60 | fold -w 8)"
runs 0 busi-prep $small --classes normal,benign,malignant -o c.st s.tsv
has c.st 'normal\\u0009benign\\u0009malignant'

# ------------------------------------------------- marks
# 40 x 40 black with a white cross of 3 x 19 pixels, made by Pillow as RGB; and
# with the same cross in yellow.
white() {
    base64 -d <<'END'
iVBORw0KGgoAAAANSUhEUgAAACgAAAAoCAIAAAADnC86AAAAS0lEQVR4nO3UsQkAIAwF0egcf//J
MoiFYKkxNir3KptwEIhmAICgkp509/6QlBiv6fAhwoT/C6/veNzrrvl9s+o4vkzChG8JA8B7Gufx
CSSQxrVgAAAAAElFTkSuQmCC
END
}
yellow() {
    base64 -d <<'END'
iVBORw0KGgoAAAANSUhEUgAAACgAAAAoCAIAAAADnC86AAAASklEQVR4nO3UsQkAIAwF0egc2X+y
DGIjlhq/jcq9yiYcBKIZACCpyJMR/eGujFc5fIgw4f/C6zse97prft+sOo8vkzDhW8IA8J4GZlQG
JChgyIYAAAAASUVORK5CYII=
END
}
white >white.png
yellow >yellow.png
{
    printf 'id\tpath\textra\n'
    printf 'w\twhite.png\t1\ny\tyellow.png\t2\nn\ta.png\t3\n'
} >draw.tsv
runs 0 busi-prep $small --marks marked.tsv -o draw.st draw.tsv
is "marks" "id path extra marks
w white.png 1 caliper
y yellow.png 2 caliper,colour
n a.png 3 " "$(tr '\t' ' ' <marked.tsv)"
runs 0 busi-prep $small -o draw2.st draw.tsv
cmp draw.st draw2.st || bad "--marks changes the dataset"
if [ -e /dev/full ]; then
    echo old >kept.st
    runs 4 busi-prep $small --marks /dev/full -o kept.st draw.tsv
    runs 4 busi-prep $small --marks no/such/folder -o kept.st draw.tsv
    is "marks that cannot be written leave the dataset" old "$(cat kept.st)"
fi

# ------------------------------------------------- bad scans
command head -c 60 a.png >cut.png
picture | tr '\364' '\365' >bits.png
echo hello >text.png
{
    head
    row ok a.png a $sha
    row 1 cut.png a ""
    row 2 text.png a ""
    row 3 gone.png a ""
    row 4 a.png a 00"${sha#??}"
    row 5 . a ""
    row 6 a.png c ""
    row 7 bits.png a ""
} >bad.tsv
runs 3 busi-prep $small --classes a,b -o bad.st bad.tsv
is "no output of a failed run" "" "$(ls -A | grep bad.st)"
for p in cut.png text.png gone.png a.png "'\.'" bits.png; do
    says "$p"
done
says "changed since the manifest was written"
says "7 of 8 scans"
runs 1 busi-prep $small --classes a,b --on-bad skip --rejects rejects \
    -o bad.st bad.tsv
is "rejects" "cut.png invalid
text.png invalid
gone.png unreadable
a.png changed
. unreadable
a.png label
bits.png invalid" "$(cut -f1,2 rejects | tr "$tab" ' ')"
is "the good one" a38bac64 "$(data bad.st 4)"
is "silent with --rejects" "" "$(cat err)"
runs 1 busi-prep $small --on-bad skip -o bad.st bad.tsv
says "^cut.png${tab}invalid${tab}"
# The old file stays when the run fails.
echo old >old.st
runs 3 busi-prep $small -o old.st bad.tsv
is "output of a failed run" old "$(cat old.st)"
{ head; row 1 cut.png a ""; } >none.tsv
runs 3 busi-prep $small --on-bad skip -o none.st none.tsv
says "not one of 1 scans"

# ------------------------------------------------- strange names
odd=$(printf 'od\td\n -\377.png')
picture >"./$odd"
picture >./--help
{
    head
    row 1 'od\td\n '"$(printf -- '-\377.png')" a ""
    row 2 --help a ""
} >odd.tsv
runs 0 busi-prep $small -o odd.st odd.tsv
rm ./--help
runs 1 busi-prep $small --on-bad skip -o odd.st odd.tsv
says '^--help	unreadable	'

# ------------------------------------------------- wrong usage and bad tables
runs 2 busi-prep m.tsv
says "no output file"
runs 2 busi-prep -o x.st m.tsv s.tsv
for wrong in "--crop 300" "--resize 0x4" "--std 0" "--channels 2" \
    "--mean nan" "--crop 2=3" "--dtype i8" "--on-bad maybe" "-j -1" \
    "--classes a,a" "--classes a,,b"; do
    # shellcheck disable=SC2086
    runs 2 busi-prep $wrong -o x.st m.tsv
done
runs 2 busi-prep -o - m.tsv
printf 'id\tlabel\nx\ty\n' >nopath.tsv
runs 3 busi-prep -o x.st nopath.tsv
says "no column 'path'"
head >empty.tsv
runs 3 busi-prep -o x.st empty.tsv
{ head; row x a.png a ""; row x a.png a ""; } >twice.tsv
runs 3 busi-prep -o x.st twice.tsv
says "twice"
{ head; row x a.png "$(printf 'a\377')" ""; } >label.tsv
runs 3 busi-prep -o x.st label.tsv
runs 4 busi-prep -o x.st missing.tsv
runs 4 busi-prep $small -o no/such/folder/x.st m.tsv
is "nothing is left behind" "" "$(ls -A | grep x.st)"
if [ -e /dev/full ]; then
    runs 4 busi-prep $small -o /dev/full m.tsv
fi

# ------------------------------------------------- memory stays, scans grow
peak() {
    { head; seq "$1" | sed "s/.*/&${tab}a.png${tab}a${tab}/"; } |
        ASAN_OPTIONS=quarantine_size_mb=1 \
        busi-prep -v -j 2 -o /dev/null 2>err || bad "$1 scans"
    sed -n 's/.* \([0-9]*\)\.[0-9] MB peak$/\1/p' err
}
few=$(peak 600)
many=$(peak 4000)
[ "$many" -lt $((few + 10)) ] || bad "$many MB for 4000 scans, $few for 600"
