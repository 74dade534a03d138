# busi-eval: metrics, joins, folds, comparison, refusals.
# Expected numbers: scikit-learn 1.9, scipy 1.17, and numpy for DeLong.
. "$(dirname "$0")/lib.sh"
common_checks busi-eval

# Tables are written with blanks here; a '.' is an empty cell.
tabs() {
    sed -e 's/  */\t/g' -e ':a' -e 's/\t\.\(\t\|$\)/\t\1/' -e ta
}
# row METRIC CLASS [FOLD]: value, lo and hi of that row of out
row() {
    awk -F'\t' -v m="$1" -v c="$2" -v f="${3-}" \
        '$1 == m && $2 == c && $7 == f { print $3, $4, $5 }' out
}

tabs >a.tsv <<'END'
id label status pred p_benign p_malignant p_normal
s1 benign ok benign 0.8 0.1 0.1
s2 benign ok benign 0.6 0.3 0.1
s3 benign ok malignant 0.3 0.6 0.1
s4 benign ok benign 0.5 0.2 0.3
s5 malignant ok malignant 0.1 0.8 0.1
s6 malignant ok benign 0.6 0.3 0.1
s7 malignant ok malignant 0.2 0.7 0.1
s8 normal ok normal 0 0 1
s9 normal ok benign 0.7 0.1 0.2
s10 normal decode . . . .
END
tabs >b.tsv <<'END'
id label status pred p_benign p_malignant p_normal
s1 benign ok malignant 0.4 0.5 0.1
s2 benign ok malignant 0.2 0.5 0.3
s3 benign ok malignant 0.3 0.6 0.1
s4 benign ok normal 0.3 0.2 0.5
s5 malignant ok malignant 0.1 0.8 0.1
s6 malignant ok malignant 0.3 0.6 0.1
s7 malignant ok benign 0.7 0.2 0.1
s8 normal ok normal 0.2 0.2 0.6
s9 normal ok benign 0.7 0.1 0.2
s10 normal ok normal 0 0 1
END

# ---------------------------------------------------------------- one table
runs 0 busi-eval --positive malignant a.tsv
says "1 of 10 rows were rejected"
is "header" "metric class value lo hi n" "$(head -n 1 out | tr '\t' ' ')"
is "n" "9 NA NA" "$(row n all)"
is "rejected" "1 NA NA" "$(row rejected all)"
is "accuracy" "0.666667 0.354202 0.879416" "$(row accuracy all)"
for x in balanced_accuracy=0.638889 macro_f1=0.666667 mcc=0.47027 kappa=0.46 \
    brier=0.417778 nll=0.669369 ece=0.233333; do
    is "${x%=*}" "${x#*=}" "$(row "${x%=*}" all | cut -d' ' -f1)"
done
is "auroc" "0.725 0.344402 1" "$(row auroc benign)"
is "macro auroc" "0.856746" "$(row auroc macro | cut -d' ' -f1)"
is "auprc" "0.866667" "$(row auprc malignant | cut -d' ' -f1)"
is "sensitivity" "0.5 0.0945312 0.905469" "$(row sensitivity normal)"
is "specificity" "1 0.64567 1" "$(row specificity normal)"
is "ppv" "0.6 0.230724 0.882379" "$(row ppv benign)"
is "npv" "0.833333 0.436497 0.969947" "$(row npv malignant)"
is "f1" "0.666667" "$(row f1 normal | cut -d' ' -f1)"
is "confusion" "3 NA NA" "$(row confusion 'benign>benign')"
is "confusion" "0 NA NA" "$(row confusion 'normal>malignant')"
is "binary auroc" "0.916667 0.718864 1" "$(row binary_auroc malignant)"
is "at 90 % specificity" "0.666667" \
    "$(row sensitivity_at_90_specificity_chosen_here malignant | cut -d' ' -f1)"
is "interval of f1 holds it" 1 "$(row f1 benign |
    awk '{ print $2 < $1 && $1 < $3 }')"
cp out metrics.tsv

# The order of rows, the way in and the way out make no difference.
(head -n 1 a.tsv; tail -n +2 a.tsv | sort -r) >reversed.tsv
busi-eval -q --positive malignant <reversed.tsv 2>err | cmp -s - metrics.tsv ||
    bad "rows in another order give other metrics"
