#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes a real agent with a driver behind it: every query of the dashboard has an
answer, every rule can be evaluated, and what is shown is true."""
import json
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e/lib"))
# pylint: disable=wrong-import-position,import-error
from harness import accepts, expect, expect_equal, free_ports, run_tests, test, wait_until
from monitoring import FOLDER, Prometheus, expressions, metric_wishes
from objects import provider_class
from world import World

REGISTRY = "plugins_registry"
TELLING = pathlib.Path(__file__).resolve().parents[1] / "fakes/telling_provider.py"
DRIVERS = "node_unpublish_total"  # there once anything was unpublished


class Watched(World):
    """A node whose volumes rotate all the time, fail at times, and are told of one by one."""

    preset = "overlays/sync"

    def __init__(self, programs):
        (programs.folder / REGISTRY).mkdir()
        self.agent_flags = ("--sync-secrets", f"--audit-log={programs.folder}/audit.log")
        self.flags = ("--volume-metrics", "--rotation-poll-interval=1s", "--sync-secrets",
                      f"--registration-folder={programs.folder / REGISTRY}")
        super().__init__(programs)
        self.prometheus = Prometheus(programs, free_ports(1)[0], self.metrics)
        self.rounds = 0

    def restart(self, *flags):
        """Agent and driver, with these flags more."""
        for program in ("driver", "agent"):
            self.programs.stop(program)
        self.node.flags += flags
        self.agent_flags += flags
        self.start_agent()
        self.node.start()

    def start_telling_provider(self):
        """A store that lends, one whose leases end, and one whose versions are the same everywhere."""
        socket = self.node.providers / "telling.sock"
        self.programs.start("telling", [TELLING, socket], lambda: accepts(socket))
        store = {"locket-store": "https://store.example"}
        asked = {**store, "locket-store-calls": "2", "locket-logins": "1", "locket-leases": "1"}
        for name, told in (("asked", {**asked, "expires-in-ms": "60000"}), ("shared", store),
                           ("ending", {**store, "locket-leases-kept": "1", "expires-in-ms": "-1000"})):
            self.make_class(name, "shop", [], provider="telling", told=json.dumps(told))

    def text(self):
        return self.page("/metrics", self.metrics)[1]

    def series(self, name, text=None):
        """The series of a metric: its labels as they are written, and its value. Of this page, else of
        the page as it is now."""
        found = {}
        for line in (text or self.text()).splitlines():
            if line.startswith((name + "{", name + " ")):
                labels, value = line[len(name):].rsplit(" ", 1)
                found[labels] = float(value)
        return found

    def ask_for_refresh(self):
        self.cluster.kubectl("annotate", "--overwrite", "-n", "shop", "secretproviderclass", "app",
                             f"locket.dev/refresh-at={time.time()}")

    def fresh(self, name):
        """The series of a metric of the driver's as they are now: told something, it tells its numbers."""
        asked = time.monotonic()
        self.ask_for_refresh()
        wait_until(lambda: self.series("locket_agent_driver_silent_seconds")[""] < time.monotonic() - asked - 0.05,
                   20, "fresh numbers")
        return self.series(name)

    def be_busy(self):
        """Publishes, refuses, rotates and unpublishes, so that every counter moves."""
        self.rounds += 1
        pod = self.publish(f"busy-{self.rounds % 3}")
        pod.must_publish("app", tokens={"nobody": "t"})
        self.make_pod(f"shared-{self.rounds}").must_publish("shared").unpublish()
        self.make_pod("lost").publish("none")
        self.write({**self.values, "password": f"p-{self.rounds}"})
        self.ask_for_refresh()
        time.sleep(1)
        pod.unpublish()
        messages = self.node.messages
        answer = self.node.call("NodeUnpublishVolume", messages.NodeUnpublishVolumeRequest(volume_id="none"),
                                messages.NodeUnpublishVolumeResponse)
        expect_equal(answer.code, "INVALID_ARGUMENT", "an unpublish of no target")


@test
def every_query_of_the_dashboard_has_an_answer(world):
    world.make_csi_driver(tokenRequests=[{"audience": "vault"}])
    world.make_class("failing", "shop", ["user"])
    world.failing = world.publish("failing", "failing")
    world.cluster.apply({**provider_class("app", "shop", ["user", "password"]), "spec": {
        **provider_class("app", "shop", ["user", "password"])["spec"],
        "secretObjects": [{"secretName": "made", "type": "Opaque",
                           "data": [{"objectName": "password", "key": "password"}]}]}})
    world.steady = world.publish("steady")
    world.start_telling_provider()
    world.told = [world.publish(name, name) for name in ("asked", "ending")] + [world.publish("kept", "shared")]
    world.make_class("failing", "shop", ["nowhere"])
    dashboard = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    open_queries = {name: expr.replace("$__rate_interval", "1m").replace("$instance", ".*")
                    for name, expr in expressions(dashboard)}
    expect(len(open_queries) > 40, f"{len(open_queries)} queries")
    end = time.monotonic() + 90
    while open_queries and time.monotonic() < end:
        world.be_busy()
        open_queries = {name: expr for name, expr in open_queries.items()
                        if not world.prometheus.query(expr)}
    expect_equal(open_queries, {}, "queries without an answer")


