# busi-train: options, log, resuming, signals, ranks, refusals.
. "$(dirname "$0")/lib.sh"
common_checks busi-train

# shellcheck disable=SC2086     # $tiny is a command of several words

# Tiny phantoms at 40 x 40, cropped to 32, and a net that takes milliseconds.
busi-phantom -q -o scans --benign 20 --malignant 12 --normal 9
busi-strip scans | busi-split -q -k 4 -o folds.tsv 2>/dev/null
busi-prep --resize 40x40 --crop 40 -o data.st folds.tsv
cat >net.model <<'EOF'
input x channels=@channels size=@size
conv c1 x out=8 kernel=3 stride=2 pad=1
bn b1 c1
relu r1 b1
conv c2 r1 out=16 kernel=3 stride=2 pad=1
bn b2 c2
relu r2 b2
avgpool p r2 size=1
dropout d p p=0.2
linear fc d out=@classes
EOF
sed -e '/^bn/d; /^dropout/d; s/ b1$/ c1/; s/ b2$/ c2/; s/fc d/fc p/' \
    -e '/^conv/s/$/ bias=1/' net.model >nobn.model

tiny="busi-train -q --recipe sgd -d data.st -f folds.tsv -m ./net.model --size 32 -b 8 \
--device cpu --threads 1"
train() {
    $tiny "$@"
}

# The columns of a log that are not seconds.
numbers() {
    cut -f1-7 "$1"
}

temperature() {
    busi-info "$1" | awk '$1 == "temperature" { print $2 }'
}

# ------------------------------------------------------------ what comes out
runs 0 train -e 4 --schedule constant --log four.tsv -o four.st
is "four.st is silent" "" "$(cat out err)"
is "log columns" "epoch lr train_loss train_acc val_loss val_acc \
val_balanced_acc seconds images_per_second" "$(head -n 1 four.tsv | tr '\t' ' ')"
is "a line per epoch" "1 2 3 4" "$(sed 1d four.tsv | cut -f1 | xargs)"
runs 0 busi-info --verify four.st four.state.st
runs 0 train -e 30 --lr 0.05 --augment none --label-smoothing 0 \
    --log long.tsv -o long.st
awk -F'\t' 'NR == 2 { first = least = $3 } NR > 2 && $3 < least { least = $3 }
    END { exit !(least < 0.85 * first) }' long.tsv || bad "30 epochs do not lower the training loss: $(cat long.tsv)"

# --early-stop may change from one start to the next.
stops="--schedule constant -e 30 --lr 0.1"
runs 0 train $stops --early-stop 8 --log long.tsv -o early.st
runs 0 train $stops --early-stop 2 --log short.tsv -o early2.st
[ "$(wc -l <short.tsv)" -lt "$(wc -l <long.tsv)" ] ||
    bad "--early-stop 2 does not stop before 8"
runs 0 train $stops --early-stop 8 --resume --log short.tsv -o early2.st
is "--early-stop 2, then 8" "$(numbers long.tsv)" "$(numbers short.tsv)"

cp four.st first.st
runs 0 train -e 4 --schedule constant --log four.tsv -o four.st
cmp -s four.st first.st || bad "the same command gives another model"
runs 0 train --schedule=constant -ve4 --lo x.tsv --save-every 0 --ou other.st
cmp -s four.st other.st || bad "other names of outputs give another model"
runs 0 train -e 4 --schedule constant --seed 2 -o seed.st
cmp -s four.st seed.st && bad "another seed gives the same model"
runs 0 train -e 4 --schedule constant --threads 2 --log two.tsv -o two.st
is "loss with two threads" "$(cut -f3 four.tsv | tail -n 1 | cut -c1-5)" \
    "$(cut -f3 two.tsv | tail -n 1 | cut -c1-5)"

# The command line is in the model, so models of two commands are compared by
# their digests.
digest() {
    busi-info "$1" | awk '$1 == "digest" { print $2 }'
}

