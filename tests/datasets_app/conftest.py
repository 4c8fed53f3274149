import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from datasets_app import services
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
