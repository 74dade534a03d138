#!/bin/sh
# busi-dup: groups, conflicts, pairs; what it does with bad input.
. "$(dirname "$0")/lib.sh"
common_checks busi-dup
tab=$(printf '\t')

# Scans of phantoms; copies under other names and labels.
runs 0 busi-phantom -o scans --benign 3 --malignant 2 --normal 1 --seed 4
b=scans/benign m=scans/malignant
cp "$b/benign (2).png" "$b/benign (10).png"
cp "$b/benign (1).png" "$m/malignant (9).png"
busi-strip -o all.tsv scans

# --------------------------------------------------- groups and conflicts
runs 0 busi-dup --pairs pairs.tsv --sheet sheet.png all.tsv
is "silence" "" "$(cat err)"
cp out groups.tsv
is "columns" "id path label sha256 group conflict" \
    "$(head -n 1 out | tr '\t' ' ')"
is "groups" "benign/benign (1).png|benign/benign (1).png|1
benign/benign (2).png|benign/benign (2).png|0
benign/benign (3).png|benign/benign (3).png|0
benign/benign (10).png|benign/benign (2).png|0
malignant/malignant (1).png|malignant/malignant (1).png|0
malignant/malignant (2).png|malignant/malignant (2).png|0
malignant/malignant (9).png|benign/benign (1).png|1
normal/normal (1).png|normal/normal (1).png|0" \
    "$(tail -n +2 out | cut -f 1,5,6 | tr '\t' '|')"
is "what was there stays" "$(cat all.tsv)" "$(cut -f 1-4 out)"
is "pairs" "id_a|id_b|score|kind
benign/benign (1).png|malignant/malignant (9).png|1.0000|exact
benign/benign (2).png|benign/benign (10).png|1.0000|exact" \
    "$(tr '\t' '|' <pairs.tsv)"
is "the sheet is a PNG file" "$(printf '\211PNG')" "$(head -c 4 sheet.png)"

# Neither the order of rows nor threads matter; old columns are replaced.
{ head -n 1 groups.tsv; tail -n +2 groups.tsv | sort -r | sed 's/1$/0/'; } \
    >turned.tsv
runs 0 busi-dup -j 1 turned.tsv
is "any order" "$(sort groups.tsv)" "$(sort out)"
busi-dup <all.tsv | cat >piped.tsv
cmp -s groups.tsv piped.tsv || bad "through pipes it is another table"
runs 0 busi-dup -o file.tsv --pairs - all.tsv
is "-o leaves stdout to --pairs" "" "$(cmp out pairs.tsv 2>&1)$(cat err)"

# Nor do names: of two scans the same one is laid over the other.
"$BUILD/tests/plant_dups" plants 117 || bad "no copies"
busi-strip -q -o plants.tsv plants
awk -F'\t' -v OFS='\t' 'NR > 1 { $1 = "x" 1000 - NR } 1' plants.tsv >renamed.tsv
runs 0 busi-dup -o plain.out --pairs plain plants.tsv
runs 0 busi-dup -o renamed.out --pairs renamed renamed.tsv
is "copies among them" 14 "$(wc -l <plain)"
is "scores under other names" "$(cut -f 3,4 plain | sort)" \
    "$(cut -f 3,4 renamed | sort)"

# Groups that were not made here do not go without a word.
awk -F '\t' -v OFS='\t' '{ print $0, NR == 1 ? "group" : "p" (NR > 3) }' all.tsv \
    >patients.tsv
runs 0 busi-dup patients.tsv
is "groups are made anew" "$(cat groups.tsv)" "$(cat out)"
says "had 2 groups of its own, which are apart now"

# No labels, no conflicts; an empty label is none.
cut -f 1,2 all.tsv >bare.tsv
runs 0 busi-dup bare.tsv
is "without labels" 0 "$(tail -n +2 out | cut -f 4 | sort -u)"
awk -F '\t' -v OFS='\t' '/^mal/ { $3 = "" } { print }' all.tsv >some.tsv
runs 0 busi-dup some.tsv
is "an empty label" 0 "$(tail -n +2 out | cut -f 6 | sort -u)"

