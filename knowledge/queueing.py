"""The nudges that tell a worker of a document or an index. If the broker is away the row stays queued, and the sweep
sends it again."""

from apex.common.queueing import send

LOST = "the sweep will send it again"


def send_document(document_id) -> None:
    send("knowledge.tasks.read_document", {"document_id": str(document_id)}, lost=LOST)


def send_index(index_id) -> None:
    send("knowledge.tasks.build_index", {"index_id": str(index_id)}, lost=LOST)
