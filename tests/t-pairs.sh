#!/bin/sh
# Pieces that do not belong together are refused, by name, with status 3.
. "$(dirname "$0")/lib.sh"

maker=$BUILD/tests/check_model
if [ ! -x "$maker" ]; then
    bad "no $maker to make models with"
    exit 1
fi
recipe="resize=40x40 crop=36 channels=1 mean=0.5 std=0.5"
classes=benign,malignant,normal
model() {
    file=$1 order=$2 how=$3
    shift 3
    "$maker" "$file" tiny 1 "$order" "$how" "$@" || bad "$file"
}
# refused NAME NAME COMMAND...: with 3, a sentence with both names, no output
refused() {
    one=$1 other=$2
    shift 2
    rm -f made made.tsv
    runs 3 "$@"
    says "'$one'"
    says "'$other'"
    [ ! -s made ] && [ ! -s made.tsv ] || bad "output in spite of it: $*"
}

for s in 1 2; do
    busi-phantom -q -o scans$s --benign 5 --malignant 4 --normal 3 --seed $s
    busi-strip -o m$s.tsv scans$s
    busi-split -q -k 3 -o f$s.tsv m$s.tsv
    busi-prep --resize 40x40 --crop 36 -o d$s.st m$s.tsv
done
# The folds, one scan short.
grep -v 'normal (3)' f1.tsv >fewer.tsv
awk -F'\t' '$NF != 0 { print $4 }' f1.tsv | sed 1d >seen
model good.st $classes "$recipe" fold=0 seen=seen \
    folds="$(sha256sum <f1.tsv | cut -d' ' -f1)"
model order.st malignant,benign,normal "$recipe"
model recipe.st $classes "${recipe%0.5}0.25"

predict="busi-predict --device ref -o made.tsv"
train="busi-train --device ref -e 1 -m resnet18 -o made"
runs 0 $predict -m good.st -d d1.st -f f1.tsv --fold 0
cp made.tsv fold0.tsv

# ------------------------------------------- a dataset and folds of another
refused f2.tsv d1.st $train -d d1.st -f f2.tsv --fold 0
refused f2.tsv d1.st $predict -m good.st -d d1.st -f f2.tsv --fold 0
refused f2.tsv d1.st busi-info --verify f2.tsv d1.st
refused fewer.tsv d1.st $train -d d1.st -f fewer.tsv --fold 0
refused fewer.tsv d1.st $predict -m good.st -d d1.st -f fewer.tsv --fold 0

# ------------------------------------------- a model and rows it has seen
for f in 1 2; do
    refused good.st d1.st $predict -m good.st -d d1.st -f f1.tsv --fold $f
done
refused good.st d1.st $predict -m good.st -d d1.st

# ------------------------------------------- other classes, another recipe
refused order.st d1.st $predict -m order.st -d d1.st
refused recipe.st d1.st $predict -m recipe.st -d d1.st
refused good.st order.st $predict -m good.st -m order.st scans2
refused good.st recipe.st $predict -m good.st -m recipe.st scans2

# ------------------------------------------- predictions
runs 0 $predict -m order.st scans2
awk -F'\t' -v OFS='\t' 'NR > 1 { $2 = "benign" } { print }' made.tsv >order.tsv
cp fold0.tsv again.tsv
refused fold0.tsv order.tsv busi-eval fold0.tsv order.tsv
refused fold0.tsv again.tsv busi-eval fold0.tsv again.tsv
awk 'NR == 1 || / benign/' m2.tsv | sed 's/benign (1)/benign (99)/' >other.tsv
refused fold0.tsv other.tsv busi-eval -l other.tsv fold0.tsv
refused fold0.tsv order.st busi-info --verify fold0.tsv order.st
runs 0 busi-info --verify fold0.tsv good.st f1.tsv
has out '^model_file +good.st$'
has out '^folds_file +f1.tsv$'
