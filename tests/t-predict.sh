#!/bin/sh
# busi-predict: pictures, streams and dataset rows into probabilities.
. "$(dirname "$0")/lib.sh"
tab=$(printf '\t')
common_checks busi-predict

maker=$BUILD/tests/check_model
if [ ! -x "$maker" ]; then
    bad "no $maker to make models with"
    exit 1
fi
small="resize=40x40 crop=36 channels=1 mean=0.5 std=0.25"
classes=benign,malignant,normal
# model FILE SEED [KEY=VALUE...]: a tiny network of random weights
model() {
    file=$1 seed=$2
    shift 2
    "$maker" "$file" tiny "$seed" "$classes" "$small" "$@" || bad "$file"
}
# rows FILE: without the header; label and model, which say whence, left out
rows() {
    sed 1d "$1" | cut -f 1,3-7
}

busi-phantom -q -o scans --benign 9 --malignant 7 --normal 6 --seed 5
busi-strip -q -o m.tsv scans
busi-split -q -k 3 -o f.tsv m.tsv 2>err
busi-prep --resize 40x40 --crop 36 --std 0.25 -o d.st m.tsv
model m.st 1

# ------------------------------------------------- a folder, its columns
runs 0 busi-predict -m m.st --device ref scans
is "silence" "" "$(cat err)"
cp out folder
is "header" "id label status pred p_benign p_malignant p_normal model" \
    "$(head -n 1 folder | tr '\t' ' ')"
is "ids in the manifest's order" "$(cut -f 1 m.tsv)" "$(cut -f 1 folder)"
is "labels are not guessed" "" "$(sed 1d folder | cut -f 2 | tr -d '\n')"
is "sums, largest and pred" "" "$(sed 1d folder | awk -F'\t' '{
    best = $5 >= $6 && $5 >= $7 ? "benign" : $6 >= $7 ? "malignant" : "normal"
    s = $5 + $6 + $7
    if (s < 0.999999 || s > 1.000001 || $4 != best || $3 != "ok") print }')"
is "answers differ" 22 "$(sed 1d folder | cut -f 5 | sort -u | wc -l | tr -d ' ')"

# ------------------------------------------------- the same bits from rows
runs 0 busi-predict -m m.st --device ref -d d.st
cp out all
is "rows equal pictures" "$(rows folder)" "$(rows all)"
is "labels of the dataset" "$(cut -f 3 m.tsv)" "$(cut -f 2 all)"
busi-prep --resize 40x40 --crop 36 --std 0.25 --dtype f32 -o f32.st m.tsv
runs 0 busi-predict -m m.st --device ref -d f32.st -o f32.tsv
cmp -s f32.tsv all || bad "an f32 dataset gives other numbers than u8"
busi-strip scans | sed 1d | cut -f 2 | busi-predict -m m.st --device ref \
    >stream || bad "paths on stdin"
is "stream equals folder" "$(rows folder | sed 's,^,scans/,')" "$(rows stream)"
find scans -name '*.png' -print0 | busi-predict -0 -m m.st --device ref \
    >nul || bad "paths on stdin, -0"
is "-0, masks left out" "$(rows stream | sort)" "$(rows nul | sort)"
runs 0 busi-predict -m m.st --device ref -- - "scans/normal"
is "stdin and a folder" "$(rows folder | grep '^normal' | sed 's,^normal/,,')" \
    "$(rows out)"
echo scans/normal | busi-predict -m m.st --device ref - >out
is "a folder on stdin" 6 "$(rows out | wc -l | tr -d ' ')"
# Batches, threads and devices: batches of 32 and of 1, and the CPU plugin.
close_to() {
    paste folder "$1" | awk -F'\t' -v t="$2" 'NR > 1 { for (i = 5; i < 8; i++) {
        d = $i - $(i + 8); if (d > t || d < -t) exit 1 } }' ||
        bad "$1 is not within $2 of the reference"
}
for n in 1 3 32; do
    runs 0 busi-predict -m m.st --device ref --batch $n -j 1 scans
    close_to out 1e-5
