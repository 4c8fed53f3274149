"""Alice owns, Mallory does not."""

import pytest

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


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items):
    """Whole stacks come first and one after another; with two processes the other one takes the rest meanwhile.

    A file's tests stay together for its fixtures, and those of the answering server for that server.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    yield  # pytest-django has its own order for tests with a database; within ours it stays
    items.sort(key=lambda item: (item.get_closest_marker("stack") is None, "browser" not in item.path.parts))


def _group(item):
    if item.get_closest_marker("stack"):
        return "stack"
    if {"serving", "gateway"} & set(item.path.parts):
        return "answering"
    return str(item.path)
