"""The page Usage, its CSV, and limits of one's own; the same by API; strangers see nothing."""

import json

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts.services import create_token
from audit.models import AuditEvent
from ledger import selectors
from ledger.budgets import reserve, settle
from ledger.minutes import everybodys, limits_of
from ledger.models import Budget, Counter, MinuteLimits, Outcome, UsageDay
from ledger.selectors import Wish
from ledger.services import set_budget
from minions.models import Minion
from tests.ledger.test_selectors import answer, training

pytestmark = pytest.mark.django_db
URL = "/usage/"


def script(user, scopes=("read", "write")) -> Client:
    _token, text = create_token(user=user, name="x", scopes=scopes)
    return Client(headers={"authorization": f"Bearer {text}"})


def post(client, url, **body):
    return client.post(url, json.dumps(body), content_type="application/json")


@pytest.fixture
def root(django_user_model):
    client = Client()
    client.force_login(django_user_model.objects.create_superuser("root", password="x"))
    return client


def test_a_page_without_use_says_what_will_stand_here(alice_client):
    text = alice_client.get(URL).content.decode()
    assert "Nothing was used in this time." in text and "No budget limits what you use." in text


def test_the_page_shows_costs_budgets_plots_and_where_a_price_is_from(alice_client, alice, mallory):
    set_budget(owner=alice, limit=10)
    settle(None, [answer(alice, "gpt-x"), training(alice)])
    settle(None, [answer(mallory, "hers")])
    reserve(alice, 1, what="x")
    text = alice_client.get(URL).content.decode()
    assert "$2.50 of $10.00 used this month." in text and "$1.00 is held" in text
    assert "gpt-x" in text and "hers" not in text and "list" in text
    plots = {key: drawn(text, key) for key in ("days", "models", "devices")}
    assert plots["days"]["y"][-1] == 2.502
    assert plots["models"]["labels"] == ["base", "gpt-x"]


def drawn(text: str, key: str) -> dict:
    return json.loads(text.split(f'id="plot-{key}" type="application/json">')[1].split("</script>")[0])


def test_filters_hold_for_page_and_csv_and_a_wrong_one_is_named(alice_client, alice):
    settle(None, [answer(alice, "gpt-x"), training(alice)])
    assert "gpt-x" not in alice_client.get(f"{URL}?kind=gpu_seconds").content.decode()
    table = b"".join(alice_client.get(f"{URL}usage.csv?kind=gpu_seconds").streaming_content).decode()
    assert len(table.splitlines()) == 2 and "training" in table
    assert "Enter a valid date." in alice_client.get(f"{URL}?since=yesterday").content.decode()


def test_a_limit_of_ones_own_is_set_and_removed_and_nobody_elses(alice_client, mallory_client, alice):
    alice_client.post(reverse("usage:limit-set"), {"limit": "3", "measure": "money", "period": "month"})
    budget = Budget.objects.get()
    assert (budget.owner, budget.is_own, budget.limit) == (alice, True, 3 * 10**9)
    remove = reverse("usage:limit-remove", args=[budget.pk])
    assert mallory_client.post(remove).status_code == 404
    house = set_budget(owner=alice, limit=5)
    assert alice_client.post(reverse("usage:limit-remove", args=[house.pk])).status_code == 404
    alice_client.post(remove)
    assert Budget.objects.get() == house


def test_the_page_tells_how_long_answers_take_and_what_went_wrong_by_model_minion_and_day(
    alice_client, alice
):
    minion = Minion.objects.create(owner=alice, name="Fin-coach")
    timed = {"is_stream": True, "first_byte_ms": 120.0, "latency_ms": 2400.0}
    settle(None, [answer(alice, "gpt-x", minion_id=minion.pk, **timed) for _ in range(3)])
    settle(None, [answer(alice, "gpt-x", outcome=Outcome.FAILED, error="overload")])
    text = alice_client.get(URL).content.decode()
    for title in ("By model", "By minion", "By day", "What went wrong"):
        assert title in text
    assert "overload" in text and "25 %" in text
    day = selectors.today()
    half = selectors.total(selectors.sums_for(alice, Wish(day, day)))["latency_p50_ms"]
    assert half == pytest.approx(2400, rel=0.25) and f"{half / 1000:.1f} s" in text
    table = b"".join(alice_client.get(f"{URL}usage.csv?by=minion").streaming_content).decode().splitlines()
    assert table[0].startswith("minion,minion_name,count,failures,failure_share") and len(table) == 3
    assert "Fin-coach,3,0,0.0," in table[1] + table[2]
    errors = b"".join(alice_client.get(f"{URL}usage.csv?by=error,outcome").streaming_content).decode()
    assert "overload,failed,1,1,100.0," in errors
    lines = b"".join(alice_client.get(f"{URL}usage.csv?by=owner").streaming_content).decode()
    assert lines.startswith("at,owner,")  # people are for superusers: every line of her own instead


def test_the_page_asks_the_database_as_often_however_much_there_is(
    alice_client, alice, django_assert_max_num_queries
):
    for model in ("a", "b", "c"):
        settle(None, [answer(alice, model, is_stream=True, first_byte_ms=5.0) for _ in range(20)])
    with django_assert_max_num_queries(28):
        alice_client.get(URL)


