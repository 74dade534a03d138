#!/bin/sh
# busi-train: its numbers against those of the other programs, its rates
# against their formulas, and what is left after a death.
. "$(dirname "$0")/lib.sh"

# shellcheck disable=SC2086     # commands of several words in variables
busi-phantom -q -o scans --benign 20 --malignant 12 --normal 9 --seed 3
busi-strip scans | busi-split -q -k 4 -o folds.tsv 2>/dev/null
busi-prep --resize 40x40 --crop 40 -o data.st folds.tsv
cat >bn.model <<'EOF'
input x channels=@channels size=@size
conv c1 x out=8 kernel=3 stride=2 pad=1
bn b1 c1
relu r1 b1
conv c2 r1 out=16 kernel=3 stride=2 pad=1
bn b2 c2
relu r2 b2
avgpool p r2 size=1
linear fc p out=@classes
EOF
sed -e '/^bn/d; s/ b\([12]\)$/ c\1/; /^conv/s/$/ bias=1/' bn.model >plain.model
base="busi-train -q --recipe sgd -d data.st -f folds.tsv --device cpu --threads 1 \
--dtype f32 --size 32"
plain() {
    $base -m ./plain.model "$@"
}
with_bn() {
    $base -m ./bn.model "$@"
}
# fact FILE KEY, cell LOG LINE COLUMN
fact() {
    busi-info "$1" | awk -v key="$2" '$1 == key { print $2 }'
}
cell() {
    awk -F'\t' -v n="$2" -v c="$3" 'NR == n + 1 { print $c }' "$1"
}
# near WHAT EXPECTED GOT [RELATIVE]
near() {
    awk -v a="$2" -v b="$3" -v r="${4:-2e-5}" 'BEGIN {
        d = a - b; if (d < 0) d = -d
        exit !(a != "" && b != "" && d <= r * (a < 0 ? -a : a) + 1e-12) }' ||
        bad "$1: expected $2, got $3"
}

# score MODEL FOLDS SMOOTHING BALANCED: loss, accuracy and balanced accuracy of
# rows of these folds by busi-predict's probabilities; the loss is PyTorch's
# CrossEntropyLoss with label_smoothing, and with weights n / (K n_k).
score() {
    busi-predict -q -m "$1" -d data.st -f folds.tsv --device cpu --threads 1 \
        --allow-train-rows 2>>predict.err |
        awk -F'\t' -v folds="$2" -v eps="$3" -v balanced="$4" '
        NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i
                  split("benign malignant normal", class, " "); next }
        index(folds, $at["fold"]) {
            n++; label[n] = $at["label"]; rows[label[n]]++
            hit[label[n]] += $at["pred"] == label[n]
            for (k = 1; k <= 3; k++) p[n, k] = $at["p_" class[k]]
        }
        END {
            for (k = 1; k <= 3; k++)
                w[k] = balanced ? n / (3 * rows[class[k]]) : 1
            for (i = 1; i <= n; i++)
                for (k = 1; k <= 3; k++) {
                    t = eps / 3 + (label[i] == class[k] ? 1 - eps : 0)
                    loss -= t * w[k] * log(p[i, k])
                    if (label[i] == class[k]) norm += w[k]
                }
            for (k = 1; k <= 3; k++) {
                acc += hit[class[k]] / n
                mean += hit[class[k]] / rows[class[k]] / 3
            }
            printf "%.9f %.9f %.9f\n", loss / norm, acc, mean
        }'
}

# ------------------------------------- the log against busi-predict's numbers
for net in plain with_bn; do
    runs 0 $net -e 2 -b 8 --lr 0.05 --select last --log a.tsv -o a.st
    set -- $(score a.st 1 0 0)
    near "$net: val_loss" "$1" "$(cell a.tsv 2 5)"
    near "$net: val_acc" "$2" "$(cell a.tsv 2 6)"
    near "$net: val_balanced_acc" "$3" "$(cell a.tsv 2 7)"
done
runs 0 plain -e 2 -b 8 --lr 0.05 --select test --log a.tsv -o a.st
set -- $(score a.st 0 0 0)
near "with --select test it is fold 0" "$1" "$(cell a.tsv "$(fact a.st epoch)" 5)"
runs 0 plain -e 3 -b 8 --lr 0.05 --ema 0.9 --select last --log ema.tsv -o ema.st
runs 0 plain -e 3 -b 8 --lr 0.05 --select last --log a.tsv -o a.st
set -- $(score ema.st 1 0 0)
near "with --ema the average is what is kept" "$1" "$(cell ema.tsv 3 5)"
is "... and training goes on without it" "$(cut -f 1-4 a.tsv)" \
    "$(cut -f 1-4 ema.tsv)"
