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
"$python" "$top/tests/torch_parity.py" . 2>err || bad "$(tail -n 3 err)"