# ------------------------------------------------------------------ resuming
runs 0 train -e 2 --schedule constant --log half.tsv -o half.st
runs 0 train -e 4 --schedule constant --resume --log half.tsv -o half.st
is "2 + 2 epochs are 4" "$(digest four.st)" "$(digest half.st)"
is "and their log" "$(numbers four.tsv)" "$(numbers half.tsv)"
runs 0 train -e 4 --schedule constant --resume -o half.st
is "resuming what is done" "$(digest four.st)" "$(digest half.st)"
runs 3 train -e 4 --schedule constant --lr 0.5 --resume -o half.st
says "another run"

# Stopped at several moments, and gone on with, until it is done.
runs 0 train -e 40 --schedule constant --log whole.tsv -o whole.st
for sig in TERM INT TERM; do
    rm -f cut.*
    stops=0
    status=143
    while [ $status -gt 128 ] && [ $stops -lt 60 ]; do
        # A shell's background job would ignore SIGINT.  Slow machines need more.
        timeout -s $sig "$(awk -v n=$stops 'BEGIN { print 0.2 * 1.1 ^ n }')" $tiny -e 40 \
            --schedule constant --resume --log cut.tsv -o cut.st 2>err
        status=$?
        [ $status != 124 ] || status=143
        stops=$((stops + 1))
    done
    is "SIG$sig, then --resume ($stops runs)" 0 $status
    is "SIG$sig leaves the same model" "$(digest whole.st)" "$(digest cut.st)"
    is "nor does it say how it came about" 0 \
        "$(grep -ac -e --resume cut.st)"
    is "SIG$sig leaves the same log" "$(numbers whole.tsv)" \
        "$(numbers cut.tsv)"
done
runs 143 timeout --preserve-status -s TERM 1 $tiny -e 100000 -o term.st
runs 0 busi-info --verify term.state.st
[ -z "$(ls term.st .term.* 2>/dev/null)" ] || bad "a stopped run left a model"

# A damaged state: the one before it is taken, and that is said.
cp half.state.st.old old && cp half.state.st new
printf X | dd of=half.state.st bs=1 seek=3000 conv=notrunc 2>/dev/null
busi-train --recipe sgd -d data.st -f folds.tsv -m ./net.model --size 32 -b 8 --threads 1 \
    --device cpu -e 4 --schedule constant --resume -o half.st 2>err
is "resuming from the state before" 0 $?
says "going on from the state before"
is "... to the same model" "$(digest four.st)" "$(digest half.st)"
printf X | dd of=half.state.st bs=1 seek=3000 conv=notrunc 2>/dev/null
printf X | dd of=half.state.st.old bs=1 seek=3000 conv=notrunc 2>/dev/null
runs 3 train -e 4 --schedule constant --resume -o half.st

# -------------------------------------------------------------------- options
for o in "--select test" "--fold 3" "--ema 0.9" "--class-weights balanced" \
    "--optimizer adamw --lr 0.001" "--schedule step" "--schedule plateau" \
    "--schedule cosine" "--label-smoothing 0" "--early-stop 1" \
    "--augment strong" "--mixup 0.3" "--best loss" "--best balanced" "--dropout 0.5" \
    "--paper -b 8" "--warmup 0 --weight-decay 0 --momentum 0"; do
    # shellcheck disable=SC2086
    runs 0 train -e 2 $o -o option.st
done
# A recipe is a set of defaults: --paper and --recipe paper are the same run.
for r in "--paper" "--recipe paper" "--recipe=paper"; do
    # shellcheck disable=SC2086
    runs 0 busi-train -q -d data.st -f folds.tsv -m ./net.model --size 32 \
        -e 2 -b 8 --device cpu --threads 1 $r -o paper.st
    is "$r" "${first:=$(digest paper.st)}" "$(digest paper.st)"
done
is "of --paper and --recipe the last counts" "[sgd] [adamw]" \
    "$(for r in "--recipe busi --paper" "--paper --recipe busi"; do
        busi-train $r --help | sed -n 's/.*rule of the updates //p'; done | xargs)"