@test
def every_rule_can_be_evaluated(world):
    rules = [rule for group in world.prometheus.get("rules")["groups"] for rule in group["rules"]]
    bad = {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"}
    expect(len(rules) > 10, f"{len(rules)} rules")
    expect_equal(bad, {}, "rules that fail")

    def ratio():
        world.be_busy()
        return world.prometheus.query("locket:node_publish_errors:ratio_rate10m")

    share = list(wait_until(ratio, 30, "a ratio of failures").values())[0]
    expect(0 < share < 1, f"a ratio of {share}")


UPSTREAMS = ["k8s_secret_duration_sec", "rotation_reconcile_duration_sec"]


@test
def promtool_has_no_wish_but_two_units(world):
    page = world.text()
    wishes = metric_wishes(page)
    expect_equal(sorted(wishes), UPSTREAMS, f"metrics that promtool would have otherwise: {wishes}")
    expect(all("abbreviated units" in wish for wish in wishes.values()), f"{wishes}")
    names = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE ")]
    expect_equal(len(names), len(set(names)), "metrics told once")


@test
def a_provider_tells_of_its_stores_processes(world):
    """And promtool would have nothing otherwise."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    world.programs.stop("provider")
    world.start_provider(f"--health-addr={address}")
    page = world.page("/metrics", address.rpartition(":")[2])[1]
    expect_equal(metric_wishes(page), {}, "what promtool would have otherwise")
    expect_equal(world.series("locket_provider_worker_up", page), {'{store="file"}': 1}, page)
    expect_equal(world.series("locket_provider_worker_restarts_total", page), {'{store="file"}': 0}, page)


@test
def what_a_provider_says_of_its_store_is_counted_and_its_leases_are_watched(world):
    telling = '{provider="telling"}'
    told = world.fresh("locket_store_calls_total")
    expect(told[telling] >= 2 and told['{provider="file"}'] >= 2, f"calls: {told}")
    expect(world.series("locket_store_logins_total")['{provider="telling",result="ok"}'] >= 1, "logins")
    leases = world.series("locket_store_leases_total")
    expect(leases['{provider="telling",result="new"}'] >= 1 and
           leases['{provider="telling",result="kept"}'] >= 1, f"leases: {leases}")
    ends = world.series("locket_next_expiry_seconds")
    expect(set(ends) == {telling} and -60 < ends[telling] < 0, f"the first end: {ends}")
    expect_equal(world.series("locket_expiring_volumes"), {"": 1}, "volumes whose lease ends")
    labels = 'pod_namespace="shop",pod_name="kept",volume="v",class="shared"'
    expect_equal(set(world.series("locket_volume_version")), {"{" + labels + "}"},
                 "volumes whose versions can be compared")
    cached = world.series("locket_publish_seconds_count")
    expect(cached['{provider="telling",result="ok",cached="true"}'] >= 2, f"publishes: {cached}")
    expect(cached['{provider="file",result="ok",cached="false"}'] >= 1, f"publishes: {cached}")
    reasons = world.series("locket_rotation_total")
    expect(any('result="changed",reason="asked"' in labels for labels in reasons), f"{reasons}")
    for pod in world.told:
        pod.unpublish()


@test
def a_volume_is_told_of_with_its_age_and_what_it_fails_at(world):
    steady = 'pod_namespace="shop",pod_name="steady",volume="v",class="app"'
    failing = 'pod_namespace="shop",pod_name="failing",volume="v",class="failing"'
    told = world.fresh("locket_volume_failures")
    expect(told["{" + failing + ',error_type="GRPCProviderError"}'] > 0, f"failures: {told}")
    expect_equal(told["{" + steady + ',error_type=""}'], 0, "failures of the steady one")
    page = world.text()
    ages, checks = (world.series(f"locket_volume_{what}_age_seconds", page) for what in ("content", "check"))
    expect(checks["{" + failing + "}"] > checks["{" + steady + "}"], f"age of the checks: {checks}")
    expect(ages["{" + failing + "}"] >= checks["{" + failing + "}"], f"age of the content: {ages}")
    expect("{" + failing + "}" in world.series("locket_volume_next_refresh_seconds"), "its next refresh")
    expect_equal(world.series("locket_volume_series_left_out"), {"": 0}, "left out")
    for pod in (world.failing, world.steady):
        pod.unpublish()
    expect_equal(world.fresh("locket_volume_failures"), {}, "series of volumes that left")


@test
def counts_are_those_of_what_was_done(world):
    def count(name):
        return sum(world.fresh(name).values())

    names = ("node_publish_total", "node_unpublish_total", "node_publish_error_total")
    before = {name: count(name) for name in names}
    for i in range(3):
        world.publish(f"counted-{i}").unpublish()
    world.make_pod("lost").publish("none")
    expect_equal([count(name) - before[name] for name in names], [3, 3, 1], "counted")
    expect_equal(world.series("locket_registration"), {'{state="registered"}': 0, '{state="pending"}': 1},
                 "a driver that no kubelet has asked")


@test
def promtool_has_no_wish_where_units_are_spelled_out(world):
    world.restart("--spell-metric-units")
    spelled = [f"{name}onds_count" for name in UPSTREAMS]

    def told():
        world.be_busy()
        page = world.text()
        return page if all(sum(world.series(name, page).values()) > 0 for name in spelled) else None

    page = wait_until(told, 30, "a refresh and a Secret under their spelled names")
    expect_equal(metric_wishes(page), {}, "what promtool would have otherwise")
    expect_equal([name for name in UPSTREAMS if name + " " in page or name + "_" in page], [], "other names")


@test
def of_a_driver_that_is_away_nothing_is_told(world):
    expect(DRIVERS in world.text(), "the driver's metrics")
    world.programs.stop("driver", signal.SIGKILL)
    wait_until(lambda: world.series("locket_agent_ready")['{check="driver"}'] == 0, 50, "the check")
    expect(DRIVERS not in world.text(), "numbers of a driver that is away")
    expect(world.series("locket_agent_driver_silent_seconds")[""] > 20, "its silence")


if __name__ == "__main__":
    run_tests(Watched)
