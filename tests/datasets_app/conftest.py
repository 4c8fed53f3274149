import sys

import pytest
from celery import current_app
from django.core.files.uploadedfile import SimpleUploadedFile

from datasets_app import execution, making, services
from tests.datasets_app.files import chats


@pytest.fixture(autouse=True)
def own_storage(settings, tmp_path):
    """Stored files of one test are not those of another."""
    settings.STORAGES = {
        **settings.STORAGES,
        "artifacts": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "artifacts"},
        },
    }
    settings.ARTIFACT_CACHE = tmp_path / "cache"
    return tmp_path / "artifacts"


@pytest.fixture
def upload():
    """An uploaded file from text or bytes."""

    def make(content=None, name="help desk.jsonl"):
        content = chats(10) if content is None else content
        return SimpleUploadedFile(name, content.encode() if isinstance(content, str) else content)

    return make


@pytest.fixture
def version(db, alice):
    return services.create_dataset(owner=alice, name="Help desk", text=chats(10))


@pytest.fixture
def dataset(version):
    return version.dataset


@pytest.fixture
def own_folder(settings, tmp_path):
    """An upload folder of the test's own."""
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "uploads"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    return settings.FILE_UPLOAD_TEMP_DIR


@pytest.fixture
def sent(monkeypatch):
    """Nudges that would have gone to the queue: ids of imports."""
    nudges = []
    monkeypatch.setattr(current_app, "send_task", lambda name, kwargs: nudges.append(kwargs["import_id"]))
    return nudges


@pytest.fixture
def here(monkeypatch):
    """The child's work is done in this process, which has the test's database."""
    monkeypatch.setattr(execution, "supervise", making.bring)


@pytest.fixture
def child_says(monkeypatch, tmp_path):
    """`child_says("sys.exit(3)")`: the child runs these lines in place of making a version."""

    def set_script(lines: str) -> None:
        script = tmp_path / "child.py"
        script.write_text(f"import os, signal, sys, time\n{lines}\n")
        monkeypatch.setattr(execution, "CHILD", [sys.executable, str(script)])

    return set_script
