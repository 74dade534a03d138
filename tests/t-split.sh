#!/bin/sh
# busi-split: folds that keep their promises, and a proof that finds fault.
. "$(dirname "$0")/lib.sh"
common_checks busi-split
tab=$(printf '\t')

# 60 scans: 30 benign, 20 malignant, 10 normal; scans 4n and 4n+1 of a label
# share a group; one group carries two labels.
awk 'BEGIN {
    OFS = "\t"; print "id", "path", "label", "sha256", "group", "conflict"
    split("benign malignant normal", label, " ")
    split("30 20 10", count, " ")
    for (c = 1; c <= 3; c++)
        for (i = 0; i < count[c]; i++) {
            id = label[c] "/" i ".png"
            g = label[c] (i % 4 == 1 ? i - 1 : i)
            torn = i == 7 && c < 3
            print id, "scans/" id, label[c], c "f" i, torn ? "torn" : g, torn+0
        }
}' >m.tsv

# ---------------------------------------------------------------- splitting
runs 0 busi-split m.tsv
is "silence" "" "$(cat err)"
cp out folds.tsv
is "rows stay as they are" "$(cat m.tsv)" "$(cut -f 1-6 folds.tsv)"
is "the header" "fold" "$(head -n 1 folds.tsv | cut -f 7)"
is "five folds" "0 1 2 3 4" "$(sed 1d folds.tsv | cut -f 7 | sort -u | tr '\n' ' ' | sed 's/ $//')"
is "no group in two folds" "" \
    "$(sed 1d folds.tsv | cut -f 5,7 | sort -u | cut -f 1 | uniq -d)"
runs 0 busi-split --check folds.tsv
is "counts" "$(awk -F'\t' -v OFS='\t' '
    NR > 1 { n[$7]++; c[$7, $3]++
             if (!(($7, $5) in seen)) { seen[$7, $5]; g[$7]++ } }
    END { print "fold", "n", "groups", "n_benign", "n_malignant", "n_normal"
          for (f = 0; f < 5; f++)
              print f, n[f], g[f], c[f, "benign"], c[f, "malignant"],
                  c[f, "normal"] }' folds.tsv)" "$(cat out)"
is "labels are spread evenly" "" "$(sed 1d out | awk '
    $4 < 5 || $4 > 7 || $5 < 3 || $5 > 5 || $6 < 1 || $6 > 3')"

# From stdin to stdout and back, in another order, with CRLF.
(head -n 1 m.tsv; sed 1d m.tsv | sort -r) | sed "s/\$/$(printf '\r')/" |
    busi-split - 2>err | sort >out
is "independent of the order" "$(sort folds.tsv)" "$(cat out)"
runs 0 busi-split -o again.tsv --seed 1 -k 5 m.tsv
is "the same seed" "$(cat folds.tsv)" "$(cat again.tsv)"
runs 0 busi-split --seed 2 m.tsv
[ "$(cat out)" != "$(cat folds.tsv)" ] || bad "another seed, the same folds"
runs 0 busi-split --seed 2 folds.tsv
is "a column fold is replaced" "$(busi-split --seed 2 m.tsv)" "$(cat out)"

runs 0 busi-split -k 3 --repeat 3 m.tsv
is "columns" "fold fold_2 fold_3" \
    "$(head -n 1 out | cut -f 7- | tr '\t' ' ')"
is "the first split is the same" "$(busi-split -k 3 m.tsv)" \
    "$(cut -f 1-7 out)"
[ "$(cut -f 7 out | sed 1d)" != "$(cut -f 8 out | sed 1d)" ] ||
    bad "repeats are no new splits"
cp out repeated.tsv
runs 0 busi-split -k 3 --repeat 2 repeated.tsv
is "columns of more rounds are dropped" "$(cut -f 1-8 repeated.tsv)" "$(cat out)"
runs 0 busi-split --check repeated.tsv
sed '/benign.0.png/s/[0-9]$/x/' repeated.tsv >wrong.tsv
runs 3 busi-split --check wrong.tsv
says "'benign/0.png' has fold_3 'x'"

