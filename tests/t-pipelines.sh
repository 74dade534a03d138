# The pipelines: incremental, resumable, safe with -j.
. "$(dirname "$0")/lib.sh"
if ! command -v make >/dev/null; then
    skip "make is not installed: pipelines"
    exit 0
fi
mkdir "real scans"
busi-phantom -q -o "real scans/BUSI" --benign 12 --malignant 9 --normal 6
cat >net.model <<'EOF'
input x channels=@channels size=@size
conv c1 x out=8 kernel=3 stride=2 pad=1
bn b1 c1
relu r1 b1
avgpool p r1 size=1
linear fc p out=@classes
EOF
cv() {
    make -s -f "$top/pipelines/cv.mk" BUSI="real scans/BUSI" OUT=cv \
        MODEL=./net.model K=3 RESIZE=32x32 CROP=32 EPOCHS=3 BATCH=8 \
        THREADS=1 ARGS="--device cpu -q" "$@"
}
made() {
    find cv -type f -newer stamp -name "$1" | sort | xargs -n 1 basename 2>/dev/null |
        xargs
}

runs 0 cv -j2
has out "^accuracy +all"
has out "^confusion"
is "pooled rows alone" 27 "$(awk '$1 == "n" { print $3 }' out)"
for f in fold-0.safetensors pred-2.tsv metrics.tsv folds.tsv fold-1.tsv; do
    [ -s cv/$f ] || bad "cv/$f was not made"
done
runs 0 busi-info --verify cv/fold-2.safetensors cv/data.safetensors
has cv/report.html "<h2>Worst mistakes</h2>"
grep -q "Not given: --[clmv]" cv/report.html && bad "the report lacks a part"

touch stamp && sleep 0.02
runs 0 cv
is "nothing changed, nothing made" "" "$(made '*')"
touch "real scans/BUSI/benign/benign (1).png"
runs 0 cv
is "a new date of a scan makes nothing" "" "$(made '*')"
runs 0 cv BUSI="./real scans//BUSI/"
is "another spelling of the folder makes nothing" "" "$(made '*')"
is "maps know the masks beside the scans" 21 \
    "$(cat cv/maps-?.tsv | awk -F'\t' '$(NF - 1) > 0 && $1 != "id"' | wc -l)"
cp "real scans/BUSI/benign/benign (2)_mask.png" kept.png
cp "real scans/BUSI/benign/benign (3)_mask.png" \
    "real scans/BUSI/benign/benign (2)_mask.png"
runs 0 cv
is "a changed mask makes maps and page anew" \
    "maps-0.tsv maps-1.tsv maps-2.tsv report.html" "$(made '*.[th][st][vm]*')"
mv kept.png "real scans/BUSI/benign/benign (2)_mask.png"
runs 0 cv
touch stamp && sleep 0.02

runs 0 cv EPOCHS=2
is "other settings train again" \
    "fold-0.safetensors fold-1.safetensors fold-2.safetensors" \
    "$(made 'fold-?.safetensors')"
is "... on the same dataset" "" "$(made 'data.safetensors')"
touch stamp && sleep 0.02
sed 's/out=8/out=4/' net.model >net2.model
touch -d 2020-01-01 net2.model
mv net2.model net.model
runs 0 cv EPOCHS=2
is "so does another network of the same name" \
    "fold-0.safetensors fold-1.safetensors fold-2.safetensors" \
    "$(made 'fold-?.safetensors')"
touch stamp && sleep 0.02
busi-phantom -q --seed 9 -o other --benign 1 --malignant 0 --normal 0
cp "other/benign/benign (1).png" "real scans/BUSI/benign/benign (1).png"
runs 0 cv EPOCHS=2
is "a changed scan makes the dataset anew" "data.safetensors" \
    "$(made 'data.safetensors')"
is "and the metrics" "metrics.tsv" "$(made 'metrics.tsv')"

# Killed midway: a plain rerun ends well and leaves no part behind.
timeout -s TERM 0.5 make -s -f "$top/pipelines/cv.mk" \
    BUSI="real scans/BUSI" OUT=cut MODEL=./net.model K=3 RESIZE=32x32 \
    CROP=32 EPOCHS=400 BATCH=8 THREADS=1 ARGS="--device cpu -q" >out 2>err
runs 0 cv OUT=cut EPOCHS=400
is "no parts are left" "" "$(find cut -name '*.part' -o -name '*.new')"
# Only the older state is left, and it is of another run.
mv cut/fold-1.state.safetensors cut/fold-1.state.safetensors.old
touch cut/scans.tsv.4194305.new
runs 0 cv OUT=cut EPOCHS=3
is "nor are those of a killed one" "" "$(find cut -name '*.new')"
# Rows of a table may make one WORK at the same time.
pids=
for i in 1 2 3 4; do
    make -s -f "$top/pipelines/cv.mk" BUSI="real scans/BUSI" WORK=both \
        OUT=both/$i both/scans.tsv >"both.$i" 2>&1 &
    pids="$pids $!"
