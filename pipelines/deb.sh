#!/bin/sh
# A Debian package from an installed tree: sh deb.sh TREE VERSION FOLDER
# Libraries that programs need become Depends, those of the MPI plugin alone
# Recommends, as found by dpkg-shlibdeps (Debian: dpkg-dev).
set -eu
tree=$1 version=$2
folder=$(cd "$3" && pwd)
command -v dpkg-shlibdeps >/dev/null ||
    { echo "make deb needs dpkg-shlibdeps (Debian: dpkg-dev)" >&2; exit 2; }
cd "$tree"

# Like everything in Debian: no debugging symbols, man pages compressed.
strip --strip-unneeded usr/bin/busi-* usr/lib/busi/*.so
strip --strip-debug usr/lib/libbusi.a
gzip -9nf usr/share/man/man?/*
mkdir DEBIAN

# dpkg-shlibdeps insists on a source package around it.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/debian"
: >"$work/debian/control"
here=$(pwd)
(cd "$work" && dpkg-shlibdeps --ignore-missing-info -O -l"$here/usr/lib/busi" \
    -dDepends "$here"/usr/bin/busi-* "$here"/usr/lib/busi/image_vips.so \
    "$here"/usr/lib/busi/backend_*.so \
    -dRecommends "$here"/usr/lib/busi/comm_*.so) >"$work/needs"
{
    printf '%s\n' "Package: busi" "Version: $version" \
        "Architecture: $(dpkg --print-architecture)" \
        "Maintainer: the maintainers of busi <root@localhost>" \
        "Section: science" "Priority: optional" \
        "Installed-Size: $(du -sk usr | cut -f1)"
    sed -n 's/^shlibs://p' "$work/needs" | sed 's/=/: /'
    printf '%s\n' "Suggests: make, dcmtk, gnuplot-nox, openmpi-bin" \
        "Description: breast-ultrasound scans to honestly tested classifiers" \
        " Small programs that turn a folder of scans into an image classifier" \
        " and read new scans with it.  For research; not a medical device."
} >DEBIAN/control
find usr -type f -exec md5sum {} + >DEBIAN/md5sums
chmod -R u=rwX,go=rX .
deb=$folder/busi_${version}_$(dpkg --print-architecture).deb
dpkg-deb --root-owner-group -b . "$deb"