done
if [ -e "$BUILD/lib/busi/backend_cpu.so" ]; then
    for n in 1 32; do
        runs 0 busi-predict -m m.st --device cpu --threads 1 --batch $n scans
        close_to out 1e-5
    done
    cp out cpu
    runs 0 busi-predict -m m.st --device cpu --batch 32 -j 3 scans
    cmp -s out cpu || bad "threads make a difference"
else
    skip "no backend_cpu.so: not held against the reference"
fi

# ------------------------------------------------- several models, views
model n.st 2
runs 0 busi-predict -m n.st --device ref scans
cp out other
runs 0 busi-predict -m m.st -m n.st --device ref scans
is "two models are averaged" "" "$(paste folder other out | awk -F'\t' \
    'NR > 1 { for (i = 5; i < 8; i++) { d = ($i + $(i + 8)) / 2 - $(i + 16)
        if (d > 1e-6 || d < -1e-6) print } }')"
is "marks of one and of two models" 3 \
    "$(for f in folder other out; do sed -n 2p $f | cut -f 8; done | sort -u |
        wc -l | tr -d ' ')"
"$maker" order.st tiny 1 malignant,benign,normal "$small"
runs 3 busi-predict -m m.st -m order.st scans
says "'m.st' and 'order.st'.*classes"
runs 3 busi-predict -m m.st scans/benign scans/malignant scans/benign
says "would have the same id 'benign \(1\).png'"
runs 0 busi-predict -m m.st --tta 2 --device ref scans
cmp -s out folder && bad "--tta makes no difference"
runs 2 busi-predict -m m.st --tta 17 scans

# ------------------------------------------------- heat maps
runs 0 busi-predict -m m.st -m n.st --device ref --cam maps scans
is "heat maps: a picture for each scan" "$(cut -f 1 m.tsv | sed 1d | sort)" \
    "$(cd maps && find . -name '*.png' | sed 's,^./,,' | sort)"
is "of the crop, in colour" "0 0 0 36 0 0 0 36 8 2" \
    "$(od -An -tu1 -j16 -N10 'maps/benign/benign (1).png' |
        tr -s ' ' | sed 's/^ //')"
is "heat maps: the columns before model" "cam_inside mask_area" \
    "$(head -n 1 out | cut -f 8,9 | tr '\t' ' ')"
is "heat maps: shares where there is a lesion" 16 \
    "$(awk -F'\t' '$8 != "" && $8 >= 0 && $8 <= 1 && $9 > 0 && $9 < 1' out |
    grep -c '^[bm]')"
is "heat maps: none where there is none" 6 \
    "$(awk -F'\t' '$8 == "" && $1 ~ /^normal/' out | wc -l | tr -d ' ')"
fit=$(awk -F'\t' '$1 == "malignant/malignant (1).png" { print $8, $9 }' out)
cut -f 1-7 out >with
runs 0 busi-predict -m m.st -m n.st --device ref scans
cut -f 1-7 out | cmp -s - with || bad "heat maps change the answers"
mkdir mixed
cp "scans/malignant/malignant (1).png" mixed/1.BMP
cp "scans/malignant/malignant (1)_mask.png" mixed/1_mask_2.PNG
cp mixed/1.BMP mixed/12.png
(cd mixed && busi-predict -q -m ../m.st -m ../n.st --device ref --cam ../mixed-maps \
    1.BMP 12.png) >out
is "a mask of another ending, with any number" "$fit" \
    "$(awk -F'\t' '$1 == "1.BMP" { print $8, $9 }' out)"
is "is not that of a longer name" " " \
    "$(awk -F'\t' '$1 == "12.png" { print $8, $9 }' out)"
head -c 200 mixed/1_mask_2.PNG >mixed/12_mask.png
(cd mixed && busi-predict -m ../m.st -m ../n.st --device ref --cam ../mixed-maps \
    12.png) >out 2>err
says "the mask '12_mask.png' is left out: "
is "a mask that cannot be read is no black one" " " \
    "$(sed 1d out | awk -F'\t' '{ print $8, $9 }')"
