# Ranks on two hosts: network namespaces stand for them.
. "$(dirname "$0")/lib.sh"
a=busi-a-$$
b=busi-b-$$
if ! ip netns add $a 2>/dev/null || ! ip netns add $b 2>/dev/null; then
    ip netns del $a 2>/dev/null
    skip "no network namespaces may be made: two hosts"
    exit 77
fi
trap 'ip netns del $a; ip netns del $b; rm -rf "$scratch"
    [ "$failures" = 0 ] || exit 1' EXIT
ip link add va$$ netns $a type veth peer name vb$$ netns $b
ip -n $a addr add 10.99.7.1/24 dev va$$
ip -n $b addr add 10.99.7.2/24 dev vb$$
for end in "$a va$$" "$b vb$$"; do
    # shellcheck disable=SC2086
    set -- $end
    ip -n "$1" link set "$2" up
    ip -n "$1" link set lo up
done

busi-phantom -q -o scans --benign 20 --malignant 12 --normal 9
busi-strip scans | busi-split -q -k 4 -o folds.tsv 2>/dev/null
busi-prep --resize 32x32 --crop 32 -o data.st folds.tsv
cat >net.model <<'END'
input x channels=@channels size=@size
conv c1 x out=8 kernel=3 stride=2 pad=1
bn b1 c1
relu r1 b1
avgpool p r1 size=1
linear fc p out=@classes
END
options="-q -d data.st -f folds.tsv -m ./net.model -b 9 --device cpu \
--threads 1 --deterministic -e 3 --rank-timeout 30"
digest() {
    busi-info "$1" | awk '$1 == "digest" { print $2 }'
}
# shellcheck disable=SC2086
runs 0 busi-train $options -o one.st
# shellcheck disable=SC2086
runs 0 env REMOTE="ip netns exec" MASTER_ADDR=10.99.7.1 \
    sh "$top/examples/ranks.sh" "$a $b" 2 $options -o two.st
is "two hosts have the same bits" "$(digest one.st)" "$(digest two.st)"

# A host that is cut off says nothing any more: the deadline ends both.
# shellcheck disable=SC2086
REMOTE="ip netns exec" MASTER_ADDR=10.99.7.1 sh "$top/examples/ranks.sh" \
    "$a $b" 1 $options -e 100000 --schedule constant --rank-timeout 2 --save-every 0 \
    --log cut.tsv -o cut.st >out 2>err &
hosts=$!
until [ "$(wc -l 2>/dev/null <cut.tsv || echo 0)" -gt 2 ]; do sleep 0.1; done
ip -n $b link set vb$$ down
began=$(date +%s)
wait $hosts
is "a silent host ends the run" 4 $?
[ $(($(date +%s) - began)) -le 10 ] || bad "that took $(($(date +%s) - began)) s"
says "rank 1 has not answered for 2 s"
says "rank 0 has not answered for"
is "nobody is left on either host" "" \
    "$(ip netns pids $a; ip netns pids $b)"
runs 0 busi-info --verify cut.state.st
