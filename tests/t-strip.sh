#!/bin/sh
# busi-strip: which files are scans, which are masks, and what is done to them.
. "$(dirname "$0")/lib.sh"
common_checks busi-strip

# Two 3 x 2 gray PNG files: black and white alone, and with one 128.
# Made by Pillow; their SHA-256 by sha256sum.
head='\211PNG\015\012\032\012\000\000\000\015IHDR\000\000\000\003\000\000\000\002'
head=$head'\010\000\000\000\000\270\0379\306\000\000\000\020IDATx\234c\140\370\317'
tail='\000\000\000\000IEND\256B\140\202'
mask() {
    printf "$head"'\300\364\237\201\001\000\011\007\002\001\372\205\363F'"$tail"
}
scan() {
    printf "$head"'\300\364\277\221\001\000\012\011\002\202\010\267\135\240'"$tail"
}
# A mask of one bit a pixel, which libvips reads.
bits() {
    printf '\211PNG\015\012\032\012\000\000\000\015IHDR\000\000\000\003\000\000'
    printf '\000\002\001\000\000\000\000\265\017[\267\000\000\000\014IDATx\234c'
    printf 'X\300\340\000\000\002$\000\341s\353;\362\000\000\000\000IEND\256B`\202'
}
tab=$(printf '\t')

# ------------------------------------------------- the layout of BUSI
mkdir -p scans/benign scans/malignant scans/normal
for n in 1 2 10; do
    scan >"scans/benign/benign ($n).png"
    mask >"scans/benign/benign ($n)_mask.png"
done
mask >"scans/benign/benign (2)_mask_1.png"
scan >"scans/malignant/malignant (1).PNG"
scan >scans/malignant/photo.jpeg
mask >"scans/normal/normal (1)_mask.png"
scan >"scans/normal/normal (1).png"
scan >scans/loose.png
echo text >scans/README.md
echo text >scans/benign/Thumbs.db
scan >scans/benign/.hidden.png
mkdir scans/.git && scan >scans/.git/x.png

runs 0 busi-strip --masks masks.tsv scans
is "silence" "" "$(cat err)"
cut -f 1-3 out >got
cat >want <<END
id${tab}path${tab}label
benign/benign (1).png${tab}scans/benign/benign (1).png${tab}benign
benign/benign (2).png${tab}scans/benign/benign (2).png${tab}benign
benign/benign (10).png${tab}scans/benign/benign (10).png${tab}benign
loose.png${tab}scans/loose.png${tab}
malignant/malignant (1).PNG${tab}scans/malignant/malignant (1).PNG${tab}malignant
malignant/photo.jpeg${tab}scans/malignant/photo.jpeg${tab}malignant
normal/normal (1).png${tab}scans/normal/normal (1).png${tab}normal
END
is "manifest" "$(cat want)" "$(cat got)"
is "sha256" "$(sha256sum <scans/loose.png | cut -d ' ' -f 1)" \
    "$(sed -n 's/^loose.png.*\t//p' out)"
is "masks" "path${tab}scan${tab}found_by
scans/benign/benign (1)_mask.png${tab}benign/benign (1).png${tab}name
scans/benign/benign (2)_mask.png${tab}benign/benign (2).png${tab}name
scans/benign/benign (2)_mask_1.png${tab}benign/benign (2).png${tab}name
scans/benign/benign (10)_mask.png${tab}benign/benign (10).png${tab}name
scans/normal/normal (1)_mask.png${tab}normal/normal (1).png${tab}name" \
    "$(cat masks.tsv)"
cp out all.tsv
runs 0 busi-strip scans/
is "a slash at the end" "$(cat all.tsv)" "$(cat out)"
runs 0 busi-strip -v scans
for what in README.md Thumbs.db .hidden.png .git; do
    says "passed over 'scans/.*$what'"
done
says "version .* s wall, .* s CPU, .* MB peak"

# ------------------------------------------------------- ways to name scans
(cd scans && find . -type f | busi-strip) | cut -f 1,3,4 >got 2>err
cut -f 1,3,4 all.tsv | grep -v '^loose' >want
grep -v -e '^loose' -e hidden -e '^.git' got >got2
is "paths on stdin have the same ids" "$(cat want)" "$(cat got2)"
printf '%s\0%s\0' "scans/benign/benign (1).png" scans/loose.png |
    busi-strip -0 - >out
is "NUL-ended paths" "scans/benign/benign (1).png scans/loose.png" \
    "$(sed 1d out | cut -f 1 | tr '\n' ' ' | sed 's/ $//')"
