#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A deployment from the first plan to the last sweep, through the command line.
# timeout: 900
# also in: guest
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/islands.inc"

need_root
need_program busybox
deployment_start
tiny_rootfs "$TEST_DIR/tiny"
lab_of_two "$TEST_DIR/lab.yaml"
machine_snapshot >"$TEST_DIR/before"
lab=$TEST_DIR/lab.yaml

# field KEY NAME: of the instance in the last --json output
field() { grep -F "\"key\":\"$1\"" "$TEST_DIR/stdout" | sed -n "s/.*\"$2\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }
instance() { run "$INSULA" status --json; field "$1" "$2"; }
ended() { [ "$(instance red/short/0 state)" = exited ]; }

# --- plan and apply
exits_with 2 "before anything, plan --check says that something would change" "$INSULA" plan --check "$lab"
machine_is_as "$TEST_DIR/before" "a plan changes nothing"
succeeds "apply" "$INSULA" apply "$lab"
wait_for 20 ended
is "$(instance red/short/0 exit)" 0 "the short one ended with 0"
is "$(instance red/stay/0 state)" running "the one that stays runs"
succeeds "logs" "$INSULA" logs red/short
is "$stdout" "short was here" "hold what was printed"
succeeds "a second apply" "$INSULA" apply "$lab"
contains "$stderr" "nothing to do" "does nothing"
exits_with 0 "plan --check is content" "$INSULA" plan --check "$lab"

# --- inside
succeeds "exec" "$INSULA" exec red/stay -- id -u
is "$stdout" 0 "is root inside"
exits_with 7 "exec ends with the command's status" "$INSULA" exec red/stay -- sh -c 'exit 7'
exits_with 125 "exec in what is not there exits 125" "$INSULA" exec red/nothing -- true
exits_with 125 "exec in what has ended exits 125" "$INSULA" exec red/short -- true
blue=$(instance blue/serve/0 address)
fetch red/stay "$blue" 8080
contains "$stdout" hello "red reaches what blue serves"
fetch red/stay "$blue" 8081
is "$stdout" "" "but no other port"
red=$(instance red/stay/0 address)
fetch blue/serve "$red" 8080
is "$stdout" "" "blue reaches nothing of red"
succeeds "names are answered along declared flows" "$INSULA" exec red/stay -- nslookup serve.blue.insula
contains "$stdout" "$blue" "with the address"
run "$INSULA" exec blue/serve -- nslookup stay.red.insula
is "$([ "$status" -ne 0 ] && echo no)" no "and not against them"

# --- a change, a removal
sed 's|echo short was here|echo short came again|' "$lab" >"$TEST_DIR/changed.yaml"
exits_with 2 "a changed command is a change" "$INSULA" plan --check "$TEST_DIR/changed.yaml"
contains "$stdout" "short came again" "which the plan shows"
succeeds "a saved plan" "$INSULA" plan -o "$TEST_DIR/plan" "$TEST_DIR/changed.yaml"
succeeds "is carried out" "$INSULA" apply "$TEST_DIR/plan"
wait_for 20 ended
run "$INSULA" logs red/short
contains "$stdout" "short came again" "as planned"
exits_with 1 "and holds only once" "$INSULA" apply "$TEST_DIR/plan"
contains "$stderr" "no longer holds" "since the world has moved"

# --- bad input while it runs
exits_with 4 "an unknown tenant" "$INSULA" status nobody
exits_with 4 "destroy of an unknown tenant" "$INSULA" destroy nobody --yes
exits_with 4 "destroy without a word" "$INSULA" destroy
exits_with 4 "destroy without a terminal asks in vain" "$INSULA" destroy red
is "$(instance red/stay/0 state)" running "and removes nothing"
exits_with 1 "logs of what is not there" "$INSULA" logs red/nothing
contains "$stderr" "insula status" "says where to look"

# --- one tenant goes, the other stays
succeeds "destroy of one" "$INSULA" destroy red --yes
is "$(instance red/stay/0 state)" "" "it is gone"
is "$(instance blue/serve/0 state)" running "the other runs on"
succeeds "restore does not bring it back" "$INSULA" restore
is "$(instance red/stay/0 state)" "" "indeed"
succeeds "apply does" "$INSULA" apply "$lab"
is "$(instance red/stay/0 state)" running "it runs again"
succeeds "with its volume" "$INSULA" exec red/stay -- true

# --- the end
succeeds "destroy of all" "$INSULA" destroy --all --yes
contains "$stderr" "nothing is left" "sweeps"
contains "$stderr" "receipt" "and writes a receipt"
machine_is_as "$TEST_DIR/before" "the machine is as before"
succeeds "destroy again" "$INSULA" destroy --all --yes
succeeds "apply after destroy finds the kept volume" "$INSULA" apply "$lab"
succeeds "destroy with the data" "$INSULA" destroy --all --yes --delete-data
is "$(find "$INSULA_STATE_DIR" -name '*.img' | wc -l)" 0 "leaves no storage"
machine_is_as "$TEST_DIR/before" "the machine is as before, once more"

done_testing