is "adamw without a recipe, sgd with --recipe sgd" "[adamw] [sgd]" \
    "$(for r in busi sgd; do busi-train --recipe $r --help |
        sed -n 's/.*rule of the updates //p'; done | xargs)"
runs 0 train -e 1 --select test -o test.st
busi-info test.st | grep -Eq '^select +test' || bad "select is not in the model"
runs 0 train -e 1 --init test.st -o heir.st
busi-info heir.st | grep -Eq '^select +test' || bad "an heir forgets --select test"
n=$(busi-info test.st | awk '$1 == "seen" { print $2 }')
runs 0 train -e 1 --select none --log none.tsv -o none.st
is "--select none trains on all but the test rows" "$n none 1" \
    "$(busi-info none.st | awk '$1 == "seen" { print $2 }') $(busi-info none.st |
        awk '$1 == "select" { print $2 }') $(busi-info none.st |
        awk '$1 == "temperature" { print $2 }')"
is "... and validates nothing" NA "$(awk -F'\t' 'NR == 2 { print $6 }' none.tsv)"
runs 0 busi-train -q -d data.st --fold all -m ./net.model --size 32 -e 1 \
    --device cpu -o all.st
# From other weights: what was adapted is listed, what it saw stays seen.
runs 0 train -e 2 --fold 2 -o first.st
runs 0 $tiny -v --fold 0 -e 1 --init first.st -o second.st
says "'first.st': [0-9]* tensors are taken as they are"
says "'first.st' was trained on [0-9]* of the [0-9]* validation rows"
says "'first.st' was trained on [0-9]* of the [0-9]* test rows"
runs 0 $tiny -v --fold 2 -e 1 --init first.st -o again.st
grep -q 'was trained on' err && bad "the same fold is gone on with: $(cat err)"
runs 0 $tiny -v -e 1 --init none.st -o after-none.st
says "'none.st' was trained on [0-9]* of the [0-9]* validation rows"
runs 3 train --fold 0 -e 2 --schedule constant --init first.st \
    --init-norm half --resume -o second.st
busi-prep -q --resize 40x40 --crop 40 --classes normal,malignant,benign \
    -o turned.st folds.tsv
runs 0 $tiny -v -d turned.st -e 1 --init first.st -o turned-net.st
says "fc.weight: made anew, .* for other classes"
runs 0 $tiny -v --fold 0 -e 1 --init test.st -o second-test.st
says "the epoch of 'test.st' was chosen on its test fold"
runs 0 train --freeze 3 -e 3 --init first.st -o frozen.st
runs 0 train --lr-body 0 -e 3 --init first.st -o still.st
is "frozen is no rate for the body" "$(digest frozen.st)" "$(digest still.st)"
runs 0 train --lr-body 0.5 -e 3 --init first.st -o other.st
[ "$(digest frozen.st)" != "$(digest other.st)" ] || bad "--lr-body does nothing"
runs 3 busi-predict -m second.st -d data.st -f folds.tsv --fold 0 -o none.tsv
says "'second.st' has seen 10 of these 10 rows"
runs 3 train -e 1 --init data.st -o none.st
says "'data.st' is not a net"
runs 4 train -e 1 --init none -o none.st
# Where the time goes: every phase, each layer, and the machine's limit.
runs 0 train -e 2 --profile -o option.st
for word in load forward backward update evaluate c1 c2 \
    'images/s, .* of the .* large product'; do
    says "$word"
done
awk '$2 == "conv" && !($3 > 0 && $4 > 0 && $5 > 0 && $7 > 0)' err | grep . &&
    bad "a layer without seconds or a rate"
runs 0 train --deterministic -e 1 --profile -o option.st
says "^c1 "
# 3x3 of 2x2 pixels: some 300 times slower by oneDNN's reference.
runs 0 train --size 40 -m resnet18 -e 1 --profile -o option.st
if grep -q avx512 /proc/cpuinfo; then
    skip "by which kernels small pictures go is tested with AVX2 alone"
else
    is "by reference" "" "$(grep 'ref:' err)"