def test_superusers_see_everybodys_where_they_ask(root, alice):
    settle(None, [answer(alice, "gpt-x")])
    assert "gpt-x" not in root.get(URL).content.decode()
    text = root.get(f"{URL}?everybody=on").content.decode()
    assert "gpt-x" in text and "By person" in text


def test_the_api_sums_by_what_is_asked(alice, mallory):
    settle(None, [answer(alice, "a"), answer(alice, "b", written=9000), answer(mallory)])
    found = script(alice).get("/api/v1/usage/?group_by=model").json()
    assert found["total"]["count"] == 2 and [group["model"] for group in found["groups"]] == ["b", "a"]
    assert found["groups"][0]["money"] == "0.019000000"
    assert found["groups"][0]["latency_p95_ms"] == pytest.approx(100, rel=0.25) and found["errors"] == []
    lines = script(alice).get("/api/v1/usage/lines/?model=a").json()
    assert lines["count"] == 1 and lines["results"][0]["price"]["output"] == 2.0
    assert lines["results"][0]["price_source"] == "list"
    sums = script(alice).get("/api/v1/usage/csv/?group_by=model,day")
    assert len(b"".join(sums.streaming_content).splitlines()) == 3
    assert script(alice).get("/api/v1/usage/csv/?group_by=colour").status_code == 400
    assert script(alice).get("/api/v1/usage/csv/?group_by=owner").status_code == 400
    table = script(alice).get("/api/v1/usage/csv/")
    assert len(b"".join(table.streaming_content).splitlines()) == 3
    assert script(alice).get("/api/v1/usage/?group_by=colour").status_code == 400
    assert script(mallory).get("/api/v1/usage/?everybody=true").json()["total"]["count"] == 1
    assert script(mallory).get("/api/v1/usage/?group_by=owner&everybody=true").status_code == 400


def test_the_api_reads_budgets_and_lets_a_token_only_lower_them(alice, mallory):
    set_budget(owner=None, limit=10)
    client = script(alice)
    settle(None, [answer(alice, written=1_000_000)])
    (found,) = client.get("/api/v1/budgets/").json()["results"]
    assert (found["limit"], found["left"], found["is_own"]) == (10.0, 7.999, False)
    made = post(client, "/api/v1/budgets/", limit=5)
    assert made.status_code == 201 and made.json()["is_own"]
    assert post(client, "/api/v1/budgets/", limit=2).status_code == 201
    assert post(client, "/api/v1/budgets/", limit=4).status_code == 403
    url = f"/api/v1/budgets/{made.json()['id']}/"
    assert client.delete(url).status_code == 403
    assert script(mallory).delete(url).status_code == 404
    assert post(script(mallory), "/api/v1/budgets/", limit=1, owner="alice").status_code == 403
    assert script(mallory).get("/api/v1/budgets/all/").status_code == 404
    session = Client()
    session.force_login(alice)
    assert session.delete(url).status_code == 204


def test_superusers_set_budgets_of_the_house_by_api(root, alice, mallory):
    assert post(root, "/api/v1/budgets/", limit=10, owner="*").status_code == 201
    assert (
        post(root, "/api/v1/budgets/", limit=3, owner="alice", measure="tokens", period="day").status_code
        == 201
    )
    assert post(root, "/api/v1/budgets/", limit=3, owner="nobody").status_code == 400
    there = script(alice).get("/api/v1/budgets/").json()["results"]
    assert sorted(row["limit"] for row in there) == [3.0, 10.0]
    assert root.get("/api/v1/budgets/all/").json()["count"] == 2
    foreign, _text = create_token(user=alice, name="hers")
    assert post(script(mallory), "/api/v1/budgets/", limit=1, token=str(foreign.public_id)).status_code == 400


def test_a_superuser_finds_defaults_overrides_and_what_everybody_has_used(root, alice, mallory):
    set_budget(owner=None, limit=5)
    set_budget(owner=alice, limit=20)
    settle(None, [answer(alice, "gpt-x"), answer(mallory, "gpt-y", outcome=Outcome.FAILED, error="network")])
    budgets = root.get("/admin/ledger/budget/").content.decode()
    assert "everybody" in budgets and "alice" in budgets and "20" in budgets
    counters = root.get("/admin/ledger/counter/").content.decode()
    assert "alice" in counters and "mallory" in counters and "0.002" in counters
    for page in ("usageday", "usageline"):
        listed = root.get(f"/admin/ledger/{page}/").content.decode()
        assert "gpt-x" in listed and "gpt-y" in listed
    day = UsageDay.objects.get(owner=mallory)
    assert "network" in root.get(f"/admin/ledger/usageday/{day.pk}/change/").content.decode()
    person = root.get(f"/admin/accounts/user/{alice.pk}/change/").content.decode()
    assert 'name="requests_per_minute"' in person and 'name="tokens_per_minute"' in person
    everybodys = root.get(f"{URL}?everybody=on").content.decode()
    assert "By person" in everybodys and "mallory" in everybodys


