#!/bin/sh
# Install, use and remove the package in a bare root: sh check-deb.sh DEB FOLDER
# Needs root and debootstrap (MIRROR=URL: from there, not from its default).
# FOLDER holds the root, which is kept for the next time.
set -eu
deb=$1 folder=$2
[ -e "$folder/root/etc/os-release" ] || {
    mkdir -p "$folder"
    debootstrap --variant=minbase bookworm "$folder/root" ${MIRROR:+"$MIRROR"}
}
root=$(cd "$folder/root" && pwd)
cp "$deb" "$root/root/busi.deb"
cp /etc/resolv.conf "$root/etc/resolv.conf"
cat >"$root/root/check.sh" <<'EOS'
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -qy --no-install-recommends /root/busi.deb
rm -rf /tmp/try
mkdir /tmp/try
cd /tmp/try
set -x
busi-phantom -q -o scans --benign 8 --malignant 8 --normal 8
busi-strip scans | busi-split -q -k 4 -o folds.tsv
busi-prep -q --resize 72x72 --crop 64 -o data.safetensors folds.tsv
busi-train -q -d data.safetensors -f folds.tsv --fold 0 -m resnet18 -e 1 \
    -b 8 -o model.safetensors
busi-info --verify folds.tsv data.safetensors model.safetensors >/dev/null
busi-predict -q -m model.safetensors -d data.safetensors -f folds.tsv \
    --fold 0 -o pred.tsv
busi-eval -q -l folds.tsv pred.tsv
apt-get purge -qy busi
set +x
rm -r /tmp/try /root/busi.deb
left=$(find /usr /etc /var /opt -xdev -name '*busi*' ! -name '*busybox*')
[ -z "$left" ] || { echo "left behind: $left"; exit 1; }
echo "installed, used and removed without a trace"
EOS
mount -t proc proc "$root/proc"
trap 'umount "$root/proc"' EXIT
chroot "$root" sh /root/check.sh