fi
# Calibrated on the validation rows: decisions stay, their loss falls.
runs 0 train -e 3 --no-calibrate -o raw.st
runs 0 train -e 3 -o warm.st
is "no temperature" 1 "$(temperature raw.st)"
[ "$(temperature warm.st)" != 1 ] || bad "no temperature was fitted"
for m in raw warm; do
    runs 0 busi-predict -m $m.st -d data.st -f folds.tsv --fold 1 \
        --allow-train-rows -o $m.pred
    busi-eval -q $m.pred | awk '$1 == "nll" { print $3 }' >$m.nll
done
is "the same decisions" "$(cut -f 1,4 raw.pred)" "$(cut -f 1,4 warm.pred)"
awk 'NR == FNR { raw = $1; next } { exit !($1 < raw) }' raw.nll warm.nll ||
    bad "calibration does not lower the loss: $(cat raw.nll warm.nll)"
runs 0 train -e 1 --device ref --schedule constant --log ref.tsv -o ref.st
is "ref and cpu agree on an epoch" \
    "$(awk 'NR == 2 { printf "%.3f %.3f", $3, $5 }' four.tsv)" \
    "$(awk 'NR == 2 { printf "%.3f %.3f", $3, $5 }' ref.tsv)"
train -e 3 --log - -o pipe.st | head -n 1 >out
is "the log goes through a pipe" "epoch" "$(cut -f1 out)"

# ----------------------------------------------------------------- more GPUs
runs 0 busi-train -q -d data.st -f folds.tsv -m ./net.model --size 32 -b 8 \
    --device cpu --threads 1 --plan --gpus 2,4
is "rows of a plan" "1 2 4" "$(sed 1d out | cut -f1 | xargs)"
is "batches of a plan" "8 4 2" "$(sed 1d out | cut -f2 | xargs)"
# By hand: conv c1 3 * 3 * 8 * 16 * 16, c2 3 * 3 * 8 * 16 * 8 * 8, fc 16 * 3
# products a picture; forward and, but for c1's input, twice that backward; 8
# pictures at 1 MFLOP/s.  1323 numbers, and 48 of batch-norm, in one bucket: the
# ring sends 4 * 1371 * 2 / 2 bytes at 1 MB/s, and 2 messages of 100 us.
runs 0 busi-train -q -d data.st -f folds.tsv -m ./net.model --size 32 -b 8 \
    --device cpu --plan --gpus 2 --gflops 0.001 --link 1MB/s,100us
is "a plan of one" "$(awk 'BEGIN { c1 = 72 * 256; rest = 1152 * 64 + 48
    printf "%.3f", 1e3 * 8 * 2e-6 * (2 * c1 + 3 * rest) }')" \
    "$(sed -n 2p out | cut -f3)"
is "exchange of a plan" "$(awk 'BEGIN {
    printf "%.3f", 1e3 * (4 * (72 + 1152 + 48 + 51) / 1e6 + 2e-4) }')" \
    "$(sed -n 3p out | cut -f4)"
is "nothing hides the only bucket" "$(sed -n 3p out | cut -f4)" \
    "$(sed -n 3p out | cut -f5)"
for bad in "--link 10" "--link x" "--link 1GB/s,2" "--link 0GB/s" \
    "--gpus 2,x" "--gpus 0"; do
    # shellcheck disable=SC2086
    runs 2 train --plan $bad
    is "no table in part: $bad" "" "$(cat out)"
done

# ------------------------------------------------------------------- refusals
runs 5 train -m ./nobn.model -e 9 --lr 1000 --warmup 0 -o nan.st
says "not a finite number"
runs 5 train -e 9 --lr 1000 --weight-decay 10 --warmup 0 -o nan.st
[ -e nan.st ] && bad "numbers that went bad left a model"
cp four.state.st keep.state.st && cp four.st keep.st
runs 2 train -e 0 -o x.st
runs 2 train -b 0 -o x.st
runs 2 train --lr -1 -o x.st
runs 2 train --lr x -o x.st
runs 2 train --fold x -o x.st
runs 2 train --fold all --select test -o x.st
runs 2 train -m resnet19 -o x.st
says "resnet19"
runs 2 train --size 64 -o x.st
runs 0 busi-train -d data.st -f folds.tsv -m ./net.model --size 16 -e 1 \
    --device cpu -o small.st