printf 'scans/loose.png\nscans/none.png\n' | busi-strip >out 2>err
is "a path on stdin that is not there" 1 $?
has err "^scans/none.png${tab}unreadable${tab}cannot open"
is "and the rest" 2 "$(wc -l <out | tr -d ' ')"
runs 4 busi-strip scans/none
says "cannot open 'scans/none'"
runs 3 busi-strip /dev/null
says "no scans"
runs 0 busi-strip scans/benign scans/malignant scans/normal
says "no scan has a label: .*; give the folder above"
runs 0 busi-strip scans/benign
is "a folder of loose scans" "" "$(cat err)"
mkdir -p cases/benign cases/Benign
scan >cases/benign/1.png
scan >cases/Benign/2.png
runs 0 busi-strip cases
says "the labels '[Bb]enign' and '[Bb]enign' are two classes"
mkdir empty
runs 3 busi-strip empty
says "no scans"
echo text >empty/a.txt
echo text >empty/b
runs 3 busi-strip empty
says "no scans .*passed over for their names: 2 files"
runs 3 busi-strip scans/benign scans/benign
says "given twice"
mkdir -p other/benign && scan >"other/benign/benign (1).png"
runs 3 busi-strip scans other
says "'(scans|other)/benign/benign .1..png' and '(scans|other)/benign/benign"
is "no half output" "" "$(cat out)"

# -------------------------------------------------------- names of any kind
mkdir -p "odd/-x" "odd/a b" "odd/t${tab}b"
new="$(printf 'n\nl\\')"
raw=$(printf 'r\377w')
scan >"odd/-x/-1.png"
mask >"odd/-x/-1_mask.png"
scan >"odd/t${tab}b/$new.png"
scan >"odd/a b/$raw.png"
scan >odd/mask.png
scan >odd/my_masked.png
scan >odd/a_mask_x.png
scan >odd/a_mask_.png
mask >odd/a_MASK_2.PNG
scan >odd/_mask.png
mask >odd/b_mask_12.png
runs 0 busi-strip odd
is "odd names" "-x/-1.png
a b/$raw.png
a_mask_.png
a_mask_x.png
mask.png
my_masked.png
t\\tb/n\\nl\\\\.png" "$(sed 1d out | cut -f 1 | sort)"
says "no scan belongs to the mask 'odd/b_mask_12.png'"
says "no scan belongs to the mask 'odd/_mask.png'"
says "no scan belongs to the mask 'odd/a_MASK_2.PNG'"
says "^busi-strip: scans with 'mask' in their names: 4, the first is\
 'odd/a_mask_.png'"
mkdir -p apart/images apart/Masks
scan >apart/images/1.png
mask >apart/Masks/1.png
runs 0 busi-strip apart
says "'mask' in their names: 1, the first is 'apart/Masks/1.png'"
runs 0 busi-strip --by-content apart/images
is "a folder of scans" "" "$(cat err)"
runs 0 busi-strip -q odd
is "-q" "" "$(cat err)"
cd odd || exit 1
runs 0 busi-strip -- -x
has out "^-1.png${tab}-x/-1.png${tab}${tab}"
cd ..

# ---------------------------------------------------------------- rejects
mkdir -p bad/x
scan >bad/x/good.png
: >bad/x/empty.png
ln -s nowhere bad/x/broken.png
mkfifo bad/x/pipe.png
ln -s .. bad/x/loop
ln -s good.png bad/x/link.png
runs 1 busi-strip --rejects rejects.tsv bad
is "rejected" "bad/x/broken.png${tab}unreadable
bad/x/empty.png${tab}empty
bad/x/pipe.png${tab}not-a-file" "$(cut -f 1,2 rejects.tsv)"
is "links are followed, circles are not" "x/good.png x/link.png" \
    "$(sed 1d out | cut -f 1 | tr '\n' ' ' | sed 's/ $//')"
runs 1 busi-strip bad
has err "^bad/x/empty.png${tab}empty${tab}"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    scan >bad/x/secret.png
    chmod 0 bad/x/secret.png
    chmod 755 . bad bad/x
    cp "$BUILD/bin/busi-strip" .
    runs 1 setpriv --reuid=65534 --clear-groups ./busi-strip bad
    has err "^bad/x/secret.png${tab}unreadable${tab}.*Permission denied"
    chmod 0 bad/x
    runs 4 setpriv --reuid=65534 --clear-groups ./busi-strip bad
    says "cannot open the folder 'bad/x': Permission denied"
    chmod 755 bad/x
else
    skip "permissions are tested by dropping from root to another user"
fi

# ----------------------------------------------------------------- counts
runs 0 busi-strip --expect benign=3,malignant=2,normal=1,=1 scans
runs 3 busi-strip --expect benign=4,malignant=2,normal=1,=1 scans
is "expected and found" "busi-strip: expected benign=4,malignant=2,normal=1,=1\
 scans, found 1 without a label,benign=3,malignant=2,normal=1" "$(cat err)"
