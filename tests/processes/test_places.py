"""Sockets lie in a private folder whose path fits, and the same one is found from every shell."""

import os
import shutil

import pytest

from apex.processes import places


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    yield tmp_path / "data"
    shutil.rmtree(places.runtime_dir(tmp_path / "data"), ignore_errors=True)


def test_each_data_directory_has_a_runtime_directory_of_its_own(tmp_path):
    assert places.runtime_dir(tmp_path / "a") != places.runtime_dir(tmp_path / "b")


def test_a_runtime_directory_is_for_its_owner_only(data):
    folder = places.make_runtime_dir(data)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.stat().st_uid == os.getuid()


def test_another_shell_finds_the_same_runtime_directory(data, tmp_path, monkeypatch):
    folder = places.make_runtime_dir(data)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert places.runtime_dir(data) == folder


def test_the_users_runtime_directory_is_preferred(data, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run")
    if os.access("/run", os.W_OK):
        assert places.runtime_dir(data).parent == places.Path("/run")


def test_a_long_path_is_left_for_a_short_one(data, tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    monkeypatch.setattr(places.tempfile, "gettempdir", lambda: str(deep))
    longest = places.make_runtime_dir(data) / "worker-default.sock"
    assert len(os.fsencode(longest)) < places.SOCKET_PATH_LIMIT


def test_a_folder_that_others_can_open_is_refused(data):
    folder = places.runtime_dir(data)
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(places.UnsafeRuntimeDirectory, match="only you can open"):
        places.make_runtime_dir(data)


def test_a_link_laid_by_someone_else_is_refused(data, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder = places.runtime_dir(data)
    folder.symlink_to(tmp_path / "elsewhere")
    try:
        with pytest.raises(places.UnsafeRuntimeDirectory):
            places.make_runtime_dir(data)
    finally:
        folder.unlink()


def test_the_data_directory_is_var_beside_manage_py_unless_set(monkeypatch, tmp_path):
    monkeypatch.delenv("APEX_DATA_DIR", raising=False)
    assert places.data_dir() == places.ROOT / "var"
    monkeypatch.setenv("APEX_DATA_DIR", str(tmp_path))
    assert places.data_dir() == tmp_path.resolve()


def test_a_removed_runtime_directory_leaves_no_note(data):
    folder = places.make_runtime_dir(data)
    (folder / "broker.sock").touch()
    places.remove_runtime_dir(data)
    assert not folder.exists()
    assert not (data / "runtime-dir").exists()
