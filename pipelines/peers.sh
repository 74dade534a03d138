#!/bin/sh
# Print the path of a Python that has what we are measured against: the one
# that PEERS_PYTHON names, else one made in $BUILD/peers (python3-venv, and a
# gigabyte or more from the package index, once).
set -eu
python=${PEERS_PYTHON:-$BUILD/peers/bin/python}
needs="torch torchvision timm safetensors onnx onnxruntime pillow numpy"

has_all() {
    "$python" -c 'import torch, torchvision, safetensors, onnxruntime, PIL' \
        2>/dev/null
}

if [ -z "${PEERS_PYTHON:-}" ] && ! has_all; then
    echo "installing the peers' Python packages" >&2
    python3 -m venv "$BUILD/peers" >&2
    # shellcheck disable=SC2086 # a list
    "$BUILD/peers/bin/pip" install -q $needs >&2
fi
has_all || {
    echo "$python lacks one of: $needs" >&2
    exit 1
}
echo "$python"
