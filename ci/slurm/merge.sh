#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Joins the parts into one run, with its reports. A lost part does not lose the night: the run is
# then incomplete. The job fails if the run is not whole, or not as expected.
#SBATCH --cpus-per-task=1 --mem=2G --time=0:30:00
set -euo pipefail
code=0
${XTASK:-cargo xtask} merge "$NIGHT/parts" --partial --results "$RESULTS" \
    >"$NIGHT/merged" || code=$?
cat "$NIGHT/merged"
# 1: not as expected, 8: nothing reached, 9: incomplete. Anything else made no run.
[[ $code =~ ^[0189]$ ]] || exit "$code"
# `latest` may be the run of a job that began meanwhile.
run=$(sed -n 's|^evidence: .*/||p' "$NIGHT/merged")
${XTASK:-cargo xtask} export "$run" --results "$RESULTS" --format junit --output "$NIGHT/junit.xml"
exit "$code"
