"""Keys: sealed, bound to their row, one's own first, lent without being shown, and closed when they do not open."""

from datetime import timedelta
from io import StringIO
from threading import Event, Thread

import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from accounts.models import AllowedPlace
from apex.common.secrets import Context, Tampered, open_secret
from providers import services
from providers.base import Call, ProviderFailed
from providers.models import ProviderKey
from providers.services import BadKey, change_key, create_key, delete_key, provider_for, share_key, try_key
from tests.providers.conftest import MASTER
from tests.providers.fake_anthropic import FakeAnthropic
from tests.providers.fake_openai import FakeOpenAI
from tests.providers.fakes import KEY, running

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("master")]
CALL = Call("gpt-4o-mini", [{"role": "user", "content": "Hello"}])


@pytest.fixture
def at_openai(openai, settings):
    settings.PROVIDER_URLS = {"openai": f"{openai.url}/v1"}
    return openai


def used_key(fake) -> str:
    return fake.seen[-1].headers["authorization"].removeprefix("Bearer ")


def ask(provider) -> str:
    return async_to_sync(provider.chat)(CALL).text


def test_a_key_is_sealed_and_asks_for_its_owner(alice, at_openai):
    row = create_key(owner=alice, provider="openai", name="mine", key=f" {KEY}\n")
    assert KEY not in row.sealed_key and row.hint == f"…{KEY[-4:]}"
    assert ask(provider_for(alice, "openai")) == at_openai.answer
    assert used_key(at_openai) == KEY
    row.refresh_from_db()
    assert timezone.now() - row.last_used_at < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"provider": "nobody", "key": KEY}, "provider"),
        ({"provider": "apex", "key": KEY}, "provider"),
        ({"provider": "openai", "key": ""}, "key"),
        ({"provider": "openai", "key": "sk-a\r\nx-evil: 1"}, "key"),
        ({"provider": "openai", "key": "ключ-который-не-ключ"}, "key"),
        ({"provider": "openai", "key": KEY, "base_url": "http://proxy.example.org/v1"}, "base_url"),
        ({"provider": "anthropic", "key": KEY, "base_url": "https://10.0.0.1"}, "base_url"),
        ({"provider": "custom", "key": KEY}, "base_url"),
        ({"provider": "custom", "key": KEY, "base_url": "http://models.example.org/v1"}, "base_url"),
        ({"provider": "custom", "key": KEY, "base_url": "https://169.254.169.254/v1"}, "base_url"),
        ({"provider": "custom", "key": KEY, "base_url": "https://127.0.0.1/v1"}, "base_url"),
        ({"provider": "custom", "key": KEY, "base_url": "https://u:p@models.example.org/v1"}, "base_url"),
        ({"provider": "custom", "key": KEY, "base_url": "https://models.example.org/v1?x=1"}, "base_url"),
        ({"provider": "openai", "key": KEY, "name": " "}, "name"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_its_field(alice, wanted, field):
    with pytest.raises(BadKey) as refused:
        create_key(owner=alice, **wanted)
    assert refused.value.field == field and not ProviderKey.objects.exists()
    assert KEY not in str(refused.value)


def test_an_address_has_one_spelling(alice):
    made = create_key(owner=alice, provider="custom", key=KEY, base_url="https://Models.Example.org")
    assert made.base_url == "https://models.example.org/v1"
    made = create_key(owner=alice, provider="ollama", base_url="https://ollama.example.org/api/")
    assert made.base_url == "https://ollama.example.org"
    for provider, given, kept in (
        ("openai", "https://proxy.example.org", "https://proxy.example.org/v1"),
        ("openai", "https://proxy.example.org/openai/", "https://proxy.example.org/openai"),
        ("anthropic", "https://proxy.example.org/claude/v1", "https://proxy.example.org/claude"),
        ("anthropic", "https://proxy.example.org", "https://proxy.example.org"),
        ("huggingface", "https://proxy.example.org", "https://proxy.example.org/v1"),
    ):
        assert (
            create_key(owner=alice, provider=provider, name=given, key=KEY, base_url=given).base_url == kept
        )


def test_two_keys_of_one_provider_have_two_names(alice, mallory):
    create_key(owner=alice, provider="openai", name="a", key=KEY)
    create_key(owner=alice, provider="anthropic", name="a", key=KEY)
    create_key(owner=mallory, provider="openai", name="a", key=KEY)
    with pytest.raises(BadKey, match="already"):
        create_key(owner=alice, provider="openai", name="a", key=KEY)


def test_the_newest_of_ones_own_counts_unless_one_is_named(alice, at_openai):
    for name in ("first", "second"):
        create_key(owner=alice, provider="openai", name=name, key=f"sk-{name}-0123456789abcdef")
    first = ProviderKey.objects.get(name="first")
    for key, expected in ((None, "second"), ("first", "first"), (first, "first"), (str(first.pk), "first")):
        with pytest.raises(ProviderFailed):
            ask(provider_for(alice, "openai", key))
        assert used_key(at_openai) == f"sk-{expected}-0123456789abcdef"


def test_a_stranger_opens_nothing_of_anothers(alice, mallory, at_openai):
    row = create_key(owner=alice, provider="openai", name="mine", key=KEY)
    for key in (None, row, row.pk, str(row.pk), "mine"):
        with pytest.raises(ProviderFailed, match="key") as refused:
            provider_for(mallory, "openai", key)
        assert (refused.value.kind, refused.value.code) == ("auth", "no_provider_key")
    assert not at_openai.seen


def test_a_lent_key_is_used_after_ones_own(alice, mallory, root, at_openai):
    lent = create_key(owner=root, provider="openai", name="house", key=KEY)
    with pytest.raises(ProviderFailed):
        provider_for(alice, "openai")
    share_key(row=lent, with_everybody=True, names=[])
    ask(provider_for(alice, "openai"))
    assert used_key(at_openai) == KEY
    create_key(owner=alice, provider="openai", name="own", key="sk-own-0123456789abcdef")
    with pytest.raises(ProviderFailed):
        ask(provider_for(alice, "openai"))
    assert used_key(at_openai).startswith("sk-own")
    share_key(row=lent, with_everybody=False, names=["mallory"])
    assert provider_for(mallory, "openai") and lent.shared_with.count() == 1
    with pytest.raises(ProviderFailed):
        provider_for(alice, "openai", lent)


def test_lending_is_for_superusers_and_ends_with_them(alice, mallory, root):
    row = create_key(owner=alice, provider="openai", key=KEY)
    with pytest.raises(BadKey, match="superuser"):
        share_key(row=row, with_everybody=True, names=[])
    lent = create_key(owner=root, provider="openai", key=KEY)
    with pytest.raises(BadKey, match="nobody-here"):
        share_key(row=lent, with_everybody=False, names=["mallory", "nobody-here"])
    share_key(row=lent, with_everybody=True, names=[])
    assert ProviderKey.objects.usable_by(mallory).count() == 1
    root.is_superuser = False
    root.save()
    assert not ProviderKey.objects.usable_by(mallory).exists()


def test_a_sealed_key_that_was_moved_to_another_row_opens_nothing(alice, mallory, at_openai):
    alices = create_key(owner=alice, provider="openai", key=KEY)
    hers = create_key(owner=mallory, provider="openai", key="sk-hers-0123456789abcdef")
    ProviderKey.objects.filter(pk=hers.pk).update(sealed_key=alices.sealed_key)
    with pytest.raises(ProviderFailed, match="changed, or moved here") as refused:
        provider_for(mallory, "openai")
    assert (refused.value.kind, refused.value.code) == ("auth", "key_does_not_open")
    assert isinstance(refused.value.__cause__, Tampered) and KEY not in str(refused.value)
    assert not at_openai.seen


def test_a_wrong_master_key_fails_closed_with_a_sentence(alice, at_openai, settings):
    row = create_key(owner=alice, provider="openai", key=KEY)
    settings.SECRET_KEYS = "w" * 40
    with pytest.raises(ProviderFailed, match="APEX_SECRET_KEYS"):
        provider_for(alice, "openai")
    with pytest.raises(ProviderFailed, match="not here"):
        try_key(row=row)
    row.refresh_from_db()
    assert "not here" in row.problem and not at_openai.seen


def test_master_keys_change_while_keys_are_used(alice, at_openai, settings):
    create_key(owner=alice, provider="openai", key=KEY)
    settings.SECRET_KEYS = f"{'n' * 40},{MASTER}"
    ask(provider_for(alice, "openai"))
    call_command("rotate_secrets", stdout=StringIO())
    ask(provider_for(alice, "openai"))
    settings.SECRET_KEYS = "n" * 40
    assert ask(provider_for(alice, "openai")) == at_openai.answer and used_key(at_openai) == KEY


def test_a_key_does_not_follow_to_another_address(alice):
    row = create_key(owner=alice, provider="custom", key=KEY, base_url="https://models.example.org/v1")
    with pytest.raises(BadKey, match="enter the key") as refused:
        change_key(row=row, base_url="https://evil.example.org/v1")
    assert refused.value.field == "key"
    row.refresh_from_db()
    assert row.base_url == "https://models.example.org/v1"
    change_key(row=row, base_url="https://other.example.org/v1", key="sk-new-0123456789abcdef")
    assert open_secret(row.sealed_key, Context.of(row, "sealed_key")) == "sk-new-0123456789abcdef"


def test_a_test_says_what_it_found_and_keeps_it(alice, at_openai):
    row = create_key(owner=alice, provider="openai", key=KEY)
    assert "accepts the key" in try_key(row=row)
    assert row.tested_at and not row.problem
    change_key(row=row, key="sk-wrong-0123456789zyxwvu")
    assert row.tested_at is None
    with pytest.raises(ProviderFailed):
        try_key(row=row)
    row.refresh_from_db()
    assert "does not accept the key" in row.problem and "zyxwvu" not in row.problem


def test_models_come_with_their_prices(alice, at_openai):
    row = create_key(owner=alice, provider="openai", key=KEY)
    found = {model.id: model.price for model in services.list_models(row=row)}
    assert float(found["gpt-4o-mini"].input) == 0.15 and found["owner/model:groq"] is None


def test_a_deleted_key_opens_nothing(alice):
    row = create_key(owner=alice, provider="openai", key=KEY)
    delete_key(row=row)
    with pytest.raises(ProviderFailed, match="Settings"):
        provider_for(alice, "openai")


# --- addresses of users ------------------------------------------------------------------------------------------
MOVED = {
    "openai": (FakeOpenAI, "gpt-4o-mini"),
    "nvidia": (lambda: FakeOpenAI("nvidia"), "meta/llama-3.1-8b-instruct"),
    "huggingface": (lambda: FakeOpenAI("huggingface"), "owner/model:groq"),
    "anthropic": (FakeAnthropic, "claude-haiku-4-5"),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("provider", list(MOVED))
def test_a_key_leads_to_a_proxy_in_front_of_its_provider_while_the_house_allows_the_place(
    alice, settings, provider
):
    make, model = MOVED[provider]
    with running(make()) as proxy:
        with pytest.raises(BadKey, match="ask an admin"):
            create_key(owner=alice, provider=provider, key=KEY, base_url=proxy.url)
        AllowedPlace.objects.create(what="host", place=proxy.url.removeprefix("http://"))
        row = create_key(owner=alice, provider=provider, key=KEY, base_url=proxy.url)
        assert "accepts the key" in try_key(row=row)
        call = Call(model, CALL.messages)
        assert async_to_sync(provider_for(alice, provider).chat)(call).text == proxy.answer
        count = len(proxy.seen)
        AllowedPlace.objects.all().delete()
        with pytest.raises(ProviderFailed) as refused:
            async_to_sync(provider_for(alice, provider).chat)(call)
        assert refused.value.code == "address_refused" and len(proxy.seen) == count


def test_a_providers_own_address_and_the_houses_proxy_are_trusted_and_no_other(settings):
    assert not services.access_to("openai", KEY).is_guarded
    assert services.access_to("openai", KEY, "https://proxy.example.org/v1").is_guarded
    assert services.access_to("ollama").is_guarded  # it leads to this machine
    settings.PROVIDER_URLS = {"openai": "http://10.0.0.1/v1"}
    assert not services.access_to("openai", KEY).is_guarded
    assert services.access_to("openai", KEY, "https://proxy.example.org/v1").base_url.startswith(
        "https://proxy."
    )


@pytest.fixture
def hers(alice, openai, here_is_allowed):
    """A custom provider on this machine, which the house allows."""
    return create_key(owner=alice, provider="custom", key=KEY, base_url=f"{openai.url}/v1")


@pytest.mark.django_db(transaction=True)
def test_a_private_place_is_asked_only_as_long_as_the_house_allows_it(alice, hers, openai, settings):
    assert ask(provider_for(alice, "custom")) == openai.answer
    settings.ALLOWED_HOSTS_OUT = []
    count = len(openai.seen)
    with pytest.raises(ProviderFailed) as refused:
        ask(provider_for(alice, "custom"))
    assert refused.value.code == "address_refused" and len(openai.seen) == count


@pytest.mark.django_db(transaction=True)
def test_a_name_that_leads_inside_is_not_asked(alice, openai, settings, monkeypatch):
    from apex.common.fetch import network

    row = create_key(owner=alice, provider="custom", key=KEY, base_url="https://models.example.org/v1")
    for addresses in (["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["169.254.169.254"], ["::1"]):
        monkeypatch.setattr(network, "resolve", lambda host, port, found=addresses: found)
        with pytest.raises(ProviderFailed, match="private or reserved") as refused:
            ask(provider_for(alice, "custom", row))
        assert refused.value.code == "address_refused"


@pytest.mark.django_db(transaction=True)
def test_the_connection_goes_to_the_address_that_was_checked(alice, openai, settings, monkeypatch):
    """A name that says something else the second time leads nowhere else: it is asked once."""
    from apex.common.fetch import network

    port = openai.url.rpartition(":")[2]
    settings.ALLOWED_HOSTS_OUT = [f"models.example.org:{port}"]
    answers = iter([["127.0.0.1"], ["192.0.2.1"]])
    monkeypatch.setattr(network, "resolve", lambda host, port: next(answers))
    create_key(owner=alice, provider="custom", key=KEY, base_url=f"http://models.example.org:{port}/v1")
    assert ask(provider_for(alice, "custom")) == openai.answer
    assert openai.seen[-1].headers["host"] == f"models.example.org:{port}"


@pytest.mark.django_db(transaction=True)
def test_a_redirect_is_not_followed(alice, hers, openai):
    from tests.providers.fakes import Fault

    openai.script.append(Fault(307, "", {"Location": "http://169.254.169.254/latest/meta-data"}))
    with pytest.raises(ProviderFailed) as refused:
        ask(provider_for(alice, "custom"))
    assert refused.value.code == "provider_redirects" and len(openai.seen) == 1


@pytest.mark.django_db(transaction=True)
def test_an_ollama_needs_no_key_and_only_a_place_that_is_allowed(alice, ollama, settings):
    with pytest.raises(BadKey):
        create_key(owner=alice, provider="ollama", base_url=ollama.url)
    row = create_key(owner=alice, provider="ollama")  # at its usual place, on this machine
    with pytest.raises(ProviderFailed) as refused:
        try_key(row=row)
    assert refused.value.code == "address_refused"
    settings.ALLOWED_HOSTS_OUT = ["127.0.0.1"]
    change_key(row=row, base_url=ollama.url)
    assert "2 models" in try_key(row=row)


# --- rotation ----------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_no_question_is_lost_while_master_keys_change(alice, settings, tmp_path):
    """Keys are opened all the time, while the keys that seal them are changed, again and again."""
    settings.SECRET_KEYS, settings.DATA_DIR = "", tmp_path
    row = create_key(owner=alice, provider="openai", key=KEY)
    is_over, opened, problems = Event(), [], []

    def use() -> None:
        try:
            while not is_over.is_set():
                opened.append(services.opened(ProviderKey.objects.get(pk=row.pk)))
        except ProviderFailed as problem:
            problems.append(problem)
        finally:
            connection.close()

    threads = [Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _round in range(8):
        call_command("rotate_secrets", "--new-key", "--forget-old", stdout=StringIO())
    is_over.set()
    for thread in threads:
        thread.join(timeout=20)
    assert not problems and set(opened) == {KEY} and len(opened) > 20


def test_a_key_that_cannot_be_opened_stays_and_is_named(alice, settings):
    row = create_key(owner=alice, provider="openai", key=KEY)
    settings.SECRET_KEYS = "n" * 40
    with pytest.raises(CommandError, match=str(row.pk)):
        call_command("rotate_secrets", stdout=StringIO())
    settings.SECRET_KEYS = MASTER
    row.refresh_from_db()
    assert open_secret(row.sealed_key, Context.of(row, "sealed_key")) == KEY
