#!/bin/sh
# Run tests and count them: sh tests/run.sh BUILD [TEST...]
# Without a list: every BUILD/tests/check_* and tests/t-*.sh.  Status 77 of a
# test is a skip, half an hour is a failure.  Output of a failed or skipped test is
# shown.
build=$(cd "$1" && pwd) || exit 1
shift
[ $# -gt 0 ] || set -- $(find "$build/tests" -name 'check_*' -type f -perm -100 | sort) \
    $(ls tests/t-*.sh 2>/dev/null)
# Other programs may have the cores: threads that wait sleep, and no single
# check is cut short long before the half hour.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY-passive}
export CK_TIMEOUT_MULTIPLIER=${CK_TIMEOUT_MULTIPLIER-5}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
pass=0 fail=0 skip=0
for t; do
    start=$(date +%s)
    case $t in
    *.sh) BUILD=$build timeout 1800 sh "$t" >"$log" 2>&1 </dev/null ;;
    *) timeout 1800 "$t" >"$log" 2>&1 </dev/null ;;
    esac
    rc=$?
    took=$(($(date +%s) - start))
    case $rc in
    0) pass=$((pass + 1)) word=ok ;;
    77) skip=$((skip + 1)) word=SKIP ;;
    *) fail=$((fail + 1)) word=FAIL ;;
    esac
    printf '%-4s %s (%d s)\n' "$word" "$(basename "$t")" "$took"
    [ $rc = 0 ] || sed 's/^/     /' "$log"
    # A part of a test that was left out says so, also when the rest passed.
    [ $rc != 0 ] || sed -n 's/^SKIP/     SKIP/p' "$log"
done
echo "$pass passed, $fail failed, $skip skipped"
[ "$fail" = 0 ] && [ "$pass" -gt 0 ]
