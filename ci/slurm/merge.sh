#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Joins the parts into one run, with its reports. The job fails if the run is not as expected.
#SBATCH --cpus-per-task=1 --mem=2G --time=0:30:00
set -euo pipefail
code=0
${XTASK:-cargo xtask} merge "$NIGHT/parts" --results "$RESULTS" || code=$?
((code <= 1)) || exit "$code"
${XTASK:-cargo xtask} export latest --results "$RESULTS" --format junit --output "$NIGHT/junit.xml"
exit "$code"
