"""Alice owns, Mallory does not."""

import gc
import sys

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests import vllm_beside
from tests.stack import stack  # noqa: F401 - a fixture for flows and browser tests

GUARDS: dict[str, list[str]] = {}  # those that migrations had put up


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):  # noqa: F811
    """Tests empty tables, which the guards of the ledger and of the audit log forbid: their own tests put them back."""
    from django.db import connection

    from apex.common.append_only import TABLES, guards, unprotect

    with django_db_blocker.unblock():
        for table in TABLES:
            GUARDS.setdefault(table, guards(connection, table))
            unprotect(connection, table)


@pytest.fixture
def alice(django_user_model):
    return django_user_model.objects.create_user("alice", password="correct horse battery")


@pytest.fixture
def mallory(django_user_model):
    return django_user_model.objects.create_user("mallory", password="correct horse battery")


@pytest.fixture
def alice_client(client, alice):
    client.force_login(alice)
    return client


@pytest.fixture
def mallory_client(mallory):
    from django.test import Client

    client = Client()
    client.force_login(mallory)
    return client


STACKS = ["flows", "browser"]
ANSWERING, VLLM = "answering", "vllm"


def pytest_runtest_setup():
    """A training in this process lets numbers next to zero be zero from then on; Hypothesis wants them back."""
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)


def pytest_collection():
    """Thousands of tests and what they import stay: the collector rests until they are there, then lets them be."""
    gc.disable()


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """In the order in which the processes take them, so that none of them has much to do when the others are through.

    Whole stacks first: they take longest, and mostly wait. A test that empties the database at its end takes away what
    migrations have filled in: groups with one come after all others that look there. Of those the largest comes early,
    before what needs no database at all; the real vLLM is late, installed by then.
    """
    emptying = {group_of(item.nodeid) for item in items if empties_database(item)}
    looking = {group_of(item.nodeid) for item in items if uses_database(item)}

    def place(item) -> int:
        group = group_of(item.nodeid)
        if group in STACKS:
            return STACKS.index(group)
        if group == ANSWERING:
            return 3
        if group == VLLM:
            return 5
        return 6 if group in emptying else 2 if group in looking else 4

    items.sort(key=place)


def uses_database(item) -> bool:
    fixtures = {"db", "transactional_db", "django_db_setup"}
    return bool(item.get_closest_marker("django_db") or fixtures & set(getattr(item, "fixturenames", ())))


def empties_database(item) -> bool:
    marked = item.get_closest_marker("django_db")
    is_marked = bool(marked and marked.kwargs.get("transaction"))
    return is_marked or "transactional_db" in getattr(item, "fixturenames", ())


def group_of(nodeid: str) -> str:
    """Tests that stay together: a file's for its fixtures, those with a whole stack, those that ask one server."""
    file = nodeid.split("::")[0]
    if file.startswith(("tests/flows/", "tests/processes/test_up.py")):
        return "flows"
    if file.startswith("tests/browser/"):
        return "browser"
    if file.endswith("/test_vllm_short.py"):
        return VLLM
    return ANSWERING if file.startswith(("tests/serving/", "tests/gateway/", "tests/minions/")) else file


def pytest_terminal_summary(terminalreporter):
    vllm_beside.told(terminalreporter)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With several processes: flows one after another in one, the browser in another, the rest in a third."""
    return Groups(config, log)


class Groups(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
