#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Prints ginkgo's JSON report as a table of specs, and judges it.

table.py REPORT LEAST_RAN NAME...: 0 failed, LEAST_RAN or more ran, each NAME among the passed.
"""
import json
import sys

SKIPPED_BY_FLAG = ("Controller Server", "GroupController")


def specs_of(path):
    with open(path, encoding="utf-8") as file:
        reports = json.load(file)
    for report in reports:
        for spec in report["SpecReports"] or []:
            if spec["LeafNodeType"] == "It":
                name = " ".join((spec["ContainerHierarchyTexts"] or []) + [spec["LeafNodeText"]])
                yield name, spec["State"], spec.get("Failure", {}).get("Message", "")


def main():
    path, least_ran, needed = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    try:
        specs = list(specs_of(path))
    except (OSError, ValueError) as why:
        sys.exit(f"FAIL: csi-sanity left no report: {why}")
    by_flag = [name for name, state, _ in specs if state == "skipped" and is_by_flag(name)]
    passed = [name for name, state, _ in specs if state == "passed"]
    failed = [name for name, state, _ in specs if state not in ("passed", "skipped", "pending")]
    for name, state, message in specs:
        if name not in by_flag:
            why = message.splitlines()[0] if message and state != "passed" else ""
            print(f"  {state:8} {name}" + (f"  ({why})" if why else ""))
    by_itself = len(specs) - len(passed) - len(failed) - len(by_flag)
    print(f"csi-sanity: {len(passed)} passed, {len(failed)} failed, "
          f"{len(by_flag)} skipped by flag, {by_itself} skipped or pending by itself")
    missing = [name for name in needed if not any(name in spec for spec in passed)]
    if failed:
        sys.exit("FAIL: specs failed")
    if len(passed) < least_ran:
        sys.exit(f"FAIL: {len(passed)} specs ran, at least {least_ran} must")
    if missing:
        sys.exit("FAIL: not among the passed: " + ", ".join(missing))


def is_by_flag(name):
    return any(part in name for part in SKIPPED_BY_FLAG)


if __name__ == "__main__":
    main()
