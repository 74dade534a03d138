#!/bin/sh
# What shells complete: every option of --help, the words of choices, nothing
# that a shell would choke on.
. "$(dirname "$0")/lib.sh"
command -v zsh >/dev/null || skip "zsh is not installed: not read by it"
command -v fish >/dev/null || skip "fish is not installed: not asked"
for path in "$BUILD"/bin/busi-*; do
    p=$(basename "$path")
    "$p" --help | sed -n 's/^ *\(-.,\)* *--\([a-z0-9-]*\).*/\2/p' >want
    for shell in bash zsh fish; do
        runs 0 "$p" --completion $shell
        mv out $p.$shell
    done
    tail -n 5 $p.bash | tr " '" '\n\n' | sed -n 's/^--\([a-z].*\)/\1/p' |
        sort >bash
    sed -n 's/^[^[]*--\([a-z0-9-]*\).*/\1/p' $p.zsh | sort -u >zsh
    sed -n 's/.* -l \([a-z0-9-]*\) .*/\1/p' $p.fish | sort -u >fish
    for shell in bash zsh fish; do
        is "$p in $shell" "$(sort -u want)" "$(cat $shell)"
    done
    bash -n $p.bash || bad "bash cannot read $p"
    ! command -v zsh >/dev/null || zsh -n $p.zsh || bad "zsh cannot read $p"
    ! command -v fish >/dev/null || fish -n $p.fish || bad "fish cannot read $p"
done
runs 2 busi-eval --completion tcsh
says "bash.zsh.fish"

# asks WORD... : what bash offers for the last word of the line
cat >ask.bash <<'EOF'
compopt() { echo "compopt $*"; }
. "./$1.bash"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
"_${1//-/_}"
echo "${COMPREPLY[@]}"
EOF
asks() {
    bash ask.bash "$@" | tr '\n' ' ' | sed 's/ *$//'
}
is "an option" "--optimizer" "$(asks busi-train --opti)"
is "words" "sgd adamw" "$(asks busi-train --optimizer '')"
is "words after =" "sgd adamw" "$(asks busi-train --optimizer =)"
is "a word begun" "adamw" "$(asks busi-train --optimizer = ad)"
is "a folder" "compopt -o dirnames" "$(asks busi-strip --tree '')"
is "no files for a number" "compopt +o default +o bashdefault" \
    "$(asks busi-train --seed '')"
is "files for an operand" "" "$(asks busi-eval pre)"
if command -v fish >/dev/null; then
    is "fish" "adamw sgd" "$(HOME=$scratch fish -c \
        '. ./busi-train.fish; complete -C "busi-train --optimizer "' |
        cut -f 1 | sort | xargs)"
fi