runs 0 busi-split --drop-conflicts m.tsv
is "conflicts" "$(grep -v "${tab}torn${tab}" m.tsv)" "$(cut -f 1-6 out)"
runs 0 busi-split --one-per-group m.tsv
is "one per group" "$(awk -F'\t' '!seen[$5]++' m.tsv)" "$(cut -f 1-6 out)"

# --------------------------------------------------- without groups, bytes
cut -f 1-4 m.tsv | sed "s/1f1\$/1f0/" >plain.tsv
runs 0 busi-split plain.tsv
says "no column 'group': near-copies may cross folds"
is "identical bytes stay together" 1 \
    "$(grep "${tab}1f0${tab}" out | cut -f 5 | sort -u | wc -l | tr -d ' ')"
runs 0 busi-split -q plain.tsv
is "-q" "" "$(cat err)"
runs 3 busi-split --group patient m.tsv
says "'m.tsv' has no column 'patient'"
sed '1s/group/patient/' m.tsv >patients.tsv
runs 0 busi-split --group patient patients.tsv
is "another column" "$(sed 1d folds.tsv)" "$(sed 1d out)"
# Two scans of each patient, of other groups than near-copies.
awk -F'\t' -v OFS='\t' '{
    print $0, (NR == 1 ? "patient" : "p" int((NR + 1) / 2)) }' m.tsv >both.tsv
runs 0 busi-split --group patient both.tsv
cp out joined.tsv
is "no patient in two folds" "" \
    "$(sed 1d joined.tsv | cut -f 7,8 | sort -u | cut -f 1 | uniq -d)"
is "nor near-copies" "" \
    "$(sed 1d joined.tsv | cut -f 5,8 | sort -u | cut -f 1 | uniq -d)"
runs 0 busi-split --check --group patient joined.tsv
sed '1s/group/copies/' both.tsv | busi-split --group patient |
    sed '1s/copies/group/' >torn.tsv
runs 3 busi-split --check --group patient torn.tsv
says "belong together"

# ----------------------------------------------------------------- refusals
runs 3 busi-split -k 58 m.tsv
says "58 folds want as many groups, 'm.tsv' has"
runs 0 busi-split -k 12 m.tsv
says "label 'normal' has 7 groups for 12 folds: some have none of it"
awk -F'\t' -v OFS='\t' 'NR == 3 || NR == 5 { $3 = "" } 1' m.tsv >bare.tsv
runs 3 busi-split bare.tsv
says "2 of 60 scans carry no label, the first is 'benign/1.png'"
sed 's/\tnormal\t\(3f[0-4]\t\)/\tNormal \t\1/' m.tsv >cases.tsv
runs 0 busi-split -k 2 cases.tsv
says "the labels '(Normal |normal)' and '(Normal |normal)' are two classes"
for k in 1 0 -1 x 1001 2.5; do
    runs 2 busi-split -k "$k" m.tsv
done
runs 2 busi-split m.tsv m.tsv
runs 2 busi-split --check --probe x folds.tsv
runs 2 busi-split --check --one-per-group folds.tsv
says "take the folds as they are"
runs 4 busi-split none.tsv
says "cannot open 'none.tsv'"
: >empty.tsv
runs 3 busi-split empty.tsv
says "'empty.tsv' is empty"
head -n 1 m.tsv >header.tsv
runs 3 busi-split header.tsv
(cat m.tsv; tail -n 1 m.tsv) >twice.tsv
runs 3 busi-split twice.tsv
says "'normal/9.png'.* twice"
cut -f 1,2 m.tsv >unlabelled.tsv
runs 3 busi-split unlabelled.tsv
says "no column 'label'"
if [ -e /dev/full ]; then
    busi-split m.tsv >/dev/full 2>err
    is "a full device" 4 $?
fi
printf 'id\tlabel\tgroup\n-x\\t\\n\ta\tg\n\377\ta\th\n' >odd.tsv
runs 0 busi-split -k 2 odd.tsv
is "odd names" "$(cat odd.tsv)" "$(cut -f 1-3 out)"

# ------------------------------------------------------------------- proofs
runs 3 busi-split --check m.tsv
says "no column 'fold'"
runs 3 busi-split --check -k 6 folds.tsv
says "fold 5 is empty"
runs 3 busi-split --check -k 4 folds.tsv
says "has fold '4', not 0 to 3"