cp -R scans own
runs 2 busi-predict -m m.st --device ref --cam own own
says "would overwrite"
diff -r scans own >/dev/null || bad "a heat map overwrote a scan"

# ------------------------------------------------- bad pictures among good
mkdir odd
cp "scans/benign/benign (1).png" odd/1.png
head -c 3000 odd/1.png >odd/2.png
echo no picture >odd/3.png
: >odd/4.png
cp "scans/benign/benign (2).png" odd/5.png
ln -s nowhere odd/6.png
mkdir odd/7.png
runs 1 busi-predict -m m.st --device ref --rejects rejects odd missing.png
is "a row for each" "1.png ok
2.png invalid
3.png invalid
4.png invalid
5.png ok
6.png unreadable
missing.png unreadable" "$(sed 1d out | cut -f 1,3 | tr '\t' ' ')"
is "no numbers for bad ones" "" \
    "$(awk -F'\t' '$3 != "ok" && NR > 1 { print $4 $5 $6 $7 }' out | tr -d '\n')"
is "the good ones" "$(rows folder | sed -n 1,2p | cut -f 3-)" \
    "$(rows out | grep '	ok	' | cut -f 3-)"
is "rejects" "odd/2.png invalid
odd/3.png invalid
odd/4.png invalid
odd/6.png unreadable
missing.png unreadable" "$(cut -f 1,2 rejects | tr '\t' ' ')"
is "silent with --rejects" "" "$(cat err)"
runs 1 busi-predict -m m.st --device ref odd/2.png
says "^odd/2.png	invalid	"
is "the bad row is there" 1 "$(sed 1d out | wc -l | tr -d ' ')"
# Only bad ones in the first block, and in all of them.
yes odd/2.png | head -n 40 | busi-predict -m m.st --device ref --batch 4 \
    >out 2>err
is "bad scans alone" 40 "$(grep -c '	invalid	' out)"

# ------------------------------------------------- names of every kind
strange=$(printf 'od\td\n -\377.png')
mkdir names
cp odd/1.png "names/$strange"
cp odd/1.png ./--help
runs 0 busi-predict -m m.st --device ref names -- --help
is "odd names" "$(printf 'od\\td\\n -\377.png ok\n--help ok')" \
    "$(sed 1d out | cut -f 1,3 | tr '\t' ' ')"
printf '%s\0' "names/$strange" ./--help | busi-predict -0 -m m.st \
    --device ref >out || bad "odd names on stdin"
is "odd names on stdin" "$(printf 'names/od\\td\\n -\377.png\n--help')" \
    "$(sed 1d out | cut -f 1)"
rm ./--help
printf 'a\0b\n\nodd/1.png' | busi-predict -m m.st --device ref >out 2>err
is "a NUL in a line" 1 $?
says "^a	unreadable	.*NUL"
is "no newline at the end" "odd/1.png ok" \
    "$(sed -n '3p' out | cut -f 1,3 | tr '\t' ' ')"

# ------------------------------------------------- little, much and no room
runs 0 busi-predict -m m.st --device ref
is "no input: the header" 1 "$(wc -l <out | tr -d ' ')"
mkdir nothing
runs 0 busi-predict -m m.st --device ref nothing
says "no scans below 'nothing'"
if [ -e /dev/full ]; then
    busi-predict -m m.st --device ref scans >/dev/full 2>err
    is "a full device" 4 $?
    runs 4 busi-predict -m m.st --device ref -o /dev/full scans
    runs 4 busi-predict -m m.st --device ref --rejects /dev/full odd
fi
{ busi-predict -m m.st --device ref scans 2>err; echo $? >status; } |
    head -n 1 >out
