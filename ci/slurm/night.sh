#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Submits what configs/nights/week.toml has for today (UTC): its matrix in parts, as submit.sh does,
# each other job by itself, and the digest after all of them. For cron or scrontab, in a checkout
# that all nodes share, with the cache on the same file system.
#
#   ci/slurm/night.sh
#
#   RESULTS, NIGHT, ACCEL, SBATCH_*   as of submit.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
export RESULTS=${RESULTS:-$PWD/results} DATE CARGO_TERM_COLOR=never
# The digest is of the day on which the night was submitted, whenever it runs.
DATE=$(date -u +%F)
export NIGHT=${NIGHT:-$RESULTS/night-$DATE-$(date -u +%H%M%S)}
mkdir -p "$NIGHT"

${XTASK:-cargo xtask} tonight --variables >"$NIGHT/tonight"
value() { sed -n "s/^$1=//p" "$NIGHT/tonight"; }
after=
if [ -n "$(value matrix)" ]; then
	said=$(ci/slurm/submit.sh "$(value parts)" --matrix "$(value matrix)" --night)
	after=:${said##*merge=}
fi
IFS=, read -ra jobs <<<"$(value jobs | tr -d '[]"')"
for job in "${jobs[@]}"; do
	id=$(sbatch --parsable --chdir="$PWD" --output="$NIGHT/job-$job.log" --job-name="$job" \
		ci/slurm/job.sh "$job")
	after+=:$id
done
digest=$(sbatch --parsable --chdir="$PWD" --output="$NIGHT/digest.log" --job-name=digest \
	--dependency="afterany$after" ci/slurm/digest.sh)
echo "${said:-night=$NIGHT} jobs=$(IFS=,; echo "${jobs[*]}") digest=$digest"
