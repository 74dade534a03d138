#!/bin/sh
# busi-info: what is this file, is it whole, do these belong together?
. "$(dirname "$0")/lib.sh"
common_checks busi-info

# What a key says of the file described last, or of the $2-th.
fact() {
    awk -v key="$1" -v n="${2:-1}" -v RS= -F'\n' 'NR == n {
        for (i = 1; i <= NF; i++)
            if (index($i, key " ") == 1) {
                sub(/^[^ ]+ +/, "", $i)
                print $i
            }
    }' out
}
sha() {
    sha256sum <"$1" | cut -d' ' -f1
}

# ------------------------------------------------------------ our own files
busi-phantom -q -o scans --benign 6 --malignant 5 --normal 4 --seed 3
busi-strip -o manifest.tsv scans
busi-split -q -k 3 -o folds.tsv manifest.tsv
busi-prep --resize 40x40 --crop 32 -o data.safetensors manifest.tsv
runs 0 busi-info manifest.tsv
is "kind" manifest "$(fact kind)"
is "labels" "benign 6, malignant 5, normal 4" "$(fact labels)"
is "sha256" "$(sha manifest.tsv)" "$(fact sha256)"
is "not verified" "" "$(fact verified)"
runs 0 busi-info --verify manifest.tsv folds.tsv data.safetensors
is "kind" "fold table" "$(fact kind 2)"
for f in 0 1 2; do
    is "fold $f" "benign $(grep -c "	benign	.*	$f$" folds.tsv), \
malignant $(grep -c "	malignant	.*	$f$" folds.tsv), \
normal $(grep -c "	normal	.*	$f$" folds.tsv)" "$(fact fold_$f 2)"
done
is "kind" dataset "$(fact kind 3)"
is "rows" 15 "$(fact rows 3)"
is "images" "U8 15 x 32 x 32 x 1" "$(fact images 3)"
is "classes" "benign, malignant, normal" "$(fact classes 3)"
is "labels" "benign 6, malignant 5, normal 4" "$(fact labels 3)"
is "recipe" "resize=40x40 crop=32 channels=1 mean=0.5 std=0.5" \
    "$(fact recipe 3)"
is "manifest" "$(sha manifest.tsv)" "$(fact manifest 3)"
is "its file" manifest.tsv "$(fact manifest_file 3)"
is "verified" "every byte" "$(fact verified 3)"
has out "^command +busi-prep"
runs 0 busi-info -t data.safetensors
is "tensors" "images U8 15 x 32 x 32 x 1
labels I64 15
row_crc U32 15
sha256 U8 15 x 32" "$(sed -n 's/^tensor \([a-z0-9_]*\)  */\1 /p' out |
    grep -v ids)"
runs 3 busi-info -
says "standard input"
busi-info - <manifest.tsv >out 2>err
is "stdin" manifest "$(fact kind)"

# Tables that other programs of ours write.
cat >pred.tsv <<'END'
id	label	status	pred	p_benign	p_malignant	model
a	benign	ok	benign	0.75	0.25	00112233aabb
b	malignant	ok	malignant	0.25	0.75	00112233aabb
c	benign	decode				
END
runs 0 busi-info --verify pred.tsv
is "kind" "prediction table" "$(fact kind)"
is "status" "decode 1, ok 2" "$(fact status)"
is "model" "00112233aabb" "$(fact model)"
is "no select" "" "$(fact select)"
sed '1s/$/	select/; 2,$s/$/	test/' pred.tsv >chosen.tsv
runs 0 busi-info chosen.tsv
is "select" "test 3" "$(fact select)"
busi-eval -q -o metrics.tsv pred.tsv
runs 0 busi-info --verify metrics.tsv
is "kind" "metrics table" "$(fact kind)"
is "accuracy" 1 "$(fact accuracy)"
sed -n '1p;2p' pred.tsv >pred-a.tsv
sed -n '1p;3p' pred.tsv | sed 's/bb$/cc/' >pred-b.tsv
busi-eval -q -o folded.tsv pred-a.tsv pred-b.tsv
runs 0 busi-info folded.tsv
is "folds" 2 "$(fact folds)"
printf 'epoch\tlr\ttrain_loss\n1\t0.1\t1\n' >log.tsv
runs 0 busi-info log.tsv
is "kind" "training log" "$(fact kind)"
printf '2\tNA\tabc\n' >>log.tsv
runs 0 busi-info log.tsv
runs 3 busi-info --verify log.tsv
says "'log.tsv' line 3: train_loss 'abc' is not a number"

# ------------------------------------- predictions, and whose they are
busi-prep -q --resize 32x32 --crop 32 -o small.st folds.tsv
cat >net.model <<'END'
input x channels=@channels size=@size
avgpool p x size=8
linear fc p out=@classes
END
for seed in 1 2; do
    busi-train -q -d small.st -f folds.tsv -m ./net.model -e 1 -b 4 \
        --seed $seed --device ref -o model$seed.st
