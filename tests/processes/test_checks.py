"""What is wrong is told before anything starts, with what to do about it."""

import errno
import os
import socket
import subprocess

import pytest

from apex.processes import checks
from tests.stack import free_port


def test_a_taken_port_is_named_with_the_setting_that_changes_it():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(checks.CannotStart) as told:
            checks.check_port("127.0.0.1", port)
    assert f"Port {port} is taken" in str(told.value)
    assert f"process {os.getpid()}" in str(told.value)
    assert f"APEX_PORT={port + 1} make up" in str(told.value)


def test_a_free_port_is_fine():
    checks.check_port("127.0.0.1", free_port())


def test_an_address_of_another_machine_is_told():
    with pytest.raises(checks.CannotStart, match="APEX_HOST is 192.0.2.1"):
        checks.check_port("192.0.2.1", 8000)


@pytest.mark.parametrize("port", [0, -1, 70000])
def test_a_port_that_cannot_be_is_told(port):
    with pytest.raises(checks.CannotStart, match="between 1 and 65535"):
        checks.check_port("127.0.0.1", port)


def test_too_little_room_names_the_disk_and_the_setting(tmp_path):
    with pytest.raises(checks.CannotStart, match=r"MB free; at least \d+ MB are needed. .*APEX_DATA_DIR"):
        checks.check_data_dir(tmp_path, minimum=10**18)


def test_enough_room_makes_the_folder(tmp_path):
    checks.check_data_dir(tmp_path / "new" / "var", minimum=1)
    assert (tmp_path / "new" / "var").is_dir()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte, mounted for the test where we may."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_small_disk_is_refused(small_disk):
    with pytest.raises(checks.CannotStart, match="has 1 MB free|has 0 MB free"):
        checks.check_data_dir(small_disk)


def test_a_disk_that_fills_up_is_told_in_the_same_words(small_disk):
    with pytest.raises(OSError) as raised, open(small_disk / "file", "wb", buffering=0) as file:
        for _ in range(64):
            file.write(b"x" * 2**16)
    assert raised.value.errno == errno.ENOSPC
    assert "is full. Make room, or set APEX_DATA_DIR" in str(checks.explain(raised.value, small_disk))


def test_a_folder_without_permission_is_told():
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    assert "cannot be written to" in str(checks.explain(error, checks.Path("/data")))


def test_two_starts_on_one_data_directory_are_refused(tmp_path):
    (tmp_path / "processes.json").write_text('{"pid": 7, "url": "http://127.0.0.1:8000/"}')
    told = r"already runs on .*process 7, http://127.0.0.1:8000/"
    with checks.take_lock(tmp_path), pytest.raises(checks.CannotStart, match=told):
        checks.take_lock(tmp_path)
    checks.take_lock(tmp_path).close()
