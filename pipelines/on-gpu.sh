#!/bin/sh
# Run a command on GPUs of its own, as soon as there are enough:
#
#   sh on-gpu.sh N COMMAND...      N GPUs, 0 to 7
#
# DEVICES lists what may be taken ("0 1 2"); by default what
# CUDA_VISIBLE_DEVICES shows, else what nvidia-smi lists.  With none, the command
# runs as it is.  A GPU is taken by a lock on a file in LOCKS, which the command
# holds as long as it, or a child, lives: whatever ends it, the GPU is free again.
set -u
n=$1
shift
devices=$(echo "${DEVICES-${CUDA_VISIBLE_DEVICES-$(nvidia-smi \
    --query-gpu=index --format=csv,noheader 2>/dev/null | grep -x '[0-9]*')}}" |
    tr ',\n' '  ')
count=$(echo "$devices" | wc -w)
if [ "$n" = 0 ] || [ "$count" = 0 ]; then
    exec "$@"
fi
if [ "$n" -gt "$count" ] || [ "$n" -gt 7 ]; then
    echo "on-gpu.sh: $n GPUs are wanted, $count can be had" >&2
    exit 4
fi
LOCKS=${LOCKS-${TMPDIR-/tmp}/busi-gpus-$(id -u)}
mkdir -p "$LOCKS" || exit 4

# The first N that nobody holds, on descriptors 3 and up.
take() {
    fd=3
    mine=
    for d in $devices; do
        eval "exec $fd>>\"\$LOCKS/\$d\"" || exit 4
        if flock -n $fd; then
            mine=$mine${mine:+,}$d
            fd=$((fd + 1))
            [ $fd -lt $((n + 3)) ] || return 0
        fi
    done
    # Not enough: let go, so that two that each hold one do not wait for ever.
    while [ $fd -ge 3 ]; do
        eval "exec $fd>&-"
        fd=$((fd - 1))
    done
    return 1
}

until take; do
    sleep "0.$(($$ % 5 + 1))"
done
CUDA_VISIBLE_DEVICES=$mine
export CUDA_VISIBLE_DEVICES
exec "$@"
