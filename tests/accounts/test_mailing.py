"""What the bell tells of budgets by e-mail: to whom, once at most, and what its server can do wrong."""

import logging
import runpy
import socket
import time
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from allauth.core.internal import ratelimit
from celery import current_app
from django.conf import settings
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import tasks
from accounts.models import MailStatus, Notice, NoticeMail
from accounts.notices import notify
from apex.settings.base import ACCOUNT_RATE_LIMITS as as_when_running
from ledger import services
from ledger.budgets import BudgetSpent, reserve, settle
from tests.accounts.fake_smtp import CUT, running_smtp
from tests.ledger.test_budgets import line

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "the-mail-servers-very-own-password"
WORDS = "Your budget is used up."


@pytest.fixture
def site(settings, monkeypatch):
    """With e-mail set up, and a worker that does at once what it is nudged to."""
    settings.MAIL_IS_SET_UP, settings.SITE_URL = True, "https://apex.example.org"
    doors = {"accounts.tasks.mail_notice": tasks.mail_notice}
    monkeypatch.setattr(current_app, "send_task", lambda name, kwargs: doors[name](**kwargs), raising=False)
    return settings


@pytest.fixture
def alice(alice):
    alice.email = "alice@example.org"
    alice.save()
    return alice


@pytest.fixture(scope="module")
def server():
    with running_smtp() as fake:
        yield fake


@pytest.fixture
def smtp(site, server):
    """The same, over a server that speaks SMTP."""
    for kept in (server.script, server.messages, server.commands):
        kept.clear()
    site.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    site.EMAIL_HOST, site.EMAIL_PORT, site.EMAIL_USE_TLS = "127.0.0.1", server.port, False
    site.EMAIL_HOST_USER, site.EMAIL_HOST_PASSWORD = "apex", PASSWORD
    return server


def told(owner) -> NoticeMail:
    notice = notify(owner=owner, text=f"{WORDS} (Evil budget)", url="/usage/", kind="budget", mail=WORDS)
    return NoticeMail.objects.get(notice=notice)