is "no manifest" "" "$(cat out)"
runs 3 busi-strip --expect benign=3,malignant=2,normal=1 scans
runs 3 busi-strip --expect benign=3,malignant=2,normal=1,=1,cyst=1 scans
runs 0 busi-strip --expect benign=3,malignant=2,normal=1,=1,cyst=0 scans
for wrong in benign benign= benign=x benign=-1 ''; do
    runs 2 busi-strip --expect "$wrong" scans
    says "CLASS=COUNT"
done

# ------------------------------------------------------------- by content
cp -r scans plain
(cd plain/benign && mv "benign (10)_mask.png" "benign (10) GT.png")
mask >plain/benign/alone.png
runs 0 busi-strip --by-content --masks masks.tsv plain
is "by content" "$(cut -f 1,3,4 all.tsv)" "$(cut -f 1,3,4 out)"
has masks.tsv "^plain/benign/benign .10. GT.png${tab}benign/benign .10..png${tab}content$"
has masks.tsv "^plain/benign/alone.png${tab}${tab}content$"
says "no scan belongs to the mask 'plain/benign/alone.png'"
runs 0 busi-strip plain
is "without --by-content" 10 "$(wc -l <out | tr -d ' ')"
bits >plain/benign/bits.png
mask | head -c 60 >plain/benign/cut.png
runs 0 busi-strip --by-content --masks masks.tsv plain
has masks.tsv "^plain/benign/bits.png${tab}${tab}content$"
has out "^benign/cut.png"
says "whether 'plain/benign/cut.png' is a mask cannot be told"
BUSI_PLUGINS=/nowhere runs 1 busi-strip --by-content plain
has err "^plain/benign/bits.png${tab}unreadable${tab}image_vips is not built"
is "what needs no libvips" 8 "$(grep -c / out)"

# ------------------------------------------------------------------- tree
runs 0 busi-strip --tree stripped -o m.tsv scans
is "tree" "$(sed 1d all.tsv | cut -f 1 | sort)" \
    "$(cd stripped && find . -type f | sed 's,^./,,' | sort)"
is "hard links" "$(ls -i scans/loose.png | cut -d ' ' -f 1)" \
    "$(ls -i stripped/loose.png | cut -d ' ' -f 1)"
runs 0 busi-strip --tree ./stripped/ -o m.tsv scans
is "the same again" "" "$(cat err)"
runs 0 busi-strip --tree stripped -o m.tsv scans/benign
says "pictures below 'stripped' that are no scans of this run: 7, .*stripped/benign/benign"
find stripped -maxdepth 1 -name 'benign (*' -delete
rm stripped/loose.png && scan >stripped/loose.png
runs 0 busi-strip --tree stripped -o m.tsv scans
rm stripped/loose.png && echo mine >stripped/loose.png
runs 3 busi-strip --tree stripped -o m2.tsv scans
says "'stripped/loose.png' is there already and differs"
is "what was there" mine "$(cat stripped/loose.png)"
[ ! -e m2.tsv ] || bad "a manifest in spite of the failure"
runs 0 busi-strip --tree scans/out scans
runs 0 busi-strip --tree scans/out scans
is "the tree is not walked" "$(cat all.tsv)" "$(cat out)"
rm -r scans/out
echo ./../scans/loose.png | (mkdir -p in && cd in &&
    busi-strip --tree tree) >out 2>err
is "out of the tree" 3 $?
says "would lie outside"
if [ -d /dev/shm ] && [ -w /dev/shm ] &&
    [ "$(stat -c %d /dev/shm)" != "$(stat -c %d .)" ]; then
    far=$(mktemp -d /dev/shm/strip.XXXXXX)
    runs 0 busi-strip --tree "$far" scans
    is "a copy on another file system" "$(sha256sum <scans/loose.png)" \
        "$(sha256sum <"$far/loose.png")"
    rm -r "$far"
else
    skip "there is no second file system to copy to"
fi

# ----------------------------------------------------------------- delete
find scans -type f | sort >before
runs 2 busi-strip --delete scans
says "yes"
runs 0 busi-strip --yes scans
is "nothing is removed" "$(cat before)" "$(find scans -type f | sort)"
runs 3 busi-strip --delete --yes --expect benign=9 scans
is "nor in spite of a failure" "$(cat before)" "$(find scans -type f | sort)"
runs 0 busi-strip --delete --yes scans
is "the manifest" "$(cat all.tsv)" "$(cat out)"
is "masks are removed, all else stays" "$(grep -v _mask before)" \
    "$(find scans -type f | sort)"

