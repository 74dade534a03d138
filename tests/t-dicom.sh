#!/bin/sh
# DICOM files on their way through the programs: frames by number, no word
# about the patient anywhere, and a sentence where DCMTK is missing.
. "$(dirname "$0")/lib.sh"
command -v dcmdump dcmj2pnm >/dev/null || {
    skip "dcmdump and dcmj2pnm (Debian: dcmtk) are not installed"
    exit 77
}
tab=$(printf '\t')
make_dicom=$BUILD/tests/check_dicom
mkdir -p in/benign in/malignant
"$make_dicom" in/benign/one.dcm 1 && "$make_dicom" in/malignant/loop.dcm 3 ||
    bad "no files"

# A folder gives files; frames are named one by one.
runs 0 busi-strip -q in
is "files of a folder" "benign/one.dcm malignant/loop.dcm" \
    "$(awk -F'\t' 'NR > 1 { print $1 }' out | xargs)"
runs 0 busi-strip -q in/benign/one.dcm 'in/malignant/loop.dcm#3' \
    'in/malignant/loop.dcm#2'
is "frames" "in/benign/one.dcm in/malignant/loop.dcm#2 in/malignant/loop.dcm#3" \
    "$(awk -F'\t' 'NR > 1 { print $1 }' out | xargs)"
is "labels" "benign malignant malignant" \
    "$(awk -F'\t' 'NR > 1 { print $3 }' out | xargs)"
is "the hash is the file's" "$(sha256sum <in/malignant/loop.dcm | cut -c1-64)" \
    "$(awk -F'\t' '$1 ~ /#2/ { print $4 }' out)"
cp out m.tsv
runs 0 busi-prep -q --resize 40x40 --crop 32 -o data.st m.tsv
runs 4 busi-strip -q in/none.dcm#1
says "none.dcm"

# Machines give no endings; what they call DICOMDIR is a table.
mkdir -p machine/a
for name in IM0001 1.2.840.10008.77 7.IMA; do
    cp in/benign/one.dcm "machine/a/$name"
done
cp in/benign/one.dcm machine/DICOMDIR
cp in/benign/one.dcm machine/a/one.dcm.bak
echo text >machine/a/README
head -c 131 in/benign/one.dcm >machine/a/short
runs 0 busi-strip -o machine.tsv --tree machines machine
is "silence" "" "$(cat err)"
is "files without an ending" "a/1.2.840.10008.77 a/7.IMA a/IM0001" \
    "$(awk -F'\t' 'NR > 1 { print $1 }' machine.tsv | xargs)"
cmp machine/a/IM0001 machines/a/IM0001 || bad "no such file in the tree"
runs 0 busi-prep -q --resize 40x40 --crop 32 -o machine.st machine.tsv
head -c 32 /dev/urandom >key
runs 0 busi-strip --hash-ids key --tree hashed -o hashed.tsv machine
is "hashed" "$(sed 1d hashed.tsv | cut -f 1,3 | sort | xargs)" \
    "$(find hashed -type f | sed 's=hashed/\(.*\)/\(.*\)=\2 \1=' | sort | xargs)"

# One file is one patient: its frames are never parted.
runs 0 sh -c 'busi-strip -q in/benign/one.dcm "in/malignant/loop.dcm#3" \
    in/malignant/loop.dcm#2 | busi-dup -q --threshold 1'
is "groups" "in/benign/one.dcm in/malignant/loop.dcm#2 in/malignant/loop.dcm#2" \
    "$(awk -F'\t' 'NR > 1 { print $5 }' out | xargs)"

# Who starts us may have ignored the end of children.
runs 0 env --ignore-signal=CHLD busi-prep -q --resize 40x40 --crop 36 -o kids.st \
    m.tsv

# A loop without a number is no scan, and the reason says what to do.
busi-strip -q in >all.tsv
runs 1 busi-prep -q --on-bad skip --resize 40x40 --crop 32 -o part.st all.tsv
says "3 frames: name one"

"$BUILD/tests/check_model" m.st tiny 1 a,b,c \
    "resize=40x40 crop=36 channels=1 mean=0.5 std=0.25" || bad "no model"
runs 1 busi-predict -q -m m.st --cam heat 'in/malignant/loop.dcm#1' \
    'in/malignant/loop.dcm#2' 'in/malignant/loop.dcm#9' in/benign/one.dcm
is "status" "ok ok invalid ok" "$(awk -F'\t' 'NR > 1 {
    sub(/[^a-z].*/, "", $3); print $3 }' out | xargs)"
cp out pred.tsv
is "frames differ" 2 "$(awk -F'\t' '/loop.dcm#[12]/ { print $5 $6 }' out |
    sort -u | wc -l | tr -d ' ')"
is "a heat map each" 3 "$(find heat -name "*.png" | wc -l | tr -d ' ')"
runs 0 busi-strip -q --tree tree 'in/malignant/loop.dcm#1' \
    'in/malignant/loop.dcm#2'
cmp in/malignant/loop.dcm tree/in/malignant/loop.dcm || bad "no file in the tree"
rm -r tree
runs 0 busi-predict -q -m m.st machine
is "a row for each of a machine" 3 "$(grep -c "^a/.*${tab}ok${tab}" out)"

grep -q Carla in/benign/one.dcm || bad "the test's patient has no name"
is "the patient is nowhere" "" \
    "$(grep -rlaE 'Carla|PATIENT-4711' m.tsv data.st part.st pred.tsv heat err)"

# Without DCMTK
mkdir bin
for p in sh dash; do
    ln -s "$(command -v $p)" bin/ 2>err
done
prep=$(command -v busi-prep)
runs 3 env PATH="$scratch/bin" "$prep" -q -o x.st "$scratch/m.tsv"
says "dcmdump.*not installed"