def test_the_admin_sets_a_budget_in_dollars_and_changes_only_its_limit(root, alice):
    form = {
        "owner": alice.pk,
        "scope": "user",
        "measure": "money",
        "period": "month",
        "amount": "2.50",
        "name": "",
    }
    assert root.post("/admin/ledger/budget/add/", form).status_code == 302
    budget = Budget.objects.get()
    assert budget.limit == 2_500_000_000
    reserve(alice, 1, what="x")
    assert (
        root.post(f"/admin/ledger/budget/{budget.pk}/change/", {"amount": "7", "name": ""}).status_code == 302
    )
    assert Counter.objects.get().limit == 7 * 10**9
    odd = root.post("/admin/ledger/budget/add/", form | {"scope": "token"})
    assert "Say of which token or minion" in odd.content.decode()
    for page in ("counter", "usageline", "servingprice", "budget"):
        assert root.get(f"/admin/ledger/{page}/").status_code == 200


def test_a_superuser_sets_what_everybody_may_ask_in_a_minute_beside_the_budgets(root, alice, settings):
    settings.REQUESTS_PER_MINUTE, settings.TOKENS_PER_MINUTE, settings.CALLS_PER_MINUTE = 1234, 0, 50
    listed = "/admin/ledger/minutelimits/"
    add = root.get(listed, follow=True)
    assert add.redirect_chain == [(f"{listed}add/", 302)]
    told = add.content.decode()
    assert "Empty: 1234, as APEX_REQUESTS_PER_MINUTE" in told and "/admin/ledger/budget/" in told
    assert everybodys() == {"requests_per_minute": 1234, "tokens_per_minute": 0, "calls_per_minute": 50}
    assert root.post(f"{listed}add/", {"requests_per_minute": "7"}).status_code == 302
    assert everybodys() == {"requests_per_minute": 7, "tokens_per_minute": 0, "calls_per_minute": 50}
    change = root.get(listed, follow=True)
    assert change.redirect_chain == [(f"{listed}1/change/", 302)]
    for odd in ("-1", "1000000001", "many"):
        assert root.post(f"{listed}1/change/", {"requests_per_minute": odd}).status_code == 200
    assert root.post(f"{listed}1/change/", {"tokens_per_minute": "9"}).status_code == 302
    assert everybodys() == {"requests_per_minute": 1234, "tokens_per_minute": 9, "calls_per_minute": 50}
    alice.requests_per_minute, alice.tokens_per_minute = 0, None
    assert limits_of(alice, everybodys()) == {
        "requests_per_minute": 0,
        "tokens_per_minute": 9,
        "calls_per_minute": 50,
    }
    assert root.get(f"{listed}add/").status_code == root.post(f"{listed}1/delete/").status_code == 403
    added, changed = AuditEvent.objects.filter(via="admin").order_by("pk")
    assert (added.act, added.subject_kind) == ("admin_added", "limits a minute")
    assert (changed.act, sorted(changed.detail["fields"])) == (
        "admin_changed", ["Questions a minute", "Tokens a minute"],
    )  # fmt: skip


def test_only_superusers_say_what_everybody_may_ask_in_a_minute(alice):
    alice.is_staff = True
    alice.save()
    alice.user_permissions.set(Permission.objects.filter(content_type__app_label="ledger"))
    client = Client()
    client.force_login(alice)
    assert client.get("/admin/ledger/budget/").status_code == 200
    for page in ("", "add/", "1/change/"):
        assert client.get(f"/admin/ledger/minutelimits/{page}").status_code in (302, 403)
    assert client.post("/admin/ledger/minutelimits/add/", {"requests_per_minute": "7"}).status_code == 403
    assert not MinuteLimits.objects.exists()


def test_the_log_shows_ones_own_acts_and_superusers_everybodys(alice_client, mallory_client, root, alice):
    token, _text = create_token(user=alice, name="Alices-token")
    for client, sees in ((alice_client, True), (mallory_client, False), (root, False)):
        assert ("Alices-token" in client.get("/settings/log/").content.decode()) is sees
    assert "Alices-token" in root.get("/settings/log/?everybody=on&by=alice").content.decode()
    assert "Alices-token" not in mallory_client.get("/settings/log/?everybody=on").content.decode()
    assert "Alices-token" not in alice_client.get("/settings/log/?act=login").content.decode()
    assert (
        "Nothing was done that fits." in alice_client.get("/settings/log/?q=nothing-like-it").content.decode()
    )
    found = script(alice).get("/api/v1/audit/?act=token_made&q=Alices").json()
    assert found["count"] == 1 and found["results"][0]["subject_id"] == str(token.public_id)
    assert root.get("/admin/audit/auditevent/").status_code == 200
    event = AuditEvent.objects.first()
    assert root.post(f"/admin/audit/auditevent/{event.pk}/delete/", {"post": "yes"}).status_code == 403


def test_what_cannot_be_an_id_is_no_address(alice):
    for odd in ("0" * 36, "-" * 36, "f" * 8 + "-f" * 14):
        assert script(alice).delete(f"/api/v1/budgets/{odd}/").status_code == 404
        assert script(alice).delete(f"/api/v1/tokens/{odd}/").status_code == 404
