#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# also in: guest
# timeout: 900
# The root tests of control groups, instances, monitors and packets on a kernel with cgroup v2 only.
# guest: build:tests/test_cgroup_root build:tests/test_instance_root build:tests/test_monitor_root build:tests/test_packets_root
. "$(dirname "$0")/lib.sh"

[ "${INSULA_TEST_GUEST:-}" = 1 ] || skip_all "the suite root runs them here"
for name in cgroup_root instance_root monitor_root packets_root; do
	succeeds "$name" "$INSULA_TEST_BUILD/tests/test_$name"
done
done_testing