says "the middle alone is judged"
runs 2 busi-train -d data.st -f folds.tsv
runs 2 busi-train -d data.st --fold 0 -o x.st
runs 2 train operand -o x.st
runs 3 train --fold 9 -o x.st
says "no fold 9"
awk -F'\t' 'BEGIN { OFS = FS }
    NR == 1 { for (i = 1; i <= NF; i++) if ($i == "fold") f = i }
    NR > 1 && $f > 0 { $f += 1 } { print }' folds.tsv >gap.tsv
runs 3 busi-train -q -d data.st -f gap.tsv --fold 1 -m ./net.model -o x.st
says "'gap.tsv' has no fold 1"
runs 3 busi-train -q -d data.st -f gap.tsv --fold 0 -m ./net.model -o x.st
says "no labelled row of fold 1, which chooses the epoch"
sed '2s/\tbenign\t/\tmalignant\t/' folds.tsv >relabelled.tsv
runs 3 busi-train -q -d data.st -f relabelled.tsv -m ./net.model -o x.st
says "has another label"
runs 2 train --init-norm half -o x.st
awk -F'\t' -v OFS='\t' 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
    NR > 1 && $at["fold"] == 0 { $at["label"] = "" } 1' folds.tsv >blank.tsv
busi-prep -q --resize 40x40 --crop 40 -o blank.st blank.tsv
runs 3 train -d blank.st -f blank.tsv --fold 0 --select test -o x.st
says "no labelled row of fold 0"
# The state beside the output is laid over nothing else.
cp data.st lies.state.st
cp folds.tsv lies.state.tsv
runs 2 busi-train -q -d lies.state.st -f folds.tsv -m ./net.model -o lies.st
says "'lies.state.st' would be overwritten by the state of 'lies.st'"
runs 2 train -f lies.state.tsv -o lies.tsv
runs 2 train --init lies.state.st -o lies.st
runs 2 train --log lies.state.st.old -o lies.st
runs 3 train -o lies.st
says "'lies.state.st' is there, and is not a state"
cmp -s data.st lies.state.st || bad "a state was laid over a dataset"
runs 4 train -o no/such/folder.st
runs 4 train -m ./none.model -o x.st
runs 4 train --device cuda -e 1 -o x.st
is "cuda that is missing is one line" 1 "$(wc -l <err)"
runs 3 busi-train -q -d folds.tsv -f folds.tsv -o x.st
sed 's/^benign/other/' folds.tsv >other.tsv
runs 3 busi-train -q -d data.st -f other.tsv -m ./net.model -o x.st
says "other.tsv.*data.st|data.st.*other.tsv"
head -c 5000 data.st >short.st
runs 3 busi-train -q -d short.st -f folds.tsv -m ./net.model -o x.st
sed 's/@channels/3/' net.model >rgb.model
runs 2 train -m ./rgb.model -o x.st
says "takes pictures of 3 channels"
sed 's/@size/48/' net.model >large.model
runs 2 train -m ./large.model -o x.st
runs 2 train --dropout -0.5 -o x.st
runs 0 train -v -e 1 -o v.st
says "epoch 1 [0-9]"
rm v.st*
echo "conv c x out=3" >bad.model
runs 3 train -m ./bad.model -o x.st
[ -z "$(ls x.st .x.* .nan.* 2>/dev/null)" ] || bad "a refusal left a file"

