"""Kills the worker of knowledge while it reads documents, again and again, and counts what is lost or doubled.

The worker is a fork of this process that reads one document after another, as a worker does; it is ended by SIGKILL
at a moment drawn at random. Between kills a search by another process's index must give exactly what is committed.
"""

import os
import random
import signal
import time
from dataclasses import dataclass

from django.conf import settings
from django.db import connections

from apex.common import files
from knowledge import execution, leases, services, sweeping
from knowledge.models import Chunk, Document, DocumentStatus, IndexBlock, KnowledgeBase
from knowledge.stores import built_in

PARAGRAPHS = 40


@dataclass
class Seen:
    kills: int = 0
    struck: int = 0  # documents that were at work when it was killed
    wrong: int = 0  # pieces lost, doubled, or without their document


def strike(*, kills: int, documents: int, seed: int = 11, owner=None) -> Seen:
    """Needs a database with tables. What is wrong is counted after each kill and at the end."""
    from accounts.models import User

    settings.DOCUMENT_SILENT_SECONDS = -1  # whoever sweeps here knows that the worker is dead
    settings.DOCUMENT_TRIES = 10**6
    draw = random.Random(seed)
    owner = owner or User.objects.create_user("struck", password="x")
    base = services.create_base(
        owner=owner, name="Struck", embedding="words", chunk_size=300, chunk_overlap=0
    )
    settings.DOCUMENTS_WAITING_AT_MOST = 10**6
    for number in range(documents):
        text = "\n\n".join(f"Token{number}x{part} is paragraph {part}. " * 6 for part in range(PARAGRAPHS))
        services.add_file(base=base, name=f"{number}.txt", stored=files.put_bytes(text.encode()))
    seen, store = Seen(), built_in.BuiltIn()
    while seen.kills < kills:
        if not Document.objects.exclude(status=DocumentStatus.READY).exists():
            reset(base)
        worker = fork()
        time.sleep(draw.uniform(0.02, 0.8))
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
        seen.kills += 1
        seen.struck += Document.objects.filter(status=DocumentStatus.READING).exists()
        seen.wrong += wrong_in(base, store)
        sweeping.sweep()
    work()
    seen.wrong += wrong_in(base, store) + Document.objects.exclude(status=DocumentStatus.READY).count()
    return seen


def reset(base: KnowledgeBase) -> None:
    """All are read: they are brought once more, as next versions."""
    for document in Document.objects.filter(knowledge_base=base):
        services.add_file(
            base=base, name=document.name, stored=files.Stored(document.source_sha256, document.size)
        )


def fork() -> int:
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def work() -> None:
    """What a worker does, until nothing waits."""
    while (row := leases.next_in_line()) is not None:
        execution.execute_document(str(row.pk))


def wrong_in(base: KnowledgeBase, store: built_in.BuiltIn) -> int:
    """Differences between documents, pieces, blocks, and an index that was caught up through all the kills."""
    index = base.active_index
    wrong = 0
    expected: set[int] = set()
    for document in Document.objects.filter(knowledge_base=base):
        numbers = set(Chunk.objects.filter(document=document).values_list("number", flat=True))
        packed = {
            number
            for first, count in IndexBlock.objects.filter(document=document).values_list(
                "first_number", "count"
            )
            for number in range(first, first + count)
        }
        is_ready = document.status == DocumentStatus.READY
        wrong += len(numbers ^ packed) + abs(len(numbers) - (document.chunk_count if is_ready else 0))
        expected |= numbers
    wrong += abs(index.chunk_count - len(expected))
    ready = Document.objects.filter(knowledge_base=base, status=DocumentStatus.READY).values_list(
        "name", flat=True
    )
    wrong += len(ready) - len(set(ready))
    for searched in (store, built_in.BuiltIn()):
        found = searched.best_words(index, "paragraph", 10**6)
        wrong += len({number for number, _score in found} ^ expected)
    return wrong
