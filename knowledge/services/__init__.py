"""What people ask for: a base, documents in it, another index, and that something goes."""

from knowledge.services.bases import change_base, create_base, delete_base
from knowledge.services.documents import (
    add_file,
    add_upload,
    add_url,
    delete_document,
    limit_mb,
    read_again,
    try_again,
)
from knowledge.services.indexes import call_off_index, reindex, try_index_again
from knowledge.services.refusals import KnowledgeRefused

__all__ = [
    "KnowledgeRefused", "add_file", "add_upload", "add_url", "call_off_index", "change_base", "create_base",
    "delete_base", "delete_document", "limit_mb", "read_again", "reindex", "try_again", "try_index_again",
]  # fmt: skip