done
for how in "--tta 1" "--tta 3" "--device cpu --dtype bf16"; do
    busi-predict -q -m model1.st -d small.st --device ref $how \
        -f folds.tsv --fold 0 -o p1.tsv
    runs 0 busi-info --verify model1.st p1.tsv
    is "its model" model1.st "$(fact model_file 2)"
    runs 3 busi-info --verify model2.st p1.tsv
    says "made from another model"
done
busi-predict -q -m model1.st -m model2.st -d small.st --device ref -f folds.tsv \
    --fold 0 -o both.tsv
runs 0 busi-info --verify model1.st model2.st both.tsv
is "two that voted, named behind each other" "" "$(cat err)"
runs 0 busi-info --verify model2.st model1.st both.tsv
says "'both.tsv' was made by none of these models"
runs 4 busi-info --verify gone model2.st p1.tsv
says "made from another model"
busi-predict -q -m model2.st -d small.st --device ref -f folds.tsv --fold 0 |
    sed '1d; s/^/2/' | cat p1.tsv - >joined.tsv
runs 0 busi-info --json joined.tsv
has out '"model": ."[0-9a-f]{12}", "[0-9a-f]{12}".,'
# Digests in capitals, or none, are no others.
awk -F '\t' -v OFS='\t' 'NR == 1 { while ($++n != "sha256"); }
    NR > 1 { $n = NR % 2 ? "" : toupper($n) } { print }' folds.tsv >loud.tsv
runs 0 busi-info --verify small.st loud.tsv
runs 0 busi-train -q -d small.st -f loud.tsv -m ./net.model -e 1 \
    --device ref -o model1.st

# ------------------------------------------------------------- other files
# A safetensors file of someone else, made by hand.
header='{"__metadata__":{"k":"v\u001b[31m"},"a":{"dtype":"F32","shape":[2],'
header=$header'"data_offsets":[0,8]}}'
{
    printf "\\$(printf %03o ${#header})\\0\\0\\0\\0\\0\\0\\0%s" \
        "$header"
    printf '\0\0\200?\0\0\0@'
} >foreign
runs 0 busi-info --verify -t foreign
is "kind" "safetensors file of others" "$(fact kind)"
is "tensor" "tensor a       F32 2" "$(grep '^tensor a' out)"
is "no control characters" 'meta k         v\x1b[31m' "$(grep '^meta' out)"
has out "^verified +header and length; it has no checksums"
head -c -1 foreign >short
runs 3 busi-info short
says "'short' cannot be read as safetensors: it is shorter"
printf 'a\tb\n1\t2\n' >any.tsv
runs 0 busi-info any.tsv
is "columns" "a, b" "$(fact columns)"
runs 3 busi-info "$BUILD/bin/busi-info"
: >empty
runs 3 busi-info empty
printf 'no table' >text
runs 3 busi-info text
says "'text' is neither a safetensors file nor a table"
runs 4 busi-info gone
runs 4 busi-info scans
runs 2 busi-info
says "no file given"

# Hostile headers cost little: under a second and 64 MB each.
# header BYTES: the length field, then what comes on stdin
header() {
    n=$1 i=0
    while [ $i -lt 8 ]; do
        printf "\\$(printf %03o $((n % 256)))"
        n=$((n / 256)) i=$((i + 1))
    done
    cat
}
blanks() {
    head -c "$1" /dev/zero | tr '\0' ' '
}
tensors() {
    awk -v n="$1" 'BEGIN {
        printf "{"
        for (i = 0; i < n; i++)
            printf "%s\"%0100d\":{\"dtype\":\"U8\",\"shape\":[1]," \
                "\"data_offsets\":[%d,%d]}", (i > 0 ? "," : ""), i, i, i + 1
        printf "}"
    }'
}
{ printf '{}'; blanks 15999990; } | header 15999992 >blank.hostile
{ printf '{}'; blanks 99999990; } | header 99999992 >long.hostile
{ printf '{"__metadata__":{"a":"'; blanks 7999000; printf '"}}'; } |
    header 7999024 >meta.hostile
tensors 90000 >many
[ "$(wc -c <many)" -gt 12000000 ] || bad "no large header was made"
{ cat many; head -c 89000 /dev/zero; } | header "$(wc -c <many)" >many.hostile
for f in *.hostile; do
    busi-info -v "$f" >out 2>err
    case $? in 0 | 3) ;; *) bad "$f: status" ;; esac
    awk -v f="$f" '/ MB peak/ {
        for (i = 2; i <= NF; i++) {
            if ($i == "s" && $(i + 1) ~ /^wall/) wall = $(i - 1)
            if ($i == "MB") mb = $(i - 1)
        }
        if (!(wall < 1 && mb > 0 && mb < 64)) print f ": " wall " s, " mb " MB"
        seen = 1
    }
    END { if (!seen) print f ": no peak" }' err >cost
    is "$f costs little" "" "$(cat cost)"
done

# ------------------------------------------------------------------ damage
size=$(wc -c <data.safetensors)
for at in 3 100 4500 "$((size - 1))"; do
    cp data.safetensors bad.safetensors
    old=$(od -An -tu1 -j "$at" -N1 data.safetensors)
    printf "\\$(printf %03o $((old ^ 16)))" |
        dd of=bad.safetensors bs=1 seek="$at" conv=notrunc 2>/dev/null
    runs 3 busi-info --verify bad.safetensors
    says "'bad.safetensors' .*"