done
for p in $pids; do
    wait "$p" || bad "one of four that make the same table: $(cat both.?)"
done
# An output named as the network is none of its inputs.
runs 0 cv MODEL=mobilenet_v2 OUT=mobilenet_v2 EPOCHS=1 FOLDS=0
touch stamp && sleep 0.02
runs 0 cv MODEL=mobilenet_v2 OUT=mobilenet_v2 EPOCHS=1 FOLDS=0
is "a folder named as the network trains nothing" "" \
    "$(find mobilenet_v2 -name 'fold-*' -newer stamp)"
# Timed on the scans that are named.
scaling() {
    runs 0 make -s -f "$top/pipelines/scaling.mk" MODEL=./net.model EPOCHS=2 \
        RANKS=1 OUT=scaling DEVICE=cpu BATCH=4 ARGS="-q --size 32" \
        RESIZE=32x32 CROP=32 "$@"
    busi-info scaling/data.safetensors | awk '$1 == "rows" { print $2 }'
}
is "scaling, on 27 scans" 27 "$(scaling BUSI="real scans/BUSI")"
busi-phantom -q -o few --benign 6 --malignant 6 --normal 6
is "and then on 18 others" 18 "$(scaling BUSI=few)"
touch stamp && sleep 0.02
scaling BUSI=few >/dev/null
is "and nothing again" "" "$(find scaling -name '*.log' -newer stamp)"
runs 2 make -s -f "$top/pipelines/scaling.mk" BUSI=few EPOCHS=1
says "the first epoch is not timed"
# A start on phantoms, and no rows to validate on.  A folder of that name stays.
mkdir -p drawn/phantoms && touch drawn/phantoms/mine
runs 0 cv OUT=drawn PHANTOMS=16 FOLDS=0 ARGS="--device cpu -q --select none"
is "every fold starts from phantoms" \
    "$(sha256sum <drawn/start.safetensors | cut -d ' ' -f 1)" \
    "$(busi-info drawn/fold-0.safetensors | awk '$1 == "init" { print $2 }')"
has drawn/report.html "Not given: --validation"
has out "^accuracy +all"        # of one fold, too
touch stamp && sleep 0.02
runs 0 cv OUT=drawn PHANTOMS=16 FOLDS=0 EPOCHS=2 \
    ARGS="--device cpu -q --select none"
[ drawn/start.safetensors -ot stamp ] || bad "more epochs, and another start"
[ drawn/fold-0.safetensors -nt stamp ] || bad "more epochs, and the old network"
is "only our own drawings are removed" "drawn/phantoms drawn/phantoms/mine" \
    "$(find drawn -path '*phantoms/*' -o -type d -name '*phantoms*' | sort | xargs)"
runs 2 cv OUT=drawn PHANTOMS=16 ARGS="--init net.st"
says "only one can be the start"
runs 2 cv OUT=drawn WORK="real scans"
says "blanks"
touch stamp && sleep 0.02
runs 0 cv OUT=drawn WORK=other_work FOLDS=0 EPOCHS=2 \
    ARGS="--device cpu -q --select none"
[ drawn/fold-0.safetensors -nt stamp ] || bad "another WORK, and the old network"
# Two networks a fold, then one of them alone.
team() {
    runs 0 cv OUT=team FOLDS=0 "$@"
    cmp -s team/pred-0.tsv old && bad "pred-0.tsv is the old one: $*"
    cp team/pred-0.tsv old
}
runs 2 cv OUT=team MEMBERS=2 ARGS="--seed 5"
team MEMBERS=2 TTA=2
is "another seed" 2 \
    "$(busi-info team/fold-0.2.safetensors | awk '$1 == "seed" { print $2 }')"
busi-predict -q -m team/fold-0.safetensors -m team/fold-0.2.safetensors \
    --tta 2 -d team/data.safetensors -f team/folds.tsv --fold 0 --threads 1 \
    -o want
cmp -s want team/pred-0.tsv || bad "not the mean of two networks"
is "the page has both" 2 "$(grep -c '<p class="caption">team/fold' team/report.html)"
grep -q 'made none of' team/report.html && bad "a network that voted is not known"
team TTA=2
team TTA=1
runs 2 make -s -f "$top/pipelines/cv.mk" OUT=none
says "BUSI=DIR"

# Prediction: only what is new is scored.
predict() {
    make -s -f "$top/pipelines/predict.mk" MODEL=cv/fold-0.safetensors \
        IN=inbox OUT=pred.tsv ARGS="--device cpu -q --threads 1"
}
mkdir inbox
busi-phantom -q --seed 3 -o more --benign 3 --malignant 0 --normal 0
cp "more/benign/benign (1).png" "more/benign/benign (2).png" inbox
runs 0 predict
is "two scans" 3 "$(wc -l <pred.tsv)"
cp pred.tsv before.tsv
cp "more/benign/benign (3).png" inbox
echo "no picture" >inbox/bad.png
runs 0 predict
is "two more rows" 5 "$(wc -l <pred.tsv)"
is "old rows stay as they were" "$(cat before.tsv)" "$(head -n 3 pred.tsv)"
cp "more/benign/benign (1).png" inbox/bad.png
runs 0 predict
is "a bad scan is tried again" "ok" "$(awk -F'\t' '$1 == "bad.png" { print $3 }' \
    pred.tsv)"

