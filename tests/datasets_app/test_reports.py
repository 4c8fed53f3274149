"""The report on a file is the same on the page, in the API and on the command line; good rows can be had again."""

import csv
import io
import json

import pytest
from django.core.management import call_command
from django.urls import reverse

from datasets_app import services
from tests.datasets_app.files import EQ_12_JSON, chat, chats, json_lines

pytestmark = pytest.mark.django_db
DATASETS = "/api/v1/datasets/"
# Two good rows around two bad ones.
MIXED = json_lines(chat("a?"), "{oops", chat("b?", answer=""), chat("c?"))


@pytest.fixture
def mixed(alice):
    return services.create_dataset(owner=alice, name="Mixed", text=MIXED, file_name="mixed.jsonl")


def command(*arguments) -> str:
    out = io.StringIO()
    call_command("validate_dataset", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_a_version_with_rows_left_out_keeps_its_report_and_warns(mixed, alice_client):
    assert (mixed.verdict, mixed.kind, mixed.row_count) == ("warn", "chat", 2)
    report = alice_client.get(reverse("datasets:version-report", args=[mixed.pk])).json()
    assert (report["verdict"], report["rows"], report["error_count"]) == ("reject", 2, 2)
    assert [(fault["line"], fault["code"]) for fault in report["errors"]] == [
        (2, "invalid_json"),
        (3, report["errors"][1]["code"]),
    ]


def test_a_report_can_be_had_as_a_table_that_a_spreadsheet_does_not_run(alice, alice_client):
    text = json_lines(chat("a?"), '=cmd|"x"!A1')
    version = services.create_dataset(owner=alice, name="Formula", text=text)
    answer = alice_client.get(reverse("datasets:version-report", args=[version.pk]), {"as": "csv"})
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [row["line"] for row in rows] == ["2"]
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


def test_the_good_rows_read_in_again_give_the_same_rows(alice, alice_client, mixed):
    answer = alice_client.get(reverse("datasets:version-cleaned", args=[mixed.pk]))
    cleaned = b"".join(answer.streaming_content)
    again = services.create_dataset(owner=alice, name="Again", text=cleaned.decode())
    assert again.verdict == "accept"
    rows = [b"".join(services.good_rows(version=each)) for each in (mixed, again)]
    assert rows[0] == rows[1] == cleaned


def test_a_refusal_shows_all_faults_and_their_table(alice_client):
    text = "\n".join(['{"messages": "x"}'] * 150)
    answer = alice_client.post(
        reverse("datasets:dataset-add"), {"source": "typed", "name": "Bad", "text": text}
    )
    page = answer.content.decode()
    assert answer.status_code == 422
    assert page.count('class="line-no"') == 150
    assert "data:text/csv" in page


def test_pages_link_to_report_and_good_rows(alice_client, mixed):
    page = alice_client.get(reverse("datasets:dataset-detail", args=[mixed.dataset_id])).content.decode()
    assert reverse("datasets:version-report", args=[mixed.pk]) in page
    assert reverse("datasets:version-cleaned", args=[mixed.pk]) in page


@pytest.mark.parametrize("route", ["version-report", "version-cleaned"])
def test_a_stranger_gets_neither(route, mixed, mallory_client):
    assert mallory_client.get(reverse(f"datasets:{route}", args=[mixed.pk])).status_code == 404


def test_page_api_and_command_say_the_same(alice_client, mixed, tmp_path):
    path = tmp_path / "mixed.jsonl"
    path.write_text(MIXED)
    kept = alice_client.get(f"{DATASETS}{mixed.dataset_id}/report/").json()
    with open(path, "rb") as file:
        tried = alice_client.post(f"{DATASETS}validate/", {"file": file}).json()
    said = json.loads(command(path, "--json"))
    assert kept == tried
    for name in ("verdict", "format", "rows"):
        assert said[name] == kept[name]
    for severity in ("errors", "warnings"):
        assert said[severity] == [
            {key: fault[key] for key in ("line", "message", "code")} for fault in kept[severity]
        ]


def test_a_check_keeps_nothing_and_takes_columns(alice_client, own_storage):
    table = "Anliegen,Brief,Nummer\nWann?,Um 9.,1\nWo?,In Ulm.,2\n"
    refused = alice_client.post(f"{DATASETS}validate/", {"text": table}).json()
    assert (refused["verdict"], refused["errors"][0]["code"]) == ("reject", "unknown_format")
    assert refused["columns"] == {
        "Anliegen": ["Wann?", "Wo?"],
        "Brief": ["Um 9.", "In Ulm."],
        "Nummer": ["1", "2"],
    }
    mapping = json.dumps({"question": "Anliegen", "answer": "Brief"})
    mapped = alice_client.post(f"{DATASETS}validate/", {"text": table, "mapping": mapping}).json()
    assert (mapped["verdict"], mapped["rows"], mapped["format"]) == ("accept", 2, "prompt-completion")
    assert not own_storage.exists() or not any(path.is_file() for path in own_storage.rglob("*"))


@pytest.mark.parametrize("wrong", [{}, {"text": "x", "mapping": "[1]"}, {"text": "x", "format": "nonsense"}])
def test_a_check_that_is_asked_wrongly_says_so(alice_client, wrong):
    assert alice_client.post(f"{DATASETS}validate/", wrong).status_code == 400


def test_the_api_gives_a_table_and_the_good_rows(alice_client, mixed):
    table = alice_client.get(f"{DATASETS}{mixed.dataset_id}/report/", {"as": "csv"})
    assert table["Content-Type"].startswith("text/csv")
    cleaned = alice_client.get(f"{DATASETS}{mixed.dataset_id}/cleaned/")
    assert len(b"".join(cleaned.streaming_content).splitlines()) == 2


def test_a_refusal_of_the_api_holds_the_report(alice_client):
    answer = alice_client.post(DATASETS, {"name": "Bad", "text": "{oops"})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["report"]["verdict"] == "reject"


# --- the command --------------------------------------------------------------------------------------------
def test_the_command_says_one_object_a_line(tmp_path):
    (tmp_path / "good.jsonl").write_text(chats(3))
    files = [EQ_12_JSON, tmp_path / "good.jsonl", tmp_path / "missing.jsonl", tmp_path]
    said = [json.loads(line) for line in command("--json", *files).splitlines()]
    assert [each["file"] for each in said] == [str(path) for path in files]
    assert [each["verdict"] for each in said] == ["accept", "accept", "reject", "reject"]
    assert [each["rows"] for each in said] == [44, 3, 0, 0]
    for each in said:
        assert set(each) == {"file", "verdict", "format", "rows", "errors", "warnings"}
    for each in said[2:]:
        assert [(fault["line"], fault["code"]) for fault in each["errors"]] == [(None, "unreadable")]


def test_the_command_speaks_to_people_too(tmp_path):
    path = tmp_path / "mixed.jsonl"
    path.write_text(MIXED)
    said = command(path)
    assert "has faults to mend" in said
    assert "line 2 [invalid_json]" in said


def test_the_command_takes_a_format_and_refuses_what_is_not_it(tmp_path):
    path = tmp_path / "chats.jsonl"
    path.write_text(chats(2))
    assert json.loads(command(path, "--json", "--format", "messages"))["verdict"] == "accept"
    other = json.loads(command(path, "--json", "--format", "alpaca"))
    assert (other["verdict"], other["rows"]) == ("reject", 0)
    assert json.loads(command(path, "--json", "--format", "nonsense"))["verdict"] == "reject"
