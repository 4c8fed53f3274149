"""The pages of an import, the columns that a person names, the wizard that waits for a file, the calls."""

import json
import uuid

import pytest
from django.urls import reverse

from datasets_app import leases, services
from datasets_app.columns import NamedColumns
from datasets_app.models import DatasetImport, DatasetVersion, ImportStatus
from datasets_app.parts import part_path
from tests.datasets_app.arriving import BAD, brought, run, text_of
from tests.datasets_app.files import chats
from training.models import Plan

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder", "sent")]


# --- The pages ----------------------------------------------------------------------------------------------


def page_of(client, imported, name="import-detail", **query):
    return client.get(reverse(f"datasets:{name}", args=[imported.pk]), query)


def test_a_large_file_by_a_plain_form_is_checked_by_a_worker(alice_client, settings, upload, sent, dataset):
    settings.CHECK_AT_ONCE_BYTES = 10
    answer = alice_client.post(
        reverse("datasets:dataset-add"), {"source": "file", "name": "Large", "file": upload()}
    )
    imported = DatasetImport.objects.get()
    assert answer.url == reverse("datasets:import-detail", args=[imported.pk])
    assert (imported.status, imported.name, sent) == (ImportStatus.QUEUED, "Large", sent)
    answer = alice_client.post(reverse("datasets:version-add", args=[dataset.pk]), {"file": upload(chats(3))})
    assert DatasetImport.objects.get(dataset=dataset).length == len(chats(3))
    assert answer.status_code == 302


def test_the_page_follows_an_import_to_its_version(alice, alice_client, here):
    imported = brought(alice)
    page = text_of(page_of(alice_client, imported))
    assert "waiting for its turn" in page and f"/ws/data/imports/{imported.pk}/" in page
    assert "On their way in" in text_of(alice_client.get(reverse("datasets:dataset-list")))
    leases.claim(str(imported.pk))
    DatasetImport.objects.filter(pk=imported.pk).update(progress=0.417)
    part = page_of(alice_client, imported, "import-status")
    assert "42 % of it is read" in text_of(part) and "HX-Refresh" not in part
    DatasetImport.objects.filter(pk=imported.pk).update(status=ImportStatus.QUEUED)
    run(imported)
    assert page_of(alice_client, imported, "import-status")["HX-Refresh"] == "true"
    assert str(imported.version.dataset_id) in page_of(alice_client, imported).url
    assert "On their way in" not in text_of(alice_client.get(reverse("datasets:dataset-list")))


def test_an_unfinished_upload_can_go_on_from_its_page(alice, alice_client):
    imported = services.begin_upload(owner=alice, length=2_000_000, file_name="letters.jsonl")
    page = text_of(page_of(alice_client, imported))
    assert "Choose the same file" in page and f'data-resume="/api/v1/uploads/{imported.pk}/"' in page
    assert 'data-length="2000000"' in page


def test_a_refused_file_shows_its_faults_its_report_and_the_way_on(alice, alice_client, here):
    imported = run(brought(alice, BAD * 3, name="Letters"))
    page = text_of(page_of(alice_client, imported))
    assert imported.message.split(".")[0] in page.replace("&quot;", '"')
    assert "Bring the mended file" in page and 'value="Letters"' in page
    report = page_of(alice_client, imported, "import-report")
    assert report.json()["verdict"] == "reject" and "attachment" in report["Content-Disposition"]
    table = page_of(alice_client, imported, "import-report", **{"as": "csv"}).content.decode()
    assert table.startswith("line,severity,code,problem,mend,found")


def test_cells_of_the_report_are_no_formulas(alice, alice_client):
    imported = brought(alice)
    problem = services.DatasetRefused(
        "No.", [{"line": 1, "problem": "=cmd()", "mend": "-1", "code": "x", "severity": "error"}]
    )
    DatasetImport.objects.filter(pk=imported.pk).update(
        status=ImportStatus.REFUSED, report_sha256=services.keep_report(imported, problem)
    )
    table = page_of(alice_client, imported, "import-report", **{"as": "csv"}).content.decode()
    assert "'=cmd()" in table and "'-1" in table


