#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a reboot takes (processes, mounts, namespaces, links, rules, control groups, the run folder) is taken by force;
# restore brings back what was applied: what ran runs, what had finished stays finished, volumes are as they were.
# timeout: 600
# also in: guest
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/islands.inc"

need_root
need_program busybox
deployment_start
tiny_rootfs "$TEST_DIR/tiny"
lab_of_two "$TEST_DIR/lab.yaml"
lab=$TEST_DIR/lab.yaml
machine_snapshot >"$TEST_DIR/before"

state() { "$INSULA" status --json | grep -F "\"key\":\"$1\"" | sed -n 's/.*"state":"\([a-z]*\)".*/\1/p'; }
ended() { [ "$(state red/short/0)" = exited ]; }

power_cut() {
	forwarding=$(cat /proc/sys/net/ipv4/ip_forward)
	deployment_sweep
	rm -rf "$INSULA_RUN_DIR"
	mkdir "$INSULA_RUN_DIR"
	echo "$forwarding" >/proc/sys/net/ipv4/ip_forward
}

exits_with 1 "restore before anything was applied exits 1" "$INSULA" restore --deployment "$DEPLOYMENT"
succeeds "apply" "$INSULA" apply "$lab"
wait_for 20 ended
succeeds "something is written into a volume" "$INSULA" exec red/stay -- sh -c 'echo here >/tmp/gone'

power_cut
is "$(state red/stay/0)" "" "after the cut nothing runs"
succeeds "restore" "$INSULA" restore
is "$(state red/stay/0)" running "what ran runs again"
is "$(state blue/serve/0)" running "also the other tenant's"
is "$(state red/short/0)" exited "what had finished is still finished"
run "$INSULA" logs red/short
is "$(grep -c 'short was here' "$TEST_DIR/stdout")" 1 "and did not run again"
exits_with 0 "plan --check is content" "$INSULA" plan --check "$lab"
succeeds "the walls stand" "$INSULA" audit --prove "$lab"

power_cut
succeeds "apply does what restore does" "$INSULA" apply "$lab"
is "$(state red/stay/0)" running "it runs"
is "$(state red/short/0)" exited "and what had finished stays so"

{
	site_document 'addressPool: 10.213.0.0/16'
	tenant_document red
	tenant_document blue 'network: {allow: [{from: {tenant: red}, ports: [tcp/8080]}]}'
	workload_document red stay '[sleep, infinity]'
} >"$TEST_DIR/without.yaml"
succeeds "taken out of the file and pruned" "$INSULA" apply --prune "$TEST_DIR/without.yaml"
is "$(state red/short/0)" "" "it is gone"
succeeds "put in again" "$INSULA" apply "$lab"
wait_for 20 ended
run "$INSULA" logs red/short
is "$(grep -c 'short was here' "$TEST_DIR/stdout")" 2 "it runs again: that was meant"

power_cut
succeeds "destroy works right after a reboot" "$INSULA" destroy --all --yes --delete-data
machine_is_as "$TEST_DIR/before" "and leaves nothing"

# somebody else's cleaning was not whole
hierarchy=$(awk '$(NF-2) == "cgroup" || $(NF-2) == "cgroup2" { print $5; exit }' /proc/self/mountinfo)
mkdir -p "$hierarchy/insula/$DEPLOYMENT/t"
succeeds "destroy finds the rest of a control group" "$INSULA" destroy --all --yes --delete-data
machine_is_as "$TEST_DIR/before" "and leaves nothing"

done_testing
