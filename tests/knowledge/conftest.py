import pytest
from celery import current_app

from apex.common import files
from knowledge import execution, services
from knowledge.models import Document


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


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    """Nudges that would have gone to the queue: (task, ids)."""
    nudges = []
    monkeypatch.setattr(current_app, "send_task", lambda name, kwargs: nudges.append((name, kwargs)))
    return nudges


@pytest.fixture
def base(db, alice):
    return services.create_base(owner=alice, name="Harbour", embedding="words")


@pytest.fixture
def bring(base):
    """Brings a document and reads it, as a worker does; the row as it is then."""

    def make(name: str, content: str | bytes, into=None) -> Document:
        stored = files.put_bytes(content.encode() if isinstance(content, str) else content)
        document = services.add_file(base=into or base, name=name, stored=stored)
        execution.execute_document(str(document.pk))
        return Document.objects.get(pk=document.pk)

    return make
