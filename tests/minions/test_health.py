"""The circuit breaker, in the cache that all processes share."""

import uuid

import pytest
from asgiref.sync import async_to_sync

from minions import health
from minions.recipes import Link

OWNER = "alice"


class Time:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def link():
    return Link("openai", f"big-{uuid.uuid4().hex}")


def seen(link, clock):
    return async_to_sync(health.healths)(OWNER, [link], clock).get(link.health_key, health.WELL)


def fail(link, clock, times=1, kind="overload"):
    for _ in range(times):
        async_to_sync(health.note_failure)(OWNER, link, kind, clock)


def test_three_failures_in_a_row_give_it_a_rest(link):
    clock = Time()
    fail(link, clock, 2)
    assert not seen(link, clock).open_for
    fail(link, clock)
    assert seen(link, clock).open_for == health.FIRST_REST


def test_after_its_rest_one_question_tries_it_and_the_others_go_elsewhere(link):
    clock = Time()
    fail(link, clock, 3)
    clock.now += health.FIRST_REST + 1
    assert seen(link, clock).is_trial
    assert seen(link, clock).open_for and not seen(link, clock).is_trial


def test_an_answer_makes_it_well_and_a_failed_trial_rests_it_twice_as_long(link):
    clock = Time()
    fail(link, clock, 3)
    clock.now += health.FIRST_REST + 1
    assert seen(link, clock).is_trial
    fail(link, clock)
    assert seen(link, clock).open_for == 2 * health.FIRST_REST
    async_to_sync(health.note_answer)(OWNER, link, 0.5)
    assert seen(link, clock) == health.Health(first_seconds=0.5)


def test_what_the_question_is_at_fault_for_is_not_held_against_it(link):
    clock = Time()
    fail(link, clock, 5, kind="context")
    fail(link, clock, 5, kind="content")
    assert seen(link, clock) == health.WELL


def test_how_long_first_words_take_is_smoothed(link):
    for seconds in (1.0, 2.0):
        async_to_sync(health.note_answer)(OWNER, link, seconds)
    assert seen(link, Time()).first_seconds == pytest.approx(1.3)


def test_a_cache_that_is_away_leaves_all_of_them_well(link, settings):
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
            "OPTIONS": {"socket_connect_timeout": 1},
        }
    }
    fail(link, Time(), 3)
    assert seen(link, Time()) == health.WELL


def test_what_fails_for_one_owner_says_nothing_to_another(link):
    clock = Time()
    fail(link, clock, 5, kind="auth")
    assert seen(link, clock).open_for
    assert (
        async_to_sync(health.healths)("mallory", [link], clock).get(link.health_key, health.WELL)
        == health.WELL
    )
