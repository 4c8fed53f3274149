"""Planted keys are looked for wherever something is written down or shown."""

import io
import logging
import traceback

import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.views.debug import ExceptionReporter

from providers import services
from providers.base import Call, Patience, ProviderFailed
from providers.models import ProviderKey
from tests.providers.fakes import KEY, Fault

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("master")]
PIECES = (KEY, KEY[:16], KEY[8:], KEY[-12:])
CALL = Call("gpt-4o-mini", [{"role": "user", "content": "Hello"}])


@pytest.fixture
def logged():
    """Everything that any logger says, at its most talkative."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    before, levels = root.level, {}
    for name in ("aiohttp", "asyncio", "httpx2", "httpcore2", "providers", "django"):
        levels[name] = logging.getLogger(name).level
        logging.getLogger(name).setLevel(logging.DEBUG)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(before)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def clean(text: str, where: str) -> None:
    for piece in PIECES:
        assert piece not in text, f"{where} shows {piece[:4]}…"


@pytest.fixture
def key(alice, openai, settings):
    settings.PROVIDER_URLS = {"openai": f"{openai.url}/v1"}
    return services.create_key(owner=alice, provider="openai", name="planted", key=KEY)


def test_neither_logs_pages_api_admin_nor_exports_hold_a_key(key, alice_client, root, openai, logged):
    openai.script.append(Fault(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}))
    admin = Client()
    admin.force_login(root)
    shown = {}
    for name, client, url in (
        ("page", alice_client, reverse("providers:key-detail", args=[key.pk])),
        ("list", alice_client, reverse("providers:key-list")),
        ("api", alice_client, f"/api/v1/provider-keys/{key.pk}/"),
        ("admin list", admin, "/admin/providers/providerkey/"),
        ("admin", admin, f"/admin/providers/providerkey/{key.pk}/change/"),
        ("admin history", admin, f"/admin/providers/providerkey/{key.pk}/history/"),
    ):
        if name == "page":
            clean(client.post(f"{url}test/").content.decode(), "the test of a key")
        answer = client.get(url)
        assert answer.status_code == 200, name
        shown[name] = answer.content.decode()
    for name, text in shown.items():
        clean(text, name)
        assert key.sealed_key not in text, name
    out = io.StringIO()
    call_command("dumpdata", stdout=out, exclude=["contenttypes", "auth.permission"])
    clean(out.getvalue(), "dumpdata")
    clean(logged.getvalue(), "a log")
    assert key.hint in shown["page"] and "POST" in logged.getvalue()


def test_the_database_holds_no_key_as_plain_text(key):
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608 - our own tables
            clean(str(cursor.fetchall()), table)


@pytest.mark.parametrize("how", ["refused", "cut", "nobody"])
def test_an_error_shows_no_key_not_even_with_the_variables_of_all_its_frames(
    alice, key, openai, settings, how
):
    """What Django would write into an error's page and mail."""
    if how == "refused":
        openai.script.append(Fault(400, {"error": {"message": f"no: {KEY}"}}))
    elif how == "cut":
        openai.script.extend([Fault(how="cut")] * 2)
    else:
        settings.PROVIDER_URLS = {"openai": "http://127.0.0.1:9/v1"}
    provider = services.provider_for(alice, "openai", patience=Patience(tries=2, first_wait=0.01))

    async def read() -> None:
        async for _piece in provider.stream(CALL):
            pass

    with pytest.raises(ProviderFailed) as failed:
        async_to_sync(read)()
    problem = failed.value
    clean("".join(traceback.format_exception(problem)), "a traceback")
    report = ExceptionReporter(None, type(problem), problem, problem.__traceback__).get_traceback_html()
    assert "_open" in report or "_blocks" in report
    # This test's own frame has it, being where it was planted.
    frames = [part for part in report.split('<li class="frame') if "tests/providers" not in part]
    clean("".join(frames), "a report")


def test_an_objects_own_words_hold_no_key(alice, key):
    provider = services.provider_for(alice, "openai")
    clean(repr(key) + str(vars(key)) + repr(provider) + repr(vars(provider.server)), "repr")
    assert ProviderKey.objects.filter(sealed_key__contains="sk-").count() == 0
