"""What a scribe that falls behind costs: octets, which are counted to the last one, or with --lossless time."""

import os
import threading

import pytest
from lab import events, overt, still
from lab.proc import eventually

pytestmark = overt.requires("proxy --ring --lossless --pcapng --jsonl")

SIZE = 8_000_000


@pytest.fixture
def body(nginx):
    data = os.urandom(SIZE)
    nginx.file("behind", data)
    return data


def _while_the_scribe_stands_still(one, nginx, meanwhile):
    scribe, = one.members("scribe")
    assert one.curl(f"https://site.test:{nginx.port}/").status == 200
    one.wait_event(events.is_close(), "a flow that the scribe has seen to its end")
    still.stop(scribe)
    try:
        meanwhile(scribe)
    finally:
        still.go_on(scribe)


def _last_close(one):
    return eventually(lambda: [e for e in one.events() if events.is_close()(e)][1:], "the flow's end")[0]


def test_without_lossless_the_client_does_not_wait_and_what_is_lost_is_told(proxy, nginx, folder, body):
    one = proxy("--workers", "1", "--ring", "256KiB", "--pcapng", folder / "out.pcapng")

    def fetch(_):
        got = one.curl(f"https://site.test:{nginx.port}/files/behind", body_to=folder / "got")
        assert got.status == 200 and (folder / "got").read_bytes() == body
    _while_the_scribe_stands_still(one, nginx, fetch)
    close = _last_close(one)
    missing = close["missing_octets"]["down"]
    assert SIZE / 2 < missing <= close["plain_octets"]["down"], close
    gaps = [e for e in events.of_flow(one.events(), close["flow"]) if events.kind(e) == "gap"]
    assert sum(g["octets"] for g in gaps if g["direction"] == "down") == missing
    assert {g["why"] for g in gaps} == {"ring-full"}


def test_with_lossless_the_client_waits_and_nothing_is_left_out(proxy, nginx, folder, body):
    one = proxy("--workers", "1", "--ring", "256KiB", "--lossless", "--pcapng", folder / "out.pcapng")
    pending = []

    def fetch(scribe):
        thread = threading.Thread(target=lambda: pending.append(one.curl(
            f"https://site.test:{nginx.port}/files/behind", body_to=folder / "got")))
        thread.start()
        thread.join(1)
        assert thread.is_alive(), "the client had all of it while the scribe stood still"
        still.go_on(scribe)
        thread.join()
    _while_the_scribe_stands_still(one, nginx, fetch)
    assert pending[0].status == 200 and (folder / "got").read_bytes() == body
    close = _last_close(one)
    assert close["missing_octets"] == {"up": 0, "down": 0}, close
    assert not [e for e in one.events() if events.kind(e) == "gap"]
