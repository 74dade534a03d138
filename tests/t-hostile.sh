#!/bin/sh
# Folders with files that are no scans, or only look like some: each is decoded
# right or rejected by name, in little time and memory, and the run goes on.
. "$(dirname "$0")/lib.sh"
"$BUILD/tests/plant_hostile" h >names || bad "cannot make the folder"
good=$(grep -c '^good' names)
[ "$(wc -l <names)" -ge 60 ] || bad "only $(wc -l <names) files"

# Status and peak: at most 20 s for all of them, and 256 MB.
peak() {
    sed -n 's/.* \([0-9.]*\) MB peak.*/\1/p' err
}
bounded() {
    took=$(($(date +%s) - began))
    [ "$took" -le 20 ] || bad "$1 took $took s"
    [ "$(peak | awk '{ print ($1 < 256) }')" = 1 ] || bad "$1: $(peak) MB"
}

began=$(date +%s)
runs 1 busi-strip -o m.tsv h
for thing in fifo loop dangling endless null; do
    says "$thing.png"
done
is "what is not empty is listed" \
    "$(grep -vc '^empty' names)" "$(($(wc -l <m.tsv) - 1))"

runs 1 busi-strip -v --by-content -o plain.tsv h
bounded busi-strip
runs 1 busi-prep -v --on-bad skip --rejects r.tsv -o d.st --resize 8x8 \
    --crop 8 m.tsv
bounded busi-prep
is "prep takes good ones alone" "$good" \
    "$(busi-info d.st | awk '$1 == "rows" { print $2 }')"
is "and names all others" \
    "$(sed 1d m.tsv | cut -f2 | grep -v '^h/good' | sort)" \
    "$(cut -f1 r.tsv | sort)"
is "each with a reason" "" "$(awk -F'\t' 'NF < 3 || $3 == ""' r.tsv)"

# Without libvips's plugin most PNG files are decoded, the rest rejected by name.
BUSI_PLUGINS=/nowhere runs 1 busi-prep --on-bad skip --rejects bare.tsv \
    -o bare.st --resize 8x8 --crop 8 m.tsv
rows=$(busi-info bare.st | awk '$1 == "rows" { print $2 }')
[ "$rows" -gt 1 ] && [ "$rows" -lt "$good" ] || bad "$rows rows without libvips"
is "what needs libvips says so" $((good - rows)) \
    "$(grep -c '^h/good.*image_vips is not built or installed' bare.tsv)"

# Through the network: a row for each, in order, whatever the file.
busi-phantom -q -o scans --benign 3 --malignant 3 --normal 3
busi-strip -q scans | busi-prep -q --resize 32x32 --crop 32 -o t.st -
cat >net.model <<'EOF'
input x channels=@channels size=@size
conv c x out=4 kernel=3 stride=2
relu r c
avgpool p r size=1
linear fc p out=@classes
EOF
runs 0 busi-train -q -d t.st --fold all -m ./net.model -e 1 --device cpu -o n.st
began=$(date +%s)
sed 's,^,h/,' names >paths
runs 1 sh -c "busi-predict -v --device cpu -m n.st -o p.tsv <paths"
bounded busi-predict
is "a row for each file, in order" "$(cat paths)" "$(sed 1d p.tsv | cut -f1)"
is "of which the good ones are scored" "$(grep '^h/good' paths)" \
    "$(awk -F'\t' '$3 == "ok" { print $1 }' p.tsv)"
for i in 1 2 3; do
    # Twice the same, in many threads or one.
    runs 1 sh -c "busi-predict -q -j $i --device cpu -m n.st -o again.tsv <paths"
    cmp -s p.tsv again.tsv || bad "with -j $i the table is another"
done
runs 1 busi-dup -q -o g.tsv m.tsv

# A child that is killed from outside takes one scan with it at most.
busi-phantom -q -o many --benign 60 --malignant 0 --normal 0
busi-strip -q -o many.tsv many
busi-prep -q -j 1 --on-bad skip --rejects gone.tsv -o many.st many.tsv 2>err &
prep=$!
for i in 1 2 3 4 5 6 7 8; do
    warden=$(ps -o pid= --ppid $prep 2>/dev/null | head -n 1)
    # shellcheck disable=SC2046,SC2086
    [ -z "$warden" ] || kill -9 $(ps -o pid= --ppid $warden) 2>/dev/null
    sleep 0.02
done
wait $prep
status=$?
touch gone.tsv
lost=$(wc -l <gone.tsv)
[ $status -le 1 ] && [ "$lost" -le 8 ] || bad "killed children: status $status, $lost lost"
is "all others are there" 60 \
    "$((lost + $(busi-info many.st | awk '$1 == "rows" { print $2 }')))"

# What files say about patients stays in them.
"$BUILD/tests/plant_hostile" --marked marked >markers ||
    bad "cannot make marked files"
runs 0 busi-strip -v -o mm.tsv marked
cat out err >said.txt
runs 0 busi-dup -v --pairs pairs.tsv -o mg.tsv mm.tsv
cat out err >>said.txt
runs 0 busi-prep -v --resize 32x32 --crop 32 -o md.st mm.tsv
cat out err >>said.txt
runs 0 busi-predict -v --device cpu --cam cam -m n.st -o mp.tsv marked
cat out err >>said.txt
runs 0 busi-export --onnx -m n.st -o n.onnx
[ -s markers ] || bad "no markers"
while read -r word; do
    grep -q "$word" marked/* || bad "$word is not in the files"
    for f in said.txt mm.tsv mg.tsv pairs.tsv md.st mp.tsv n.onnx cam/*; do
        ! grep -q "$word" "$f" || bad "$word reaches $f"
    done
done <markers
