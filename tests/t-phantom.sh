# busi-phantom: layout, reproducible bytes, what happens to files that exist.
. "$(dirname "$0")/lib.sh"
common_checks busi-phantom

sums() {
    (cd "$1" && find . -type f -name "*.png" | sort | xargs -d '\n' sha256sum)
}

# Seed 1 draws a second lesion in benign (1), none in the other benign ones.
runs 0 busi-phantom -o a -j 1 --benign 3 --malignant 2 --normal 1
is "silence" "" "$(cat out err)"
is "layout" "./benign/benign (1).png
./benign/benign (1)_mask.png
./benign/benign (1)_mask_1.png
./benign/benign (2).png
./benign/benign (2)_mask.png
./benign/benign (3).png
./benign/benign (3)_mask.png
./malignant/malignant (1).png
./malignant/malignant (1)_mask.png
./malignant/malignant (2).png
./malignant/malignant (2)_mask.png
./normal/normal (1).png
./normal/normal (1)_mask.png" "$(cd a && find . -type f ! -name .busi-phantom | sort)"

# Bytes 16..25 of a PNG: width, height, bits, colour type (2 RGB, 0 gray).
kind() {
    od -An -tx1 -j24 -N2 "$1" | tr -d ' '
}
is "scan is 8-bit RGB" 0802 "$(kind 'a/benign/benign (1).png')"
is "mask is 8-bit gray" 0800 "$(kind 'a/benign/benign (1)_mask.png')"
is "mask of a normal scan" 0800 "$(kind 'a/normal/normal (1)_mask.png')"
is "as large as its scan" \
    "$(od -An -tx1 -j16 -N8 'a/benign/benign (1).png')" \
    "$(od -An -tx1 -j16 -N8 'a/benign/benign (1)_mask.png')"
# No chunk that could tell classes apart.
for f in a/*/*.png; do
    is "no metadata in $f" "" "$(LC_ALL=C grep -aoE \
        'tEXt|zTXt|iTXt|tIME|eXIf|iCCP' "$f" | head -n 1)"
done

# The number of jobs and of scans changes no bytes; the seed does.
runs 2 busi-phantom -o -
says "\-\-output wants a folder, not '-'"
runs 0 busi-phantom -o b -j 2 --benign 3 --malignant 2 --normal 1
is "-j 2 draws the same" "$(sums a)" "$(sums b)"
runs 0 busi-phantom -o c --benign 1 --malignant 0 --normal 0 --seed 2
is "one class only" benign "$(ls c)"
cmp -s 'a/benign/benign (1).png' 'c/benign/benign (1).png' &&
    bad "--seed 2 draws as --seed 1"

# Into a folder that exists: replaced, strangers kept, no mask left behind.
echo mine >c/benign/notes
cp 'a/benign/benign (1)_mask_1.png' 'c/benign/benign (1)_mask_1.png'
runs 0 busi-phantom -o c --benign 2 --malignant 0 --normal 0 --seed 2
is "stranger kept" mine "$(cat c/benign/notes)"
is "second mask of another drawing is gone" "" \
    "$(find c -name '*_mask_1.png')"
is "first ones stay as more are drawn" \
    "$(busi-phantom -o d --benign 1 --malignant 0 --normal 0 --seed 2 &&
       sums d)" "$(cd c && sha256sum './benign/benign (1).png' \
                                     './benign/benign (1)_mask.png')"
is "no part files" "" "$(find a b c -name '.*.part')"

# Odd names of folders.
odd=$(printf -- '-o\t\n\377')
runs 0 busi-phantom -o "./$odd" --benign 1 --malignant 0 --normal 0
is "odd folder" 1 "$(ls "./$odd" | grep -c '^benign$')"
runs 0 busi-phantom -o e --benign 0 --malignant 0 --normal 0

# What cannot be.
runs 2 busi-phantom
says "-o DIR"
runs 2 busi-phantom -o x stray
says "stray"
runs 2 busi-phantom -o x --benign -1
runs 2 busi-phantom -o x --normal 1.5
runs 2 busi-phantom -o x --seed many
[ ! -e x ] || bad "a usage error left something behind"
echo text >file
runs 4 busi-phantom -o file
says "file"
runs 4 busi-phantom -o /dev/full
says "/dev/full"
if [ "$(id -u)" = 0 ]; then
    mkdir locked && chmod 755 . locked
    user() {
        setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
    }
else
    mkdir locked && chmod 555 locked
    user() {
        "$@"
    }
fi
if user test -x "$BUILD/bin/busi-phantom"; then
    runs 4 user busi-phantom -o locked
    says "locked"
else
    skip "another user cannot run programs here: unwritable folder"
fi
# Scans of others bear the same names: they are not to be overwritten.
mkdir -p real/benign
echo scan >'real/benign/benign (1).png'
runs 2 busi-phantom -o real --benign 1 --malignant 0 --normal 0
says "'real/benign' holds files that busi-phantom has not drawn"
is "a real scan stays" scan "$(cat 'real/benign/benign (1).png')"
is "nothing beside it" 1 "$(ls -A real | wc -l | tr -d ' ')"
# Nor by way of another class, whose mark would vouch for this one.
runs 2 busi-phantom -q -o real --benign 0 --malignant 0 --normal 1
runs 2 busi-phantom -q -o real --benign 0 --malignant 0 --normal 0
runs 2 busi-phantom -o real --benign 1 --malignant 0 --normal 0
is "the scan still stays" scan "$(cat 'real/benign/benign (1).png')"
# A folder in the place of a scan.
busi-phantom -q -o g --benign 0 --malignant 0 --normal 0
mkdir -p 'g/normal/normal (1).png/x'
runs 4 busi-phantom -o g --benign 0 --malignant 0 --normal 2
says "normal \\(1\\).png"
