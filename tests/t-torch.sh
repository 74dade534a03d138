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

# The lines of README.md load a model, and it says what busi-predict says.
sed -n '/^    state = /,/load_state_dict/s/^    //p' "$top/README.md" >lines.py
is "README.md has lines that load a model" 4 "$(wc -l <lines.py | tr -d ' ')"
runs 0 busi-train -q -d 64.safetensors -f f.tsv --fold 0 -m resnet18 -e 2 \
    -b 4 --device cpu --dtype f32 -o fold-0.safetensors
busi-predict -q -m fold-0.safetensors -d 64.safetensors --dtype f32 \
    --allow-train-rows -o pred.tsv
"$python" - 2>err <<'EOF' || bad "$(tail -n 3 err)"
import torch, torchvision, safetensors.torch
exec(open("lines.py").read())
with safetensors.safe_open("fold-0.safetensors", "pt") as f:
    temperature = float(f.metadata().get("temperature", 1))
data = safetensors.torch.load_file("64.safetensors")
x = (data["images"].permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
with torch.no_grad():
    got = torch.softmax(net.eval()(x) / temperature, 1)
rows = [line.rstrip("\n").split("\t") for line in open("pred.tsv")][1:]
want = torch.tensor([[float(v) for v in r[4:7]] for r in rows])
assert (got - want).abs().max() < 1e-5, (got - want).abs().max()
assert (want.max(0).values - want.min(0).values).max() > 1e-3, "one answer"
EOF

mkdir parity
awk 'NR == 1 || NR % 2 == 0' m.tsv >half.tsv
for size in 64 128; do
    busi-prep -q --resize ${size}x$size --crop $size \
        -o parity/$size.safetensors half.tsv
done
awk 'NR == 1 || NR % 6 == 2' m.tsv |
    busi-prep -q --resize 224x224 --crop 224 -o parity/224.safetensors -
"$python" "$top/tests/torch_parity.py" parity >"$BUILD/parity.txt" 2>err ||
    bad "a figure is over its limit, or $(tail -n 3 err)"
cat "$BUILD/parity.txt"