# change FILE ID VALUE: folds.tsv with another fold for one scan
change() {
    awk -F'\t' -v OFS='\t' -v id="$2" -v value="$3" \
        '$1 == id { $7 = value } 1' folds.tsv >"$1"
}
was=$(awk -F'\t' '$1 == "benign/5.png" { print $7 }' folds.tsv)
to=$(((was + 1) % 5))
change apart.tsv benign/5.png $to
runs 3 busi-split --check apart.tsv
says "'benign/4.png' in fold $was and 'benign/5.png' in fold $to belong together"
is "no counts" "" "$(cat out)"
change hole.tsv benign/5.png ''
runs 3 busi-split --check hole.tsv
says "'benign/5.png' has no fold"
change high.tsv benign/5.png 1000000
runs 3 busi-split --check high.tsv
says "'benign/5.png' has fold '1000000'"
awk -F'\t' -v OFS='\t' 'NR > 1 { $7 = $3 == "normal" ? 0 : 1 } 1' folds.tsv >skew.tsv
runs 3 busi-split --check skew.tsv
says "label 'benign' has from 0 to 30 scans in a fold.* in fold 1: .* and 22 more"
sed 's/\t3f0\t/\t3f2\t/' folds.tsv >bytes.tsv
a=$(awk -F'\t' '$1 == "normal/0.png" { print $7 }' folds.tsv)
b=$(awk -F'\t' '$1 == "normal/2.png" { print $7 }' folds.tsv)
if [ "$a" != "$b" ]; then
    runs 3 busi-split --check bytes.tsv
    says "'normal/0.png' in fold $a and 'normal/2.png' in fold $b belong"
else
    bad "the test wants another seed: normal/0 and normal/2 share a fold"
fi

# -------------------------------------------------------------------- probe
# Every phantom is there twice: what lies in two folds is found again.
busi-phantom -q -o twins --benign 6 --malignant 4 --normal 2 || bad phantom
for f in twins/*/*.png; do
    case $f in
    *_mask*) rm "$f" ;;
    *) cp "$f" "${f%.png} copy.png" ;;
    esac
done
busi-strip twins >twins.tsv || bad strip
busi-prep -o twins.safetensors --resize 96x96 --crop 96 twins.tsv || bad prep
cut -f 1-3 twins.tsv | awk -F'\t' -v OFS='\t' '
    NR == 1 { print $0, "fold" }
    NR > 1 { print $0, / copy/ ? 1 : 0 }' >leak.tsv
runs 0 busi-split -q --probe twins.safetensors leak.tsv
is "columns" "split accuracy n" "$(head -n 1 out | tr '\t' ' ')"
has out "^majority${tab}0.500000${tab}24$"
has out "^folds${tab}1.000000${tab}24$"
has out "^random${tab}[01]\.[0-9]*${tab}24$"
cp out leak
runs 0 busi-split -q -k 2 -o kept.tsv twins.tsv
runs 0 busi-split -q --probe twins.safetensors kept.tsv
kept=$(sed -n "s/^folds$tab\(.*\)${tab}24$/\1/p" out)
awk "BEGIN { exit !($kept < 0.999) }" || bad "twins kept together: $kept"
(head -n 1 leak.tsv; sed 1d leak.tsv | sort -r) |
    busi-split -q --probe twins.safetensors >out
is "independent of the order" "$(cat leak)" "$(cat out)"
sed 's/^benign/x&/' leak.tsv >foreign.tsv
runs 3 busi-split -q --probe twins.safetensors foreign.tsv
says "'twins.safetensors' has no scan 'xbenign"
sed '2s/[0-9a-f]\{8\}\t/00000000\t/' kept.tsv >altered.tsv
runs 3 busi-split -q --probe twins.safetensors altered.tsv
says "was made from another"
head -c 1000 twins.safetensors >cut.safetensors
runs 3 busi-split -q --probe cut.safetensors leak.tsv
says "cut.safetensors"
runs 4 busi-split -q --probe none.safetensors leak.tsv