def test_a_crash_is_said_to_be_ours_and_can_be_tried_again(alice, alice_client, child_says):
    child_says("sys.exit(1)")
    imported = run(brought(alice))
    page = text_of(page_of(alice_client, imported))
    assert "our fault" in page and "Try again" in page
    answer = alice_client.post(reverse("datasets:import-again", args=[imported.pk]))
    again = DatasetImport.objects.exclude(pk=imported.pk).get()
    assert answer.url == reverse("datasets:import-detail", args=[again.pk])
    assert again.status == ImportStatus.QUEUED and part_path(again.pk).exists()


def test_an_import_is_cancelled_from_its_page(alice, alice_client):
    imported = brought(alice)
    alice_client.post(reverse("datasets:import-cancel", args=[imported.pk]))
    imported.refresh_from_db()
    assert imported.status == ImportStatus.CANCELLED
    assert "nothing of it is kept" in text_of(page_of(alice_client, imported))


def test_a_version_deleted_since_is_said(alice, alice_client, here):
    imported = run(brought(alice))
    imported.version.dataset.delete()
    assert "deleted since" in text_of(page_of(alice_client, imported))


# --- Which column is what -----------------------------------------------------------------------------------

COLUMNS = {"Frage": ["Wann?", "Wo?"], "Antwort": ["Um 9.", "Hier."], "Nr": ["1", "2"]}


@pytest.fixture
def unknown(alice):
    """An import that was refused since no format fits; its report names the columns."""
    imported = brought(alice, "Nr;Frage;Antwort\n1;Wann?;Um 9.\n2;Wo?;Hier.\n")
    report = {"verdict": "reject", "errors": [], "warnings": [], "columns": COLUMNS}
    DatasetImport.objects.filter(pk=imported.pk).update(
        status=ImportStatus.REFUSED,
        message="No known format.",
        report_sha256=services.imports.files.put_bytes(json.dumps(report).encode()).sha256,
    )
    imported.refresh_from_db()
    return imported


def test_the_page_asks_which_column_is_what_and_guesses_well(alice_client, unknown):
    page = text_of(page_of(alice_client, unknown))
    assert "Which column is the question" in page
    assert '<option value="Frage" selected>' in page and '<option value="Antwort" selected>' in page
    assert (
        '<li class="learned"><span class="who">It learns this answer</span><p class="says pre">Um 9.' in page
    )


@pytest.mark.parametrize(
    ("columns", "guessed"),
    [
        ({"nr": ["1"], "kunde": ["Wo?"], "wir": ["Hier ist es."]}, {"question": "kunde", "answer": "wir"}),
        (
            {"lang": ["Wo ist es denn?"], "meine Antwort": ["Hier."]},
            {"question": "lang", "answer": "meine Antwort"},
        ),
        ({"only": ["Wo?"]}, {"question": "only"}),
    ],
)
def test_where_names_say_little_what_stands_first_is_the_question(columns, guessed):
    assert NamedColumns(columns, {}).mapping == guessed


def test_the_first_rows_are_shown_as_they_would_be_read(alice_client, mallory_client, unknown):
    part = page_of(
        alice_client, unknown, "import-columns", **{"as": "chat", "question": "Nr", "answer": "Frage"}
    )
    assert '<p class="says pre">1</p>' in text_of(part) and '<p class="says pre">Wann?</p>' in text_of(part)
    part = page_of(alice_client, unknown, "import-columns", **{"as": "preference", "question": "Nr"})
    assert 'name="rejected"' in text_of(part) and "avoid" in text_of(part)
    part = page_of(
        alice_client, unknown, "import-columns", **{"as": "chat", "question": "Nr", "answer": "Nr"}
    )
    assert "named for two things" in text_of(part)
    assert page_of(mallory_client, unknown, "import-columns").status_code == 404


def test_named_columns_are_read_again_from_the_same_bytes(alice_client, unknown):
    address = reverse("datasets:import-again", args=[unknown.pk])
    alice_client.post(address, {"as": "chat", "question": "Frage", "answer": "nonsense"})
    assert DatasetImport.objects.count() == 1
    answer = alice_client.post(
        address, {"as": "chat", "question": "Frage", "answer": "Antwort", "system": ""}
    )
    again = DatasetImport.objects.exclude(pk=unknown.pk).get()
    assert again.mapping == {"question": "Frage", "answer": "Antwort"}
    assert answer.url == reverse("datasets:import-detail", args=[again.pk])
    assert part_path(again.pk).read_bytes() == part_path(unknown.pk).read_bytes()


