#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Submits a night to Slurm: a plan, its parts as an array, and their merge, each after the one
# before. Call it in a checkout that all nodes share, with the cache on the same file system.
#
#   ci/slurm/submit.sh PARTS [ARGUMENT OF cargo xtask plan ...]
#
#   RESULTS   folder of the merged runs            [default: results of the checkout]
#   NIGHT     folder of this night's plan and parts [default: RESULTS/night-<date>-<time>]
#   ACCEL     accelerator of the parts              [default: kvm]
#   SBATCH_*  as man sbatch says: SBATCH_PARTITION, SBATCH_ACCOUNT, ...
set -euo pipefail
cd "$(dirname "$0")/../.."
parts=${1:?number of parts}
shift
export RESULTS=${RESULTS:-$PWD/results}
export NIGHT=${NIGHT:-$RESULTS/night-$(date +%F-%H%M%S)}
export ACCEL=${ACCEL:-kvm} CARGO_TERM_COLOR=never
mkdir -p "$NIGHT"

submit() { sbatch --parsable --chdir="$PWD" --output="$NIGHT/$1" "${@:2}"; }
plan=$(submit plan.log --job-name=plan ci/slurm/plan.sh --parts "$parts" "$@")
array=$(submit part-%a.log --open-mode=append --job-name=part --array="1-$parts" \
	--dependency="afterok:$plan" --kill-on-invalid-dep=yes ci/slurm/part.sh)
# Whatever the parts do: a night with a lost part needs its report most.
merge=$(submit merge.log --job-name=merge --dependency="afterany:$array" ci/slurm/merge.sh)
echo "night=$NIGHT plan=$plan parts=$array merge=$merge"