runs 0 busi-eval -q --positive malignant -o file.tsv a.tsv
cmp -s file.tsv metrics.tsv || bad "-o FILE differs from standard output"
is "-q is silent" "" "$(cat err)"
runs 0 busi-eval --seed 2 --positive malignant a.tsv
! cmp -s out metrics.tsv || bad "the seed makes no difference"
runs 0 busi-eval --bootstrap 0 a.tsv
is "no bootstrap" "0.638889 NA NA" "$(row balanced_accuracy all)"
runs 2 busi-eval --bootstrap 1000000000 a.tsv
runs 2 busi-eval --positive malign a.tsv
says "'a.tsv' has no class 'malign'"
cp a.tsv ./-a.tsv
runs 0 busi-eval -- -a.tsv
runs 4 busi-eval nothing.tsv
if [ -e /dev/full ]; then
    busi-eval a.tsv >/dev/full 2>err
    is "a full device" 4 $?
    busi-eval --json a.tsv >/dev/full 2>err
    is "a full device, JSON" 4 $?
fi

# ------------------------------------------------------- labels from elsewhere
cut -f 1,3- a.tsv >bare.tsv
(printf 'id\tpath\tlabel\tgroup\n'
    awk -F'\t' 'NR > 1 { print $1 "\tx\t" $2 "\tg" int(NR / 2) }' a.tsv) >m.tsv
runs 3 busi-eval bare.tsv
says "line 2: 's1' has no label; name a manifest by -l"
runs 0 busi-eval -l m.tsv bare.tsv
is "accuracy by -l" "0.666667 0.354202 0.879416" "$(row accuracy all)"
grep -q "have no row" err && bad "every scan is there: $(cat err)"
cp out grouped
head -n 4 bare.tsv >some.tsv
runs 0 busi-eval -l m.tsv some.tsv
says "[0-9]+ of [0-9]+ scans of 'm.tsv' have no row, the first is 's"
awk -F'\t' 'FNR == NR { g[$1] = $4; next } { print $0 "\t" g[$1] }' m.tsv a.tsv \
    >own-groups.tsv
runs 0 busi-eval own-groups.tsv
cmp -s out grouped || bad "groups of the manifest and of the table differ"
runs 0 busi-eval a.tsv
! cmp -s out grouped || bad "groups make no difference to the bootstrap"
grep -v '^s7	' m.tsv >short.tsv
runs 3 busi-eval -l short.tsv bare.tsv
says "line 8: the id 's7' is not in 'short.tsv'"
sed 's/^s7	x	malignant/s7	x	benign/' m.tsv >other.tsv
runs 3 busi-eval -l other.tsv a.tsv
says "'s7' has the label 'malignant', but 'benign' in 'other.tsv'"

# ------------------------------------------------------------------ bad tables
# refuse SED-EXPRESSION PATTERN: the table so changed is refused with 3
refuse() {
    sed "$1" a.tsv >changed.tsv
    cmp -s a.tsv changed.tsv && bad "no change by $1"
    runs 3 busi-eval changed.tsv
    says "$2"
    [ -s out ] && bad "output in spite of: $2"
}
refuse '2s/0\.8/0.9/' "line 2: the probabilities sum to 1.1, not 1"
refuse '2s/0\.8/0.803/' "line 2: the probabilities sum to 1.003, not 1"
refuse '2s/0\.8.*/1.2\t-0.1\t-0.1/' "line 2: p_benign is 1.2, not between"
refuse '4s/0\.6/nan/' "line 4: p_malignant 'nan' is not a number"
refuse '4s/0\.6/inf/' "line 4: p_malignant 'inf' is not a number"
refuse '4s/0\.6//' "line 4: p_malignant '' is not a number"
refuse '2s/ok	benign/ok	cyst/' "line 2: pred 'cyst' is not a class"
refuse '2s/s1	benign/s1	cyst/' "line 2: label 'cyst' is not a class"
refuse '3s/s2/s1/' "the id 's1' is there twice"
refuse '1s/pred/guess/' "no column 'pred'"
refuse '1s/p_/q_/g' "fewer than two columns p_CLASS"
refuse '3s/	0.1$//' "line 3: 6 cells"
: >empty.tsv
runs 3 busi-eval empty.tsv
says "empty"

# A sum off by 0.001 is rounding; a decision by threshold is said aloud.
sed '2s/0\.8/0.801/' a.tsv >rounded.tsv
runs 0 busi-eval rounded.tsv
sed '2s/ok	benign/ok	malignant/' a.tsv >threshold.tsv
runs 0 busi-eval threshold.tsv
says "in 1 rows pred is not the most probable class"
is "pred decides" "0.555556" "$(row accuracy all | cut -d' ' -f1)"

