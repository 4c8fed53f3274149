"""Knowledge bases: what is found, how fast, beside whom; and that nothing is lost when the worker is killed.

Vectors are 100,000 of 384 numbers in clusters, as meanings lie. Ours and ChromaDB, which is installed at the first
run in an environment of its own (`APEX_BENCH_DIR`), are asked in turn, each by one asker, on one core. Ours is asked
as a search asks it, with the look at the index's row; ChromaDB over HTTP on loopback, as it is used here. A store
counts only if what it finds are at least 99 of 100 of the ten nearest. What is found is measured with questions about
our own manuals (`knowledge_questions.tsv`: question, manual, words that the right piece holds).
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.figures import figure
from tests.stack import ROOT

CHROMA = "1.5.9"
HOME = Path(os.environ.get("APEX_BENCH_DIR", Path(tempfile.gettempdir()) / "apex-bench"))
PEER = f"ChromaDB {CHROMA}"


def measure() -> list[dict]:
    """All figures. Raises AssertionError where something foreign came back, or something was lost."""
    found = []
    for part in ("quality", "stores", "kills"):
        with tempfile.TemporaryDirectory(prefix="apex-bench-") as folder:
            found += run(part, Path(folder))
    return found


def run(part: str, folder: Path) -> list[dict]:
    """Figures of a part, measured by a process that has a database of its own. Its last line is JSON."""
    environment = os.environ | {
        "APEX_DATA_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "apex.settings.active",
        "APEX_LOG_LEVEL": "ERROR",
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("DATABASE_URL", None)
    words = [sys.executable, "-m", "bench.knowledge_parts", part]
    if part == "stores":
        words.append(str(chroma_program()))
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [figure(*each) for each in json.loads(done.stdout.strip().splitlines()[-1])]


def chroma_program() -> Path:
    """ChromaDB's own server, installed where it is not there yet."""
    given = os.environ.get("APEX_CHROMA_PROGRAM")
    if given:
        return Path(given)
    place = HOME / f"chroma-{CHROMA}"
    program = place / "bin" / "chroma"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(place / "bin" / "pip"), "install", "-q", f"chromadb=={CHROMA}"], check=True)
    return program
