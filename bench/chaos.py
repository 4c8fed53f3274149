"""Trainings through kills, stops, floods and damage, drawn from a seed; each must end as its undisturbed twin did.

`python -m bench chaos --faults 1000 --seed S --json`, on SQLite. With `APEX_BENCH_POSTGRES=1` on a PostgreSQL server of
its own, to which all connections are cut now and then. The peer, at the same time on a broker of its own: plain
Celery with late acknowledgement, whose sleeping jobs meet a share of the same kinds of faults.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apex.processes.child import die_with_parent
from bench.breaking import faults as table
from bench.breaking.driving import Drive, say
from bench.breaking.owner import Owner
from bench.breaking.rows import Rows
from bench.breaking.schedule import Task, draw, twins
from bench.breaking.site import SETTINGS, Site
from bench.breaking.verdict import Verdict, judge
from bench.figures import figure
from tests import postgres
from tests.stack import ROOT

LORAS = 5
# With fewer there is one real training: loading its libraries takes longer than twenty drills.
FEW_FAULTS = 100
PEER = "plain Celery"
PEER_SHARE = 5  # one fault in so many, at least and at most so many:
PEER_LEAST, PEER_MOST = 12, 60


class Broken(Exception):
    """Something was lost, doubled, stuck or unequal; what was done and what came of it is on standard error."""


def measure(faults: int = 100, seed: int = 1) -> Iterator[dict]:
    """Yields the figures of both; raises `Broken` after the last if ours are not what they must be."""
    folder = Path(tempfile.mkdtemp(prefix="apex-chaos-"))
    peer_faults = max(PEER_LEAST, min(PEER_MOST, faults // PEER_SHARE))
    command = [sys.executable, "-m", "bench.breaking.peer", str(folder / "peer"), str(peer_faults), str(seed)]
    us = os.getpid()
    peer = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: die_with_parent(us)
    )
    try:
        with database() as url, Site(folder / "data", url) as site:
            drive, verdict = run(site, faults, seed)
        theirs = json.loads(peer.communicate(timeout=900)[0])
    finally:
        peer.kill()
        peer.wait()
    yield from figures(drive, verdict, theirs)
    if drive.stuck or not verdict.is_good:
        print(f"The site's folder is kept: {folder}", file=sys.stderr)
        raise Broken(f"seed {seed}; {verdict}")
    shutil.rmtree(folder)


@contextmanager
def database() -> Iterator[str]:
    """The address of a PostgreSQL server that lasts as long as the block; empty for the site's own SQLite file."""
    if os.environ.get("APEX_BENCH_POSTGRES") != "1":
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="apex-pg-") as place, postgres.server(Path(place)) as url:
        yield url


def run(site: Site, faults: int, seed: int) -> tuple[Drive, Verdict]:
    """The twins, then all others under fire. Says what it does on standard error."""
    rows = Rows(site)
    weights = table.kinds_here(
        can_fill=bool(site.disks), can_set_clocks=bool(site.clocks), is_postgres=bool(site.database_url)
    )
    for missing in sorted(set(table.KINDS) - set(weights)):
        say(f"{missing}: cannot be done here (needs root to mount, a C compiler, or PostgreSQL); left out")
    loras = LORAS if faults >= FEW_FAULTS else 1
    tasks = draw(faults, seed, weights, loras=loras, for_lora=table.FOR_LORA)
    with Owner(site, rows) as owner:
        drive = Drive(site, rows, owner, seed)
        drive.add(twins(tasks))
        drive.run()
        say(f"The twins are there; now {faults} faults, seed {seed}:")
        for task in tasks:
            say(f"  {task}")
        drive.add(tasks)
        drive.run()
        drive.settle(2 * float(SETTINGS["APEX_LEASE_SECONDS"]))
    path = site.data / "written.json"
    script = f"from bench.breaking.writing_down import write_down; write_down({str(path)!r})"
    site.manage("shell", "-v0", "-c", script)
    verdict = judge(everything(drive), json.loads(path.read_text()))
    say(f"{len(drive.done)} faults done. Owner: {owner.tries_again} times Try again, {owner.answers_late} answers "
        f"that did not come.\n{verdict}")  # fmt: skip
    return drive, verdict


def everything(drive: Drive) -> list[Task]:
    return [course.task for course in drive.courses.values()]


def figures(drive: Drive, ours: Verdict, theirs: dict) -> Iterator[dict]:
    peer = f"{PEER}, {theirs['trainings']} jobs"
    yield figure("faults", len(drive.done), "faults", peer, theirs["faults"])
    yield figure("trainings", ours.trainings, "trainings", peer, theirs["trainings"])
    yield figure("lost", len(ours.lost), "trainings", peer, theirs["lost"])
    yield figure("doubled", len(ours.doubled), "trainings", peer, theirs["doubled"])
    yield figure("stuck", len(drive.stuck), "trainings", peer, theirs["stuck"])
    # What plain Celery begins again it begins from nothing: it has neither a curve nor a step to be equal in.
    yield figure("unequal", len(ours.unequal), "trainings", peer, None)
    yield figure("resumes beyond step 0", ours.share_of_later_resumes, "of all resumes", peer, 0)