done
# A pixel: only --verify looks at it.
cp data.safetensors bad.safetensors
images=$(($(od -An -tu8 -N8 data.safetensors) + 8))
printf '\001\002\003' |
    dd of=bad.safetensors bs=1 seek=$images conv=notrunc 2>/dev/null
runs 0 busi-info bad.safetensors
runs 3 busi-info --verify bad.safetensors
says "'bad.safetensors' is damaged: CRC-32 of 'images' differs"
sed '3s/benign/&\t/' manifest.tsv >bad.tsv
runs 3 busi-info bad.tsv
sed '3s/[0-9a-f]$/x/' manifest.tsv >bad.tsv
runs 3 busi-info --verify bad.tsv
says "'bad.tsv' line 3: .* is not a SHA-256"
sed '3s/[0-2]$/x/' folds.tsv >bad.tsv
runs 3 busi-info --verify bad.tsv
says "'bad.tsv': .* has fold 'x'"
sed '2s/0\.75/0.5/' pred.tsv >bad.tsv
runs 3 busi-info --verify bad.tsv
says "line 2: the probabilities sum to 0.75, not 1"
sed '3s/[0-9]/?/' metrics.tsv >bad.tsv
runs 3 busi-info --verify bad.tsv
for change in 3=1.7 4=-0.1 5=1.01; do
    awk -F'\t' -v OFS='\t' -v at="${change%=*}" -v x="${change#*=}" \
        '$1 == "accuracy" { $at = x } 1' metrics.tsv >bad.tsv
    runs 3 busi-info --verify bad.tsv
    says "'bad.tsv' line .*: accuracy is ${change#*=}, not between 0 and 1"
done
awk -F'\t' -v OFS='\t' '$1 == "mcc" { $4 = 0.5; $5 = 0.4 } 1' metrics.tsv >bad.tsv
runs 3 busi-info --verify bad.tsv
says "the interval of mcc ends before it starts"
sed '3s/.*/&/;2p' manifest.tsv >bad.tsv
runs 3 busi-info bad.tsv
says "twice"
# The others are described all the same, and every error is told.
runs 4 busi-info gone manifest.tsv short
says "gone"
says "short"
is "the good one" manifest.tsv "$(fact file)"

# ----------------------------------------- files that do not belong together
busi-phantom -q -o others --benign 6 --malignant 5 --normal 4 --seed 4
busi-strip others | busi-split -q -k 3 -o others.tsv
runs 3 busi-info --verify others.tsv data.safetensors
says "'data.safetensors' and 'others.tsv' do not belong together"

for at in label fold; do
    awk -F'\t' -v OFS='\t' -v at=$at 'NR == 1 { for (i = 1; i <= NF; i++) c[$i] = i }
        NR == 2 { $c[at] = at == "fold" ? 1 - ($c[at] > 0) : "normal" } 1' \
        folds.tsv >$at.tsv
done
runs 3 busi-info --verify label.tsv data.safetensors
says "'data.safetensors' and 'label.tsv' do not belong together: .* label"
awk -F'\t' -v OFS='\t' '{ print $1, $3, $5, NR == 1 ? "pred" : $3,
    NR == 1 ? "p_benign" : 0, NR == 1 ? "p_malignant" : 0,
    NR == 1 ? "p_normal" : 1 }' \
    folds.tsv >scored.tsv
runs 0 busi-info --verify scored.tsv folds.tsv
for f in label fold; do
    runs 3 busi-info --verify $f.tsv scored.tsv
    says "'scored.tsv' and '$f.tsv' do not .* has $f '.*' in the one and"
done
sed 2d folds.tsv >fewer.tsv
runs 3 busi-info --verify scored.tsv fewer.tsv
says "'scored.tsv' and 'fewer.tsv' do not belong together: the second lacks"

# --------------------------------------------------------------- JSON, names
runs 0 busi-info --json --verify folds.tsv data.safetensors
has out '"kind": "fold table", "rows": 15, '
has out '"labels": {"benign": 6, "malignant": 5, "normal": 4}'
if command -v python3 >/dev/null; then
    python3 -m json.tool <out >/dev/null || bad "python does not read the JSON"
fi
odd=$(printf 'o"d\td\n-\377')
cp manifest.tsv "./$odd"
runs 0 busi-info --json -- "$odd"
has out '"file": "o\\"d\\u0009d\\u000a-\\ufffd"'
runs 0 busi-info -- "$odd"
has out '^file +o"d\\x09d\\x0a-'
cp manifest.tsv ./--verify
runs 0 busi-info -- --verify
is "a file named as an option" "--verify" "$(fact file)"
if [ -e /dev/full ]; then
    busi-info manifest.tsv >/dev/full 2>err
    is "a full device" 4 $?
fi
runs 0 sh -c "busi-info --json data.safetensors | grep -o '\"rows\": [0-9]*'"
is "the man page's example" '"rows": 15' "$(cat out)"
