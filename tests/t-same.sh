#!/bin/sh
# The same bytes in any locale, time zone and folder, on any number of cores and
# with any -j; and the same rows in any order.
. "$(dirname "$0")/lib.sh"
spine
first() {
    n=$((n + 1))
    out=$1
    shift
    "$@" >data 2>err </dev/null || bad "$(head -n 2 err): $*"
    mv "$out" $n
}
again() {
    n=$((n + 1))
    out=$1
    shift
    $how "$@" >data 2>err </dev/null || bad "$what: $(head -n 2 err): $*"
    cmp -s "$out" "$scratch/$n" || bad "$what: other bytes: $*"
}
n=0
writers first
# They must not say 0,5 there, nor sort or fold letters otherwise.
mkdir locales
export LOCPATH="$scratch/locales"
for l in de_DE tr_TR; do
    if localedef -i $l -f UTF-8 locales/$l.UTF-8 >/dev/null 2>&1; then
        n=0 what=$l how="env LC_ALL=$l.UTF-8"
        [ "$($how printf %.1f 1.5 2>/dev/null)" != 1.5 ] ||
            skip "$l makes no difference to printf"
        writers again
    else
        skip "no locale $l can be made"
    fi
done
n=0 what="another time zone" how="env TZ=XYZ-14"
writers again
if command -v taskset >/dev/null; then
    n=0 what="one core" how="taskset -c $(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')"
    writers again
fi
mkdir far
cp -R net.model ./*.tsv d.st model.st far
mkdir far/scans
# Made in another order.
for d in normal malignant benign; do cp -R scans/$d far/scans; done
cd far || exit 1
n=0 what="another folder" how=
writers again
cd ..

for j in 1 2 3 4; do
    runs 0 busi-dup -q -j $j -o dup.$j m.tsv
    runs 0 busi-prep -q -j $j --resize 32x32 --crop 32 --marks marks.$j \
        -o prep.st m.tsv
    mv prep.st prep.$j
    runs 0 busi-predict -q -j $j -m model.st --allow-train-rows \
        --device ref --cam cam.$j -o predict.$j scans
    for f in dup prep marks predict; do
        # The command line is in a dataset.
        sed "s/-j $j/-j 1/" $f.$j | cmp -s - $f.1 || bad "$f: -j $j"
    done
    diff -r cam.$j cam.1 >/dev/null || bad "heat maps: -j $j"
done

# Rows in another order are the same rows.
turned() {
    head -n 1 "$1"
    sed 1d "$1" | sort -r
}
turned m.tsv >r.tsv
! cmp -s m.tsv r.tsv || bad "nothing was turned"
for line in "busi-split -q -k 3" "busi-dup -q"; do
    $line m.tsv | sort >straight
    $line r.tsv | sort | cmp -s - straight || bad "$line: rows turned"
done
score="busi-predict -q -m model.st --allow-train-rows --device ref"
sed 1d m.tsv | cut -f 2 | $score | sort >straight
sed 1d r.tsv | cut -f 2 | $score | sort | cmp -s - straight ||
    bad "busi-predict: scans turned"
busi-strip scans/normal scans/benign | sort >straight
busi-strip scans/benign scans/normal | sort | cmp -s - straight ||
    bad "busi-strip: folders turned"
turned p.tsv | busi-eval -q --bootstrap 20 -l r.tsv >backward
busi-eval -q --bootstrap 20 -l m.tsv p.tsv | cmp -s - backward ||
    bad "busi-eval: rows turned"
