#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# kill -9 at random moments of apply and destroy, of the command alone and of monitors too: the next run
# converges, and after destroy nothing is left. A seeded tenth; whole (100 moments each) with INSULA_TEST_FULL=1.
# timeout: 1800
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/islands.inc"

need_root
need_program busybox
deployment_start
tiny_rootfs "$TEST_DIR/tiny"
lab_of_two "$TEST_DIR/lab.yaml"
lab=$TEST_DIR/lab.yaml
seed=${INSULA_TEST_SEED:-20261125}
rounds=10
[ "${INSULA_TEST_FULL:-}" != 1 ] || rounds=100
say "seed $seed, $rounds rounds each"

# the image is in the store before the clock runs: what is measured is apply, not the import
succeeds "a first apply" "$INSULA" apply "$lab"
succeeds "and destroy" "$INSULA" destroy --all --yes --delete-data
started=$(date +%s%N)
succeeds "how long an apply takes" "$INSULA" apply "$lab"
apply_ms=$((($(date +%s%N) - started) / 1000000))
started=$(date +%s%N)
succeeds "how long a destroy takes" "$INSULA" destroy --all --yes --delete-data
destroy_ms=$((($(date +%s%N) - started) / 1000000))
machine_snapshot >"$TEST_DIR/before"

# moments MAX SALT: one number of milliseconds a line
moments() { awk -v seed="$seed" -v salt="$2" -v max="$1" -v n="$rounds" 'BEGIN { srand(seed + salt); for (i = 0; i < n; i++) print int(rand() * max) }'; }

monitors_kill() {
	for pid in $(pgrep -f "insula-monitor $INSULA_RUN_DIR" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null; done
}

# interrupt MS WITH_MONITORS COMMAND...
interrupt() {
	interrupt_ms=$1 interrupt_monitors=$2
	shift 2
	"$@" >/dev/null 2>&1 </dev/null &
	interrupted=$!
	sleep "$(awk -v ms="$interrupt_ms" 'BEGIN { printf "%.3f", ms / 1000 }')"
	kill -KILL "$interrupted" 2>/dev/null
	[ "$interrupt_monitors" = no ] || monitors_kill
	wait "$interrupted" 2>/dev/null
}

runs() {
	run "$INSULA" status --json
	[ "$(grep -c '"state":"running"' "$TEST_DIR/stdout")" = 2 ]
}

round() {
	interrupt "$1" "$2" "$INSULA" apply "$lab"
	run "$INSULA" apply "$lab"
	[ "$status" = 0 ] || { say "apply after kill at $1 ms: exit $status"; show_run; return 1; }
	wait_for 10 runs || { say "after kill at $1 ms not all run"; show_run; return 1; }
	run "$INSULA" plan --check "$lab"
	[ "$status" = 0 ] || { say "plan after kill at $1 ms: exit $status"; show_run; return 1; }
	interrupt "$3" "$2" "$INSULA" destroy --all --yes --delete-data
	run "$INSULA" destroy --all --yes --delete-data
	[ "$status" = 0 ] || { say "destroy after kill at $3 ms: exit $status"; show_run; return 1; }
}

for with in no yes; do
	salt=$([ $with = no ] && echo 1 || echo 2)
	moments "$apply_ms" "$salt" >"$TEST_DIR/apply.moments"
	moments "$destroy_ms" "1$salt" >"$TEST_DIR/destroy.moments"
	good=0
	while read -r at <&3 && read -r down <&4; do
		if round "$at" "$with" "$down"; then good=$((good + 1)); fi
	done 3<"$TEST_DIR/apply.moments" 4<"$TEST_DIR/destroy.moments"
	is "$good" "$rounds" "every run converged after kill -9 of the command$([ $with = no ] || echo ' and of the monitors')"
	machine_is_as "$TEST_DIR/before" "and nothing was left"
done

done_testing