# The paper's table: one row of it by both protocols; then nothing is to do.
table1() {
    make -s -f "$top/pipelines/table1.mk" BUSI="real scans/BUSI" OUT=table1 \
        ROWS=resnet18-b128 RECIPES= EPOCHS=1 K=3 RESIZE=40x40 CROP=40 \
        SIZE=32 THREADS=1 ARGS="--device cpu -q"
}
runs 0 table1
is "a row of each protocol" "resnet18-b128 paper 799 resnet18-b128 honest 799" \
    "$(sed 1d table1/table1.tsv | cut -f1-3 | xargs)"
is "its test accuracy" \
    "$(awk -F'\t' '$1 == "accuracy" { printf "%.3f", $3 }' \
        table1/honest/resnet18-b128/metrics.tsv)" \
    "$(awk -F'\t' '$2 == "honest" { print $8 }' table1/table1.tsv)"
is "the paper's way is marked" test "$(busi-info \
    table1/paper/resnet18-b128/fold-0.safetensors |
    awk '$1 == "select" { print $2 }')"
touch stamp && sleep 0.02
runs 0 table1
is "done once, nothing is trained" "" \
    "$(find table1 -name '*.safetensors' -newer stamp)"

runs 2 make -s -f "$top/pipelines/table1.mk" BUSI="real scans/BUSI" ROWS=resnet18
says "no such row of the table: resnet18"

# ---------------------------------------------------------------- GPUs in turn
# Five runs on one of three GPUs each, then on two: never two on the same.
cat >use.sh <<'EOF'
for d in $(echo "$CUDA_VISIBLE_DEVICES" | tr , ' '); do
    mkdir "busy.$d" || echo "GPU $d twice" >>twice
done
echo "$CUDA_VISIBLE_DEVICES" >>used
sleep 0.2
for d in $(echo "$CUDA_VISIBLE_DEVICES" | tr , ' '); do rmdir "busy.$d"; done
exit 3
EOF
export LOCKS="$scratch/locks"
gpu() {
    sh "$top/pipelines/on-gpu.sh" "$@"
}
for n in 1 2; do
    pids=
    for _ in 1 2 3 4 5; do
        DEVICES="0 1,7" gpu $n sh use.sh &
        pids="$pids $!"
    done
    for p in $pids; do
        wait "$p"
        is "status of what ran on $n GPUs" 3 $?
    done
done
is "runs" 10 "$(wc -l <used)"
is "GPUs" "0 1 7" "$(tr ',' '\n' <used | sort -u | xargs)"
is "on two each" 5 "$(grep -c , used)"
[ ! -e twice ] || bad "$(cat twice)"
# Whatever ends a run frees its GPU.
DEVICES=0 sh "$top/pipelines/on-gpu.sh" 1 sleep 60 &
sleep 0.2
runs 124 env DEVICES=0 timeout 1 sh "$top/pipelines/on-gpu.sh" 1 true
kill -9 $!
runs 0 env DEVICES=0 timeout 5 sh "$top/pipelines/on-gpu.sh" 1 true
runs 4 env DEVICES="0 1" sh "$top/pipelines/on-gpu.sh" 3 true
says "3 GPUs are wanted, 2 can be had"
is "none: as it is" "unset" \
    "$(DEVICES='' gpu 1 sh -c 'echo ${CUDA_VISIBLE_DEVICES-unset}')"
export DEVICES="0 1" LOCKS="$scratch/folds"
runs 0 cv -j3 OUT=gpus
is "folds on GPUs of their own" "0 1" "$(ls folds | xargs)"

# ------------------------------------------------------------------- scaling
if command -v mpirun >/dev/null; then
    runs 0 make -s -f "$top/pipelines/scaling.mk" BUSI="real scans/BUSI" \
        OUT=scale MODEL=./net.model RANKS="1 2" EPOCHS=3 BATCH=8 DEVICE=cpu \
        ARGS=-q
    is "rows by ranks" "1 2" "$(sed 1d scale/scaling.tsv | cut -f1 | xargs)"
    awk -F'\t' 'NR > 1 && !($2 > 0 && $3 > 0 && $4 > 0) { exit 1 }
        NR == 2 && $4 != 1 { exit 1 }' scale/scaling.tsv || bad "$(cat scale/scaling.tsv)"
    has out "^  rank 1: compute [0-9.]+ %, input [0-9.]+ %, waiting"
    has out "^  look first: "
    awk '/^  rank/ { gsub(/[:,%]/, ""); s = $4 + $6 + $8 + $10
        if (s < 99.7 || s > 100.3) exit 1 }' out || bad "shares: $(cat out)"
else
    skip "mpirun is not installed: scaling"
fi
