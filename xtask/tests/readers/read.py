# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reads an exported run as others would, prints what it says as JSON, refuses what is invalid."""

import contextlib
import inspect
import json
import sys


def ktap(folder, path):
    """With the parser of a kernel tree: tools/testing/kunit."""
    sys.path.insert(0, folder)
    # What it prints is for people, and it takes its standard output when it is imported.
    with contextlib.redirect_stdout(sys.stderr):
        import kunit_parser

    more = []
    if "printer" in inspect.signature(kunit_parser.parse_run_tests).parameters:
        import kunit_printer

        more = [kunit_printer.Printer(print=False)]
    with open(path, encoding="utf-8") as lines, contextlib.redirect_stdout(sys.stderr):
        top = kunit_parser.parse_run_tests(lines, *more)
    leaves = {}
    for group in top.subtests:
        for test in group.subtests:
            assert not test.subtests, test.name
            leaves[f"{group.name}/{test.name}"] = test.status.name
    counts = top.counts
    return {
        "status": top.status.name,
        "groups": {group.name: group.status.name for group in top.subtests},
        "leaves": leaves,
        "passed": counts.passed,
        "failed": counts.failed,
        "skipped": counts.skipped,
        "crashed": counts.crashed,
        "errors": counts.errors,
    }


def junit(path):
    from junitparser import Error, Failure, JUnitXml, Skipped

    xml = JUnitXml.fromfile(path)
    cases = {}
    for suite in xml:
        counted = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
        for case in suite:
            counted["tests"] += 1
            word, result = "passed", case.result
            if result:
                kinds = {Failure: "failures", Error: "errors", Skipped: "skipped"}
                word = kinds[type(result[0])]
                counted[word] += 1
            said = result[0] if result else None
            cases[f"{suite.name}/{case.name}"] = {
                "result": word,
                "type": said.type if said else None,
                "message": said.message if said else None,
                "text": said.text if said else None,
                "out": case.system_out,
            }
            assert case.classname == suite.name, case.name
        for name, count in counted.items():
            assert getattr(suite, name) == count, (suite.name, name, count)
    totals = {name: getattr(xml, name) for name in ("tests", "failures", "errors", "skipped")}
    return {"cases": cases, **totals}


def kcidb(path):
    from kcidb_io import schema

    with open(path, encoding="utf-8") as text:
        data = json.load(text)
    schema.V5_0.validate_exactly(data)
    newest = schema.LATEST.upgrade(schema.LATEST.validate(data))
    schema.LATEST.validate_exactly(newest)
    checkouts = {checkout["id"] for checkout in data["checkouts"]}
    builds = {build["id"]: build for build in data["builds"]}
    tests = {test["id"]: test for test in data["tests"]}
    for objects in ("checkouts", "builds", "tests"):
        ids = [thing["id"] for thing in data[objects]]
        assert len(ids) == len(set(ids)), objects
    assert all(build["checkout_id"] in checkouts for build in builds.values())
    assert all(test["build_id"] in builds for test in tests.values())
    return {
        "origins": sorted({thing["origin"] for thing in data["checkouts"] + data["tests"]}),
        "tests": {test["id"].split(":", 2)[2]: test for test in tests.values()},
        "checkouts": data["checkouts"],
        "builds": data["builds"],
    }


def valid(schema, path):
    from jsonschema import Draft202012Validator

    with open(schema, encoding="utf-8") as text:
        schema = json.load(text)
    with open(path, encoding="utf-8") as text:
        data = json.load(text)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(data)
    return {"cells": len(data["cells"])}


READERS = {"ktap": ktap, "junit": junit, "kcidb": kcidb, "json": valid}

if __name__ == "__main__":
    json.dump(READERS[sys.argv[1]](*sys.argv[2:]), sys.stdout)
