#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# start: how long from the committed intent to the first instruction of a container, against the bare OCI runtime. Wanted: a ratio of
# medians of at most 1.5, and a monitor of at most 1 MiB of private memory.
# usage: start.sh [ROUNDS]     BUILD: the build folder (build)
set -eu
cd "$(dirname "$0")/.."

build=${BUILD:-build}
[ "$(id -u)" = 0 ] || { echo "start: needs root" >&2; exit 5; }
[ -f "$build/build.ninja" ] || meson setup "$build" --buildtype=release >/dev/null
ninja -C "$build" --quiet bench/bench-start bench/bench-stamp guest/insula-init guest/insula-monitor >/dev/null
exec "$build/bench/bench-start" "$build" "${1:-60}"