# ------------------------------------------------------------------- undefined
head -n 1 a.tsv >none.tsv
runs 0 busi-eval none.tsv
is "nothing scored" "NA NA NA" "$(row accuracy all)"
head -n 2 a.tsv >one.tsv
runs 0 busi-eval --positive malignant one.tsv
is "one scan" "1 0.206549 1" "$(row accuracy all)"
is "one scan" "NA NA NA" "$(row auroc benign)"
is "one scan" "NA NA NA" "$(row sensitivity normal)"
is "one scan" "NA NA NA" "$(row mcc all)"
is "one scan" "NA NA NA" "$(row binary_sensitivity malignant)"
says "no scan has the label 'malignant'"
grep -v normal a.tsv >no-normal.tsv
head -n 1 a.tsv | cat - no-normal.tsv >two-classes.tsv
runs 0 busi-eval two-classes.tsv
says "no scan has the label 'normal'"
is "absent class" "NA NA NA" "$(row auroc normal)"
is "absent class" "NA NA NA" "$(row sensitivity normal)"
is "mean of the others" "0.708333" \
    "$(row balanced_accuracy all | cut -d' ' -f1)"
is "no number is inf or nan" "" "$(cut -f 3-6 out | grep -i 'inf\|nan')"

# ----------------------------------------------------------------------- folds
(head -n 1 a.tsv; sed -n '2,3p;6p;9p' a.tsv) >f0.tsv
(head -n 1 a.tsv; sed -n '4,5p;7,8p;10,11p' a.tsv) >f1.tsv
runs 0 busi-eval --positive malignant a.tsv
cp out whole
runs 0 busi-eval --positive malignant f0.tsv f1.tsv
is "header" "metric class value lo hi n fold" "$(head -n 1 out | tr '\t' ' ')"
awk -F'\t' -v OFS='\t' 'NR == 1 || $7 == "pooled" { NF = 6; print }' out |
    cmp -s - whole || bad "pooled folds differ from one table of all"
is "fold 0" "1 0.510109 1" "$(row accuracy all 0)"
is "fold 1" "0.4 0.117621 0.769276" "$(row accuracy all 1)"
is "mean" "0.7 NA NA" "$(row accuracy all mean)"
is "sd" "0.424264 NA NA" "$(row accuracy all sd)"
is "folds that define it" "2" "$(awk -F'\t' '$1 == "accuracy" && $7 == "mean" \
    { print $6 }' out)"
cp out folds
(sed -n 1p f1.tsv; sed '1d' f1.tsv | sort -r) >f1r.tsv
runs 0 busi-eval --positive malignant f0.tsv f1r.tsv
cmp -s out folds || bad "the order of rows in a fold makes a difference"
sed -e '1s/$/	fold/' -e '2,$s/$/	4/' f0.tsv >named0.tsv
sed -e '1s/$/	fold/' -e '2,$s/$/	2/' f1.tsv >named1.tsv
runs 0 busi-eval named0.tsv named1.tsv
is "fold by its name" "1 0.510109 1" "$(row accuracy all 4)"
is "fold by its name" "0.4 0.117621 0.769276" "$(row accuracy all 2)"
runs 0 busi-eval f0.tsv named1.tsv
is "fold by its number" "1 0.510109 1" "$(row accuracy all '#0')"
is "... beside a name" "0.4 0.117621 0.769276" "$(row accuracy all 2)"
sed '2s/^s3/s2/' f1.tsv >leak.tsv
runs 3 busi-eval f0.tsv leak.tsv
says "the id 's2' is in 'f0.tsv' and in 'leak.tsv'"
awk -F'\t' -v OFS='\t' '{ x = $5; $5 = $6; $6 = x; print }' f1.tsv >swapped.tsv
runs 3 busi-eval f0.tsv swapped.tsv
says "'f0.tsv' and 'swapped.tsv' have other classes"
sed '1s/p_normal/p_cyst/' f1.tsv >renamed.tsv
runs 3 busi-eval f0.tsv renamed.tsv
says "'f0.tsv' and 'renamed.tsv' have other classes"

sed 's/	2$/	4/' named1.tsv >same.tsv
runs 3 busi-eval named0.tsv same.tsv
says "'named0.tsv' and 'same.tsv' are both of fold 4"
for f in 0 1; do
    sed -e '1s/$/	model/' -e '2,$s/$/	0123456789ab/' named$f.tsv >by$f.tsv
