#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Plans the night and builds its kernels, so that no part has to.
#SBATCH --cpus-per-task=4 --mem=8G --time=2:00:00
set -euo pipefail
${XTASK:-cargo xtask} plan --output "$NIGHT/plan.json" --variables "$@" >"$NIGHT/variables"
read -ra kernels <<<"$(sed -n 's/^kernels=//p' "$NIGHT/variables")"
${XTASK:-cargo xtask} build-kernel "${kernels[@]}"