is "first line alone" "id" "$(cut -f 1 out)"
case $(cat status) in
0 | 141) ;;
*) bad "head: status $(cat status)" ;;
esac
# A row comes while the stream is still open.
mkfifo pipe
busi-predict -m m.st --device ref <pipe >out 2>err &
exec 9>pipe
for i in 1 5; do
    echo odd/$i.png >&9
    n=0
    while ! grep -q "^odd/$i.png	" out && [ $n -lt 100 ]; do
        sleep 0.1
        n=$((n + 1))
    done
    [ $n -lt 100 ] || bad "no row for odd/$i.png while the stream is open"
done
exec 9>&-
wait $! || bad "the stream's end"
# Numbers that are none, while the decoder waits for more of the stream.
model huge.st 1 huge=1
busi-predict -m huge.st --device ref <pipe >out 2>err &
exec 9>pipe
echo odd/1.png >&9
wait $!
is "NaN" 5 $?
exec 9>&-
says "'odd/1.png' is not a number"
model nan.st 1 nan=1
runs 5 busi-predict -m nan.st odd/1.png
says "'nan.st' has weights that are not finite"
runs 0 busi-info nan.st
runs 5 busi-info --verify nan.st

peak() {
    i=0
    while [ $i -lt "$1" ]; do
        echo odd/1.png
        i=$((i + 1))
    done | ASAN_OPTIONS=quarantine_size_mb=1 \
        busi-predict -v -m m.st --device ref --batch 8 >out 2>err ||
        bad "$1 scans"
    is "rows" $(($1 + 1)) "$(wc -l <out | tr -d ' ')"
    mb=$(sed -n 's/.* \([0-9]*\)\.[0-9] MB peak$/\1/p' err)
}
peak 100
few=$mb
peak 800
[ "$mb" -lt $((few + 10)) ] || bad "$mb MB for 800 scans, $few for 100"

# ------------------------------------------------- models and data that do not fit
head -c 5000 m.st >cut.st
runs 3 busi-predict -m cut.st scans
says "'cut.st'"
runs 3 busi-predict -m d.st scans
says "'d.st' is a dataset file, not a model file"
runs 4 busi-predict -m missing.st scans
busi-prep --resize 40x40 --crop 36 --std 0.5 -o recipe.st m.tsv
runs 3 busi-predict -m m.st -d recipe.st
says "'recipe.st' was not made for 'm.st': it has another recipe"
runs 3 busi-predict -m order.st -d d.st
says "'d.st' was not made for 'order.st'.*classes"
head -c 20000 d.st >cutd.st
runs 3 busi-predict -m m.st -d cutd.st
for wrong in "scans" "-m m.st -d d.st scans" "-m m.st -f f.tsv scans" \
    "-m m.st -d d.st --fold 1" "-m m.st -d d.st -f f.tsv" \
    "-m m.st --device tpu scans" "-m m.st --device cpu:1 scans" \
    "-m m.st --batch 0 scans" "-m m.st --resume r -o s scans"; do
    # shellcheck disable=SC2086
    runs 2 busi-predict $wrong
done

# ------------------------------------------------- folds
fold=$(head -n 1 f.tsv | tr '\t' '\n' | grep -n '^fold$' | cut -d: -f 1)
runs 0 busi-predict -m m.st --device ref -d d.st -f f.tsv --fold 1 -o p1.tsv
is "rows of the fold" "$(awk -F'\t' -v c="$fold" '$c == 1 { print $1 }' f.tsv)" \
    "$(sed 1d p1.tsv | cut -f 1)"
is "columns" "fold model" "$(head -n 1 p1.tsv | cut -f 8- | tr '\t' ' ')"
is "its number" 1 "$(sed 1d p1.tsv | cut -f 8 | sort -u)"
awk -F'\t' -v OFS='\t' 'NR == 1 { print $0, "group"; next }
    { print $0, "g" NR % 4 }' f.tsv >g.tsv
