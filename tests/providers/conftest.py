"""Master keys of the tests' own, and the way to servers on this machine."""

import pytest

from providers.backends.common import NOT_TAKEN
from tests.providers.adapters import KINDS, Made
from tests.providers.fake_anthropic import FakeAnthropic
from tests.providers.fake_ollama import FakeOllama
from tests.providers.fake_openai import FakeOpenAI
from tests.providers.fakes import running

MASTER = "m" * 40


@pytest.fixture
def master(settings):
    settings.SECRET_KEYS = MASTER
    NOT_TAKEN.clear()


@pytest.fixture
def openai():
    with running(FakeOpenAI()) as fake:
        yield fake


@pytest.fixture
def anthropic():
    with running(FakeAnthropic()) as fake:
        yield fake


@pytest.fixture
def ollama():
    with running(FakeOllama()) as fake:
        yield fake


@pytest.fixture
def here_is_allowed(settings):
    """The house lets its users ask this machine."""
    settings.ALLOWED_HOSTS_OUT = ["127.0.0.1"]


@pytest.fixture
def root(django_user_model):
    return django_user_model.objects.create_superuser("root", password="correct horse battery")


@pytest.fixture(scope="module", params=list(KINDS))
def server(request):
    """Each adapter's stand-in, one for a module."""
    with running(KINDS[request.param][0]()) as fake:
        yield Made(request.param, fake)


@pytest.fixture
def made(server):
    """The same as new."""
    fake = server.fake
    fake.script.clear()
    fake.seen.clear()
    fake.split, fake.pause, fake.left, fake.dress = 0, 0.0, 0, list
    NOT_TAKEN.clear()
    return server
