"""The Data pages as Alice and as Mallory, over HTTP."""

import json

import pytest
from django.urls import reverse

from datasets_app import services
from datasets_app.models import Dataset
from tests.datasets_app.files import EQ_12_JSON, chat, chats, json_lines

pytestmark = pytest.mark.django_db


def detail(dataset):
    return reverse("datasets:dataset-detail", args=[dataset.pk])


def text_of(response) -> str:
    """The page's words, white space evened out."""
    return " ".join(response.content.decode().split())


def add(client, **fields):
    return client.post(reverse("datasets:dataset-add"), {"source": "file", **fields})


def test_pages_are_for_people_who_are_signed_in(client, dataset):
    for address in (reverse("datasets:dataset-list"), reverse("datasets:dataset-add"), detail(dataset)):
        answer = client.get(address)
        assert answer.status_code == 302
        assert reverse("account_login") in answer.url


def test_an_empty_list_shows_two_doors(alice_client):
    page = text_of(alice_client.get(reverse("datasets:dataset-list")))
    assert "You have no examples yet" in page
    assert reverse("datasets:dataset-add") in page
    assert reverse("datasets:dataset-demo") in page


def test_the_list_shows_ones_own_sets_only(alice_client, mallory_client, dataset):
    assert "Help desk" in text_of(alice_client.get(reverse("datasets:dataset-list")))
    assert "Help desk" not in text_of(mallory_client.get(reverse("datasets:dataset-list")))


def test_the_list_can_be_searched_sorted_and_paged(alice_client, alice, dataset):
    for number in range(30):
        services.create_dataset(owner=alice, name=f"Set {number:02}", text=chats(number % 3 + 1))
    address = reverse("datasets:dataset-list")
    page = text_of(alice_client.get(address, {"q": "help"}))
    assert "Help desk" in page
    assert "Set 01" not in page
    names = [each.name for each in alice_client.get(address, {"sort": "name"}).context["page"]]
    assert names == sorted(names)
    assert len(names) == 25
    assert len(alice_client.get(address, {"sort": "name", "page": 2}).context["page"].object_list) == 6
    assert alice_client.get(address, {"sort": "-rows"}).context["page"].object_list[0].name == "Help desk"
    assert "No set has “zzz”" in text_of(alice_client.get(address, {"q": "zzz"}))
    assert alice_client.get(address, {"sort": "owner__password", "page": "x"}).status_code == 200


def test_the_list_asks_the_database_a_fixed_number_of_times(
    alice_client, alice, dataset, django_assert_max_num_queries
):
    for number in range(10):
        services.create_dataset(owner=alice, name=f"Set {number}", text=chats(1))
    with django_assert_max_num_queries(8):
        alice_client.get(reverse("datasets:dataset-list"))


def test_htmx_gets_the_rows_alone(alice_client, dataset):
    answer = alice_client.get(reverse("datasets:dataset-list"), {"q": "help"}, headers={"HX-Request": "true"})
    page = text_of(answer)
    assert "Help desk" in page
    assert "<main" not in page


def test_a_file_goes_in_and_its_page_says_what_was_found(alice_client, upload):
    answer = add(alice_client, file=upload(EQ_12_JSON.read_bytes(), "EQ-12.json"))
    dataset = Dataset.objects.get()
    assert dataset.name == "EQ-12"
    assert answer.url == detail(dataset)
    page = text_of(alice_client.get(answer.url))
    assert "Good to use" in page
    assert "from 12 conversations" in page
    assert "brightrun-lora-v4" in page
    assert "45 turns without an answer to learn from were skipped" in page
    assert "Example 1 of 44" in page
    assert reverse("training:jobs-of-dataset", args=[dataset.pk]) in page


def test_a_file_of_no_use_comes_back_with_its_faults(alice_client, upload):
    answer = add(alice_client, file=upload('{"messages": "red"}\n{"messages": "blue"}', "colours.jsonl"))
    page = text_of(answer)
    assert answer.status_code == 422
    assert "no usable example" in page
    assert "“messages” is" in page
    assert "line 1" in page
    assert not Dataset.objects.exists()


