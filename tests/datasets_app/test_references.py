"""Data that stays where it is: brought by its address, checked, shown, checked again, never kept."""

import gzip
import json
import logging
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from celery import current_app
from django.urls import reverse

from accounts.services import create_token
from datasets_app import making, selectors, services
from datasets_app.leases import claim
from datasets_app.models import Dataset, DatasetImport, DatasetVersion, ImportStatus, Reference
from datasets_app.reference_rows import ReferenceRows, check_unchanged
from datasets_app.sources import SourceChanged
from datasets_app.streamed_split import SplitRefused, SplitRule, StreamedSplit
from tests.common.routes import routes
from tests.common.servers import serving
from tests.datasets_app.files import chat, chats, json_lines
from tests.datasets_app.stores import s3_server

pytestmark = pytest.mark.django_db
ADD = "/data/add/link/"


@pytest.fixture(scope="module")
def s3():
    with s3_server() as running:
        yield running


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def loopback(settings, monkeypatch):
    settings.ALLOWED_HOSTS_OUT = ["127.0.0.1"]
    monkeypatch.setattr(current_app, "send_task", lambda *a, **k: None)


def check(imported: DatasetImport) -> DatasetImport:
    """What a worker's child does with it."""
    making.bring(str(imported.pk), claim(str(imported.pk)))
    imported.refresh_from_db()
    return imported


def bring(owner, uri: str, **more) -> DatasetVersion:
    imported = check(services.refer(owner=owner, uri=uri, **more))
    assert imported.status == ImportStatus.DONE, imported.message
    return imported.version


def test_an_address_becomes_a_version_of_which_only_what_was_found_is_kept(alice, server, own_storage):
    uri = server.gives("/help%20desk.jsonl", chats(40).encode(), ETag='"a"')
    version = bring(alice, uri + "?sig=s3cr3t")
    assert (version.row_count, version.format, version.made_by) == (40, "messages", "reference")
    assert version.train_count + version.held_out_count == 40 and version.held_out_count > 0
    assert (version.dataset.name, version.source_sha256, version.rows_sha256) == ("help desk", "", "")
    reference = version.reference
    assert (reference.etag, reference.size) == ('"a"', len(chats(40)))
    assert len(reference.sha256) == 64 and version.profile
    kept = [path.read_bytes() for path in own_storage.rglob("*") if path.is_file()]
    assert len(kept) == 1 and json.loads(kept[0])["rows"] == 40  # the report
    assert "s3cr3t" not in str(reference) + str(version.made_from)


@pytest.mark.parametrize("packed", ["plain", "gzip", "parquet", "csv"])
def test_any_container_is_read_where_it_is(alice, server, tmp_path, packed):
    if packed == "parquet":
        table = pa.table({"prompt": [f"q{i}" for i in range(30)], "completion": [f"a{i}" for i in range(30)]})
        pq.write_table(table, tmp_path / "t")
        body = (tmp_path / "t").read_bytes()
    elif packed == "csv":
        body = b"question,answer\n" + b"".join(b"q%d,a%d\n" % (i, i) for i in range(30))
    else:
        body = chats(30).encode()
        body = gzip.compress(body) if packed == "gzip" else body
    version = bring(alice, server.gives("/t", body, ETag='"a"'))
    assert version.row_count == 30
    assert [row["split"] for row in ReferenceRows(version)].count("held_out") == version.held_out_count
    rows = ReferenceRows(version)
    assert len(list(rows)) == 30
    rows.verify()


def test_the_preview_and_the_api_stream_the_rows_that_are_wanted(alice_client, alice, server):
    version = bring(alice, server.gives("/a.jsonl", chats(30).encode()))
    assert [row["line"] for row in selectors.rows_of(version, 3, 2)] == [4, 5]
    page = reverse("datasets:dataset-detail", args=[version.dataset_id])
    text = alice_client.get(page, {"example": 29}).content.decode()
    assert "Example 30 of 30" in text and "It stays where it is" in text and server.url + "/a.jsonl" in text
    rows = alice_client.get(f"/api/v1/datasets/{version.dataset_id}/rows/?page_size=5&page=2").json()
    assert rows["count"] == 30 and [row["line"] for row in rows["results"]] == [6, 7, 8, 9, 10]
    told = alice_client.get(f"/api/v1/datasets/{version.dataset_id}/").json()["latest"]
    assert told["reference"]["uri"] == server.url + "/a.jsonl" and told["rows_sha256"] == ""


