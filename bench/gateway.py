"""The gateway against the LiteLLM proxy, both in front of the same server that answers in 0 ms.

Gateway and proxy run on one core each in turn, who asks and who answers on the other; three rounds, turn and turn
about. What they add is their time less that of asking the server directly in the same round. Requests a second of a
core's time are by the processor time that the process took: what else the machine does changes them least.
"""

import contextlib
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.figures import figure
from tests.stack import ROOT, free_port

LITELLM = "1.106.2"
HOME = Path(os.environ.get("APEX_BENCH_DIR", Path(tempfile.gettempdir()) / "apex-bench"))
SECONDS = float(os.environ.get("APEX_BENCH_SECONDS", "4"))
ROUNDS = 3
CHUNKS = 256
MASTER_KEY = "sk-a-key-that-is-long-enough-for-the-proxy"
PEER = f"LiteLLM {LITELLM}"

SET_UP = """
from accounts.models import User
from accounts.services import create_token
from base_models.models import BaseModel
from serving.models import Node
user = User.objects.create_user("bench", password="x", requests_per_minute=10**9, tokens_per_minute=2 * 10**9)
base = BaseModel.objects.create(
    name="bench", display_name="Bench", source="directory", location="/", directory="/", is_on_this_machine=True,
    sha256="0" * 64, context=4096,
)
Node.objects.create(
    name="mock", backend="vllm", address="http://127.0.0.1:{port}", base_model=base, served_name="bench", health="up"
)
print(create_token(user=user, name="bench")[1])
"""


@dataclass
class Served:
    """Something that answers at `port`, with the process whose time counts."""

    name: str
    port: int
    token: str
    process: subprocess.Popen

    @property
    def seconds(self) -> float:
        """Processor time of the process and of those it started."""
        family = [psutil.Process(self.process.pid)]
        family += family[0].children(recursive=True)
        return sum(sum(one.cpu_times()[:2]) for one in family)

    @property
    def megabytes(self) -> float:
        family = [
            psutil.Process(self.process.pid),
            *psutil.Process(self.process.pid).children(recursive=True),
        ]
        return sum(one.memory_info().rss for one in family) / 1024**2


def measure() -> list[dict]:
    """All figures. Raises AssertionError where an answer is wrong, incomplete or out of order."""
    cores = sorted(os.sched_getaffinity(0))
    asking, serving = {cores[0]}, {cores[-1]}
    with tempfile.TemporaryDirectory(prefix="apex-bench-") as folder, contextlib.ExitStack() as stack:
        mock = stack.enter_context(mock_server(asking))
        apex = stack.enter_context(apex_server(Path(folder), mock.port, serving))
        bare = stack.enter_context(bare_server(serving))
        litellm = stack.enter_context(litellm_server(Path(folder), mock.port, serving))
        rounds = [one_round(mock, apex, bare, litellm, asking) for _ in range(ROUNDS)]
        memory = (apex.megabytes, litellm.megabytes)
        seconds_behind = seconds_until_written(Path(folder), sum_of_requests(rounds))
    return [
        *figures(rounds),
        figure("memory after all of it", memory[0], "MB", PEER, memory[1]),
        figure("until every request was written down", seconds_behind, "s", PEER, None),
    ]


def sum_of_requests(rounds: list[dict]) -> int:
    """How many the client counted; it made more while it warmed up."""
    return sum(went["requests"] for seen in rounds for (name, _), went in seen.items() if name == "apex")


def seconds_until_written(folder: Path, requests: int) -> float:
    """Rows may be a few seconds behind the answers, and must all come. Raises AssertionError."""
    begun = time.monotonic()
    while True:
        with contextlib.closing(sqlite3.connect(folder / "data" / "apex.sqlite3")) as database:
            (rows,) = database.execute("SELECT count(*) FROM ledger_usageline").fetchone()
        if rows >= requests:
            return time.monotonic() - begun
        assert time.monotonic() - begun < 30, f"{rows} rows of {requests} requests"
        time.sleep(0.1)


def one_round(mock: Served, apex: Served, bare: Served, litellm: Served, asking: set[int]) -> dict:
    """`{(server, what): how it went}`; `what` is one, many, stream, streams."""
    seen = {}
    for what, stream, at_once in (
        ("one", False, 1), ("many", False, 32), ("stream", True, 1), ("streams", True, 32),
    ):  # fmt: skip
        for served in (mock, apex, litellm, bare):
            if served is bare and stream:
                continue
            begun = served.seconds
            went = ask(served, stream, at_once, asking)
            went["core_seconds"] = served.seconds - begun
            assert went["requests"] and not went["bad"], f"{served.name}, {what}: {went}"
            seen[served.name, what] = went
    # Without a count that we did not ask for, every byte of the server's stream arrives as it was written.
    for what in ("stream", "streams"):
        assert seen["apex", what]["sha256"] == seen["mock", what]["sha256"], "the stream's bytes differ"
    return seen