def later(row) -> NoticeMail:
    """After its pause, looked at by the sweep."""
    NoticeMail.objects.filter(pk=row.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    tasks.sweep_mails()
    row.refresh_from_db()
    return row


def test_what_the_bell_tells_of_a_budget_is_mailed_without_names_that_somebody_gave(alice, site):
    services.set_budget(owner=alice, limit=10, name="www.evil.example")
    settle(None, [line(alice, 8)])
    with pytest.raises(BudgetSpent):
        reserve(alice, Decimal(11), what="www.evil.example")
    settle(None, [line(alice, 3)])
    assert [message.to for message in mail.outbox] == [["alice@example.org"]] * 3
    bodies = [message.body for message in mail.outbox]
    assert bodies[0].startswith("Your budget is nearly used up: $8.00 of $10.00 this month.\n")
    assert bodies[1].startswith("A budget of yours was too small for something")
    assert bodies[2].startswith("Your budget is used up: $11.00 of $10.00")
    assert "evil" in Notice.objects.first().text and not any("evil" in body for body in bodies)
    for notice, message in zip(Notice.objects.order_by("created_at"), mail.outbox, strict=True):
        there = f"https://apex.example.org{reverse('accounts:notice', args=[notice.pk])}"
        assert there in message.body and message.extra_headers["Message-ID"].startswith(
            f"<notice-{notice.pk}@"
        )
    assert {row.status for row in NoticeMail.objects.all()} == {MailStatus.SENT}


def test_its_link_leads_to_what_it_tells_of(alice, alice_client, site):
    told(alice)
    link = next(word for word in mail.outbox[0].body.split() if "/notices/" in word)
    assert alice_client.get(link.removeprefix("https://apex.example.org")).url == "/usage/"


@pytest.mark.parametrize("why", ["no server", "no address", "turned off", "locked out"])
def test_nothing_is_mailed_where_it_is_not_wanted(alice, site, why):
    if why == "no server":
        site.MAIL_IS_SET_UP = False
    changes = {
        "no address": {"email": ""},
        "turned off": {"mails_budgets": False},
        "locked out": {"is_active": False},
    }
    for name, value in changes.get(why, {}).items():
        setattr(alice, name, value)
    alice.save()
    notify(owner=alice, text=WORDS, mail=WORDS, kind="budget")
    assert Notice.objects.count() == 1 and not NoticeMail.objects.exists() and not mail.outbox


def test_other_notices_are_not_mailed(alice, site):
    notify(owner=alice, text="A training has ended.")
    assert not mail.outbox


def test_who_turns_it_off_while_one_waits_gets_none(alice, site, monkeypatch):
    monkeypatch.setattr(current_app, "send_task", lambda name, kwargs: None)
    row = told(alice)
    alice.mails_budgets = False
    alice.save()
    assert later(row).status == MailStatus.GIVEN_UP and not mail.outbox


def test_the_profile_offers_it_only_where_the_site_can(alice, alice_client, site):
    fields = {"first_name": "", "email": alice.email, "time_zone": "UTC"}
    assert "E-mail me about my budgets" in alice_client.get("/settings/").text
    assert alice_client.post("/settings/", fields).status_code == 302
    alice.refresh_from_db()
    assert alice.mails_budgets is False
    site.MAIL_IS_SET_UP = False
    assert "E-mail me" not in alice_client.get("/settings/").text
    alice_client.post("/settings/", fields | {"mails_budgets": "on"})
    alice.refresh_from_db()
    assert alice.mails_budgets is False


def test_a_forgotten_password_is_mailed_to_addresses_in_profiles_alone(alice, client, site):
    for address in ("nobody@example.org", alice.email):
        assert client.post(reverse("account_reset_password"), {"email": address}).status_code == 302
    assert [message.to for message in mail.outbox] == [[alice.email]]


PHRASE = "a-very-long-passphrase"


def change_address(client, address: str, password: str):
    """The answer once the password was asked for and given."""
    wanted = {"first_name": "", "email": address, "time_zone": "UTC"}
    question = client.post("/settings/", wanted).url
    assert question == f"{reverse('account_reauthenticate')}?next=%2Fsettings%2F"
    return client.post(question, {"password": password, "next": "/settings/"})


def test_who_has_no_password_does_not_change_the_address_that_opens_the_account(alice, client, site):
    alice.set_password(PHRASE)
    alice.save()
    client.force_login(alice)
    assert change_address(client, "mallory@example.org", "a guess").status_code == 200
    alice.refresh_from_db()
    assert alice.email == "alice@example.org"
    assert change_address(client, "alice@example.com", PHRASE).url == "/settings/"
    alice.refresh_from_db()
    assert alice.email == "alice@example.com"


@pytest.mark.parametrize(
    ("is_set_up", "address"), [(True, "alice@example.org"), (False, "other@example.org")]
)
def test_nobody_is_asked_for_a_password_where_the_address_opens_nothing_or_stays(
    alice, alice_client, site, is_set_up, address
):
    site.MAIL_IS_SET_UP = is_set_up
    wanted = {"first_name": "Al", "email": address, "time_zone": "UTC"}
    assert alice_client.post("/settings/", wanted).url == "/settings/"
    alice.refresh_from_db()
    assert (alice.first_name, alice.email) == ("Al", address)


def test_an_address_that_has_left_the_profile_opens_nothing(client, site):
    """Whoever has an old mailbox has no key to the account."""
    words = {"password1": PHRASE, "password2": PHRASE}
    client.post(reverse("account_signup"), {"username": "carol", "email": "old@example.org", **words})
    assert change_address(client, "New@Example.org", PHRASE).url == "/settings/"
    client.logout()
    for address in ("old@example.org", "new@example.org"):
        assert client.post(reverse("account_reset_password"), {"email": address}).status_code == 302
    assert [message.to for message in mail.outbox] == [["new@example.org"]]


def test_who_signs_in_is_shown_the_way_to_a_new_password_only_where_it_can_be_mailed(client, site):
    way = f'href="{reverse("account_reset_password")}"'
    assert way in client.get(reverse("account_login")).text
    assert "Password Reset" in client.get(reverse("account_reset_password")).text
    site.MAIL_IS_SET_UP = False
    page = client.get(reverse("account_login")).text
    assert way not in page and "Whoever runs this machine" in page


@pytest.mark.parametrize("action", ["action_add", "action_send", "action_primary"])
def test_no_page_writes_to_an_address_that_is_typed_there(alice, alice_client, site, action):
    answer = alice_client.post("/accounts/email/", {action: "", "email": "stranger@example.org"})
    assert answer.url == reverse("accounts:settings") and not mail.outbox


def test_a_mailed_link_sets_a_new_password_once(alice, client, site):
    client.post(reverse("account_reset_password"), {"email": alice.email})
    (link,) = [word for word in mail.outbox[0].body.split() if "/password/reset/key/" in word]
    form = client.get(link, follow=True)
    done = client.post(form.redirect_chain[-1][0], {"password1": PHRASE, "password2": PHRASE}, follow=True)
    assert done.status_code == 200
    alice.refresh_from_db()
    assert alice.check_password(PHRASE)
    assert not Client().get(link, follow=True).redirect_chain  # no form any more


def test_a_forgotten_password_is_mailed_so_often_a_day_at_most(alice, client, site, monkeypatch):
    site.ACCOUNT_RATE_LIMITS = as_when_running
    cache.clear()
    for minute in range(8):
        clock = SimpleNamespace(time=lambda at=6_000_000_000 + 61 * minute: at, monotonic=time.monotonic)
        monkeypatch.setattr(ratelimit, "time", clock)
        for _ in range(3):
            client.post(reverse("account_reset_password"), {"email": alice.email})
    assert len(mail.outbox) == site.MAILS_A_DAY


def test_a_second_nudge_and_a_sweep_send_nothing_twice(alice, site):
    row = told(alice)
    for _ in range(2):
        tasks.mail_notice(notice_id=str(row.pk))
        later(row)
    assert len(mail.outbox) == 1


def test_one_person_gets_so_many_a_day_at_most(alice, mallory, site):
    site.MAILS_A_DAY = 2
    mallory.email = "mallory@example.org"
    mallory.save()
    for owner in (alice, alice, alice, mallory):
        notify(owner=owner, text=WORDS, mail=WORDS, kind="budget")
    assert [message.to[0].partition("@")[0] for message in mail.outbox] == ["alice", "alice", "mallory"]
    assert Notice.objects.count() == 4


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, {"MAIL_IS_SET_UP": False, "SITE_URL": "http://localhost:8000"}),
        ({"APEX_EMAIL_HOST": " ", "APEX_PORT": "9000"}, {"MAIL_IS_SET_UP": False, "SITE_URL": "http://localhost:9000"}),
        (
            {"APEX_EMAIL_HOST": "smtp.example.org", "APEX_TRUSTED_ORIGINS": "https://*.example.org,https://a.example.org"},
            {"MAIL_IS_SET_UP": True, "EMAIL_PORT": 587, "EMAIL_USE_TLS": True, "EMAIL_USE_SSL": False,
             "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend", "SITE_URL": "https://a.example.org"},
        ),
        (
            {"APEX_EMAIL_HOST": "smtp.example.org", "APEX_EMAIL_USE_SSL": "1", "APEX_SITE_URL": "https://b.example.org/"},
            {"EMAIL_PORT": 465, "EMAIL_USE_TLS": False, "EMAIL_USE_SSL": True, "SITE_URL": "https://b.example.org"},
        ),
        ({"APEX_EMAIL_HOST": "localhost", "APEX_EMAIL_USE_TLS": "0", "APEX_EMAIL_PORT": "25"},
         {"EMAIL_PORT": 25, "EMAIL_USE_TLS": False, "EMAIL_USE_SSL": False}),
    ],
)  # fmt: skip
def test_the_environment_says_how_e_mail_goes_out(monkeypatch, environment, wanted):
    for name in ("APEX_EMAIL_HOST", "APEX_PORT", "APEX_TRUSTED_ORIGINS", "APEX_SITE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made = runpy.run_path(str(settings.BASE_DIR / "apex" / "settings" / "mail.py"))
    assert {name: made[name] for name in wanted} == wanted


# --- Over SMTP ----------------------------------------------------------------------------------------------------


def test_it_goes_out_by_smtp(alice, smtp):
    row = told(alice)
    (message,) = smtp.messages
    assert row.status == MailStatus.SENT
    assert f"Message-ID: <notice-{row.pk}@apex.example.org>" in message and "To: alice@example.org" in message
    assert "Auto-Submitted: auto-generated" in message and WORDS in message and PASSWORD not in message
    assert smtp.commands[-1].upper() == "QUIT"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("GREETING", "421 Too busy"),
        ("AUTH", "535 Wrong"),
        ("MAIL", "550 Not from there"),
        ("RCPT", "450 Come back later"),
        ("MESSAGE", "452 No room"),
    ],
)
def test_what_its_server_does_not_take_is_tried_again(alice, smtp, command, answer, caplog):
    caplog.set_level(logging.DEBUG)
    smtp.script.append((command, answer))
    row = told(alice)
    assert row.status == MailStatus.WAITING and answer[:3] in row.problem
    assert row.due_at > timezone.now() + timedelta(seconds=50)
    tasks.sweep_mails()  # too early
    row.refresh_from_db()
    assert row.tries == 1
    assert later(row).status == MailStatus.SENT and row.tries == 2
    assert PASSWORD not in caplog.text and "alice@example.org" not in caplog.text


