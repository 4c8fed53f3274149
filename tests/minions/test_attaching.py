"""Files that are brought in a conversation: where they go, what is said of them, and who may."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from knowledge import execution
from knowledge.models import Document, KnowledgeBase
from knowledge.services import create_base
from minions import conversations
from minions.models import Attachment, Message
from tests.knowledge.conftest import own_storage, sent  # noqa: F401 - fixtures
from tests.minions.test_chat import browser, page, say  # noqa: F401 - a fixture among them

pytestmark = pytest.mark.django_db(transaction=True)
GATE = b"The harbour gate opens at six in the morning."


@pytest.fixture
def conversation(alice, make_minion):
    return conversations.begin_conversation(owner=alice, minion=make_minion())


def url_of(name, conversation):
    return reverse(f"minions:conversation-{name}", args=[conversation.pk])


def attach(client, conversation, name="gate.txt", content=GATE, **more):
    files = [SimpleUploadedFile(name, content)]
    answer = client.post(url_of("attach", conversation), {"file": files, **more})
    return answer.status_code, answer.content.decode()


def read_all():
    for document in Document.objects.filter(status="queued"):
        execution.execute_document(str(document.pk))


def test_a_minion_without_knowledge_gets_a_base_and_says_that_it_does_not_look_things_up_yet(
    alice_client, conversation
):
    status, shown = attach(alice_client, conversation)
    assert status == 200 and "waits to be read" in shown
    base = KnowledgeBase.objects.get()
    assert base.name == "Files for Nora" and list(conversation.minion.knowledge_bases.all()) == [base]
    assert "was made and joined to it" in shown
    assert "answers without looking anything up" in shown and "Let it look things up" in shown
    # It stays said when the page is opened again.
    assert "answers without looking anything up" in page(alice_client, conversation)


def test_a_base_that_is_made_is_named_otherwise_than_those_that_are_there(alice, alice_client, conversation):
    create_base(owner=alice, name="Files for Nora")
    attach(alice_client, conversation)
    assert [base.name for base in conversation.minion.knowledge_bases.all()] == ["Files for Nora 2"]


def test_how_far_its_reading_is_stands_in_the_chat(alice, alice_client, conversation, settings):
    attach(alice_client, conversation)
    assert "every 3s" in alice_client.get(url_of("attached", conversation)).content.decode()
    read_all()
    shown = alice_client.get(url_of("attached", conversation)).content.decode()
    assert "ready: 1 piece to look up" in shown and "every 3s" not in shown
    # It folds once something was asked since.
    assert '<details id="attached-files" open>' in shown
    Message.objects.create(owner=alice, conversation=conversation, role="user", text="And now?")
    assert (
        '<details id="attached-files">' in alice_client.get(url_of("attached", conversation)).content.decode()
    )
    attach(alice_client, conversation, "broken.pdf", b"%PDF-1.4 no more than this")
    read_all()
    shown = alice_client.get(url_of("attached", conversation)).content.decode()
    assert "could not be read" in shown and "Try again, or bring another file" in shown


def test_after_a_switch_the_next_question_is_answered_with_the_file(
    browser,  # noqa: F811
    alice_client,
    conversation,
    outside,  # noqa: F811
):
    attach(alice_client, conversation)
    read_all()
    answer = alice_client.post(url_of("look-up", conversation), follow=True)
    assert "looks things up first" in answer.content.decode()
    conversation.minion.refresh_from_db()
    assert conversation.minion.mode == "rag_only"
    say(browser, conversation, "When does the gate open?")
    assert GATE.decode() in outside[0].seen[-1].body["messages"][0]["content"]
    assert conversation.messages.get(role="assistant").citations[0]["name"] == "gate.txt"


def test_what_learned_only_cannot_look_up_without_an_outside_model(alice_client, conversation):
    minion = conversation.minion
    minion.mode, minion.chain = "lora_only", []
    minion.save()
    answer = alice_client.post(url_of("look-up", conversation), follow=True)
    assert answer.redirect_chain[-1][0] == reverse("minions:minion-edit", args=[minion.pk])
    assert "Name an outside model" in answer.content.decode()


def test_it_goes_into_the_base_that_is_chosen_and_then_into_the_same(alice, alice_client, conversation):
    first, second = (create_base(owner=alice, name=name, embedding="words") for name in ("A", "B"))
    conversation.minion.knowledge_bases.set([first, second])
    attach(alice_client, conversation, "one.txt")
    attach(alice_client, conversation, "two.txt", base=second.pk)
    attach(alice_client, conversation, "three.txt")
    into = {each.name: each.knowledge_base for each in Document.objects.all()}
    assert into == {"one.txt": first, "two.txt": second, "three.txt": second}


@pytest.mark.parametrize(
    "name, content, why", [("empty.txt", b"", "empty"), ("large.txt", b"x" * 2000, "Split it")]
)
def test_what_is_refused_says_why_and_leaves_nothing(
    alice_client, conversation, settings, name, content, why
):
    settings.DOCUMENT_LIMIT_BYTES = 1000
    status, shown = attach(alice_client, conversation, name, content)
    assert status == 422 and why in shown and name in shown
    assert not Attachment.objects.exists() and not KnowledgeBase.objects.exists()


def test_the_name_of_a_file_is_never_markup(alice_client, conversation):
    _status, shown = attach(alice_client, conversation, "<img src=x>.txt")
    assert "<img" not in shown and "&lt;img src=x&gt;.txt" in shown


def test_it_stays_when_the_conversation_goes_and_the_chat_says_when_it_is_gone(alice_client, conversation):
    attach(alice_client, conversation)
    Document.objects.get().delete()
    assert "gone, or replaced" in alice_client.get(url_of("attached", conversation)).content.decode()
    attach(alice_client, conversation)
    conversations.delete_conversation(conversation=conversation)
    assert Document.objects.count() == 1


def test_mallory_brings_nothing_and_alice_nothing_into_foreign_bases(
    alice_client, mallory, mallory_client, conversation
):
    for name in ("attach", "look-up"):
        answer = mallory_client.post(url_of(name, conversation), {"file": SimpleUploadedFile("x.txt", GATE)})
        assert answer.status_code == 404
    assert mallory_client.get(url_of("attached", conversation)).status_code == 404
    hers = create_base(owner=mallory, name="Hers", embedding="words")
    for key in (hers.pk, "no-id"):
        assert attach(alice_client, conversation, base=key)[0] == 404
    assert not Document.objects.exists()