def test_only_the_first_rows_can_be_paged_through(alice, alice_client, server, settings):
    settings.REFERENCE_ROWS_SHOWN = 10
    version = bring(alice, server.gives("/a.jsonl", chats(30).encode()))
    assert alice_client.get(f"/api/v1/datasets/{version.dataset_id}/rows/").json()["count"] == 10
    assert selectors.rows_of(version, 9, 5)[0]["line"] == 10 and not selectors.rows_of(version, 10, 5)


def test_a_store_that_is_away_costs_the_preview_and_not_the_page(alice, alice_client, server):
    version = bring(alice, server.gives("/a.jsonl", chats(30).encode()))
    del server.handlers["/a.jsonl"]
    answer = alice_client.get(reverse("datasets:dataset-detail", args=[version.dataset_id]))
    assert answer.status_code == 200 and "nothing at this address" in answer.content.decode()
    assert alice_client.get(reverse("datasets:dataset-profile", args=[version.dataset_id])).status_code == 200
    answer = alice_client.get(f"/api/v1/datasets/{version.dataset_id}/rows/")
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "store_unavailable"


def test_no_page_and_no_call_breaks_over_rows_that_are_not_kept(alice, alice_client, server):
    """Whatever works on stored rows says that there are none, with the store there and away."""
    alice_client.raise_request_exception = False
    version = bring(alice, server.gives("/a.jsonl", chats(30).encode(), ETag='"a"'))
    known = {"dataset_id": version.dataset_id, "version_id": version.pk, "number": 1, "index": 0,
             "pk": version.dataset_id, "other": 1, "older": 1, "newer": 1}  # fmt: skip
    walked = 0
    for is_there in (True, False):
        if not is_there:
            del server.handlers["/a.jsonl"]
        for route in routes():
            if not route.parameters or set(route.parameters) - set(known):
                continue
            if not route.name.startswith(("datasets:", "api-dataset", "api-version", "training:")):
                continue
            url = reverse(route.name, kwargs={name: known[name] for name in route.parameters})
            if url.endswith(("/delete/", "/erase/")):
                continue
            for method in ("GET", "POST"):
                answer = alice_client.generic(method, url, "{}", content_type="application/json")
                assert answer.status_code < 500 or answer.status_code == 503, f"{method} {url} ({route.name})"
                if answer.streaming:
                    b"".join(answer)
            walked += 1
    assert walked > 20 and DatasetVersion.objects.filter(pk=version.pk).exists()


# --- bringing it ----------------------------------------------------------------------------------------------
def test_a_person_pastes_a_link_and_lands_on_its_import(alice_client, alice, server):
    uri = server.gives("/letters.jsonl", chats(10).encode())
    assert "A link" in alice_client.get(reverse("datasets:dataset-add")).content.decode()
    assert alice_client.get(ADD).status_code == 200
    answer = alice_client.post(ADD, {"uri": uri, "name": "Post"})
    imported = DatasetImport.objects.get()
    assert answer.status_code == 302 and answer.url == reverse("datasets:import-detail", args=[imported.pk])
    assert check(imported).version.dataset.name == "Post"
    assert alice_client.get(answer.url).status_code == 302  # to the set


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://10.0.0.1/x", "without encryption"), ("gopher://x", "no kind of address"),
        ("s3://B/x", "no name of a bucket"),
        ("file:///etc/passwd", "directory"), ("https://user:pa55@example.org/x", "before the @"),
        ("simplecache::s3://a/b", "no kind of address"), ("https://169.254.169.254/x", "private or reserved"),
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_read_is_refused_at_once(alice_client, uri, said):
    answer = alice_client.post(ADD, {"uri": uri})
    assert answer.status_code == 422 and said in answer.content.decode()
    answer = alice_client.post("/api/v1/datasets/", {"uri": uri}, content_type="application/json")
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "unusable_address"
    assert "pa55" not in answer.json()["error"]["message"] and not DatasetImport.objects.exists()


