# SPDX-License-Identifier: MIT OR Apache-2.0
"""Rules for the workflows that no linter has. Prints what breaks them, one a line."""

import pathlib
import sys

from ruamel.yaml import YAML


def job_rules(name, job):
    steps = job.get("steps", [])
    limits = [step.get("timeout-minutes", 0) for step in steps]
    if steps and sum(limits) >= job.get("timeout-minutes", 0):
        yield f"{name}: steps may take {sum(limits)} minutes, and nothing is left to upload"
    for step in steps:
        said = step.get("name", step.get("uses", ""))
        if "cargo xtask" in step.get("run", "") and "timeout-minutes" not in step:
            yield f"{name}: {said}: no time-out"
        if "rules.d" in step.get("run", "") or "udevadm" in step.get("run", ""):
            yield f"{name}: {said}: leaves a rule on the machine"
        uploads = step.get("uses", "").startswith("actions/upload-artifact@")
        evidence = "results/" in step.get("with", {}).get("path", "")
        if uploads and evidence and step.get("if") != "always()":
            yield f"{name}: {said}: no evidence of a job that fails"
        key = step.get("with", {}).get("key", "")
        caches = step.get("uses", "").startswith("actions/cache")
        if caches and not any(part in key for part in ("hashFiles(", ".outputs.key", "run_id")):
            yield f"{name}: {said}: the key does not say what is cached"


def gitlab_rules(name, pipeline):
    jobs = {name: job for name, job in pipeline.items() if "script" in job}
    for job, content in jobs.items():
        if "timeout" not in content:
            yield f"{name}: {job}: no time-out"
    said = "\n".join(line for job in jobs.values() for line in job["script"])
    for word, missing in {
        "night=--night": "no scheduled run is a night",
        "tonight --run": "the jobs of the week do not run",
        "xtask digest --of": "nobody is told of a night that left nothing",
    }.items():
        if word not in said:
            yield f"{name}: {missing}"


for path in sys.argv[1:]:
    workflow = YAML(typ="safe").load(pathlib.Path(path))
    if "jobs" not in workflow or "stages" in workflow:
        print(*gitlab_rules(pathlib.Path(path).name, workflow), sep="\n", end="")
        continue
    for name, job in workflow["jobs"].items():
        for broken in job_rules(f"{pathlib.Path(path).name}: {name}", job):
            print(broken)
