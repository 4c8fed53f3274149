"""Files by hash, on this machine's disk and in a storage that is elsewhere."""

import threading

import pytest
from django.core.files.storage import InMemoryStorage

from apex.common import files


@pytest.fixture
def elsewhere(monkeypatch, settings, tmp_path):
    """A storage without paths, as an object store is, and an empty cache on this machine."""
    storage = InMemoryStorage()
    monkeypatch.setattr(files, "storage", lambda: storage)
    settings.ARTIFACT_CACHE = tmp_path / "cache"
    return storage


def test_the_same_bytes_are_kept_once(tmp_path):
    (tmp_path / "a").write_bytes(b"hello")
    first = files.put_file(tmp_path / "a")
    assert first == files.put_bytes(b"hello")
    assert (first.size, files.local_path(first.sha256).read_bytes()) == (5, b"hello")


def test_what_is_elsewhere_is_fetched_once_and_then_kept(elsewhere):
    stored = files.put_bytes(b"far away")
    path = files.local_path(stored.sha256)
    assert path.read_bytes() == b"far away"
    elsewhere.delete(files.storage_name(stored.sha256))
    assert files.local_path(stored.sha256) == path


def test_a_file_that_changed_on_the_way_is_refused(elsewhere):
    stored = files.put_bytes(b"right")
    name = files.storage_name(stored.sha256)
    elsewhere.delete(name)
    with elsewhere.open(name, "wb") as file:
        file.write(b"wrong")
    with pytest.raises(OSError, match="damaged"):
        files.local_path(stored.sha256)
    assert not (files.settings.ARTIFACT_CACHE / name).exists()


def test_a_directory_comes_back_as_it_was_and_its_hash_says_what_is_in_it(elsewhere, tmp_path):
    folder = tmp_path / "adapter"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.json").write_text("{}")
    (folder / "deep" / "b.txt").write_text("b")
    stored = files.put_directory(folder)
    assert files.put_directory(folder) == stored
    unpacked = files.local_directory(stored.sha256)
    assert (unpacked / "deep" / "b.txt").read_text() == "b"


def test_two_that_unpack_at_once_do_not_disturb_each_other(elsewhere, tmp_path):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "a.json").write_text("{}")
    stored = files.put_directory(tmp_path / "adapter")
    files.local_path(stored.sha256)  # that storage hands one file object to all its readers
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(files.local_directory(stored.sha256))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1 and (found[0] / "a.json").exists()


def test_a_file_that_is_nowhere_says_so():
    with pytest.raises(FileNotFoundError):
        files.local_path("0" * 64)


def test_a_write_that_was_cut_off_is_made_good(elsewhere):
    stored = files.put_bytes(b"the whole of it")
    name = files.storage_name(stored.sha256)
    elsewhere.delete(name)
    with elsewhere.open(name, "wb") as file:
        file.write(b"the wh")
    assert files.put_bytes(b"the whole of it") == stored
    assert files.local_path(stored.sha256).read_bytes() == b"the whole of it"


def test_a_full_disk_leaves_no_half_a_file(elsewhere, monkeypatch):
    kept = []

    def full(name, content):
        kept.append(name)
        with elsewhere.open(name, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(elsewhere, "save", full)
    with pytest.raises(OSError, match="No space"):
        files.put_bytes(b"more than fits")
    assert not elsewhere.exists(kept[0])