def test_a_script_refers_and_follows_the_import(client, alice, s3):
    _token, plain = create_token(user=alice, name="x", scopes=["read", "write"])
    header = {"headers": {"authorization": f"Bearer {plain}"}, "content_type": "application/json"}
    s3.put("letters", "train.jsonl", chats(12).encode())
    connection = services.create_connection(
        owner=alice, name="Lab", kind="s3", endpoint_url=s3.url, credentials=s3.keys
    )
    asked = {"uri": "s3://letters/train.jsonl", "connection": str(connection.pk), "name": "Lab letters"}
    answer = client.post("/api/v1/datasets/", asked, **header)
    assert answer.status_code == 202 and answer.json()["status"] == "queued", answer.json()
    imported = DatasetImport.objects.get()
    check(imported)
    told = client.get(f"/api/v1/imports/{imported.pk}/", **header).json()
    assert told["status"] == "done" and told["dataset"]
    latest = client.get(f"/api/v1/datasets/{told['dataset']}/", **header).json()["latest"]
    assert latest["reference"]["connection"] == str(connection.pk) and latest["row_count"] == 12
    # The next version, by the same address: nothing new, then something new.
    again = client.post(f"/api/v1/datasets/{told['dataset']}/versions/", asked, **header)
    assert again.status_code == 202
    refused = check(DatasetImport.objects.get(pk=again.json()["id"]))
    assert refused.status == ImportStatus.REFUSED and "very bytes of version 1" in refused.message
    s3.put("letters", "train.jsonl", chats(14).encode())
    assert client.post(f"/api/v1/datasets/{told['dataset']}/versions/", asked, **header).status_code == 202
    assert check(DatasetImport.objects.first()).version.number == 2
    both = {**asked, "text": "x"}
    assert client.post("/api/v1/datasets/", both, **header).status_code == 400


def test_somebody_elses_connection_cannot_be_used(alice, mallory_client, mallory, s3):
    connection = services.create_connection(
        owner=alice, name="Lab", kind="s3", endpoint_url=s3.url, credentials=s3.keys
    )
    asked = {"uri": "s3://letters/train.jsonl", "connection": str(connection.pk)}
    answer = mallory_client.post("/api/v1/datasets/", asked, content_type="application/json")
    assert answer.status_code == 400 and answer.json()["error"]["field"] == "connection"
    assert mallory_client.post(ADD, asked).status_code == 422
    assert not DatasetImport.objects.exists()


def test_mallory_neither_adds_to_nor_checks_again_what_is_alices(alice, mallory_client, server):
    uri = server.gives("/a.jsonl", chats(10).encode())
    version = bring(alice, uri)
    assert mallory_client.get(ADD, {"dataset": version.dataset_id}).status_code == 404
    assert mallory_client.post(ADD, {"dataset": version.dataset_id, "uri": uri}).status_code == 404
    again = reverse("datasets:reference-again", args=[version.pk])
    assert mallory_client.post(again).status_code == 404
    assert DatasetImport.objects.count() == 1


def test_what_is_wrong_with_a_file_elsewhere_is_reported_like_that_of_any_other(alice, server):
    imported = check(services.refer(owner=alice, uri=server.gives("/bad.jsonl", b'{"a": 1}\n{"a": 2}\n')))
    assert imported.status == ImportStatus.REFUSED and not Dataset.objects.exists()
    assert selectors.report_of(imported)["errors"]


def test_what_a_store_says_no_to_is_told_and_nothing_else(alice, server, caplog):
    caplog.set_level(logging.DEBUG)
    imported = check(services.refer(owner=alice, uri=server.url + "/missing.jsonl?sig=s3cr3t"))
    assert imported.status == ImportStatus.REFUSED and "nothing at this address" in imported.message
    assert "s3cr3t" not in imported.message + caplog.text


def test_a_name_can_be_taken_and_a_reference_too_large(alice, server, settings):
    uri = server.gives("/a.jsonl", chats(10).encode())
    bring(alice, uri, name="Post")
    with pytest.raises(services.NameTaken):
        services.refer(owner=alice, uri=uri, name="Post")
    settings.REFERENCE_LIMIT_BYTES = 100
    assert "Ask an admin" in check(services.refer(owner=alice, uri=uri)).message


# --- change ---------------------------------------------------------------------------------------------------
def test_a_changed_object_is_noticed_by_both_marks_and_can_be_checked_again(alice, alice_client, s3):
    connection = services.create_connection(
        owner=alice, name="Lab", kind="s3", endpoint_url=s3.url, credentials=s3.keys
    )
    s3.put("letters", "moving.jsonl", chats(10).encode())
    version = bring(alice, "s3://letters/moving.jsonl", connection=connection)
    check_unchanged(version)
    s3.put("letters", "moving.jsonl", chats(11).encode())
    with pytest.raises(SourceChanged) as changed:
        check_unchanged(version)
    assert version.reference.etag in str(changed.value) and "Check it again" in str(changed.value)
    answer = alice_client.post(reverse("datasets:reference-again", args=[version.pk]))
    imported = check(DatasetImport.objects.exclude(status=ImportStatus.DONE).get())
    assert answer.url == reverse("datasets:import-detail", args=[imported.pk])
    newer = imported.version
    assert (newer.number, newer.parent, newer.row_count) == (2, version, 11)
    check_unchanged(newer)


