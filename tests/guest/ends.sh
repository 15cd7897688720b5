#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs inside the guest: ends with the status that is asked for.
exit "$1"