@pytest.mark.parametrize(("command", "answer"), [("RCPT", "550 Nobody here"), ("MESSAGE", "554 No")])
def test_what_its_server_refuses_for_good_is_given_up(alice, smtp, command, answer):
    smtp.script.append((command, answer))
    row = told(alice)
    assert row.status == MailStatus.GIVEN_UP and answer[:3] in row.problem
    assert later(row).tries == 1


def test_one_that_may_have_gone_out_is_not_sent_again(alice, smtp):
    smtp.script.append(("MESSAGE", CUT))
    row = told(alice)
    assert row.status == MailStatus.GIVEN_UP and "connection was lost" in row.problem
    later(row)
    assert len(smtp.messages) == 1


def test_one_whose_worker_is_gone_is_given_up(alice, site, monkeypatch):
    monkeypatch.setattr(current_app, "send_task", lambda name, kwargs: None)
    row = told(alice)
    long_ago = timezone.now() - timedelta(seconds=site.MAIL_SILENT_SECONDS + 1)
    NoticeMail.objects.filter(pk=row.pk).update(status=MailStatus.SENDING, moved_at=long_ago, tries=1)
    assert later(row).status == MailStatus.GIVEN_UP and not mail.outbox


def test_a_server_that_is_away_is_tried_by_one_and_in_the_end_by_none(alice, smtp, site):
    with socket.create_server(("127.0.0.1", 0)) as free:
        site.EMAIL_PORT = free.getsockname()[1]
    rows = [told(alice), told(alice)]
    assert {row.status for row in rows} == {MailStatus.WAITING}
    NoticeMail.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    tasks.sweep_mails()
    assert sorted(NoticeMail.objects.values_list("tries", flat=True)) == [1, 2]
    for _ in range(8):
        row = later(rows[0])
    assert row.status == MailStatus.GIVEN_UP and row.tries == 7


@pytest.mark.parametrize(
    ("command", "answer"), [("GREETING", "421 Busy"), ("RCPT", "550 Nobody"), ("MESSAGE", CUT)]
)
def test_a_link_that_does_not_go_out_tells_nobody_whose_address_is_known(
    alice, client, smtp, command, answer, caplog
):
    smtp.script.append((command, answer))
    known = client.post(reverse("account_reset_password"), {"email": alice.email})
    unknown = client.post(reverse("account_reset_password"), {"email": "nobody@example.org"})
    assert (known.status_code, known.url) == (unknown.status_code, unknown.url)
    (record,) = [each for each in caplog.records if each.name == "accounts.forms"]
    assert "did not go out (SMTP" in record.getMessage()
    assert alice.email not in caplog.text and PASSWORD not in caplog.text