TABLE = "Nr;Frage an uns;Unsere Antwort\n" + "".join(
    f"{n};Wie geht Sache {n}?;So geht sie, {n} Mal.\n" for n in range(20)
)
NAMED = {"as": "chat", "question": "Frage an uns", "answer": "Unsere Antwort"}


@pytest.mark.parametrize("way", ["file", "typed"])
def test_a_small_table_that_nobody_knows_asks_for_its_columns_too(alice_client, upload, here, way):
    brings = {"file": upload(TABLE, "table.csv")} if way == "file" else {"text": TABLE}
    answer = alice_client.post(reverse("datasets:dataset-add"), {"source": way, "name": "Tabelle", **brings})
    imported = DatasetImport.objects.get()
    assert answer.url == reverse("datasets:import-detail", args=[imported.pk])
    assert "Which column is the question" in text_of(alice_client.get(answer.url))
    alice_client.post(reverse("datasets:import-again", args=[imported.pk]), NAMED)
    again = run(DatasetImport.objects.exclude(pk=imported.pk).get())
    assert (again.version.row_count, again.version.dataset.name) == (20, "Tabelle")


def test_a_next_version_asks_for_its_columns_too(alice_client, dataset, upload, here):
    address = reverse("datasets:version-add", args=[dataset.pk])
    answer = alice_client.post(address, {"file": upload(TABLE, "table.csv")})
    imported = DatasetImport.objects.get()
    assert answer.url == reverse("datasets:import-detail", args=[imported.pk])
    alice_client.post(reverse("datasets:import-again", args=[imported.pk]), NAMED)
    again = run(DatasetImport.objects.exclude(pk=imported.pk).get())
    assert (again.version.dataset, again.version.number) == (dataset, 2)


def test_what_no_names_of_columns_would_mend_is_refused_at_once(alice_client, upload):
    batch = '{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n'
    for content in ("{broken", batch, ""):
        brings = {"source": "file", "file": upload(content, "x.jsonl")}
        assert alice_client.post(reverse("datasets:dataset-add"), brings).status_code == 422
    assert not DatasetImport.objects.exists()


# --- The wizard ---------------------------------------------------------------------------------------------


@pytest.fixture
def plan(alice):
    return Plan.objects.create(owner=alice, name="Coach")


def test_the_wizard_waits_for_a_large_file_and_then_uses_it(alice_client, plan, settings, upload, here):
    settings.CHECK_AT_ONCE_BYTES = 10
    address = reverse("training:plan-examples", args=[plan.pk])
    answer = alice_client.post(address, {"source": "file", "file": upload()})
    imported = DatasetImport.objects.get()
    assert answer.url == f"{address}?import={imported.pk}"
    assert "waiting for its turn" in text_of(alice_client.get(answer.url))
    run(imported)
    assert page_of(alice_client, imported).url == answer.url
    assert "data-submits-itself" in text_of(alice_client.get(answer.url))
    alice_client.post(address, {"source": "import", "import": str(imported.pk)})
    plan.refresh_from_db()
    assert plan.dataset_version == imported.version
    assert "data-submits-itself" not in text_of(alice_client.get(answer.url))


def test_the_wizard_asks_for_the_columns_of_a_small_table_and_goes_on(alice_client, plan, upload, here):
    address = reverse("training:plan-examples", args=[plan.pk])
    answer = alice_client.post(address, {"source": "file", "file": upload(TABLE, "table.csv")})
    imported = DatasetImport.objects.get()
    assert answer.url == reverse("datasets:import-detail", args=[imported.pk])
    alice_client.post(reverse("datasets:import-again", args=[imported.pk]), NAMED)
    again = run(DatasetImport.objects.exclude(pk=imported.pk).get())
    assert page_of(alice_client, again).url == f"{address}?import={again.pk}"


def test_the_wizard_says_why_a_large_file_was_refused(alice, alice_client, mallory_client, plan, here):
    imported = run(brought(alice, BAD))
    address = reverse("training:plan-examples", args=[plan.pk])
    page = text_of(alice_client.get(address, {"import": str(imported.pk)}))
    assert "See what is wrong" in page
    assert alice_client.post(address, {"source": "import", "import": str(imported.pk)}).status_code == 422
    assert alice_client.get(address, {"import": str(uuid.uuid4())}).status_code == 404