[ "$(cut -f 5 a.tsv)" != "$(cut -f 5 ema.tsv)" ] || bad "--ema does nothing"

# With a rate of 0 the training loss is that of one network, in whatever
# batches; class weights are summed up over a batch, so that wants one batch.
still="-e 1 --warmup 0 --lr 0 --augment none"
for case in "0 0" "0.1 0" "0 1" "0.3 1"; do
    set -- $case
    weights=none
    [ "$2" = 0 ] || weights=balanced
    runs 0 plain $still -b 40 --label-smoothing "$1" --class-weights $weights \
        --log a.tsv -o a.st
    case=$1,$weights
    set -- $(score a.st 23 "$1" "$2")
    near "train_loss with $case" "$1" "$(cell a.tsv 1 3)"
    near "train_acc with $case" "$2" "$(cell a.tsv 1 4)"
done
set -- $(score a.st 23 0 0)
for b in 1 3 7; do
    runs 0 plain $still -b $b --label-smoothing 0 --log a.tsv -o a.st
    near "train_loss in batches of $b" "$1" "$(cell a.tsv 1 3)"
done
for word in --paper --pap; do
    runs 0 plain $word -e 2 -b 40 --lr 0 --log a.tsv -o a.st
    near "$word: no smoothing, no augmentation" "$1" "$(cell a.tsv 1 3)"
done
runs 0 plain -e 2 --paper --log a.tsv -o a.st
is "--paper: its rate, no warm-up" "0.001 0.001" "$(sed 1d a.tsv | cut -f 2 | xargs)"

runs 0 busi-train -q -d data.st --fold all --device cpu -m ./plain.model \
    $still -b 64 --size 32 --dtype f32 --label-smoothing 0 --log a.tsv -o a.st
set -- $(score a.st 0123 0 0)
near "--fold all trains on all rows" "$1" "$(cell a.tsv 1 3)"
is "... and validates on none" "NA NA NA" "$(sed 1d a.tsv | cut -f 5-7 | xargs)"
is "... and keeps the last epoch" last "$(fact a.st select)"
is "... which saw everything" 41 "$(fact a.st seen)"

# ------------------------------------------------ AdamW's first step of a body
# tensor FILE NAME: its numbers, a line each
tensor() {
    set -- "$1" $(od -A n -t u8 -N 8 "$1") "$(tr -d '\0' <"$1" | head -c 65536 |
        grep -ao "\"$2\":{[^}]*}" | head -n 1 |
        sed 's/.*"data_offsets":\[\([0-9]*\), *\([0-9]*\)\].*/\1 \2/')"
    set -- "$1" "$2" $3
    od -A n -v -t f4 -w4 -j $((8 + $2 + $3)) -N $(($4 - $3)) "$1"
}
all="plain -b 64 --optimizer adamw --lr 0.01 --weight-decay 0 --schedule constant
    --warmup 0 --augment none --select last"
runs 0 $all -e 1 --freeze 1 -o head.st
runs 0 $all -e 2 --freeze 1 -o two.st
runs 0 $all -e 1 --init head.st --lr-body 1 -o one.st
tensor head.st c1.weight >head.txt
tensor two.st c1.weight >two.txt
tensor one.st c1.weight | paste head.txt two.txt - >steps.txt
is "after --freeze AdamW starts anew" "72 numbers, 0 differ" \
    "$(awk '{ d = $2 - $3; if (d < 0) d = -d; s = $2 - $1; if (s < 0) s = -s
        n++; bad += d > 0.02 * s || s < 0.009 }
        END { printf "%d numbers, %d differ", n, bad }' steps.txt)"

# -------------------------------------------------- the epoch that is kept
for best in "acc 6 -1" "balanced 7 -1" "loss 5 1"; do
    set -- $best
    runs 0 plain -e 12 -b 8 --lr 0.3 --best "$1" --log a.tsv -o a.st
    is "--best $1" "$(sed 1d a.tsv | awk -F'\t' -v c="$2" -v s="$3" '
        NR == 1 || s * $c < v || (s * $c == v && $5 < l) {
            v = s * $c; l = $5; e = $1 }
        END { print e }')" "$(fact a.st epoch)"
done
runs 0 plain -e 12 -b 8 --lr 0.3 --select last -o a.st
is "--select last" "12 last" "$(fact a.st epoch) $(fact a.st select)"
runs 0 plain -e 12 -b 40 --lr 0 --early-stop 3 --log a.tsv -o a.st
is "--early-stop 3 with a loss that stays" "1 2 3 4" "$(sed 1d a.tsv | cut -f 1 | xargs)"
is "... keeps the first" 1 "$(fact a.st epoch)"