runs 0 busi-predict -m m.st --device ref -d d.st -f g.tsv --fold 1
is "with groups" "fold group model" "$(head -n 1 out | cut -f 8- | tr '\t' ' ')"
is "same numbers" "$(rows p1.tsv)" "$(rows out)"
runs 0 busi-eval --bootstrap 10 p1.tsv
runs 3 busi-predict -m m.st -d d.st -f f.tsv --fold 3
says "'f.tsv' has no row of fold 3"
sed 3d f.tsv >lacks.tsv
runs 3 busi-predict -m m.st -d d.st -f lacks.tsv --fold 1
says "'lacks.tsv' does not cover 'd.st': it lacks 'benign/benign \(2\).png'"
sed '3s/\(.*\t\)[0-9a-f]\{64\}/\1'"$(printf %064d 0)"'/' f.tsv >sha.tsv
runs 3 busi-predict -m m.st -d d.st -f sha.tsv --fold 1
says "'d.st' and 'sha.tsv'.*another SHA-256"
sed '3s/\tbenign\t/\tnormal\t/' f.tsv >label.tsv
runs 3 busi-predict -m m.st -d d.st -f label.tsv --fold 1
says "'d.st' and 'label.tsv'.*another label"

# ------------------------------------------------- what was seen in training
sha=$(head -n 1 f.tsv | tr '\t' '\n' | grep -n '^sha256$' | cut -d: -f 1)
awk -F'\t' -v c="$fold" -v s="$sha" 'NR > 1 && $c != 1 { print $s }' f.tsv >seen
n=$(wc -l <seen | tr -d ' ')
model t.st 1 fold=1 seen=seen folds="$(sha256sum <f.tsv | cut -d' ' -f 1)"
runs 0 busi-predict -m t.st --device ref -d d.st -f f.tsv --fold 1
is "its own test fold, quietly" "" "$(cat err)"
is "same numbers" "$(rows p1.tsv)" "$(rows out)"
in2=$(awk -F'\t' -v c="$fold" '$c == 2' f.tsv | wc -l | tr -d ' ')
runs 3 busi-predict -m t.st --device ref -d d.st -f f.tsv --fold 2
says "'t.st' has seen $in2 of these $in2 rows of 'd.st'.*test fold: 1"
is "nothing is written" "" "$(cat out)"
runs 3 busi-predict -m t.st --device ref -d d.st
says "has seen $n of these 22 rows"
runs 3 busi-predict -m m.st -m t.st --device ref -d d.st
says "'t.st' has seen $n of these 22 rows"
runs 0 busi-predict -m t.st --device ref -d d.st --allow-train-rows
says "'t.st' has seen $n of these 22 rows"
is "all rows" "$(rows all)" "$(rows out)"
runs 0 busi-predict -m t.st --device ref -d d.st -f g.tsv --fold 1
says "trained with another fold table than 'g.tsv'"
runs 1 busi-predict -m t.st --device ref --rejects rejects scans
is "pictures seen" "$n" "$(awk -F'\t' '$3 == "seen"' out | wc -l | tr -d ' ')"
is "pictures not seen" "$(cut -f 1 p1.tsv)" \
    "$(awk -F'\t' '$3 != "seen" { print $1 }' out)"
runs 0 busi-predict -m t.st --device ref --allow-train-rows scans
is "pictures all the same" "$(rows folder)" "$(rows out)"
is "the table says which were seen" "$n" \
    "$(cut -f 8 out | grep -cx yes)"
runs 0 busi-predict -m t.st --device ref -d d.st --allow-train-rows
is "rows of a dataset too" "$n" "$(cut -f 8 out | grep -cx yes)"
cp out flattered.tsv
runs 0 busi-eval --bootstrap 0 flattered.tsv
says "'flattered.tsv': $n scans had a part in the training"
has out "^seen_in_training${tab}all${tab}$n${tab}"
model chosen.st 1 fold=1 select=test
runs 0 busi-predict -m chosen.st --device ref -d d.st -f f.tsv --fold 1
says "chosen on its test fold"
is "marked" "test" "$(sed 1d out | cut -f 9 | sort -u)"