def test_bytes_that_changed_under_the_same_mark_are_noticed_by_their_hash(alice, server):
    body = chats(10)
    version = bring(alice, server.gives("/a.jsonl", body.encode()))
    server.gives("/a.jsonl", body.replace("Answer", "Anzwer").replace("answer", "anzwer").encode())
    check_unchanged(version)  # no mark, the same size: nothing to see from here
    rows = ReferenceRows(version)
    assert len(list(rows)) == 10
    with pytest.raises(SourceChanged, match="sha256"):
        rows.verify()


def test_deleting_the_set_deletes_its_references(alice, server):
    version = bring(alice, server.gives("/a.jsonl", chats(10).encode()))
    services.delete_dataset(dataset=version.dataset)
    assert not Reference.objects.exists() and not DatasetVersion.objects.exists()


# --- the split ------------------------------------------------------------------------------------------------
def split_of(rows: list[tuple[str, str | None]]) -> tuple[StreamedSplit, SplitRule, dict[str, set[str]]]:
    split = StreamedSplit()
    for key, wanted in rows:
        split.add(key, wanted)
    rule = SplitRule.from_dict(json.loads(json.dumps(split.rule().as_dict())))
    sides: dict[str, set[str]] = {}
    for key, wanted in rows:
        sides.setdefault(key, set()).add(rule.side(key, wanted))
    return split, rule, sides


@pytest.mark.parametrize("conversations", [1, 4, 5, 9, 100, 5000])
def test_whole_conversations_are_kept_aside_in_about_the_usual_share(conversations):
    rows = [(f"c{i % conversations}", None) for i in range(conversations * 3)]
    random.shuffle(rows)
    split, rule, sides = split_of(rows)
    assert all(len(side) == 1 for side in sides.values())
    held_out = sum(rule.side(*row) == "held_out" for row in rows)
    assert held_out == split.held_out_rows(rule)
    assert split.everything.count() == conversations
    aside = sum(side == {"held_out"} for side in sides.values())
    assert aside == split.held_out_conversations(rule)
    assert aside == 0 if conversations < 5 else 0.05 < aside / conversations < 0.45
    if conversations >= 1000:
        assert 0.1 < aside / conversations < 0.14


def test_a_conversation_stays_on_its_side_when_the_data_grow():
    _split, old, _sides = split_of([(f"c{i}", None) for i in range(3000)])
    _split, new, _sides = split_of([(f"c{i}", None) for i in range(3300)])
    moved = sum(old.side(f"c{i}", None) != new.side(f"c{i}", None) for i in range(3000))
    assert moved < 3000 * 0.03


def test_named_splits_are_kept_and_a_conversation_on_both_sides_goes_to_one():
    rows = [("a", "held_out"), ("b", "train"), ("c", None), ("d", "held_out"), ("d", "train"), ("e", None)]
    split, rule, sides = split_of(rows)
    assert sides == {"a": {"held_out"}, "b": {"train"}, "c": {"train"}, "d": {"held_out"}, "e": {"train"}}
    assert split.held_out_rows(rule) is None  # only another reading can count them
    rows = [(f"c{i}", "train" if i < 2 else None) for i in range(50)] + [("c0", None), ("c49", "train")]
    _split, rule, sides = split_of(rows)
    assert all(len(side) == 1 for side in sides.values())
    assert sides["c0"] == sides["c1"] == sides["c49"] == {"train"}


def test_too_many_conversations_on_both_sides_are_refused():
    split = StreamedSplit()
    for number in range(2500):
        split.add(f"c{number}", "train")
        split.add(f"c{number}", "held_out")
    with pytest.raises(SplitRefused, match="2,500 conversations"):
        split.rule()


def test_rows_of_a_mixed_conversation_are_counted_by_a_second_reading(alice, server):
    rows = [{**chat(f"q{i}"), "split": "held_out" if i % 3 == 0 else "train", "conversation": f"c{i % 4}"}
            for i in range(24)]  # fmt: skip
    version = bring(alice, server.gives("/a.jsonl", json_lines(*rows).encode()))
    sides: dict[str, set] = {}
    for row in ReferenceRows(version):
        sides.setdefault(row["conversation"], set()).add(row["split"])
    assert all(len(side) == 1 for side in sides.values())
    counted = [row["split"] for row in ReferenceRows(version)]
    assert counted.count("held_out") == version.held_out_count


def test_numbers_of_conversations_are_estimated_beyond_what_is_kept(monkeypatch):
    monkeypatch.setattr("datasets_app.streamed_split.DISTINCT_MOST", 20_000)
    split = StreamedSplit()
    for number in range(250_000):
        split.add(str(number), None)
    assert not split.everything.is_exact
    assert abs(split.everything.count() - 250_000) < 250_000 * 0.03
