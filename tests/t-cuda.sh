# --device cuda where something that it needs is not there.
. "$(dirname "$0")/lib.sh"

busi-phantom -q -o scans --benign 6 --malignant 4 --normal 4
busi-strip -q scans >all.tsv
busi-prep -q --resize 40x40 --crop 40 -o data.st all.tsv
cat >net.model <<'EOT'
input x channels=@channels size=@size
conv c x out=8 kernel=3 stride=2 pad=1
bn b c
relu r b
avgpool p r size=1
linear fc p out=@classes
EOT
train="busi-train -d data.st --fold all -m ./net.model --size 32 -e 1 -b 7"
runs 0 $train -q --device cpu -o cpu.st

# No plugin: as on a machine without CUDA's compiler, or not installed.
mkdir plugins
cp "$BUILD"/lib/busi/backend_cpu.so plugins
BUSI_PLUGINS=$PWD/plugins
export BUSI_PLUGINS
runs 4 $train --device cuda -o cuda.st
says '^busi-train: backend_cuda is not built or installed'
is "one line" 1 "$(wc -l <err | xargs)"
runs 0 $train -v --device auto -o auto.st
says 'no GPU: backend_cuda is not built.*; going on with the CPU'
unset BUSI_PLUGINS

plugin=$BUILD/lib/busi/backend_cuda.so
if [ ! -e "$plugin" ]; then
    skip "the plugin without a GPU: built with CUDA=0"
    exit
fi
if $train -q --device cuda -o gpu.st 2>why; then
    runs 4 $train --device cuda:999 -o gpu.st
    says '^busi-train: there is no GPU number 999'
    skip "what is said without a GPU: here is one"
    exit
fi

# The plugin itself loads without driver and cuDNN, and says what it lacks.
is "what the plugin loads" "" "$(ldd "$plugin" | grep -E 'cuda|cudnn|stdc')"
lacks='no NVIDIA driver is installed|the NVIDIA driver|cuDNN|compute cap'
runs 4 $train --device cuda -o gpu.st
says "^busi-train: .*($lacks)"
is "one line" 1 "$(wc -l <err | xargs)"
[ ! -e gpu.st ] || bad "a model was left behind"
runs 4 $train --device cuda:3 -o gpu.st
runs 4 busi-predict -m cpu.st --allow-train-rows --device cuda scans
says "^busi-predict: .*($lacks)"
is "one line" 1 "$(wc -l <err | xargs)"

# auto says so, where it is asked, and goes on.
runs 0 $train -v --device auto -o auto.st
says "no GPU: .*($lacks).*; going on with the CPU"
runs 0 $train --device auto -o auto.st
is "silent without -v" "" "$(cat out err)"
