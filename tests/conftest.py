"""Alice owns, Mallory does not."""

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.stack import stack  # noqa: F401 - a fixture for flows and browser tests


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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Whole stacks come first: they take longest, and mostly wait."""
    items.sort(key=lambda item: (item.get_closest_marker("stack") is None, "browser" not in item.path.parts))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return Groups(config, log)


class Groups(LoadScopeScheduling):
    """With several processes: whole stacks one after another in one of them, the rest meanwhile in the other.

    A file's tests stay together for its fixtures, and those that ask the answering server for that server.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        if file.startswith(("tests/flows/", "tests/browser/", "tests/processes/test_up.py")):
            return "stack"
        return "answering" if file.startswith(("tests/serving/", "tests/gateway/")) else file
