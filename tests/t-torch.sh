#!/bin/sh
# Against PyTorch and torchvision, where a Python has them: PEERS_PYTHON names
# one, else python3.  The same weights must give the same numbers.
. "$(dirname "$0")/lib.sh"
python=${PEERS_PYTHON:-python3}
if ! "$python" -c 'import torch, torchvision, safetensors' 2>/dev/null; then
    skip "$python has no torch, torchvision and safetensors: parity with PyTorch"
    exit 77
fi
busi-phantom -q -o scans --benign 6 --malignant 6 --normal 4
busi-strip -q -o m.tsv scans
busi-prep -q --resize 64x64 --crop 64 -o 64.safetensors m.tsv
awk 'NR == 1 || NR % 4 == 0' m.tsv |
    busi-prep -q --resize 224x224 --crop 224 -o 224.safetensors -
busi-split -q -k 4 -o f.tsv m.tsv

# From random weights of torchvision's and, if it is there, timm's shapes for
# ImageNet: what is adapted, and a training that goes on from there.
"$python" - >starts 2>err <<'EOF' || bad "$(tail -n 3 err)"
import torch, torchvision
nets = {"resnet18": "resnet18", "resnet34": "resnet34",
        "resnet50": "resnet50", "mobilenet_v2": "mobilenetv2_100",
        "vgg16": "vgg16"}
for name in nets:
    torch.save(getattr(torchvision.models, name)().state_dict(),
               name + ".pth")
    print(name, name + ".pth")
try:
    import timm, safetensors.torch
    for name in nets:
        net = timm.create_model(nets[name])
        safetensors.torch.save_file(net.state_dict(), name + ".timm")
        print(name, name + ".timm")
except ImportError:
    pass
EOF
grep -q timm starts || skip "$python has no timm: its files are not tried"
while read -r name start; do
    size=64
    [ "$name" != vgg16 ] || size=224
    runs 0 busi-train -v -d $size.safetensors -f f.tsv --fold 0 -m "$name" \
        --init "$start" --device cpu -e 1 -b 8 -o start.safetensors
    sed -n '/ taken \|anew\|channels\|left out/s/^busi-train/    &/p' err
    is "$start: the head" 2 "$(grep -c ': made anew, 3' err)"
    is "$start: the first layer" 1 "$(grep -c ': 3 input channels to 1' err)"
    is "$start: all else" 0 "$(grep 'left out' err | grep -vc counters)"
    rm "$start"
done <starts

"$python" "$top/tests/torch_parity.py" . 2>err || bad "$(tail -n 3 err)"