def test_hostile_words_from_a_file_stay_words(alice_client, upload):
    script = "<script>alert(1)</script>"
    answer = add(alice_client, file=upload(json.dumps({script: 1}), f"{script}.json"))
    page = alice_client.get(answer.url).content.decode()
    assert "No known format fits" in page and script not in page
    add(alice_client, file=upload(json_lines(chat(script, script), "{" + script), "x.jsonl"), name=script)
    dataset = Dataset.objects.get()
    for address in (detail(dataset), reverse("datasets:dataset-list")):
        assert script not in alice_client.get(address).content.decode()


@pytest.mark.parametrize("fields", [{}, {"file": ""}, {"source": "typed"}, {"source": "typed", "name": "x"}])
def test_a_form_without_examples_comes_back(alice_client, fields):
    answer = add(alice_client, **fields)
    assert answer.status_code == 422
    assert not Dataset.objects.exists()


def test_an_empty_file_says_so(alice_client, upload):
    assert "The file is empty" in text_of(add(alice_client, file=upload(b"", "nothing.jsonl")))


def test_typed_lines_go_in_and_what_was_typed_is_not_lost(alice_client):
    text = "What are your hours?\tFrom 9 to 17.\nWhere are you?\tIn Ulm.\n"
    answer = add(alice_client, source="typed", name="Typed", text=text)
    assert answer.status_code == 302
    assert Dataset.objects.get().latest.row_count == 2
    answer = add(alice_client, source="typed", name="Typed", text="keep me")
    assert answer.status_code == 422
    assert "keep me" in text_of(answer)
    assert "already have a set named" in text_of(answer)


def test_more_than_the_limit_is_refused_before_it_is_parsed(alice_client, upload, settings):
    settings.UPLOAD_LIMIT_BYTES = -1024 * 1024 + 100
    answer = add(alice_client, file=upload())
    assert answer.status_code == 413
    assert "Split it" in text_of(answer)


def test_a_post_without_the_token_of_the_form_is_refused(alice, upload):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert add(strict, file=upload()).status_code == 403
    dataset = services.create_dataset(owner=alice, name="Mine", text=chats(2)).dataset
    for name in ("version-add", "dataset-rename", "dataset-delete"):
        assert strict.post(reverse(f"datasets:{name}", args=[dataset.pk])).status_code == 403


def test_the_preview_walks_by_next_and_previous(alice_client, dataset):
    page = text_of(alice_client.get(detail(dataset), {"example": "3"}))
    assert "Question 3?" in page
    assert "?example=4" in page
    assert "?example=2" in page
    assert "Example 4 of 10" in page
    for nonsense in ("x", "-1", "99999999999999999", "²"):
        assert "of 10" in text_of(alice_client.get(detail(dataset), {"example": nonsense}))


def test_a_row_that_is_a_test_says_so(alice_client, alice):
    dataset = services.create_dataset(
        owner=alice, name="Split", text=json_lines(chat("a?"), chat("b?", split="held_out"))
    ).dataset
    assert "It learns this answer" in text_of(alice_client.get(detail(dataset)))
    assert "never learned from" in text_of(alice_client.get(detail(dataset), {"example": 1}))


def test_faults_show_line_and_mend(alice_client, alice):
    dataset = services.create_dataset(
        owner=alice, name="Faulty", text=json_lines(chat(), "{oops", chat("b?"))
    ).dataset
    page = text_of(alice_client.get(detail(dataset)))
    assert "Good to use, 1 left out" in page
    assert "line 2" in page
    assert "Mend this place" in page


def test_a_new_version_is_added_and_the_old_one_can_be_looked_at(alice_client, dataset, upload):
    address = reverse("datasets:version-add", args=[dataset.pk])
    assert alice_client.post(address, {"file": upload(chats(12))}).url == detail(dataset)
    page = text_of(alice_client.get(detail(dataset)))
    assert "Example 1 of 12" in page
    assert "Version 2" in page
    assert "Example 1 of 10" in text_of(alice_client.get(detail(dataset), {"version": 1}))
    assert "very file of version 2" in text_of(alice_client.post(address, {"file": upload(chats(12))}))
    assert "No file came" in text_of(alice_client.post(address))