# ---------------------------------------------------------------- the rates
rates() {
    rates=$1
    shift
    runs 0 plain -b 40 --momentum 0 --log a.tsv -o a.st "$@"
    is "rates of $*" "$rates" "$(sed 1d a.tsv | cut -f 2 | xargs)"
}
rates "0.01 0.02 0.03 0.03 0.03" -e 5 --lr 0.03 --warmup 2 --schedule constant
# lr / 2 * (1 + cos(pi * t / 4)), t = 0..3
rates "0.05 0.1 0.0853553 0.05 0.0146447" -e 5 --lr 0.1 --warmup 1 --schedule cosine
# torch.optim.lr_scheduler.ReduceLROnPlateau(patience=2): with a loss that hardly
# moves, the fourth epoch is the third that is not better than the first.
rates "1e-06 1e-06 1e-06 1e-06 1e-07 1e-07 1e-07 1e-08" -e 8 --lr 1e-6 \
    --warmup 0 --schedule plateau --patience 2
runs 0 plain -b 40 -e 32 --lr 0.01 --warmup 0 --schedule step --log a.tsv -o a.st
is "step: after 30 epochs a tenth" "0.01 0.001" \
    "$(cell a.tsv 30 2) $(cell a.tsv 31 2)"

# ------------------------------------------------------ what a death leaves
# begin: a long run in the background, until its log has 20 lines more than
# $from.
same_log() {
    cut -f 1-7 whole.tsv >want.tsv
    cut -f 1-7 k.tsv | cmp -s - want.tsv || bad "... another log"
}
lines() {
    [ ! -e "$1" ] || wc -l <"$1"
}
long="-e 400 -b 4 --schedule constant --lr 0.01 --resume"
begin() {
    plain $long --log k.tsv -o k.st "$@" 2>err &
    pid=$!
    until [ "$(lines k.tsv)" -gt $((from + 20)) ] 2>/dev/null; do
        kill -0 $pid 2>/dev/null || break
        sleep 0.02
    done
}
runs 0 plain $long --log whole.tsv -o whole.st
# The whole command again, so that the process is busi-train, not a subshell.
plain() {
    exec $base -m ./plain.model "$@"
}
from=0
begin
kill -TERM $pid
wait $pid
is "stopped" 143 $?
cp k.state.st before
from=$(lines k.tsv)
begin
kill -KILL $pid
wait $pid
is "killed" 137 $?
cmp -s before k.state.st || bad "a kill between two saves changes the state"
plain() {
    $base -m ./plain.model "$@"
}
runs 0 plain $long --log k.tsv -o k.st
is "silence" "" "$(cat err)"
is "killed and gone on with: the same numbers" "$(fact whole.st digest)" \
    "$(fact k.st digest)"