# ---------------------------------------------------------------- outputs
echo old >keep.tsv
runs 3 busi-strip -o keep.tsv empty
is "an output that fails stays" old "$(cat keep.tsv)"
runs 4 busi-strip -o no/such/folder/m.tsv scans
if [ -e /dev/full ]; then
    busi-strip scans >/dev/full 2>err
    is "a full device" 4 $?
    runs 4 busi-strip --rejects /dev/full bad
fi

# ------------------------------------------------------------- hashed ids
head -c 32 /dev/urandom >key
mkdir -p up/here
scan >up/x.png
(cd up/here && busi-strip --hash-ids ../../key --tree T ../x.png) >out 2>err
is "a label may not lead out of a tree" 3 $?
is "nor does its scan" "x.png" "$(cd up && find . -name '*.png' | cut -c3-)"
# The shell's dir/*/ makes names with two slashes.
printf '%s\n' "scans/benign//odd.png" ./scans/./malignant/./odd.png |
    (mkdir -p scans/benign && scan >scans/benign/odd.png &&
        scan >scans/malignant/odd.png && busi-strip) >out 2>err
is "labels of what is named oddly" "scans/benign/odd.png benign
scans/malignant/odd.png malignant" "$(sed 1d out | cut -f 1,3 | tr '\t' ' ')"
rm scans/*/odd.png
runs 0 busi-strip --hash-ids key -o hashed.tsv scans
runs 0 busi-strip -o plain.tsv scans
is "paths, labels and digests stay" "$(cut -f2- plain.tsv | sort)" \
    "$(cut -f2- hashed.tsv | sort)"
is "ids are 24 digits" "" "$(sed 1d hashed.tsv | cut -f1 |
    grep -Ev '^[0-9a-f]{24}$')"
if command -v openssl >/dev/null; then
    is "the HMAC of what they were" \
        "$(sed -n '2s/\t.*//p' plain.tsv | tr -d '\n' | openssl dgst -sha256 \
            -mac HMAC -macopt "hexkey:$(od -An -tx1 -v key | tr -d ' \n')" |
            sed 's/.*= //' | cut -c1-24)" \
        "$(awk -F'\t' 'NR == FNR { if (FNR == 2) path = $2; next }
            $2 == path { print $1 }' plain.tsv hashed.tsv)"
fi
cp hashed.tsv before
runs 0 busi-strip --hash-ids key -o hashed.tsv scans
cmp -s before hashed.tsv || bad "the same key gives other ids"
printf 'short' >weak
runs 3 busi-strip --hash-ids weak scans
says "'weak' is not a key: it has 5 bytes, and a key 16 to 4096"
head -c 4097 /dev/zero >big
runs 3 busi-strip --hash-ids big scans
says "'big' is not a key: it has 4097 bytes"
truncate -s 1048577 big
runs 3 busi-strip --hash-ids big scans
says "'big' is larger than 1 MB"
runs 4 busi-strip --hash-ids gone scans
busi-phantom -q -o ph --benign 12 --malignant 3 --normal 1
busi-strip -q --masks masks.tsv -o plain.tsv ph
runs 0 busi-strip --hash-ids key --masks hidden.tsv --tree tree -o hashed.tsv ph
# scans PLACES MANIFEST: each mask with the path of its scan
scans() {
    awk -F'\t' 'NR == FNR { path[$1] = $2; next }
        FNR > 1 { print $1, path[$2] }' "$2" "$1"
}
is "masks belong to the same scans" "$(scans masks.tsv plain.tsv)" \
    "$(scans hidden.tsv hashed.tsv)"
is "the tree has hashed names" \
    "$(sed 1d hashed.tsv | awk -F'\t' '{ print $3 "/" $1 ".png" }' | sort)" \
    "$(cd tree && find . -type f | sed 's=^\./==' | sort)"

# -------------------------------------------------- links that lead nowhere
ln -s "$PWD/unplugged" ph/normal2
runs 1 busi-strip -o out.tsv ph
says "ph/normal2.*unreadable"
rm ph/normal2
ln -s ph/benign twice
runs 0 busi-strip --delete --yes -o out.tsv ph twice
is "masks reached by two ways are gone" "" "$(find ph -name '*_mask*')"

# ------------------------------------------ a file below a hidden folder, named
mkdir .hidden
cp "$(find ph/benign -name '*.png' | head -n 1)" .hidden/x.png
runs 0 busi-strip --tree shown .hidden/x.png
is "it keeps its place" ./.hidden/x.png "$(cd shown && find . -type f)"

# ----------------------------------------- -0 forgotten: nothing goes unsaid
find ph/benign -name '*.png' -print0 | busi-strip >out 2>err
is "no scan" 3 $?
says "unreadable.*its line has a NUL byte in it"
