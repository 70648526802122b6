#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""deploy/monitoring: its rules say what they should, and name only metrics that there are. (That its
queries have answers is shown by tests/cluster/monitoring.py.)"""
import json
import pathlib
import re
import shutil
import sys

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
# pylint: disable=wrong-import-position,import-error
from harness import ROOT, expect, expect_equal, run, run_tests, test  # noqa: E402
from monitoring import FOLDER, expressions, plain_rules  # noqa: E402

CASES = pathlib.Path(__file__).resolve().parent / "rules_test.yaml"


class World:
    """The files, parsed, and the rules as a plain Prometheus takes them."""

    def __init__(self, programs):
        self.rules_file = programs.folder / "rules.yaml"
        self.rules_file.write_text(plain_rules(), encoding="utf-8")
        shutil.copy(CASES, programs.folder)
        self.cases = programs.folder / CASES.name
        groups = yaml.safe_load(self.rules_file.read_text(encoding="utf-8"))["groups"]
        self.rules = [rule for group in groups for rule in group["rules"]]
        self.alerts = {rule["alert"]: rule for rule in self.rules if "alert" in rule}
        self.dashboard = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
        self.page = (ROOT / "docs/METRICS.md").read_text(encoding="utf-8")


@test
def promtool_takes_the_rules(world):
    run(["promtool", "check", "rules", world.rules_file])


@test
def each_alert_fires_and_is_quiet_as_its_cases_say(world):
    run(["promtool", "test", "rules", world.cases])
    fires, quiet = set(), set()
    for case in yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]:
        for row in case["alert_rule_test"]:
            (fires if row.get("exp_alerts") else quiet).add(row["alertname"])
    expect_equal((fires, quiet), (set(world.alerts), set(world.alerts)), "alerts with cases")


@test
def a_rule_that_is_broken_is_found_by_its_case(world):
    good = world.rules_file.read_text(encoding="utf-8")
    try:
        world.rules_file.write_text(good.replace("> 0.05", "> 0.5"), encoding="utf-8")
        done = run(["promtool", "test", "rules", world.cases], check=False)
        expect(done.returncode != 0 and "LocketMountFailures" in done.stdout + done.stderr, done.stdout)
    finally:
        world.rules_file.write_text(good, encoding="utf-8")


@test
def each_alert_says_what_to_do(world):
    for name, rule in world.alerts.items():
        expect(f"\n### {name}\n" in world.page, f"docs/METRICS.md has no section {name}")
        expect(rule["labels"]["severity"] in ("critical", "warning"), f"severity of {name}")
        expect_equal(rule["annotations"]["runbook"], "docs/METRICS.md", f"runbook of {name}")
    told = set(re.findall(r"^### (Locket\w+)$", world.page, re.M))
    expect_equal(told, set(world.alerts), "alerts that the page tells of")


@test
def rules_and_dashboard_name_only_metrics_that_there_are(world):
    known = set(re.findall(r"^\| `(\w+)` \|", world.page, re.M))
    histograms = re.findall(r"^\| `(\w+)` \| histogram", world.page, re.M)
    histograms += [name + "onds" for name in histograms if name.endswith("_sec")]  # with --spell-metric-units
    known |= {name + end for name in histograms for end in ("_bucket", "_count", "_sum")}
    texts = [rule["expr"] for rule in world.rules] + [expr for _, expr in expressions(world.dashboard)]
    for text in texts:
        named = set(re.findall(r"(?<![\w:])(?:locket|node|rotation|sync|k8s)_\w+\b(?!:)", text))
        expect(named <= known, f"no program has {named - known} of {text}")


@test
def the_dashboard_is_whole(world):
    panels = world.dashboard["panels"]
    expect_equal(len({p["id"] for p in panels}), len(panels), "ids that differ")
    variables = {v["name"] for v in world.dashboard["templating"]["list"]} | {"__rate_interval"}
    for name, expr in expressions(world.dashboard):
        expect(set(re.findall(r"\$\{?(\w+)", expr)) <= variables, f"variables of {name}")
        expect('instance=~"$instance"' in expr, f"{name} does not heed the choice of agents")
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        expect(not cells & taken and at["x"] + at["w"] <= 24, f"{panel['title']} lies over another panel")
        taken |= cells


@test
def the_monitor_scrapes_what_the_daemonset_serves_by_manifests_and_by_helm(_world):
    documents = yaml.safe_load_all((ROOT / "deploy/daemonset/base/daemonset.yaml").read_text(encoding="utf-8"))
    template = next(iter(documents))["spec"]["template"]
    chart = yaml.safe_load((ROOT / "deploy/chart/Chart.yaml").read_text(encoding="utf-8"))
    monitors = {m["metadata"]["name"]: m["spec"] for m in yaml.safe_load_all(
        (FOLDER / "podmonitor.yaml").read_text(encoding="utf-8"))}
    apps = [template["metadata"]["labels"]["app"], chart["name"]]
    ports = {p["name"] for c in template["spec"]["containers"] for p in c.get("ports", [])}
    for name, port, values in (("locket-agent", "metrics", apps),
                               ("locket-provider", "provider", [*apps, "locket-provider"])):
        expected = {"key": "app", "operator": "In", "values": values}
        expect_equal(monitors[name]["selector"], {"matchExpressions": [expected]}, f"labels of {name}")
        expect_equal([e["port"] for e in monitors[name]["podMetricsEndpoints"]], [port], f"port of {name}")
        expect(port in ports, f"{port} is served")


@test
def the_kustomization_names_every_file(_world):
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
    named = set(kustomization["resources"]) | set(kustomization["configMapGenerator"][0]["files"])
    expect_equal(named | {"kustomization.yaml"}, {p.name for p in FOLDER.iterdir()}, "files")


if __name__ == "__main__":
    run_tests(World)