# ----------------------------------------------------- ranks without MPI
# As torchrun starts them; the first free pair of ports of this process's own.
MASTER_PORT=$((20000 + $$ % 20000))
by_hand() {     # NAME RANKS OPTIONS...: rank N's words in NAME.N, its id too
    name=$1
    count=$2
    shift 2
    pids=
    r=0
    while [ $r -lt "$count" ]; do
        RANK=$r WORLD_SIZE=4 MASTER_PORT=$MASTER_PORT $tiny \
            --rank-timeout 3 "$@" 2>"$name.$r" &
        pids="$pids $!"
        r=$((r + 1))
    done
}
ended() {       # WHAT STATUSES: of the processes in $pids
    got=
    for p in $pids; do
        wait "$p"
        got="$got $?"
    done
    is "$1" "$2" "${got# }"
}
lines() {
    [ ! -e "$1" ] || wc -l <"$1"
}
runs 0 train --deterministic -b 9 -e 3 --schedule constant -o det.st
by_hand tcp 4 --deterministic -b 9 -e 3 --schedule constant -o tcp.st
ended "ranks by hand" "0 0 0 0"
is "... have the same bits" "$(digest det.st)" "$(digest tcp.st)"
# ... and the same of all that decides the numbers.
pids=
for r in 0 1; do
    RANK=$r WORLD_SIZE=2 MASTER_PORT=$MASTER_PORT $tiny --rank-timeout 9 \
        --fold $r --schedule constant -o mixed.st 2>"mixed.$r" &
    pids="$pids $!"
done
ended "ranks of two folds" "2 2"
has mixed.0 "rank 1 has another fold than rank 0"
[ ! -e mixed.st ] || bad "a model of two folds"
# Ranks that count differently: both say how.
pids=
for r in 0 1; do
    RANK=$r WORLD_SIZE=$((2 + r)) MASTER_PORT=$MASTER_PORT $tiny \
        --rank-timeout 9 -o count.st 2>"count.$r" &
    pids="$pids $!"
done
ended "ranks of two and of three" "2 2"
for r in 0 1; do
    has count.$r "rank 1 was told of 3 ranks, rank 0 of 2"
done
# A rank that has ended is started again; one signal ends the waiting.
pids=
for r in 0 1 1 2; do
    RANK=$r WORLD_SIZE=3 MASTER_PORT=$MASTER_PORT $tiny --rank-timeout 30 \
        -e 1 --schedule constant -o again.st 2>>"again.$r" &
    pids="$pids $!"
    sleep 0.5
    [ "$(echo "$pids" | wc -w)" != 2 ] || kill -KILL $!
done
ended "a rank started again" "0 137 0 0"
RANK=0 WORLD_SIZE=2 MASTER_PORT=$MASTER_PORT $tiny --rank-timeout 0 \
    -o wait.st 2>wait.0 &
pids=$!
sleep 0.5
kill -TERM $pids
ended "a rank that waits is asked to stop" 143
for what in MASTER_PORT=65535 LOCAL_WORLD_SIZE=0 LOCAL_RANK=7 RANK=4 RANK=x; do
    runs 2 env RANK=0 WORLD_SIZE=4 "$what" $tiny --rank-timeout 3 -o x.st
    says "${what%=*} is '${what#*=}'"
done
for what in KILL STOP; do
    rm -f tcp.tsv
    by_hand tcp 4 -e 100000 --log tcp.tsv -o tcp.st
    until [ "$(lines tcp.tsv)" -gt 2 ] 2>/dev/null; do sleep 0.1; done
    third=$(echo $pids | cut -d' ' -f3)
    kill -$what "$third"
    pids=$(echo $pids | cut -d' ' -f1,2,4)
    ended "SIG$what of rank 2 ends the others" "4 4 4"
    kill -9 "$third" 2>/dev/null
    # Whoever notices first leaves, and may be the one that the next misses.
    cat tcp.0 tcp.1 tcp.3 >tcp.all
    has tcp.all "rank 2 has (gone|not answered for 3 s)"
    for r in 0 1 3; do
        has tcp.$r "rank [0-3] has (gone|not answered for 3 s)"
    done
done
by_hand tcp 3 -e 1 -o tcp.st
ended "a rank that does not come" "4 4 4"
has tcp.1 "rank 3 has not come"

# ---------------------------------------------------------------------- ranks
if ! command -v mpirun >/dev/null; then
    skip "mpirun is not installed: ranks"
    exit 0