# ------------------------------------------------- --resume
mkdir grow
cp odd/1.png grow/a.png
cp odd/2.png grow/b.png
runs 1 busi-predict -m m.st --device ref --resume r.tsv grow
is "stdout stays empty" "" "$(cat out)"
cp r.tsv before
cp odd/5.png grow/c.png
cp odd/5.png grow/0.png
runs 1 busi-predict -m m.st --device ref --resume r.tsv --rejects bad.tsv grow
is "a bad one is tried again" "grow/b.png invalid" \
    "$(cut -f 1,2 bad.tsv | tr '\t' ' ')"
is "old rows are kept" "$(head -n 2 before)" "$(head -n 2 r.tsv)"
is "new rows behind" "0.png ok
b.png invalid
c.png ok" "$(sed 1,2d r.tsv | cut -f 1,3 | tr '\t' ' ')"
mkdir rest
cp grow/a.png rest
runs 0 busi-predict -m m.st --device ref --resume r.tsv rest
says "1 rows of 'r.tsv' have no scores, and their scans were not named again"
is "one that is not named stays" "a.png 0.png c.png b.png" \
    "$(sed 1d r.tsv | cut -f 1 | xargs)"
cp r.tsv before
runs 1 busi-predict -m m.st --device ref --resume r.tsv grow
cmp -s r.tsv before || bad "--resume with nothing new changes the table"
cp grow/c.png grow/b.png
runs 0 busi-predict -m m.st --device ref --resume r.tsv grow
is "and is scored when it is whole" "b.png ok" \
    "$(sed '1,/^c.png/d' r.tsv | cut -f 1,3 | tr '\t' ' ')"
is "once" "$(sed 's/^b.*//' before | sed '/^$/d')" "$(grep -v ^b.png r.tsv)"
cp odd/2.png grow/b.png
cp before r.tsv
runs 3 busi-predict -m n.st --device ref --resume r.tsv grow
says "'r.tsv' cannot be added to: line 2 was made by another model"
runs 3 busi-predict -m m.st --tta 2 --device ref --resume r.tsv grow
runs 3 busi-predict -m order.st --device ref --resume r.tsv grow
says "'r.tsv' cannot be added to: it has other columns"
runs 5 busi-predict -m huge.st --device ref --resume new.tsv grow
cmp -s r.tsv before || bad "a failed --resume changes the table"
is "nothing is left behind" "" "$(find . -name '.*.part' -o -name new.tsv)"

# Two scans of one id: the second is rejected; one that is named twice is one.
mkdir twin twin/a twin/b
cp odd/1.png twin/a/x.png
cp odd/5.png twin/b/x.png
printf '%s\n' twin/a twin/b twin/a >lines
runs 1 sh -c "busi-predict -m m.st --device ref --resume twin.tsv <lines"
says "twin/b/x.png${tab}repeated"
is "the first has a row" "x.png ok" \
    "$(sed 1d twin.tsv | cut -f 1,3 | tr '\t' ' ')"
printf '%s\n' twin/a/x.png ./twin//a/x.png twin/a/x.png >lines
runs 0 sh -c "busi-predict -m m.st --device ref --resume ways.tsv <lines"
is "one file by three names has one row" 2 "$(wc -l <ways.tsv)"
runs 0 sh -c "busi-predict -m m.st --device ref --resume ways.tsv <lines"

# Killed: what it had written whole lines of is there for the next.
busi-predict -q -m m.st --device ref --resume whole.tsv grow
{ head -n 3 whole.tsv; printf 'c.png\tbeni'; } >.killed.tsv.part
runs 1 busi-predict -m m.st --device ref --resume killed.tsv grow
says "going on from 2 rows"
cmp -s whole.tsv killed.tsv || bad "a killed run's rows are not gone on from"
# ... the rows of bad scans of the table, too.
grep -v '^[0c]' whole.tsv >both.tsv
grep -v '^[bc]' whole.tsv >.both.tsv.part
runs 0 busi-predict -m m.st --device ref --resume both.tsv grow/c.png
says "going on from 2 rows"
is "rows of both" "0.png a.png grow/c.png b.png" \
    "$(sed 1d both.tsv | cut -f 1 | xargs)"
