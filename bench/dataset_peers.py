"""What others do with the same file, each in a process of its own: `python -m bench.dataset_peers NAME FILE`.

Prints the seconds of its work alone, as JSON by name, without starting Python and importing; for us everything counts.
"""

import json
import sys
import tempfile
import time


def count_lines(path: str) -> dict[str, float]:
    """The least that anybody can do: read, and find the ends of lines."""
    start = time.perf_counter()
    buffer = bytearray(1 << 20)
    lines = 0
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            lines += buffer.count(b"\n", 0, count)
    return {"reading, counting lines": time.perf_counter() - start}


def json_lines(path: str) -> dict[str, float]:
    start = time.perf_counter()
    with open(path, "rb") as file:
        for line in file:
            json.loads(line)
    return {"json.loads per line": time.perf_counter() - start}


def is_good(row: dict) -> dict:
    """The usual validator: roles, order and contents of one row."""
    messages = row["messages"]
    for number, message in enumerate(messages):
        role, content = message["role"], message["content"]
        if role not in ("system", "user", "assistant") or not isinstance(content, str) or not content.strip():
            return {"ok": False, "characters": 0}
        if role == "system" and number:
            return {"ok": False, "characters": 0}
    ends_well = messages[-1]["role"] == "assistant"
    return {"ok": ends_well, "characters": sum(len(message["content"]) for message in messages)}


def load_and_map(path: str) -> dict[str, float]:
    """Loading into a fresh cache, and `map` with the validator over what was loaded."""
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(prefix="apex-bench-cache-") as cache:
        start = time.perf_counter()
        loaded = datasets.load_dataset("json", data_files=path, split="train", cache_dir=cache)
        middle = time.perf_counter()
        checked = loaded.map(is_good)
        end = time.perf_counter()
        assert checked.num_rows and checked[0]["ok"]
        return {"datasets.load_dataset": middle - start, "datasets map of a validator": end - middle}


PEERS = {"count_lines": count_lines, "json_lines": json_lines, "load_and_map": load_and_map}

if __name__ == "__main__":
    print(json.dumps(PEERS[sys.argv[1]](sys.argv[2])))
