#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs one job of the plan of the week. How it ended is in results/jobs, for the digest.
#SBATCH --cpus-per-task=4 --mem=8G --time=6:00:00
set -euo pipefail
${XTASK:-cargo xtask} tonight --run "$1" --results "$RESULTS"
