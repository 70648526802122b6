# SPDX-License-Identifier: Apache-2.0
"""deploy/monitoring as its tests read it, and a Prometheus that scrapes."""
import json
import subprocess
import urllib.parse
import urllib.request

from harness import ROOT, expect_equal

FOLDER = ROOT / "deploy/monitoring"


def plain_rules():
    """The rules without the object around them, by the command of docs/METRICS.md."""
    return subprocess.run(
        ["sed", "1,/^spec:/d; s/^  //", FOLDER / "rules.yaml"],
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout


def expressions(dashboard):
    """(panel and legend, query) of every target of every panel."""
    return [
        (f"{panel['title']} {target.get('legendFormat', '')}".strip(), target["expr"])
        for panel in dashboard["panels"] for target in panel.get("targets", [])
    ]


def metric_wishes(page):
    """What `promtool check metrics` would have otherwise in a page of metrics, by metric."""
    done = subprocess.run(["promtool", "check", "metrics"], input=page, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    wishes = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    expect_equal(done.returncode, 3 if wishes else 0, f"promtool's exit code ({done.stdout})")
    return wishes


class Prometheus:
    """A Prometheus on loopback that scrapes one agent each second."""

    def __init__(self, programs, port, agent_port):
        self.url = f"http://127.0.0.1:{port}"
        folder = programs.folder / "prometheus"
        folder.mkdir()
        (folder / "rules.yaml").write_text(plain_rules(), encoding="utf-8")
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(folder / "rules.yaml")],
            "scrape_configs": [{
                "job_name": "locket-agent", "static_configs": [{"targets": [f"127.0.0.1:{agent_port}"]}],
            }],
        }), encoding="utf-8")
        programs.start(
            "prometheus",
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"],
            self.is_ready,
        )

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def get(self, path, **words):
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expr):
        """The values of an instant query by their labels; NaN is none."""
        rows = self.get("query", query=expr)["result"]
        return {json.dumps(row["metric"], sort_keys=True): float(row["value"][1])
                for row in rows if row["value"][1] != "NaN"}