def test_a_table_that_nobody_knows_is_read_once_its_columns_are_named(alice, alice_client, here):
    rows = "".join(f"{number};Wie geht Sache {number}?;So geht sie, {number} Mal.\n" for number in range(20))
    imported = run(brought(alice, f"Nr;Frage an uns;Unsere Antwort\n{rows}", name="Tabelle"))
    assert imported.status == ImportStatus.REFUSED
    page = text_of(page_of(alice_client, imported))
    assert '<option value="Frage an uns" selected>' in page and "Wie geht Sache 0?" in page
    address = reverse("datasets:import-again", args=[imported.pk])
    alice_client.post(address, {"as": "chat", "question": "Frage an uns", "answer": "Unsere Antwort"})
    again = run(DatasetImport.objects.exclude(pk=imported.pk).get())
    assert again.status == ImportStatus.DONE, again.message
    assert again.version.row_count == 20 and again.version.dataset.name == "Tabelle"
    assert "could not be used" not in text_of(alice_client.get(reverse("datasets:dataset-list")))


def test_a_call_may_name_the_columns_at_once(alice_client, upload):
    table = "Nr;Frage an uns;Unsere Antwort\n" + "".join(f"{n};Was ist {n}?;Das ist {n}.\n" for n in range(9))
    columns = {"question": "Frage an uns", "answer": "Unsere Antwort"}

    def bring(mapping):
        form = {"name": "T", "file": upload(table, "t.csv")} | ({"mapping": mapping} if mapping else {})
        return alice_client.post("/api/v1/datasets/", form)

    assert bring(None).status_code == 400
    for wrong in ("[1]", "no json", '{"question": 1}', '{"colour": "Nr"}'):
        assert bring(wrong).json()["error"]["field"] == "mapping"
    made = bring(json.dumps(columns))
    assert (made.status_code, made.json()["latest"]["row_count"]) == (201, 9)
    body = {"name": "As JSON", "text": table, "mapping": columns}
    made = alice_client.post("/api/v1/datasets/", json.dumps(body), content_type="application/json")
    assert made.status_code == 201


def test_a_superuser_sees_imports_and_sets_how_much_one_may_bring(alice, admin_client):
    imported = services.begin_upload(owner=alice, length=5, file_name="seen by the admin.jsonl")
    assert "seen by the admin" in text_of(admin_client.get("/admin/datasets_app/datasetimport/"))
    address = f"/admin/datasets_app/datasetimport/{imported.pk}/change/"
    assert admin_client.get(address).status_code == 200
    assert 'name="upload_limit_mb"' in text_of(admin_client.get(f"/admin/accounts/user/{alice.pk}/change/"))


def test_what_failed_stands_on_the_data_page_until_it_is_forgotten(alice, alice_client, mallory_client, here):
    imported = run(brought(alice, BAD))
    listed = reverse("datasets:dataset-list")
    assert "could not be used" in text_of(alice_client.get(listed))
    address = reverse("datasets:import-forget", args=[imported.pk])
    assert mallory_client.post(address).status_code == 404
    alice_client.post(address)
    assert "could not be used" not in text_of(alice_client.get(listed))
    assert not DatasetImport.objects.exists() and not part_path(imported.pk).exists()


def test_an_import_is_forgotten_by_a_call_and_what_it_became_stays(
    alice, alice_client, here, own_storage, django_capture_on_commit_callbacks
):
    done, refused, waiting = run(brought(alice)), run(brought(alice, BAD)), brought(alice)
    with django_capture_on_commit_callbacks(execute=True):
        for each in (done, refused, waiting):
            assert alice_client.delete(f"/api/v1/imports/{each.pk}/").status_code == 204
    assert not DatasetImport.objects.exists() and DatasetVersion.objects.get() == done.version
    assert not (own_storage / refused.report_sha256[:2] / refused.report_sha256).exists()
    assert (own_storage / done.report_sha256[:2] / done.report_sha256).exists()
    assert not part_path(waiting.pk).exists()


def test_the_back_office_does_not_show_what_signs_an_address(alice, admin_client, sent):
    imported = services.refer(owner=alice, uri="https://example.org/letters.jsonl?X-Amz-Signature=c0ffee")
    page = admin_client.get(f"/admin/datasets_app/datasetimport/{imported.pk}/change/").content.decode()
    assert "https://example.org/letters.jsonl" in page and "c0ffee" not in page