done
runs 3 busi-eval by0.tsv by1.tsv
says "'by0.tsv' and 'by1.tsv' are two folds by one model, 0123456789ab"
sed 's/ab$/cd/' by1.tsv >by2.tsv
runs 0 busi-eval by0.tsv by2.tsv

# ---------------------------------------------- marks, epochs chosen on the test
# s1, s4 and s6 are marked: 2 of 3 right; of the other six 4.  Wilson by hand in
# Python.
awk -F'\t' -v OFS='\t' 'NR == 1 { print $0, "marks"; next }
    { print $0, $1 ~ /^s[146]$/ ? "caliper,text" : "" }' m.tsv >marks.tsv
runs 0 busi-eval -l marks.tsv a.tsv
is "marked" "0.666667 0.20766 0.938508" "$(row accuracy_marked all)"
is "unmarked" "0.666667 0.299993 0.903229" "$(row accuracy_unmarked all)"
is "marked" "1 0.34238 1" "$(row sensitivity_marked benign)"
is "marked" "0 0 0.793451" "$(row sensitivity_marked malignant)"
is "marked" "NA NA NA" "$(row sensitivity_marked normal)"
is "unmarked" "1 0.34238 1" "$(row sensitivity_unmarked malignant)"
cp out by-manifest
awk -F'\t' 'FNR == NR { m[$1] = $5; next } { print $0 "\t" m[$1] }' marks.tsv \
    own-groups.tsv >own-marks.tsv
runs 0 busi-eval own-marks.tsv
cmp -s out by-manifest || bad "marks of the manifest and of the table differ"
runs 0 busi-eval a.tsv
! grep -q marked out || bad "marks, but nobody gave any"
! grep -q selected_on_test out || bad "selected_on_test, but nothing says so"
sed -e '1s/$/	select/' -e '2,$s/$/	test/' f1.tsv >chosen.tsv
runs 0 busi-eval f0.tsv chosen.tsv
says "'chosen.tsv': the epoch of what scored 5 scans was chosen on its test fold"
is "chosen" "5 NA NA" "$(row selected_on_test all pooled)"
is "not chosen" "0 NA NA" "$(row selected_on_test all 0)"
runs 0 busi-eval --compare f1.tsv chosen.tsv
says "'chosen.tsv': the epoch of what scored 5 scans was chosen on its test fold"
is "not chosen" "0 NA NA" "$(row selected_on_test_a all)"
is "chosen" "5 NA NA" "$(row selected_on_test_b all)"

# ------------------------------------------------- what had a part in training
sed -e '1s/$/	seen/' -e '2,$s/$/	yes/' f0.tsv >seen.tsv
runs 0 busi-eval seen.tsv f1.tsv
says "'seen.tsv': 4 scans had a part in the training"
is "seen" "4 NA NA" "$(row seen_in_training all pooled)"
runs 0 busi-eval --compare seen.tsv f0.tsv
says "'seen.tsv': 4 scans had a part in the training"
is "seen by a" "4 NA NA" "$(row seen_in_training_a all)"
is "not by b" "0 NA NA" "$(row seen_in_training_b all)"
runs 0 busi-eval --compare f0.tsv f0.tsv
! grep -q seen_in_training out || bad "seen_in_training, but nothing says so"

# --------------------------------------------------- groups that cross the folds
# crosses TABLES..: are they said to?
crosses() {
    runs 0 busi-eval "$@"
    grep -q "groups of near-copies cross the folds" err
}
awk -F'\t' -v OFS='\t' 'NR == 1 { print $0, "group", "fold"; next }
    { print $0, "g" int(NR / 2), NR < 7 ? 0 : 1 }' a.tsv >cut.tsv
for i in 0 1; do
    awk -F'\t' -v i=$i 'NR == 1 || $NF == i' cut.tsv >cut$i.tsv
done
sed 's/g3/g/' cut0.tsv >whole0.tsv
(cat whole0.tsv; sed 1d cut1.tsv) >whole.tsv
crosses cut0.tsv cut1.tsv || bad "a group in two tables"
crosses cut.tsv || bad "a group in two folds of one table"
crosses --compare cut.tsv cut.tsv || bad "a group in two folds, compared"
crosses --compare whole.tsv cut.tsv || bad "a group in two folds of the other"
crosses whole0.tsv cut1.tsv && bad "every group is in one table"
crosses whole.tsv && bad "every group is in one fold"
crosses --compare whole.tsv whole.tsv && bad "every group is in one fold of each"
sed '2,$s/.$/7/' cut.tsv >other.tsv
crosses --compare whole.tsv other.tsv && bad "folds of two tables are no two folds"