runs 0 busi-dup -v -o groups.tsv all.tsv
says '^busi-dup: score 0.95 to 1.00: 2 pairs$'
says '^busi-dup: threshold 0.625'
says '8 scans, 2 pairs, 2 groups of copies, 1 of them with more than one label$'
head -n 1 all.tsv >none.tsv
runs 0 busi-dup --sheet sheet.png none.tsv
is "no scans" 1 "$(wc -l <out)"

# --------------------------------------------------------------- bad scans
head -c 5000 "$b/benign (3).png" >cut.png
echo text >text.png
{
    cat all.tsv
    printf 'cut\tcut.png\tx\t\ntext\ttext.png\ty\t\ngone\tgone.png\tx\t\n'
} >bad.tsv
runs 1 busi-dup --rejects rejects.tsv bad.tsv
is "rows stay, each alone" "cut cut 0
gone gone 0
text text 0" "$(tail -n 3 out | cut -f 1,5,6 | tr '\t' ' ' | sort)"
is "rejects" "cut.png invalid
gone.png unreadable
text.png invalid" "$(cut -f 1,2 rejects.tsv | tr '\t' ' ')"
is "silence" "" "$(cat err)"
runs 1 busi-dup bad.tsv
says "^gone.png${tab}unreadable${tab}"

# From another folder no path leads anywhere: groups that are there stay.
mkdir elsewhere
cp groups.tsv before
runs 3 sh -c 'cd elsewhere && busi-dup -o ../groups.tsv ../groups.tsv'
says "^scans/benign/.*unreadable"
says "not one of 8 scans can be read: no manifest is written"
cmp -s before groups.tsv || bad "the groups are gone"

# ------------------------------------------------------------- odd names
odd=$(printf 'a\tb\n\\c\377')
cp "$b/benign (1).png" "$odd.png"
cp "$b/benign (1).png" ./-dash.png
printf 'id\tpath\n' >odd.tsv
printf '%s\t%s\n' 'x\ty' 'a\tb\n\\c'"$(printf '\377')".png - -dash.png >>odd.tsv
cp odd.tsv ./-odd.tsv
runs 0 busi-dup -- -odd.tsv
is "odd names" "-|-
x\\ty|-" "$(tail -n +2 out | cut -f 1,3 | tr '\t' '|' | sort)"

# ------------------------------------------------------------- bad usage
runs 2 busi-dup --threshold 1.5 all.tsv
runs 2 busi-dup --threshold x all.tsv
runs 2 busi-dup -j -1 all.tsv
runs 2 busi-dup all.tsv all.tsv
runs 2 busi-dup --pairs - all.tsv
says "both '-'"
runs 4 busi-dup missing.tsv
cut -f 1,3 all.tsv >pathless.tsv
runs 3 busi-dup pathless.tsv
says "path"
printf 'id\tpath\na\tx\na\ty\n' >twice.tsv
runs 3 busi-dup twice.tsv
echo old >kept.tsv
runs 3 busi-dup -o kept.tsv twice.tsv
is "a failed run leaves the target" old "$(cat kept.tsv)"
runs 4 busi-dup -o no/such/folder.tsv all.tsv
runs 4 busi-dup --sheet no/such/sheet.png all.tsv
if [ -e /dev/full ]; then
    busi-dup all.tsv >/dev/full 2>err
    is "a full device" 4 $?
    runs 4 busi-dup --pairs /dev/full all.tsv
    runs 4 busi-dup --rejects /dev/full bad.tsv
fi

# ------------------------------------------------------ examples of the page
sed -n 's/^\.Dl //p' "$top/man/busi-dup.1" | sed 's/busi-split.*/cat > x/' \
    >examples
cp all.tsv manifest.tsv
while read -r line; do
    sh -c "$line" >out 2>err || bad "example: $line: $(cat err)"
done <examples
is "examples" 2 "$(wc -l <examples)"
