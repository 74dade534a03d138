#!/bin/sh
# busi-export: ONNX files; where a Python has ONNX Runtime (PEERS_PYTHON names
# one, else python3), they give what busi-predict gives.
. "$(dirname "$0")/lib.sh"
common_checks busi-export
python=${PEERS_PYTHON:-python3}
# Where the numbers are compared, they are of networks that have learnt something.
epochs=2
run=
if "$python" -c 'import onnx, onnxruntime, safetensors' 2>/dev/null; then
    epochs=25
    run=yes
fi

busi-phantom -q -o scans --benign 4 --malignant 3 --normal 3
busi-strip -q -o m.tsv scans
busi-prep -q --resize 80x80 --crop 72 -o d.st m.tsv
cat >odd.model <<'EOF'
input x channels=@channels size=@size
conv c x out=6 kernel=3 stride=2 pad=1 bias=1
relu6 r c
conv d r out=6 kernel=3 pad=1 groups=3
bn b d
add s b r
maxpool m s kernel=3 stride=2 pad=1
avgpool p m size=5
linear h p out=7
relu hr h
dropout hd hr p=0.5
linear fc hd out=@classes
EOF
# Names that the file needs itself
sed 's/\bx\b/pixels/; s/\br\b/mean/g; s/\bs\b/std/g' odd.model >names.model
for m in ./odd.model ./names.model resnet18 mobilenet_v2; do
    name=$(basename $m .model)
    runs 0 busi-train -q -d d.st --fold all -m $m --size 64 -e $epochs -b 2 \
        --optimizer adamw --lr 0.002 --device cpu --dtype f32 -o $name.st
    runs 0 busi-export --onnx -m $name.st -o $name.onnx
    is "silence" "" "$(cat out err)"
    runs 0 busi-predict -q -m $name.st -d d.st --dtype f32 \
        --allow-train-rows -o $name.tsv
    for word in Conv pixels probabilities malignant resize=80x80; do
        grep -q $word $name.onnx || bad "$name.onnx has no '$word'"
    done
done
busi-export --onnx -m odd.st | cmp -s - odd.onnx || bad "stdout is not the file"
runs 2 busi-export -m odd.st
says "format"
runs 2 busi-export --onnx
runs 3 busi-export --onnx -m d.st
says "'d.st'"
runs 4 busi-export --onnx -m none
runs 4 busi-export --onnx -m odd.st -o /dev/full
head -c 3000 odd.st >cut.st
runs 3 busi-export --onnx -m cut.st -o cut.onnx
[ ! -e cut.onnx ] || bad "a damaged model leaves a file"

if [ -n "$run" ]; then
    # VGG16 averages 8x8 to 7x7 here.
    busi-prep -q --resize 264x264 --crop 256 -o big.st m.tsv
    for name in resnet34 resnet50 vgg16; do
        data=d.st
        [ $name != vgg16 ] || data=big.st
        "$BUILD/tests/check_model" $name.st $name 1 benign,malignant,normal \
            "$(busi-info $data | sed -n 's/^recipe *//p')" temperature=0.5
        busi-export --onnx -m $name.st -o $name.onnx
        busi-predict -q -m $name.st -d $data --dtype f32 \
            --allow-train-rows -o $name.tsv
    done
    "$python" - odd names resnet18 resnet34 resnet50 mobilenet_v2 vgg16 >gaps 2>err <<'EOF' || bad "$(tail -n 3 err)"
import sys
import numpy as np, onnx, onnxruntime
from safetensors.numpy import load_file
for name in sys.argv[1:]:
    onnx.checker.check_model(onnx.load(name + ".onnx"), full_check=True)
    net = onnxruntime.InferenceSession(name + ".onnx")
    data = "big.st" if name == "vgg16" else "d.st"
    got, = net.run(None, {"pixels": load_file(data)["images"]})
    rows = [l.rstrip("\n").split("\t") for l in open(name + ".tsv")][1:]
    want = np.array([[float(v) for v in r[4:7]] for r in rows])
    assert net.get_modelmeta().custom_metadata_map["classes"] == \
        "benign\tmalignant\tnormal"
    assert np.ptp(want, axis=0).max() > 1e-3, name + ": one answer for all"
    print(name, abs(got - want).max())
EOF
    cat gaps
    is "ONNX Runtime agrees to 1e-4" "" "$(awk '$2 > 1e-4' gaps)"
    is "on seven networks" 7 "$(wc -l <gaps | tr -d ' ')"
else
    skip "$python has no onnx, onnxruntime and safetensors: ONNX files are not run"
fi
