"""Connections to checked addresses: what the parent's way out and the hub's child have in common."""

import subprocess
import sys
import threading

import httpcore2
import httpx2
import pytest

from apex.common import pinned
from apex.common.pinned import CheckedAddresses, PinnedBackend
from serving.exports.engine.asked import ExportFailed
from serving.exports.engine.guarded import GuardedTransport
from tests.common.servers import serving


def ask(url: str, checked) -> httpcore2.Response:
    with httpcore2.ConnectionPool(network_backend=PinnedBackend(checked)) as pool:
        return pool.request("GET", url)


class Parent:
    """Says what the parent of a child would: `answers` in turn."""

    def __init__(self, *answers: dict) -> None:
        self.answers, self.asked = list(answers), []

    def ask(self, event: str, **fields):
        self.asked.append((event, fields["url"]))
        return self.answers.pop(0)


def test_a_host_that_was_not_checked_is_not_reached():
    with serving() as server, pytest.raises(httpcore2.ConnectError, match=r"127.0.0.1 was found good"):
        ask(server.gives("/x", b"here"), CheckedAddresses().of)
    assert server.noted == []


def test_addresses_hold_for_their_port_alone():
    with serving() as server:
        checked = CheckedAddresses()
        checked.note("store.example", server.port + 1, ["127.0.0.1"])
        with pytest.raises(httpcore2.ConnectError):
            ask(f"http://store.example:{server.port}/x", checked.of)
        checked.note("store.example", server.port, ["127.0.0.1"])
        server.gives("/x", b"here")
        assert ask(f"http://store.example:{server.port}/x", checked.of).content == b"here"


def test_the_next_address_is_tried_where_nobody_answers_at_the_first():
    with serving() as server:
        server.gives("/x", b"here")
        answer = ask(f"http://store.example:{server.port}/x", lambda host, port: ["127.0.0.9", "127.0.0.1"])
        assert answer.content == b"here"


def test_a_socket_of_this_machine_is_never_reached(tmp_path):
    with (
        httpcore2.ConnectionPool(
            network_backend=PinnedBackend(lambda host, port: ["127.0.0.1"]), uds=str(tmp_path / "socket")
        ) as pool,
        pytest.raises(httpcore2.ConnectError, match="never leads to a socket"),
    ):
        pool.request("GET", "http://store.example/")


def test_the_host_that_is_known_longest_is_forgotten_first(monkeypatch):
    monkeypatch.setattr(pinned, "MOST_HOSTS", 2)
    checked = CheckedAddresses()
    for host in ("a", "b", "a", "c"):
        checked.note(host, 443, ["192.0.2.1"])
    assert [checked.of(host, 443) for host in "abc"] == [["192.0.2.1"], [], ["192.0.2.1"]]


def test_what_is_noted_anew_by_one_thread_is_never_missing_for_another():
    """The hub's client uploads with several threads, each of which asks before each request."""
    checked, is_over = CheckedAddresses(), threading.Event()
    checked.note("hub.example", 443, ["192.0.2.1"])

    def note_again_and_again() -> None:
        while not is_over.is_set():
            checked.note("hub.example", 443, ["192.0.2.1"])

    noting, before = threading.Thread(target=note_again_and_again), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    noting.start()
    try:
        assert all(checked.of("hub.example", 443) for _ in range(20_000))
    finally:
        is_over.set()
        noting.join()
        sys.setswitchinterval(before)


def test_the_hubs_client_goes_to_what_its_parent_checked_and_asks_anew_each_time():
    with serving() as server:
        server.gives("/x", b"here")
        parent = Parent({"addresses": ["127.0.0.1"]}, {"refused": "It leads inside."})
        with httpx2.Client(transport=GuardedTransport(parent), trust_env=False) as client:
            url = f"http://hub.example:{server.port}/x"
            assert client.get(f"{url}?signature=secret").content == b"here"
            with pytest.raises(ExportFailed, match="It leads inside"):
                client.get(url)
        assert parent.asked == [("may_connect", url)] * 2
        assert len(server.noted) == 1


def test_a_redirect_of_the_hub_is_asked_about():
    with serving() as server:
        server.redirects("/x", "http://inside.example/secret")
        parent = Parent({"addresses": ["127.0.0.1"]}, {"refused": "It leads inside."})
        client = httpx2.Client(transport=GuardedTransport(parent), trust_env=False, follow_redirects=True)
        with client, pytest.raises(ExportFailed, match="It leads inside"):
            client.get(f"http://hub.example:{server.port}/x")
        assert parent.asked[1] == ("may_connect", "http://inside.example/secret")


def test_the_child_that_makes_exports_loads_no_django():
    words = (
        "import sys; import serving.exports.engine.__main__, serving.exports.engine.guarded; "
        "print([name for name in ('django', 'celery', 'aiohttp', 'apex.common.fetch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