# ------------------------------------------------------------------ comparison
runs 0 busi-eval --compare a.tsv b.tsv
says "1 of 10 scans were rejected"
is "accuracy of b" "0.333333 0.120584 0.645798" "$(row accuracy_b all)"
is "difference" "0.333333 -0.170283 0.715737" "$(row accuracy_difference all)"
is "only a" "4 NA NA" "$(row only_a_right all)"
is "only b" "1 NA NA" "$(row only_b_right all)"
is "McNemar" "0.375 NA NA" "$(row mcnemar_p all)"
is "AUROC of b" "0.475 0.044105 0.905895" "$(row auroc_b benign)"
is "AUROC difference" "0.25 -0.172928 0.672928" \
    "$(row auroc_difference benign)"
is "DeLong" "0.246632 NA NA" "$(row delong_p benign)"
is "DeLong" "0.518605 NA NA" "$(row delong_p malignant)"
is "DeLong" "0.4795 NA NA" "$(row delong_p normal)"
runs 0 busi-eval --compare a.tsv a.tsv
is "the same twice" "1 NA NA" "$(row mcnemar_p all)"
is "the same twice" "NA NA NA" "$(row delong_p benign)"
runs 2 busi-eval --compare a.tsv
runs 2 busi-eval --compare a.tsv b.tsv a.tsv
grep -v '^s4	' b.tsv >fewer.tsv
runs 3 busi-eval --compare a.tsv fewer.tsv
says "the id 's4' is in 'a.tsv' only"
runs 3 busi-eval --compare fewer.tsv a.tsv
says "the id 's4' is in 'a.tsv' only"
sed '2s/benign/normal/' b.tsv >relabelled.tsv
runs 3 busi-eval --compare a.tsv relabelled.tsv
says "'s1' has the label 'benign' in 'a.tsv', but 'normal' in 'relabelled"

# -------------------------------------------------------------- names and JSON
# A class with a quote and a byte that is no UTF-8; ids with tab and newline.
bad_byte=$(printf '\377')
sed -e "s/malignant/a\"b$bad_byte/g" -e 's/^s1	/-s\\t1\\n	/' a.tsv >odd.tsv
runs 0 busi-eval odd.tsv
is "odd class" "0.916667 0.718864 1" "$(row auroc "a\"b$bad_byte")"
runs 0 busi-eval --json odd.tsv
is "first line" "[" "$(head -n 1 out)"
is "last line" "]" "$(tail -n 1 out)"
grep -Fq '{"metric": "auroc", "class": "a\"b\ufffd", "value": 0.916667, "lo": 0.718864, "hi": 1, "n": 9},' out ||
    bad "JSON: $(grep auroc out)"
grep -Fq '{"metric": "n", "class": "all", "value": 9, "lo": null, "hi": null, "n": 9},' out ||
    bad "JSON: $(sed -n 2p out)"
if command -v python3 >/dev/null; then
    python3 -m json.tool <out >pretty || bad "python does not read the JSON"
fi

# ------------------------------------------------------- EXAMPLES, linked with
cp a.tsv pred.tsv
cp m.tsv manifest.tsv
cp f0.tsv fold0.pred.tsv
cp f1.tsv fold1.pred.tsv
cp a.tsv resnet18.tsv
cp b.tsv resnet50.tsv
rm metrics.tsv
sed -n 's/^\.Dl \(busi-eval .*\)/\1/p' "$top/man/busi-eval.1" >examples
is "examples in the man page" 3 "$(wc -l <examples | tr -d ' ')"
while read -r line; do
    runs 0 sh -c "$line"
done <examples
has metrics.tsv "^accuracy	all	.*	pooled$"
if command -v readelf >/dev/null; then
    is "libraries" "libc libm" "$(readelf -d "$BUILD/bin/busi-eval" |
        sed -n 's/.*NEEDED.*\[\(lib[a-z]*\)\.so.*/\1/p' |
        grep -v 'lib[at]*san\|libubsan' | sort | tr '\n' ' ' | sed 's/ $//')"
fi
