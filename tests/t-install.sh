#!/bin/sh
# make install, uninstall and deb into a scratch folder; the examples.
. "$(dirname "$0")/lib.sh"
# The suite may run under make: its flags are none of ours.
unset MAKEFLAGS MFLAGS MAKELEVEL
root=$scratch/root
at=$root/opt/busi
install="make -s -C $top BUILD=$BUILD PREFIX=/opt/busi DESTDIR=$root"
old_umask=$(umask)
umask 022
# shellcheck disable=SC2086     # a command of several words
runs 0 $install install
umask "$old_umask"
for p in "$BUILD"/bin/busi-*; do
    p=${p##*/}
    [ -x "$at/bin/$p" ] || bad "$p is not installed"
    cmp "$top/man/$p.1" "$at/share/man/man1/$p.1" || bad "no man page of $p"
    "$at/bin/$p" --completion fish |
        cmp - "$at/share/fish/vendor_completions.d/$p.fish" ||
        bad "no completion of $p"
done
is "all are there for everybody" "" "$(find "$root" ! -perm -0444)"
is "nothing elsewhere" "opt" "$(ls "$root")"

# What is installed works where it lies: the plugin is found beside it.
PATH=$at/bin:$PATH
busi-phantom -q -o scans --benign 4 --malignant 4 --normal 4
busi-strip -q scans | busi-split -q -k 2 -o folds.tsv 2>err
busi-prep -q --resize 40x40 --crop 40 -o d.st folds.tsv
cat >tiny.model <<'EOT'
input x channels=@channels size=@size
conv c x out=4 kernel=5 stride=2
relu r c
avgpool p r size=3
linear fc p out=@classes std=0.1
EOT
runs 0 busi-train -q -d d.st -f folds.tsv --fold 0 -m ./tiny.model -e 1 -b 4 \
    --device cpu --dtype f32 -o m.st

# The library: the example compiles with what pkg-config says, and agrees.
scan=$(ls scans/benign/*\(1\).png)
if command -v pkg-config >/dev/null; then
    flags=$(PKG_CONFIG_PATH=$at/lib/pkgconfig pkg-config \
        --define-variable=prefix="$at" --cflags --libs busi)
    # shellcheck disable=SC2086     # flags are words
    if ${CC:-cc} -Wall -Werror ${SAN:-} \
        "$at/share/busi/examples/classify.c" $flags -o classify 2>err; then
        runs 0 ./classify m.st "$scan"
        cp out one
        busi-predict -q -m m.st --device ref --allow-train-rows "$scan" |
            awk -F'\t' 'NR == 1 { n = split($0, name) }
                NR == 2 { for (i = 5; i < 8; i++) printf "%s\t%.6f\n",
                    substr(name[i], 3), $i }' >want
        is "classify.c" "$(cat want)" "$(cat one)"
    elif [ -z "${SAN:-}" ] && grep -q __asan_ err; then
        skip "built with sanitizers, which SAN does not name: classify.c"
    else
        bad "classify.c: $(head -n 3 err)"
    fi
else
    skip "no pkg-config: classify.c is not built"
fi

python=${PEERS_PYTHON:-python3}
if "$python" -c 'import safetensors, numpy' 2>/dev/null; then
    runs 0 "$python" "$top/examples/reader.py" d.st
    is "reader.py" "12 (40, 40, 1) benign malignant normal" "$(wc -l <out |
        tr -d ' ') $(cut -f 2 out | sort -u) $(cut -f 3 out | sort -u | xargs)"
else
    skip "$python has no safetensors and numpy: reader.py is not run"
fi
if command -v shellcheck >/dev/null; then
    is "shellcheck" "" "$(shellcheck "$top/examples/cv.slurm" \
        "$top/pipelines/deb.sh" "$top/pipelines/check-deb.sh" 2>&1)"
else
    skip "shellcheck is not installed: cv.slurm is not read by it"
fi

# cv.slurm, its srun and scontrol played by scripts: a whole fold, and one that
# is stopped in its first step and queued again.
mkdir bin
printf '#!/bin/sh\nexec "$@"\n' >bin/srun
printf '#!/bin/sh\necho "$@" >>scontrol.log\n' >bin/scontrol
chmod +x bin/*
sed 's/-m resnet18 --size 224 -e 60 -b 32/-m .\/tiny.model -e 2 -b 4/
    s/data.safetensors/d.st/' "$top/examples/cv.slurm" >cv.slurm
runs 0 env PATH="$scratch/bin:$PATH" SLURM_ARRAY_TASK_ID=1 bash cv.slurm
is "a fold's predictions" 7 "$(wc -l <pred-1.tsv | tr -d ' ')"
printf '#!/bin/sh\nexit 143\n' >bin/srun
runs 0 env PATH="$scratch/bin:$PATH" SLURM_ARRAY_TASK_ID=0 \
    SLURM_ARRAY_JOB_ID=77 bash cv.slurm
is "queued again" "requeue 77_0" "$(cat scontrol.log)"
[ ! -e pred-0.tsv ] || bad "half a model makes predictions"

# shellcheck disable=SC2086
runs 0 $install uninstall
is "nothing is left" "" "$(find "$root" -type f)"
