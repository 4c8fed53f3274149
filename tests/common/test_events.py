"""What is announced after a commit never undoes what was committed."""

import pytest
import redis
from django.db import transaction

from accounts.models import User
from apex.common import events

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "problem",
    [redis.ConnectionError("refused"), redis.TimeoutError("late"), OSError("gone"), ValueError("odd")],
)
def test_a_broker_that_is_away_stops_nobody(monkeypatch, problem):
    async def fail(*_words):
        raise problem

    layer = type("Layer", (), {"group_send": staticmethod(fail)})
    monkeypatch.setattr(events, "get_channel_layer", lambda: layer)
    with transaction.atomic():
        User.objects.create_user("kept")
        events.announce("job.1", {"type": "job.changed"})
    assert User.objects.filter(username="kept").exists()