same_log
is "no parts are left" "" "$(ls -A | grep '\.part$')"
# Dead between two renames: the state before is all there is.
mv k.state.st k.state.st.old
runs 0 ${base%% -q*}${base#* -q} -m ./plain.model $long -o k.st
says "going on from the state before it"
is "the state before: the same numbers" "$(fact whole.st digest)" \
    "$(fact k.st digest)"
head -c 3000 before >k.state.st
rm -f k.state.st.old
cp k.st kept.st
runs 3 plain $long -o k.st
says "k.state.st"
cmp -s k.st kept.st || bad "a refusal touches the model"
cp before k.state.st
for o in "--lr 0.02" "-b 5" "--seed 2" "--fold 1" "--augment flip" \
    "--ema 0.5" "--mixup 0.2" "--freeze 1" "--lr-body 0.5" \
    "--init whole.st" "--optimizer adamw" "--label-smoothing 0" \
    "--class-weights balanced" "--schedule cosine" "--size 36" \
    "--weight-decay 0" "--select last" "--warmup 1" "-m ./bn.model"; do
    runs 3 plain $long $o -o k.st
    says "'k.state.st' is the state of another run: .* there, .* here"
done
says "graph=.* there, graph=.* here"
runs 3 plain $long -e 1 -o k.st
says "'k.state.st' has trained [0-9]+ epochs, more than --epochs"
cmp -s before k.state.st || bad "a refusal touches the state"

# Numbers that go bad: one step is fine, the rest is not.
bad_run="-b 40 --warmup 0 --schedule constant --lr 1000 --momentum 0.99"
runs 0 plain $bad_run -e 1 -o n.st
cp n.state.st before
cp n.st kept.st
for again in 1 2; do
    runs 5 plain $bad_run -e 60 --resume -o n.st
    says "not (a )?finite numbers? any more"
    cmp -s n.state.st before || bad "bad numbers touch the state ($again)"
    cmp -s n.st kept.st || bad "bad numbers touch the model ($again)"
done

# -------------------------------------------------- devices, places to write
if grep -qw avx512bw /proc/cpuinfo 2>/dev/null; then
    runs 0 plain -e 2 --dtype bf16 --log bf16.tsv -o a.st
    runs 0 plain -e 2 --dtype f32 --log a.tsv -o a.st
    near "bf16 is near f32" "$(cell a.tsv 2 5)" "$(cell bf16.tsv 2 5)" 0.02
elif grep -q . /proc/cpuinfo 2>/dev/null; then
    runs 4 plain -e 2 --dtype bf16 -o a.st
    says "bf16 on the CPU needs AVX-512"
    is "in one line" 1 "$(wc -l <err | tr -d ' ')"
fi
# Three steps with batch-norm, by the oracle.
for d in cpu ref; do
    runs 0 with_bn -e 1 -b 7 --lr 0.05 --device $d --log $d.tsv -o a.st
done
near "cpu is as ref" "$(cell ref.tsv 1 5)" "$(cell cpu.tsv 1 5)" 1e-4
mkdir folder
runs 4 plain -e 1 -o folder
says "'folder'"
runs 2 plain -e 1 -o -
runs 4 plain -e 1 -o none/a.st
says "'none/a.st'"
runs 4 plain -e 1 --log none/a.tsv -o b.st
says "'none/a.tsv'"
if [ -e /dev/full ]; then
    runs 4 plain -e 1 --log /dev/full -o b.st
    plain -e 1 --log - -o b.st >/dev/full 2>err
    is "the log to a full device" 4 $?
fi
[ ! -e b.st ] || bad "a log that cannot be written leaves a model"
odd=$(printf -- '-odd\tname\n\377.st')
runs 0 plain -e 1 "--output=$odd" --log "$odd.tsv"
[ -s "./$odd" ] || bad "no model of an odd name"
is "... from any folder" 0 "$(cd folder && busi-train -q -d ../data.st \
    -f ../folds.tsv -m ../plain.model --size 32 -e 1 -o a.st >&2; echo $?)"
[ -e folder/a.state.st ] || bad "the state is not beside the model"

# ---------------------------------------------------------------------- ranks
if ! command -v mpirun >/dev/null; then
    skip "mpirun is not installed: ranks"
    exit 0
fi
rows=$(awk -F'\t' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "fold") c = i }
    NR > 1 && $c > 1' folds.tsv | wc -l)
rest=$((rows - 1))          # the last batch is one row: rank 0 has none
for n in 1 2; do
    runs 0 plain -e 3 -b $rest --lr 0.05 --ranks $n --class-weights balanced \
        --log r$n.tsv -o r$n.st
done
for line in 1 2 3; do
    for column in 3 4 5 6 7; do
        near "2 ranks, a rest of one row: line $line, column $column" \
            "$(cell r1.tsv $line $column)" "$(cell r2.tsv $line $column)" 1e-4
    done
done
runs 0 plain -e 3 -b $rest --lr 0.05 --ranks 2 --class-weights balanced \
    --log again.tsv -o again.st
is "ranks repeat themselves" "$(fact r2.st digest)" "$(fact again.st digest)"

# Stopped, then a rank is killed, then on to the end.
rm -f k.* whole.*
long="-e 150 -b 8 --schedule constant --lr 0.01 --resume --ranks 2"
runs 0 plain $long --log whole.tsv -o whole.st
plain() {
    exec $base -m ./plain.model "$@"
}
from=0
begin
kill -TERM $pid
wait $pid
is "SIGTERM to the launcher" 143 $?
from=$(lines k.tsv)
begin
rank=$(for p in $(ps -A -o pid= -o args= | awk '/busi-train.* k\.st/ { print $1 }'); do
    [ "$(readlink "/proc/$p/cwd")" = "$PWD" ] &&
        tr '\0' '\n' <"/proc/$p/environ" 2>/dev/null |
        grep -q '^OMPI_COMM_WORLD_RANK=1$' && echo "$p"
done | head -n 1)
start=$(date +%s)
[ -n "$rank" ] && kill -KILL "$rank"
wait $pid
is "a rank is killed" 137 $?
says "rank 1"
[ $(($(date +%s) - start)) -lt 20 ] || bad "the other rank lingers"
plain() {
    $base -m ./plain.model "$@"
}
runs 0 plain $long --log k.tsv -o k.st
is "gone on with: the same numbers" "$(fact whole.st digest)" \
    "$(fact k.st digest)"
same_log
