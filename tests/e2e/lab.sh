#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# examples/lab as its README tells it: real training, who may ask whom, a second apply that changes nothing, the proof.
. "$(dirname "$0")/lib.sh"
need_root
need_program python3
[ -x "$INSULA" ] || skip_all "the program is not built"
for package in busybox-static python3-numpy python3-sklearn; do
	dpkg-query -W -f '${Status}' $package 2>/dev/null | grep -q 'ok installed' || skip_all "the lab's image needs the package $package"
done
deployment_start
machine_snapshot >"$TEST_DIR/before"
lab=$TEST_DIR/lab.yaml
page=127.0.0.1:$((20000 + $$ % 20000))
sed "s/metadata: {name: lab}/metadata: {name: $DEPLOYMENT}/; s/port: 8501}/port: ${page#*:}}/" "$INSULA_TEST_SOURCE/examples/lab/lab.yaml" >"$lab"
lab_run() { lab_command=$1; shift; "$INSULA" "$lab_command" --deployment "$DEPLOYMENT" "$@"; }
ask() { python3 "$INSULA_TEST_SOURCE/examples/lab/ask.py" "$1"; }
trained() { lab_run logs vision/train | grep -q '^accuracy'; }
served() { ask "$page/7"; }

succeeds "the image is made" "$INSULA_TEST_SOURCE/examples/lab/make-images" "$TEST_DIR/images"
succeeds "made again, it is the same" "$INSULA_TEST_SOURCE/examples/lab/make-images" "$TEST_DIR/images"
is "$(find "$INSULA_STATE_DIR/images/layers" -mindepth 1 -maxdepth 1 -type d | wc -l | tr -d " ")" 1 "and is stored once"
succeeds "the lab is applied" "$INSULA" apply "$lab"
check "the training ends" wait_for 60 trained
run lab_run logs vision/train
accuracy=$(sed -n 's/^accuracy on held-out digits: //p' "$TEST_DIR/stdout")
check "it reads held-out digits well ($accuracy)" awk "BEGIN { exit !($accuracy > 0.9) }"
check "the model is in the kept volume" grep -q accuracy "$INSULA_RUN_DIR/$DEPLOYMENT"/storage/vision/volumes/out/result.json

check "the host gets an answer at the published port" wait_for 20 served
succeeds "vision may ask, by name" lab_run exec vision/desk -- python3 /lab/ask.py digits.serving.insula:8501/7
contains "$stdout" '"read"' "and is answered"
exits_with 1 "audio does not know the name" lab_run exec audio/desk -- python3 /lab/ask.py digits.serving.insula:8501/7
address=$(lab_run exec serving/digits -- cat /etc/hosts | awk '$1 !~ /^127\./ && $1 !~ /:/ { print $1; exit }')
exits_with 1 "audio gets no answer by address either" lab_run exec audio/desk -- python3 /lab/ask.py "$address:8501/7"
contains "$stderr" "timed out" "its packets are dropped"

start=$(date +%s%N)
succeeds "a second apply, after the training has ended" "$INSULA" apply "$lab"
took=$((($(date +%s%N) - start) / 1000000))
say "it took $took ms"
contains "$stderr" "nothing to do" "changes nothing"
run lab_run logs vision/train
is "$(grep -c '^accuracy' "$TEST_DIR/stdout")" 1 "the training was not run twice"
succeeds "everything is as the file says" "$INSULA" audit --prove "$lab"

succeeds "all is destroyed" lab_run destroy --all --yes
check "the kept volume stays" [ -e "$INSULA_STATE_DIR/$DEPLOYMENT/storage/vision.img" ]
succeeds "and goes with --delete-data" lab_run destroy --all --yes --delete-data
machine_snapshot >"$TEST_DIR/after"
check "nothing is left" diff "$TEST_DIR/before" "$TEST_DIR/after"
done_testing