fi
# 31 or so rows: the last batch of 7 leaves some ranks more rows than others.
for n in 1 2 3; do
    runs 0 train -m ./nobn.model --ranks $n -b 9 -e 3 --log r$n.tsv -o r$n.st
done
same() {
    paste "$1" "$2" | awk -F'\t' 'NR > 1 {
        for (i = 3; i < 8; i++) {
            d = $i - $(i + 9)
            if (d * d > 1e-8 * ($i * $i + 1e-4)) exit 1
        }
    }'
}
for n in 2 3; do
    same r1.tsv r$n.tsv || bad "$n ranks are not 1 rank: $(cat r1.tsv r$n.tsv)"
done
# Folders in memory that a killed run left are swept; those of others, of a run
# that lives, and young ones stay.
old=$(mktemp -d /dev/shm/.busi-ranks-XXXXXX)
live=$(mktemp -d /dev/shm/.busi-ranks-XXXXXX)
young=$(mktemp -d /dev/shm/.busi-ranks-XXXXXX)
other=$(mktemp -d /dev/shm/busi-XXXXXX)
touch -d '1 hour ago' "$old" "$live" "$other"
exec 9<"$live"
flock 9
runs 0 train -v --ranks 2 -b 2 -e 1 -o bn.st    # batch-norm on each rank
is "one tells of all" 1 "$(grep -c 'MB peak' err)"
exec 9<&-
is "what ranks sweep" "$(printf '%s\n' "$live" "$young" "$other" | sort)" \
    "$(for d in "$old" "$live" "$young" "$other"; do
        [ ! -d "$d" ] || echo "$d"; done | sort)"
rmdir "$live" "$young" "$other"
# Gradients in many parts, or in one, have the same bits.
for mb in 0.0001 0.003 100; do
    runs 0 train -m ./nobn.model --ranks 3 -b 9 -e 3 --bucket-mb $mb -o b.st
    is "--bucket-mb $mb" "$(digest r3.st)" "$(digest b.st)"
done
runs 0 train -m ./nobn.model --ranks 2 -b 9 -e 3 --grad-dtype bf16 \
    --log half.tsv -o b.st
[ "$(digest r2.st)" != "$(digest b.st)" ] || bad "bf16 gradients are f32's"
paste r2.tsv half.tsv | awk -F'\t' 'NR > 1 {
    d = $3 - $12
    if (d * d > 1e-4 * $3 * $3) exit 1
}' || bad "bf16 gradients: $(cat r2.tsv half.tsv)"
runs 2 train --ranks 2 --deterministic --grad-dtype bf16 -o x.st
# ... but the statistics, which are all that moves at a rate of 0, travel whole.
for g in f32 bf16; do
    runs 0 train --ranks 2 -b 9 -e 1 --lr 0 --grad-dtype $g -o rest.$g.st
done
is "statistics are not rounded" "$(digest rest.f32.st)" \
    "$(digest rest.bf16.st)"
# Batch-norm over all ranks is that of one rank.  The last batch has 4 rows.
runs 0 train -b 9 -e 3 --schedule constant --log one.tsv -o one.st
for n in 2 3 8; do
    runs 0 train --sync-bn --ranks $n -b 9 -e 3 --schedule constant \
        --log s$n.tsv -o s$n.st
    same one.tsv s$n.tsv || bad "--sync-bn on $n ranks: $(cat one.tsv s$n.tsv)"
done
# The same bits for any threads and ranks, whoever goes on with a state.  The
# last batch has 4 rows: fewer than there are parts, none for some ranks.
runs 0 train --deterministic -b 9 -e 3 --schedule constant --log det.tsv \
    -o det.st
same one.tsv det.tsv || bad "--deterministic: $(cat one.tsv det.tsv)"
for n in 2 3 4; do
    runs 0 $tiny --deterministic -b 9 -e 3 --schedule constant --threads $n \
        -o t.st
    is "--deterministic with $n threads" "$(digest det.st)" "$(digest t.st)"
done
for n in 2 4 8; do
    runs 0 train --deterministic -b 9 -e 3 --schedule constant --ranks $n \
        --log d.tsv -o d.st
    is "--deterministic on $n ranks" "$(digest det.st)" "$(digest d.st)"
    is "... and its log" "$(numbers det.tsv)" "$(numbers d.tsv)"
