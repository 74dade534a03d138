#!/bin/sh
# Ranks on machines that only know ssh: ranks.sh "HOST..." PER_HOST OPTIONS...
#
#   sh ranks.sh "node1 node2" 2 -d data.safetensors -f folds.tsv --fold 0 \
#       -m resnet18 -o fold-0.safetensors
#
# The same folder on all machines; the first host has rank 0 and writes.  REMOTE
# (default: ssh) gets a host and a command: "ip netns exec" tries it on one
# machine with network namespaces as hosts, then with MASTER_ADDR, the first
# one's address.  With MPI: mpirun -H node1:2,node2:2 busi-train OPTIONS...
set -u
hosts=${1:?usage: ranks.sh "HOST..." PER_HOST OPTIONS...}
each=${2:?how many ranks on each host}
shift 2
set -- busi-train "$@"
first=${hosts%% *}
total=0
for h in $hosts; do total=$((total + each)); done
rank=0
pids=

# ssh joins the words of a command, and a shell there parts them again.
on() {
    host=$1
    shift
    if [ -n "${REMOTE:-}" ]; then
        $REMOTE "$host" "$@"
    else
        # shellcheck disable=SC2029     # that is meant
        ssh "$host" "$(for word; do
            printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\\\''/g")"
        done)"
    fi
}

for h in $hosts; do
    local=0
    while [ $local -lt "$each" ]; do
        on "$h" env RANK=$rank WORLD_SIZE=$total \
            LOCAL_RANK=$local LOCAL_WORLD_SIZE="$each" \
            MASTER_ADDR="${MASTER_ADDR:-$first}" \
            MASTER_PORT="${MASTER_PORT:-29500}" "$@" &
        pids="$pids $!"
        rank=$((rank + 1))
        local=$((local + 1))
    done
done
status=0
for p in $pids; do
    wait "$p" || status=$?
done
exit $status
