# SPDX-License-Identifier: Apache-2.0
"""An unpublish that comes while a publish stands still, between fetch and mount and at every other step:
whatever the order of their answers, no mount, record or folder is left."""
import time

import grpc

from world import harness

POINTS = ("publish.claimed", "publish.before_record", "publish.after_record", "publish.before_mount",
          "mount.before", "mount.after", "publish.after_mount", "fetch.begin", "fetch.before_call",
          "fetch.after_call", "fetch.end", "write.begin", "write.after_create", "write.before_rename",
          "write.after_rename", "write.done", "publish.before_published", "publish.after_published")
ANSWER_MS = 2000  # it waits for a write, never for a store; how fast: test_driver.py


def unpublish(world, pod):
    """NodeUnpublishVolume: its code, and how long it took."""
    messages = world.node.messages
    request = messages.NodeUnpublishVolumeRequest(
        volume_id=pod.volume_id, target_path=str(pod.target))
    began = time.monotonic()
    answer = world.node.call("NodeUnpublishVolume", request, messages.NodeUnpublishVolumeResponse)
    return answer.code, (time.monotonic() - began) * 1000


def race(world, standing, point, delay_ms):
    """One meeting. Returns the publish's code."""
    pod = world.pod()
    world.plan(f"{point}=delay:{delay_ms}")
    call = pod.begin_publish("app")
    harness.wait_until(world.strikes, 5, f"a publish at {point}")
    code, took_ms = unpublish(world, pod)
    harness.expect_equal(code, "OK", "the unpublish")
    harness.expect(took_ms < ANSWER_MS, f"the unpublish took {took_ms:.0f} ms")
    harness.expect(not pod.target.exists(), "the target is there after the unpublish's answer")
    published = call.exception(timeout=10)
    code = published.code() if published else grpc.StatusCode.OK
    world.calm()
    harness.expect(not pod.target.exists(), f"the target is there after the publish's {code.name}")
    harness.wait_until(lambda: not world.volumes(), 5, "an empty table")
    standing.check()
    return code.name


def races(world, standing, count, random):
    """So many of them. Their sums: by the publish's code, and how many failed."""
    met = {"count": 0, "failed": 0, "codes": {}}
    world.write({"user": "joe", "password": "old"})
    world.write_class("app", ["user", "password"])
    for i in range(count):
        point = POINTS[i % len(POINTS)]
        met["count"] += 1
        try:
            code = race(world, standing, point, random.choice((2, 5, 10, 30)))
            met["codes"][code] = met["codes"].get(code, 0) + 1
        except Exception as why:  # pylint: disable=broad-except
            met["failed"] += 1
            print(f"FAIL an unpublish that meets a publish at {point}: {why}", flush=True)
            if met["failed"] >= 5:
                break
            world.kill()
            standing.clear()
            harness.expect(world.start(), "no start after a failed race")
    return met
