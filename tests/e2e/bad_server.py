#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The same real store behind a proxy that misbehaves: what reaches the files, kubelet and the logs."""
import json
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "lib"), str(HERE.parent / "fakes")]
# pylint: disable=wrong-import-position
import fault_proxy
from fault_proxy import FaultProxy
from harness import expect, expect_equal, run_tests, test, wait_until
from node import mounts_left
from store import COMES_AGAIN, World, children_of, kv2

WAITS_MS = 250  # what an unpublish may take while a store hangs


class BadWorld(World):
    """OpenBao, a proxy before it, and one class that reads through the proxy."""

    def __init__(self, programs):
        super().__init__(programs)
        self.proxy = FaultProxy(self.bao.address, self.bao.ca_file)
        self.kept = self.value("kept")
        self.put("bad", {"user": self.kept})
        self.class_of("bad", [kv2("user", "bad", "user")], vaultAddress=self.proxy.address)

    def published(self, name):
        """A pod with good files, before anything goes wrong."""
        self.proxy.misbehave(None)
        self.put("bad", {"user": self.kept})
        return self.publish(name, "bad")

    def try_publish(self, name, **more):
        pod = self.pod(name)
        return pod, pod.publish("bad", tokens=self.tokens(pod), **more)


def stays_whole(world, name, fault, codes, path="/v1/secret/"):
    pod = world.published(name)
    world.proxy.misbehave(fault, path)
    result = world.node.refresh(pod)
    expect(result["code"] in codes, f"refresh: {result}")
    expect_equal(pod.files(), {"user": world.kept}, "files after the failed refresh")
    other, answer = world.try_publish(name + "-new")
    expect(answer.code in codes, f"publish: {answer}")
    expect(not other.is_mounted(), "the failed publish left its mount")
    expect("\n" not in answer.text and len(answer.text) <= 512, f"not one short line: {answer}")
    world.proxy.misbehave(None)
    world.node.must_refresh(pod, changed=False)
    pod.unpublish()
    return answer


@test
def a_busy_server_is_asked_again_after_the_time_it_named(world):
    world.proxy.misbehave(fault_proxy.busy(1, retry_after="2"))
    pod, answer = world.try_publish("busy-pod")
    expect_equal(answer.code, "OK", answer.text)
    expect_equal(len(world.proxy.seen), 2, "calls")
    expect(world.proxy.seen[1] - world.proxy.seen[0] >= 1.9, "Retry-After was not waited for")
    pod.unpublish()


@test
def a_server_that_stays_busy_means_come_again(world):
    stays_whole(world, "busy", fault_proxy.busy(1000, retry_after="0"), COMES_AGAIN)


@test
def a_body_cut_in_half_is_not_half_a_secret(world):
    stays_whole(world, "cut", fault_proxy.cut, COMES_AGAIN)


@test
def half_a_document_is_not_half_a_secret(world):
    stays_whole(world, "half", fault_proxy.half_json, COMES_AGAIN)


@test
def garbage_in_place_of_json_is_refused(world):
    for body in (b"<html>not a store</html>", b"\x1f\x8b\x08garbage", b"[" * 100_000):
        stays_whole(world, "garbage", fault_proxy.answers(200, body), COMES_AGAIN)


@test
def a_key_twice_and_a_nul_in_a_value_are_refused(world):
    for body in (b'{"data":{"data":{"user":"a","user":"b"},"metadata":{"version":1}}}',
                 b'{"data":{"data":{"user":"a\\u0000b"},"metadata":{"version":1}}}'):
        stays_whole(world, "strict", fault_proxy.answers(200, body), COMES_AGAIN)


@test
def one_redirect_is_followed_and_a_circle_is_not(world):
    pod = world.published("redirect-pod")
    world.class_of("redirected", [kv2("user", "bad", "user")], vaultAddress=world.proxy.address)
    world.proxy.misbehave(fault_proxy.redirects_to(world.bao.address))
    follower = world.pod("follower")
    follower.must_publish("redirected", tokens=world.tokens(follower))
    expect_equal(follower.read("user"), world.kept, "value behind the redirect")
    follower.unpublish()
    pod.unpublish()
    world.proxy.misbehave(fault_proxy.redirects_to(world.proxy.address))
    _, answer = world.try_publish("circle-pod")
    expect(answer.code != "OK", "a redirect in a circle was believed")
    expect(len(world.proxy.seen) <= 6, f"{len(world.proxy.seen)} calls in a circle")


