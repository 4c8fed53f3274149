"""Imports as tests bring them, and as a worker runs them."""

from datasets_app import execution, services
from datasets_app.models import DatasetImport
from datasets_app.parts import part_path
from tests.datasets_app.files import chats

BAD = '{"messages": [}\n'


def brought(owner, content=None, **more) -> DatasetImport:
    """An upload that has come whole and waits to be checked."""
    content = (chats(10) if content is None else content).encode()
    imported = services.begin_upload(owner=owner, length=len(content), file_name="help.jsonl", **more)
    part_path(imported.pk).write_bytes(content)
    DatasetImport.objects.filter(pk=imported.pk).update(offset=len(content))
    imported.refresh_from_db()
    services.queue_import(imported=imported)
    return imported


def run(imported) -> DatasetImport:
    execution.execute_import(str(imported.pk))
    imported.refresh_from_db()
    return imported


def text_of(response) -> str:
    """The page's words, white space evened out."""
    return " ".join(response.content.decode().split())
