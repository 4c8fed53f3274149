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


def pytest_collection_modifyitems(items):
    """Browser tests come last: Playwright keeps an event loop on the main thread, and no other can run there."""
    items.sort(key=lambda item: "browser" in item.path.parts)