@test
def a_huge_answer_is_cut_off_and_costs_no_memory(world):
    worker = children_of(world.programs.running["provider"].pid)[0]
    answer = stays_whole(world, "huge", fault_proxy.huge(256 << 20),
                         ("RESOURCE_EXHAUSTED", *COMES_AGAIN, "FAILED_PRECONDITION"))
    expect(answer.text, "no text")
    status = pathlib.Path(f"/proc/{worker}/status").read_text(encoding="ascii")
    high = int(status.split("VmHWM:")[1].split()[0])
    expect(high < 128 << 10, f"the worker grew to {high} KiB")


@test
def an_error_that_quotes_the_request_tells_no_token(world):
    world.proxy.misbehave(fault_proxy.echo, "/v1/auth/")
    _, answer = world.try_publish("echo-login-pod")
    expect(answer.code != "OK", "a refused login was a success")
    told(world, answer)
    pod = world.published("echo-read-pod")
    client_tokens = []

    def echo(call):
        client_tokens.append(call.headers["X-Vault-Token"])
        return fault_proxy.echo(call)

    world.proxy.misbehave(echo)
    result = world.node.refresh(pod)
    expect(result["code"] != "OK", "an error was a success")
    world.secrets += client_tokens
    expect(client_tokens, "no call was made")
    for token in client_tokens:
        expect(token not in json.dumps(result), "the client token is in the refresh's answer")
        expect(token not in world.node.ctl("list", "-o", "json"), "it is in locketctl list")
    world.proxy.misbehave(None)
    pod.unpublish()


def told(world, answer):
    for value in world.secrets:
        expect(value not in answer.text, f"a secret is in the text: {answer}")


@test
def a_store_at_a_byte_a_second_ends_with_kubelets_deadline(world):
    world.proxy.misbehave(fault_proxy.one_byte_a_second)
    started = time.monotonic()
    pod, answer = world.try_publish("slow-pod", timeout_s=3)
    expect(answer.code in ("DEADLINE_EXCEEDED", *COMES_AGAIN), f"{answer}")
    expect(time.monotonic() - started < 5, "the deadline passed unnoticed")
    wait_until(lambda: not pod.is_mounted(), 5, "the undoing of the publish")
    world.proxy.misbehave(None)


@test
def an_unpublish_does_not_wait_for_a_store_that_never_answers(world):
    pod = world.published("waiting-pod")
    world.proxy.misbehave(fault_proxy.never)
    hanging = [world.pod(f"hanging-{i}") for i in range(8)]
    calls = [p.begin_publish("bad", tokens=world.tokens(p)) for p in hanging]
    wait_until(lambda: len(world.proxy.seen) >= 4, 10, "fetches that hang")
    for one in (pod, hanging[0], hanging[7]):
        started = time.monotonic()
        one.unpublish()
        took_ms = (time.monotonic() - started) * 1000
        expect(took_ms < WAITS_MS, f"an unpublish took {took_ms:.0f} ms")
    for call, one in zip(calls[1:7], hanging[1:7]):
        call.cancel()
        one.unpublish()
    world.proxy.misbehave(None)
    world.proxy.ended.set()
    wait_until(lambda: not mounts_left(), 10, "the end of all mounts")


@test
def no_value_and_no_token_is_in_a_log_of_ours_after_all_this(world):
    world.programs.expect_in_no_log(world.secrets, ["driver", "provider"])


@test
def our_programs_end_cleanly_after_all_this(world):
    for name in ("driver", "provider"):
        expect_equal(world.programs.stop(name), 0, f"exit status of {name}")
    expect_equal(mounts_left(), [], "mounts")


if __name__ == "__main__":
    run_tests(BadWorld)
