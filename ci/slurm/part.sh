#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs one part. A task that is requeued runs its part again; what it left before does not count.
#SBATCH --cpus-per-task=4 --mem=4G --time=2:00:00 --requeue
set -euo pipefail
code=0
${XTASK:-cargo xtask} run-matrix --plan "$NIGHT/plan.json" --results "$NIGHT" --accel "$ACCEL" \
	--partition "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" || code=$?
# 1: a cell was not as expected. The merged run decides what that means.
((code <= 1)) || exit "$code"