# ... whatever becomes of that one before it has scored anything.
head -n 3 whole.tsv >.left.tsv.part
runs 4 busi-predict -m m.st --device ref --resume left.tsv --rejects no/x grow
is "what was left is there yet" 3 "$(cat .left.tsv.part left.tsv 2>/dev/null | wc -l)"
mkfifo silent
timeout -s KILL 1 busi-predict -m m.st --device ref --resume left.tsv \
    <>silent 2>err
is "also after a second kill" 3 "$(cat .left.tsv.part left.tsv 2>/dev/null | wc -l)"
head -n 3 p1.tsv >.other.tsv.part
runs 1 busi-predict -m m.st --device ref --resume other.tsv grow
cmp -s whole.tsv other.tsv || bad "rows of another table were taken up"

# Asked to stop, it keeps what it has; a path that comes twice is one row.
mkfifo line
busi-predict -m m.st --device ref --resume stopped.tsv <line 2>err &
pid=$!
exec 9>line
printf '%s\n' grow/a.png grow/b.png grow/a.png >&9
n=0
until [ "$(cat .stopped.tsv.*.part 2>/dev/null | wc -l)" = 3 ] || [ $n = 100 ]
do
    sleep 0.1
    n=$((n + 1))
done
kill -INT $pid
wait $pid
is "a stopped --resume ends with 128 + SIGINT" 130 $?
exec 9>&-
says "asked to stop: 2 rows more are in 'stopped.tsv'"
is "and keeps its rows" "grow/a.png grow/b.png" \
    "$(sed 1d stopped.tsv | cut -f 1 | paste -s -d ' ')"
runs 0 busi-predict -m m.st --device ref --resume stopped.tsv grow/a.png \
    grow/c.png
is "and goes on from there" "grow/a.png grow/c.png grow/b.png" \
    "$(sed 1d stopped.tsv | cut -f 1 | paste -s -d ' ')"
cp grow/a.png grow/a_mask.png
runs 0 busi-predict -m m.st --device ref grow/a_mask.png
says "1 masks were named"

# A folder that cannot be opened costs its own scans.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    mkdir -p half/shut
    cp grow/a.png half
    cp grow/c.png half/shut
    cp "$BUILD/bin/busi-predict" .
    chmod 755 . half
    chmod 0 half/shut
    runs 1 setpriv --reuid=65534 --clear-groups ./busi-predict -m m.st \
        --device ref half
    is "rows of a folder with one that is shut" "a.png ok
shut unreadable" "$(sed 1d out | cut -f 1,3 | tr '\t' ' ')"
    chmod 755 half/shut
else
    skip "permissions are tested by dropping from root to another user"
fi

# A folder that is not of heat maps keeps its files.
mkdir from into
cp grow/a.png from/x.png
cp grow/c.png into/x.png
runs 2 busi-predict -m m.st --device ref --cam into from
says "would replace 'into/x.png'"
cmp -s grow/c.png into/x.png || bad "--cam has replaced a scan"
runs 0 busi-predict -m m.st --device ref --cam maps from
runs 0 busi-predict -m m.st --device ref --cam maps from
cp from/x.png from/x
runs 1 busi-predict -m m.st --device ref --cam maps from/x from/x.png
says "no-map.*that of another scan"
is "without a map it has its row" "ok ok" "$(sed 1d out | cut -f 3 | xargs)"

# Maps below the scans are no scans, and a name may have no room for more.
runs 0 busi-predict -m m.st --device ref --cam from/maps from/x.png
runs 0 busi-predict -m m.st --device ref from
says "passed over 'from/maps': heat maps"
is "heat maps are not scored" "x.png" "$(sed 1d out | cut -f 1)"
long=$(printf '%0252d' 0)
mkdir long
cp from/x.png "long/$long"
runs 1 busi-predict -m m.st --device ref --cam longer "long/$long"
says "no-map.*too long a name"
is "which is scored" "ok" "$(sed 1d out | cut -f 3)"
runs 0 busi-predict -m m.st --device ref -o "$long" from/x.png
runs 2 busi-predict -m m.st --rejects - from
