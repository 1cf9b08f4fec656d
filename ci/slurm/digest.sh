#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Writes the digest of a night and the page of trends, whatever became of the night's jobs. The job
# fails if the night is not green.
#SBATCH --cpus-per-task=1 --mem=2G --time=0:30:00
set -euo pipefail
code=0
${XTASK:-cargo xtask} digest --of "$DATE" --results "$RESULTS" --title "$NIGHT/title.txt" \
	--markdown "$NIGHT/digest.md" --mail "$NIGHT/digest.txt" || code=$?
${XTASK:-cargo xtask} history --results "$RESULTS"
exit "$code"