done
runs 0 train --deterministic -b 9 -e 1 --schedule constant -o go.st
runs 0 train --deterministic -b 9 -e 2 --schedule constant --ranks 4 \
    --resume -o go.st
runs 0 train --deterministic -b 9 -e 3 --schedule constant --ranks 2 \
    --threads 2 --resume -o go.st
is "--deterministic, resumed on other ranks" "$(digest det.st)" \
    "$(digest go.st)"
runs 3 train -b 9 -e 4 --schedule constant --resume -o go.st
runs 2 train --deterministic --ranks 3 -o x.st
says "1, 2, 4 or 8"
$tiny --ranks 2 -e 100000 --log live.tsv -o live.st 2>err &
launcher=$!
until [ "$(lines live.tsv)" -gt 2 ] 2>/dev/null; do sleep 0.1; done
runs 4 train -e 1 -o live.st
says "'live.st' is being written by process [0-9]"
rank=$(pgrep -f "busi-train.* live.st" | while read -r p; do
    [ "$(readlink "/proc/$p/cwd")" = "$PWD" ] &&
        tr '\0' '\n' <"/proc/$p/environ" 2>/dev/null |
        grep -q '^OMPI_COMM_WORLD_RANK=1$' && echo "$p"
done | head -n 1)
kill -9 "$rank"
wait $launcher
is "a rank that dies ends the run" 137 $?
says "rank 1"
# A last batch of one, and a batch-norm that sees one value of each channel.
sed -e 's/^bn b2 c2/conv q c2 out=16 kernel=8\nbn b2 q/' net.model >one.model
rows=$(awk -F'\t' 'NR > 1 && $NF > 1' folds.tsv | wc -l)
for device in cpu ref; do
    runs 0 train -m ./one.model --device $device -b $((rows - 1)) -e 2 -o one.st
    runs 0 busi-info --verify one.st
done
# Within an epoch each rank's batch-norms have statistics of their own.
long="--ranks 2 -b 2 -e 200 --schedule constant"
runs 0 train $long -o whole.st
$tiny $long --log stop.tsv -o stop.st 2>err &
launcher=$!
until [ "$(lines stop.tsv)" -gt 2 ] 2>/dev/null; do sleep 0.02; done
kill -TERM $launcher
wait $launcher
is "SIGTERM to all ranks" 143 $?
runs 0 busi-info --verify stop.state.st
# A job's end is often two signals, to a process and to its group; and one may
# come before there are ranks.
for n in 1 2 3 4 5; do
    rm -f twice.state.st
    runs 143 timeout --preserve-status -s TERM 1.5 $tiny --ranks 2 \
        -e 100000 -o twice.st
    [ -e twice.state.st ] || bad "two signals leave no state: $(cat err)"
    runs 143 timeout --foreground --preserve-status -s TERM -k 20 0.0$n $tiny \
        --ranks 2 -e 100000 -o soon.st
done
# More ranks than rows: those without have no statistics to add.
for n in 2 4; do
    runs 0 train --ranks $n -b 2 -e 2 --schedule constant -o idle$n.st
done
is "ranks without pictures change nothing" "$(digest idle2.st)" \
    "$(digest idle4.st)"
runs 0 train $long --resume --log stop.tsv -o stop.st
is "... and all go on to the same model" "$(digest whole.st)" "$(digest stop.st)"
runs 0 train --ranks 2 -e 1 --schedule constant --sync-bn -o sync.st
runs 3 train --ranks 2 -e 2 --schedule constant --resume -o sync.st
says "sync_bn=1 there, sync_bn=0 here"
runs 0 train --plan --gpus 2 --gflops 100 --ranks 2 -o plan.st
is "--plan is one table" "$(head -n 1 out)" "$(grep -F "$(head -n 1 out)" out)"
runs 5 train -m ./nobn.model --ranks 2 -e 9 --lr 1000 --warmup 0 -o nan.st
