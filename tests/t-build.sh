#!/bin/sh
# The programs and plugins are built so that a fault is hard to use.
. "$(dirname "$0")/lib.sh"
if ! command -v readelf >/dev/null; then
    skip "readelf is not installed: how programs are built"
    exit 0
fi
for f in "$BUILD"/bin/busi-* "$BUILD"/lib/busi/*.so; do
    name=$(basename "$f")
    readelf -Wh -Wl -Wd -W --dyn-syms "$f" >elf 2>/dev/null
    has elf 'Type: +DYN'
    has elf 'GNU_RELRO'
    grep -Eq 'BIND_NOW|FLAGS.*NOW' elf || bad "$name binds lazily"
    grep -q 'GNU_STACK.* RWE' elf && bad "$name has a stack that runs"
    grep -q 'LOAD.* RWE' elf && bad "$name has pages that are written and run"
    # The GPU's libraries may lie in a folder of Python's.
    case $name in backend_cuda.so | comm_nccl.so) ;; *)
        grep -Eq 'RPATH|RUNPATH' elf &&
            bad "$name looks for libraries elsewhere" ;;
    esac
    case $name in busi-*)
        grep -q '__stack_chk_fail' elf || bad "$name has no stack protector"
        grep -q '_chk@' elf || bad "$name is not fortified" ;;
    esac
done
for p in "$BUILD"/bin/busi-*; do
    is "$(basename "$p") links libc and what inflates" "" "$(readelf -d "$p" |
        sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -Ev '^lib(c|m|deflate)\.so|^ld-')"
done
