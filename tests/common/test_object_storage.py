"""Files in a bucket, by the settings that `docs/deploy.md` has: stored, found, read back, damaged and let go."""

import re
from pathlib import Path

import pytest

from apex.common import files
from tests.datasets_app.stores import s3_server

ROOT = Path(__file__).parents[2]
KEYS = {"access_key": "admin-key", "secret_key": "admin-secret", "region_name": "us-east-1"}


@pytest.fixture
def bucket(settings, tmp_path):
    """A real S3's answers; the storage is named as in the guide, with the address and keys of the test's own."""
    guide = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    (told,) = re.findall(r'^    "artifacts": (\{"BACKEND": "storages.*\}),$', guide, re.MULTILINE)
    named = eval(told, {"__builtins__": {}})
    assert named["BACKEND"] == "storages.backends.s3.S3Storage"
    with s3_server() as s3:
        s3.client.create_bucket(Bucket=named["OPTIONS"]["bucket_name"])
        named["OPTIONS"] |= KEYS | {"endpoint_url": s3.url}
        settings.STORAGES = settings.STORAGES | {"artifacts": named}
        settings.ARTIFACT_CACHE = tmp_path / "cache"
        yield s3, named["OPTIONS"]["bucket_name"]


def test_files_are_kept_in_a_bucket_and_come_back_checked(bucket, tmp_path, settings):
    s3, name = bucket

    def keys() -> list[str]:
        return [each["Key"] for each in s3.client.list_objects_v2(Bucket=name).get("Contents", [])]

    content = bytes(range(256)) * 40_000  # 10 MB: sent in parts
    (tmp_path / "weights").write_bytes(content)
    stored = files.put_file(tmp_path / "weights")
    assert keys() == [files.storage_name(stored.sha256)] and stored.size == len(content)
    # The same bytes are kept once, also when they come another way.
    assert files.put_bytes(content) == stored and len(keys()) == 1
    assert files.local_path(stored.sha256).read_bytes() == content
    with files.open_stored(stored.sha256) as there:
        assert there.read(10) == content[:10]
    # What was cut off on its way is written again; what is damaged is never handed on.
    key = files.storage_name(stored.sha256)
    s3.put(name, key, content[:1000])
    assert files.put_file(tmp_path / "weights") == stored and keys() == [key]
    s3.put(name, key, b"x" * len(content))
    settings.ARTIFACT_CACHE = tmp_path / "another machine"
    with pytest.raises(files.Damaged):
        files.local_path(stored.sha256)
    files.delete_stored(stored.sha256)
    assert keys() == []
    with pytest.raises(FileNotFoundError):
        files.local_path(stored.sha256)
    # A directory, as adapters are.
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    kept = files.put_directory(tmp_path / "adapter")
    assert (files.local_directory(kept.sha256) / "adapter_config.json").read_text() == "{}"
    with pytest.raises(files.Damaged):
        files.fetch_directory("0" * 64, tmp_path / "nothing")
