#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# The virtual machine in which tests meet cgroup v2 is what they take for granted; statuses and deadlines come through.
. "$(dirname "$0")/lib.sh"

guest=$INSULA_TEST_SOURCE/tests/guest/run
run "$guest" --timeout 120 "$INSULA_TEST_SOURCE/tests/guest/proof.sh"
[ "$status" != 77 ] || skip_all "${stdout#*SKIP }"
[ "$status" = 0 ] || show_run
is "$status" 0 "everything is there"
contains "$stdout" "ok 1 - control groups are version 2" "control groups are version 2"
exits_with 7 "a status comes through" "$guest" --timeout 120 "$INSULA_TEST_SOURCE/tests/guest/ends.sh" 7
exits_with 124 "a deadline ends the machine" "$guest" --timeout 1 "$INSULA_TEST_SOURCE/tests/guest/ends.sh" 0
done_testing
