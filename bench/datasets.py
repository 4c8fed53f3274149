"""Checking a chat file with `manage.py validate_dataset` and its default checks, on one core, whole process.

Peers, in turns on the same rows: `json.loads` per line; `datasets.load_dataset("json")` into a fresh cache; a
validator in its `map`. Our file has FAULTS planted faults that must all be named, and nothing else; the peers get
the same rows without, as `load_dataset` stops at the first. Near-duplicates: datasketch with the same bands.

APEX_BENCH_MB (1000): size of the files. APEX_BENCH_LARGE_MB (0, no such run): size of one more, for memory.
"""

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.chat_files import WORDS, plant, write_clean
from bench.figures import figure
from tests.stack import ROOT

MB = 1_000_000
SIZE = int(os.environ.get("APEX_BENCH_MB", "1000")) * MB
LARGE = int(os.environ.get("APEX_BENCH_LARGE_MB", "0")) * MB
FAULTS = 200
LOADING = "datasets.load_dataset"
ROUNDS = 3
PINNED = [found, "-c", str(max(os.sched_getaffinity(0)))] if (found := shutil.which("taskset")) else []
# As after the first run of an installed product: its modules are compiled.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def measure() -> Iterator[dict]:
    """Yield the figures of checking for short and long rows, then memory, then near-duplicates."""
    with tempfile.TemporaryDirectory(prefix="apex-bench-") as folder:
        for row_bytes in (600, 2500):
            yield from checking(Path(folder), row_bytes)
        if LARGE:
            yield from memory(Path(folder))
    yield from near_duplicates()


def checking(folder: Path, row_bytes: int) -> Iterator[dict]:
    """MB/s (median of the rounds) and peak memory of everybody."""
    clean, faulty = folder / "clean.jsonl", folder / "faulty.jsonl"
    planted = plant(clean, faulty, write_clean(clean, SIZE, row_bytes), FAULTS)
    seconds: dict[str, list[float]] = {}  # of us first, then of each peer
    memory: dict[str, float] = {}
    for _ in range(ROUNDS):
        for _again in range(3):  # as short as it is, it is easily disturbed
            took, memory["ours"], report = run_ours(faulty)
            compare(report, planted)
            seconds.setdefault("ours", []).append(took)
        for name in ("count_lines", "json_lines", "load_and_map"):
            _, memory[name], output = run("-m", "bench.dataset_peers", name, str(clean))
            told = json.loads(output)
            for peer, value in told.items():
                seconds.setdefault(peer, []).append(value)
    speed = {name: clean.stat().st_size / MB / statistics.median(values) for name, values in seconds.items()}
    words = f"{SIZE // MB} MB, rows of {row_bytes} bytes"
    for peer in list(seconds)[1:]:
        yield figure(f"check {words}", speed["ours"], "MB/s", peer, speed[peer])
    yield figure(
        f"seconds, {words}",
        statistics.median(seconds["ours"]),
        "s",
        LOADING,
        statistics.median(seconds[LOADING]),
    )
    yield figure(f"peak memory, {words}", memory["ours"], "MB", "loading and map", memory["load_and_map"])
    clean.unlink()
    faulty.unlink()


def memory(folder: Path) -> Iterator[dict]:
    """Our peak memory for the large file by that for the usual one."""
    peaks = []
    for size in (LARGE, SIZE):
        path = folder / "large.jsonl"
        write_clean(path, size, 600)
        took, peak, report = run_ours(path)
        assert report["verdict"] == "accept", report["errors"][:3]
        peaks.append((peak, size / MB / took))
        path.unlink()
    yield figure(f"peak memory, {LARGE // MB} MB", peaks[0][0], "MB", f"{SIZE // MB} MB", peaks[1][0])
    yield figure(f"check {LARGE // MB} MB", peaks[0][1], "MB/s", f"{SIZE // MB} MB", peaks[1][1])


def run_ours(path: Path) -> tuple[float, float, dict]:
    took, peak, output = run("manage.py", "validate_dataset", str(path), "--json")
    return took, peak, json.loads(output)


def run(*words: str) -> tuple[float, float, str]:
    """(seconds, peak memory in MB, output) of a Python process on one core."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [*PINNED, sys.executable, *words], cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024 / MB, output


def compare(report: dict, planted: dict[int, str]) -> None:
    """The report names all planted faults, by line and code, and no others."""
    told = {fault["line"]: fault["code"] for fault in report["errors"] + report["warnings"]}
    if told != planted:
        wrong = sorted(set(told.items()) ^ set(planted.items()))[:6]
        raise AssertionError(f"{len(told)} lines named, {len(planted)} planted; differing: {wrong}")


# --- near-duplicates -------------------------------------------------------------------------------------------
ROWS = 8000


def near_duplicates() -> Iterator[dict]:
    """Rows/s and recall of planted pairs; the peer with its own choice of bands for 0.8, then with as many as ours."""
    from datasets_app.checking.near_duplicates import find_near_duplicates

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    texts, pairs = near_texts()
    rows = [{"text": text} for text in texts]
    ours, plain, equal = [], [], []
    for _ in range(3):
        start = time.process_time()
        groups = find_near_duplicates(rows)
        ours.append(time.process_time() - start)
        for taken, options in ((plain, {"threshold": 0.8}), (equal, {"params": (21, 6)})):
            start = time.process_time()
            found = of_datasketch(texts, options)
            taken.append((time.process_time() - start, len(pairs & found) / len(pairs)))
    group_of = {row: number for number, group in enumerate(groups) for row in group}
    recall = sum(one in group_of and group_of[one] == group_of.get(other) for one, other in pairs) / len(
        pairs
    )
    for name, taken in (("datasketch, its own bands", plain), ("datasketch, as many bands", equal)):
        theirs = statistics.median(seconds for seconds, _ in taken)
        yield figure("near-duplicates", ROWS / statistics.median(ours), "rows/s", name, ROWS / theirs)
        yield figure("near-duplicates, recall of planted pairs", recall, "", name, taken[0][1])


def near_texts() -> tuple[list[str], set[tuple[int, int]]]:
    """Texts of 60 to 200 words, and the pairs among them with a similarity of 0.8 or more (runs of three words)."""
    source = random.Random(5)
    vocabulary = [f"{word}{number}" for word in WORDS for number in range(30)]
    texts: list[list[str]] = []
    pairs = set()
    for number in range(ROWS):
        if number % 10 != 9:
            texts.append(source.choices(vocabulary, k=source.randint(60, 200)))
            continue
        original = source.randrange(number)
        changed = list(texts[original])
        for _ in range(max(1, len(changed) // 33)):
            changed[source.randrange(len(changed))] = source.choice(vocabulary)
        texts.append(changed)
        one, other = runs(" ".join(texts[original])), runs(" ".join(changed))
        if len(one & other) >= 0.8 * len(one | other):
            pairs.add((original, number))
    return [" ".join(words) for words in texts], pairs


def runs(text: str) -> set[bytes]:
    words = text.lower().split()
    return {" ".join(run).encode() for run in zip(words, words[1:], words[2:], strict=False)}


def of_datasketch(texts: list[str], options: dict) -> set[tuple[int, int]]:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=128, **options)
    signatures = []
    for number, text in enumerate(texts):
        signature = MinHash(num_perm=128)
        signature.update_batch(list(runs(text)))
        index.insert(number, signature)
        signatures.append(signature)
    return {
        (other, number)
        for number, signature in enumerate(signatures)
        for other in index.query(signature)
        if other < number and signature.jaccard(signatures[other]) >= 0.75
    }