def ask(served: Served, stream: bool, at_once: int, asking: set[int]) -> dict:
    asked = {
        "port": served.port, "token": served.token, "stream": stream, "at_once": at_once, "seconds": SECONDS,
        "warm_up": 1.0,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "bench.gateway_load.client"], input=json.dumps(asked), capture_output=True,
        text=True, cwd=ROOT, timeout=SECONDS + 180, preexec_fn=lambda: os.sched_setaffinity(0, asking),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def figures(rounds: list[dict]) -> Iterator[dict]:
    """The medians of the rounds, ours beside the peer's."""

    def middle(name: str, what: str, key: str) -> float:
        return statistics.median(seen[name, what][key] for seen in rounds)

    def added(name: str, what: str, key: str) -> float:
        return statistics.median(seen[name, what][key] - seen["mock", what][key] for seen in rounds)

    def rate(name: str, what: str, count: str = "requests", by: str = "seconds") -> float:
        # The client's warm-up is in the processor time and not in the count.
        warm = (SECONDS + 1.0) / SECONDS if by == "core_seconds" else 1.0
        return statistics.median(seen[name, what][count] * warm / seen[name, what][by] for seen in rounds)

    for by, unit in (("seconds", "/s"), ("core_seconds", "/s of a core's time")):
        yield figure(
            "requests, 32 at once", rate("apex", "many", by=by), unit, PEER, rate("litellm", "many", by=by)
        )
    yield figure(
        "requests, 32 at once, against an app of two bytes", rate("apex", "many", by="core_seconds"),
        "/s of a core's time", "uvicorn alone", rate("bare", "many", by="core_seconds"),
    )  # fmt: skip
    for key in ("p50", "p95", "p99"):
        yield figure(
            f"added to a request, {key}", added("apex", "one", key), "ms", PEER, added("litellm", "one", key)
        )
        yield figure(
            f"added to a request, 32 at once, {key}", added("apex", "many", key), "ms", PEER,
            added("litellm", "many", key),
        )  # fmt: skip
    yield figure(
        "a request, p50, against an app of two bytes", middle("apex", "one", "p50"), "ms", "uvicorn alone",
        middle("bare", "one", "p50"),
    )  # fmt: skip
    for key in ("first_p50", "first_p95"):
        yield figure(
            f"added to a stream's first bytes, {key.removeprefix('first_')}", added("apex", "stream", key),
            "ms", PEER, added("litellm", "stream", key),
        )  # fmt: skip
    for by, unit in (("seconds", "/s"), ("core_seconds", "/s of a core's time")):
        yield figure(
            "chunks, 32 streams at once", rate("apex", "streams", "chunks", by), unit, PEER,
            rate("litellm", "streams", "chunks", by),
        )  # fmt: skip


# --- what is measured -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def started(
    name: str, command: list[str], port: int, token: str, cores: set[int], **more
) -> Iterator[Served]:
    """The process on its cores, once its port is open; ended afterwards."""
    process = subprocess.Popen(
        command, cwd=more.pop("cwd", ROOT), stdin=subprocess.DEVNULL, start_new_session=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores), **more,
    )  # fmt: skip
    try:
        wait_for(port, process)
        yield Served(name, port, token, process)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for(port: int, process: subprocess.Popen, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while True:
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"
        if any(
            one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in psutil.net_connections()
        ):
            return
        assert time.monotonic() < deadline, f"{process.args} did not listen at {port} within {seconds} s"
        time.sleep(0.1)


def mock_server(cores: set[int]) -> contextlib.AbstractContextManager[Served]:
    port = free_port()
    command = [sys.executable, "-m", "bench.gateway_load.mock", str(port), str(CHUNKS)]
    return started("mock", command, port, "none", cores, stdout=subprocess.DEVNULL)


def bare_server(cores: set[int]) -> contextlib.AbstractContextManager[Served]:
    port = free_port()
    return started("bare", uvicorn("bench.gateway_load.bare:app", port), port, "none", cores)


@contextlib.contextmanager
def apex_server(folder: Path, mock_port: int, cores: set[int]) -> Iterator[Served]:
    """The site as `manage.py up` starts it, with a token, a limit, a route to a node and rows for what is used."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("APEX_")}
    environment |= {"APEX_DATA_DIR": str(folder / "data"), "APEX_GPUS": "0", "APEX_LOG_LEVEL": "WARNING"}

    def manage(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "manage.py", *words], cwd=ROOT, env=environment, check=True, text=True,
            capture_output=True,
        ).stdout  # fmt: skip

    manage("migrate", "-v0")
    token = manage("shell", "-v0", "-c", SET_UP.format(port=mock_port)).strip()
    with started(
        "apex", uvicorn("apex.asgi:application", port), port, token, cores, env=environment
    ) as served:
        yield served


def uvicorn(app: str, port: int) -> list[str]:
    return [
        sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port), "--no-access-log",
        "--no-proxy-headers", "--no-server-header", "--log-level", "warning",
    ]  # fmt: skip


@contextlib.contextmanager
def litellm_server(folder: Path, mock_port: int, cores: set[int]) -> Iterator[Served]:
    """The proxy with one worker, a key and one model, quiet; nothing that it would not do without being asked."""
    home = litellm_home()
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n"
        "  - model_name: bench\n"
        "    litellm_params:\n"
        f"      {{model: openai/bench, api_base: 'http://127.0.0.1:{mock_port}/v1', api_key: none}}\n"
        f"general_settings: {{master_key: {MASTER_KEY}}}\n"
        "litellm_settings: {set_verbose: false, telemetry: false}\n"
    )
    port = free_port()
    command = [
        str(home / "bin" / "litellm"),
        "--config",
        str(config),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    environment = os.environ | {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION",
    }  # fmt: skip
    with open(folder / "litellm.log", "wb") as log:
        try:
            with started(
                "litellm", [*command, "--num_workers", "1", "--telemetry", "False"], port, MASTER_KEY, cores,
                env=environment, cwd=folder, stdout=log, stderr=log,
            ) as served:  # fmt: skip
                yield served
        except AssertionError:
            print((folder / "litellm.log").read_text()[-3000:], file=sys.stderr)
            raise


def litellm_home() -> Path:
    """An environment of its own with that version; made at the first run, which takes some minutes."""
    home = HOME / f"litellm-{LITELLM}"
    if not (home / "bin" / "litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(home / "bin" / "pip"), "install", "-q", f"litellm[proxy]=={LITELLM}"], check=True)
    return home
