"""The processes of `bench.knowledge` that have the database: `python -m bench.knowledge_parts PART`."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import django
from celery import current_app

django.setup()

import httpx2  # noqa: E402
import numpy as np  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402

from accounts.models import User  # noqa: E402
from apex.common import files  # noqa: E402
from bench import knowledge_kills  # noqa: E402
from bench.knowledge import PEER  # noqa: E402
from knowledge import execution, leases, services  # noqa: E402
from knowledge.models import Document, IndexBlock, KnowledgeBase, KnowledgeIndex  # noqa: E402
from knowledge.packing import pack_vectors, pack_words  # noqa: E402
from knowledge.retrieval import search  # noqa: E402
from knowledge.stores import built_in, chroma, kept  # noqa: E402
from providers.services import create_key  # noqa: E402
from tests.stack import ROOT, free_port  # noqa: E402

VECTORS = int(os.environ.get("APEX_BENCH_VECTORS", "100000"))
FOREIGN = int(os.environ.get("APEX_BENCH_FOREIGN", "100000"))
KILLS = int(os.environ.get("APEX_BENCH_KILLS", "100"))
DIMENSION, CLUSTERS, SPREAD = 384, 1000, 0.7
QUESTIONS, ROUNDS, OWNERS = 500, 3, 100


def no_queue() -> None:
    current_app.send_task = lambda *words, **more: None


# --- what is found ------------------------------------------------------------------------------------------------
def quality() -> list[tuple]:
    rows = [
        line.split("\t") for line in (ROOT / "bench" / "knowledge_questions.tsv").read_text().splitlines()
    ]
    owner = User.objects.create_user("bench", password="x")
    base = services.create_base(owner=owner, name="Manuals", embedding="minilm")
    for name in sorted({manual for _question, manual, _words in rows}):
        stored = files.put_file(ROOT / "docs" / name)
        execution.execute_document(str(services.add_file(base=base, name=name, stored=stored).pk))
    assert not Document.objects.exclude(status="ready").exists()
    figures = []
    results = {way: [ranks_of(base, *row, way) for row in rows] for way in ("words", "meaning", "hybrid")}
    scores = (
        ("recall at 1", hit_within(1)),
        ("recall at 5", hit_within(5)),
        ("mean reciprocal rank", reciprocal),
    )
    for name, score in scores:
        by_way = {way: float(np.mean([score(rank) for rank in ranks])) for way, ranks in results.items()}
        label = f"{name}, {len(rows)} questions, {base.active_index.chunk_count} pieces"
        for way in ("words", "meaning"):
            figures.append((label, by_way["hybrid"], "", f"{way} alone", by_way[way]))
    return figures + reranked(base, rows, results["hybrid"], scores)


def reranked(base: KnowledgeBase, rows: list, fused: list, scores) -> list[tuple]:
    """The same with a reranker behind it, where `APEX_BENCH_RERANKER` names one: the address of a server and, behind a
    space, its model."""
    address, _space, model = os.environ.get("APEX_BENCH_RERANKER", "").partition(" ")
    if not address:
        return []
    settings.ALLOWED_HOSTS_OUT = [urlsplit(address).hostname]
    create_key(owner=base.owner, provider="custom", name="bench", base_url=address)
    services.change_base(base=base, rerank_provider="custom", rerank_model=model)
    ranks = [ranks_of(base, *row, "hybrid") for row in rows]
    return [
        (f"{name}, reranked by {model}", float(np.mean([score(rank) for rank in ranks])), "", "fused alone",
         float(np.mean([score(rank) for rank in fused])))
        for name, score in scores
    ]  # fmt: skip


def ranks_of(base: KnowledgeBase, question: str, manual: str, words: str, way: str) -> int | None:
    """Rank of the first piece that holds the words, from 1; None if it is not among ten."""
    for rank, passage in enumerate(search([base], question, 10, way=way), start=1):
        if passage.document_name == manual and words in passage.text:
            return rank
    return None


def hit_within(most: int) -> Callable[[int | None], float]:
    return lambda rank: float(rank is not None and rank <= most)


def reciprocal(rank: int | None) -> float:
    return 1 / rank if rank else 0.0


# --- stores -----------------------------------------------------------------------------------------------------
def stores(program: str) -> list[tuple]:
    core = max(os.sched_getaffinity(0))
    asker = {min(os.sched_getaffinity(0))}  # ChromaDB has the other core for itself
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(CLUSTERS, DIMENSION)).astype("f4")
    vectors, questions = near(centres, VECTORS, rng), near(centres, QUESTIONS, rng)
    truth = [set(np.argpartition(-(vectors @ question), 10)[:10].tolist()) for question in questions]
    owner = User.objects.create_user("bench", password="x")
    with running_chroma(program, {core}):
        ours, theirs = empty_index(owner, "ours", "built_in"), empty_index(owner, "theirs", "chroma")
        os.sched_setaffinity(0, {core})
        rates = {"built_in": ingest(ours, vectors, questions[0])}
        os.sched_setaffinity(0, asker)
        rates["chroma"] = ingest(theirs, vectors, questions[0])
        speeds: dict[str, list[float]] = {"built_in": [], "chroma": []}
        recalls = {}
        for _round in range(ROUNDS):
            for name, store, index in (("built_in", built_in.STORE, ours), ("chroma", chroma.STORE, theirs)):
                os.sched_setaffinity(0, {core} if name == "built_in" else asker)
                speed, recalls[name] = asked(store, index, questions, truth)
                speeds[name].append(speed)
    assert recalls["built_in"] >= 0.99, recalls
    from_rows, from_copy = opening(ours, questions[0])
    speed = float(np.median(speeds["built_in"]))
    return [
        (f"questions a second, {VECTORS:,} vectors", speed, "/s", PEER, float(np.median(speeds["chroma"]))),
        ("recall at 10 of it", recalls["built_in"], "", PEER, recalls["chroma"]),
        ("vectors a second until they are found", rates["built_in"], "/s", PEER, rates["chroma"]),
        (f"opening an index of {VECTORS:,} from its copy", from_copy, "s", "from its rows", from_rows),
        *many_owners(vectors, questions, speed),
    ]


def opening(index: KnowledgeIndex, question: np.ndarray) -> tuple[float, float]:
    """Seconds until a process that starts has its first answer by words and by meaning: without a copy on disk, which
    it makes then, and with it (the median of three)."""
    kept.drop(index.pk)
    seconds = []
    for _start in range(4):
        fresh, begun = built_in.BuiltIn(), time.monotonic()
        fresh.nearest(index, question, 10)
        fresh.best_words(index, "w5 w700 w2000", 10)
        seconds.append(time.monotonic() - begun)
        assert kept.head_of(index.pk) is not None
    return seconds[0], sorted(seconds[1:])[1]


@cache
def pieces_of_words() -> bytes:
    """Of a thousand pieces with 190 words each, frequent and rare ones as in a language."""
    rng, often = np.random.default_rng(5), 1 / np.arange(1, 60_001) ** 1.05
    drawn = rng.choice(60_000, (1000, 190), p=often / often.sum())
    return pack_words([" ".join(f"w{word}" for word in piece) for piece in drawn])


def near(centres: np.ndarray, count: int, rng) -> np.ndarray:
    found = centres[rng.integers(0, len(centres), count)] + SPREAD * rng.normal(size=(count, DIMENSION))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype("f4")


def empty_index(owner, name: str, store: str) -> KnowledgeIndex:
    base = services.create_base(owner=owner, name=name, embedding="words", store=store)
    Document.objects.create(owner=owner, knowledge_base=base, name=name, status="ready")
    return base.active_index


def ingest(index: KnowledgeIndex, vectors: np.ndarray, question: np.ndarray) -> float:
    """Vectors a second: committed as rows, a block at a time, and given to the store until a question finds them.

    Ours takes in the pieces' words as well, which ChromaDB is not given.
    """
    document = Document.objects.get(knowledge_base=index.knowledge_base)
    words = pieces_of_words()
    store = {"built_in": built_in.STORE, "chroma": chroma.STORE}[index.store]
    begun = time.monotonic()
    for begin in range(0, len(vectors), 1000):
        some = vectors[begin : begin + 1000]
        with transaction.atomic():
            locked = leases.lock_index(index.pk)
            first = leases.take_numbers(locked, len(some), dimension=DIMENSION)
            IndexBlock.objects.create(
                index=index, document=document, first_number=first, count=len(some), vectors=pack_vectors(some),
                words=words if len(some) == 1000 else pack_words([""] * len(some)),
            )  # fmt: skip
    index.refresh_from_db()
    store.nearest(index, question, 10)
    return len(vectors) / (time.monotonic() - begun)


def asked(store, index: KnowledgeIndex, questions: np.ndarray, truth: list[set]) -> tuple[float, float]:
    """Questions a second, and the share of the ten nearest that were found."""
    begun = time.monotonic()
    found = [store.nearest(index, question, 10) for question in questions]
    seconds = time.monotonic() - begun
    hits = sum(
        len({number - 1 for number, _score in each} & right) for each, right in zip(found, truth, strict=True)
    )
    return len(questions) / seconds, hits / (10 * len(questions))


def many_owners(vectors: np.ndarray, questions: np.ndarray, alone: float) -> list[tuple]:
    """The same vectors among a hundred people: what the separation costs, and whether anything foreign comes back.

    A foreign vector would have another cosine with the question than the one of that number of the owner's own.
    """
    share = len(vectors) // OWNERS
    indexes, own = [], []
    for number in range(OWNERS):
        owner = User.objects.create_user(f"owner{number}", password="x")
        index = empty_index(owner, "own", "built_in")
        mine = vectors[number * share : (number + 1) * share]
        ingest(index, mine, questions[0])
        indexes.append(index)
        own.append(mine)
    begun = time.monotonic()
    for turn in range(QUESTIONS * ROUNDS):
        built_in.STORE.nearest(indexes[turn % OWNERS], questions[turn % QUESTIONS], 10)
    split = QUESTIONS * ROUNDS / (time.monotonic() - begun)
    foreign = 0
    for turn in range(FOREIGN):
        who, question = turn % OWNERS, questions[(turn * 7) % QUESTIONS]
        for place, score in built_in.STORE.nearest(indexes[who], question, 10):
            foreign += not (1 <= place <= share and abs(float(own[who][place - 1] @ question) - score) < 2e-3)
    assert foreign == 0, foreign
    return [
        (
            f"time of a question to one of {OWNERS} owners' own",
            1000 / split,
            "ms",
            "all in one index",
            1000 / alone,
        ),
        (f"foreign hits in {FOREIGN:,} questions", foreign, "", "allowed", 0),
    ]


class running_chroma:  # noqa: N801 - used as a function
    """ChromaDB's server on a free port and on `cores`; the settings lead to it."""

    def __init__(self, program: str, cores: set[int]) -> None:
        self.words, self.cores, self.port = program, cores, free_port()

    def __enter__(self) -> None:
        place = str(Path(settings.DATA_DIR) / "chroma")
        words = [self.words, "run", "--path", place, "--host", "127.0.0.1", "--port", str(self.port)]
        environment = os.environ | {"ANONYMIZED_TELEMETRY": "False"}
        self.process = subprocess.Popen(
            words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, self.cores),
        )  # fmt: skip
        settings.CHROMA_URL = f"http://127.0.0.1:{self.port}"
        for _try in range(300):
            try:
                httpx2.get(f"{settings.CHROMA_URL}/api/v2/heartbeat", trust_env=False)
                return
            except httpx2.HTTPError:
                time.sleep(0.1)
        raise AssertionError("ChromaDB does not start")

    def __exit__(self, *problem) -> None:
        self.process.kill()
        self.process.wait()


def kills() -> list[tuple]:
    seen = knowledge_kills.strike(kills=KILLS, documents=max(30, KILLS))
    return [
        (
            f"pieces lost or doubled in {seen.kills} kills while documents are read",
            seen.wrong,
            "",
            "allowed",
            0,
        ),
        ("documents that were at work when the worker was killed", seen.struck, "", "kills", seen.kills),
    ]


def main() -> None:
    call_command("migrate", verbosity=0)
    no_queue()
    parts = {"quality": quality, "stores": stores, "kills": kills}
    print(json.dumps(parts[sys.argv[1]](*sys.argv[2:])))


if __name__ == "__main__":
    main()