def test_renaming_keeps_what_was_typed_when_the_name_is_taken(alice_client, alice, dataset):
    services.create_dataset(owner=alice, name="Other", text=chats(2))
    address = reverse("datasets:dataset-rename", args=[dataset.pk])
    answer = alice_client.post(address, {"name": "Other", "description": "Of 2025"})
    assert answer.status_code == 422
    assert "already have a set named" in text_of(answer)
    assert "Of 2025" in text_of(answer)
    assert alice_client.post(address, {"name": "Desk", "description": ""}).status_code == 302
    dataset.refresh_from_db()
    assert dataset.name == "Desk"


def test_deleting_says_what_it_touches_and_does_it(alice_client, dataset):
    address = reverse("datasets:dataset-delete", args=[dataset.pk])
    assert address in alice_client.get(detail(dataset)).content.decode()
    page = text_of(alice_client.get(address))
    assert "Erase “Help desk”?" in page
    assert "10 in 1 version" in page
    answer = alice_client.post(address, {"name": "Help desk"})
    assert answer.url == reverse("datasets:dataset-list")
    assert not Dataset.objects.exists()


def test_a_set_that_a_training_needs_now_stays(alice_client, alice, version):
    from base_models.models import BaseModel
    from training.models import TrainingJob

    model = BaseModel.objects.create(name="tiny", sha256="0" * 64)
    TrainingJob.objects.create(
        owner=alice, name="Desk replies", dataset_version=version, base_model=model, queue="cpu"
    )
    address = reverse("datasets:dataset-delete", args=[version.dataset_id])
    answer = alice_client.post(address, {"name": "Help desk"})
    assert answer.status_code == 409 and "Desk replies" in text_of(answer)
    assert Dataset.objects.filter(pk=version.dataset_id).exists()


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("dataset-detail", "get"),
        ("version-add", "post"),
        ("dataset-rename", "post"),
        ("dataset-delete", "post"),
    ],
)
def test_mallory_finds_nothing_of_alices(mallory_client, dataset, name, method):
    answer = getattr(mallory_client, method)(reverse(f"datasets:{name}", args=[dataset.pk]), {"name": "Mine"})
    assert answer.status_code == 404
    dataset.refresh_from_db()
    assert dataset.name == "Help desk"


def test_acts_are_not_done_by_following_a_link(alice_client, dataset):
    for name in ("version-add", "dataset-rename"):
        assert alice_client.get(reverse(f"datasets:{name}", args=[dataset.pk])).status_code == 405
    alice_client.get(reverse("datasets:dataset-delete", args=[dataset.pk]))
    assert Dataset.objects.filter(pk=dataset.pk).exists()


def test_the_admin_lists_everything_and_changes_no_version(admin_client, version):
    for name in ("dataset", "datasetversion"):
        page = text_of(admin_client.get(reverse(f"admin:datasets_app_{name}_changelist"), {"q": "help"}))
        assert "Help desk" in page
    assert (
        admin_client.get(reverse("admin:datasets_app_dataset_change", args=[version.dataset_id])).status_code
        == 200
    )
    change = reverse("admin:datasets_app_datasetversion_change", args=[version.pk])
    assert admin_client.get(change).status_code == 200
    assert admin_client.post(change, {"number": 7}).status_code == 403


def test_the_admin_deletes_sets_along_with_their_owner_only(admin_client, alice, dataset, version):
    for name, row in (("dataset", dataset), ("datasetversion", version)):
        assert (
            admin_client.post(reverse(f"admin:datasets_app_{name}_delete", args=[row.pk])).status_code == 403
        )
    address = reverse(f"admin:{alice._meta.app_label}_{alice._meta.model_name}_delete", args=[alice.pk])
    assert admin_client.post(address, {"post": "yes"}).status_code == 302
    assert not type(alice).objects.filter(pk=alice.pk).exists()
    assert not Dataset.objects.exists()
