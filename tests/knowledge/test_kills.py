"""A worker that is killed while it reads loses nothing and doubles nothing. `python -m bench knowledge` kills 100."""

import pytest
from django.db import connection

from bench.knowledge_kills import strike

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="a fork would share the connection to the server")
def test_nothing_is_lost_when_the_worker_is_killed_again_and_again(alice, settings):
    settings.DOCUMENT_SILENT_SECONDS = settings.DOCUMENT_TRIES = settings.DOCUMENTS_WAITING_AT_MOST = None
    seen = strike(kills=6, documents=4, owner=alice)
    assert seen.wrong == 0 and seen.struck >= 1
