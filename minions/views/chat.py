"""Chat pages, and the streams of their answers."""

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apex.common.access import owned_or_404
from minions import attaching, conversations, selectors
from minions.answering import Asked
from minions.conversations import CannotAsk
from minions.flow import Question
from minions.models import Conversation, Message, Minion, Source
from minions.streaming import answer_events
from serving.answering import answer_response

PAGE = 50
SIDE = 20


@login_required
@require_GET
def conversation_list(request):
    """All of them, newest first; `?minion=` those with one."""
    rows = selectors.conversations_for(request.user)
    minion = None
    if key := request.GET.get("minion"):
        minion = owned_or_404(Minion, request.user, pk=key)
        rows = rows.filter(minion=minion)
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "minion": minion, "minions": selectors.minions_for(request.user)}
    return render(request, "minions/conversation_list.html", context)


@login_required
@require_POST
def begin(request, minion_id):
    """An empty conversation; one that is empty already is taken again."""
    minion = owned_or_404(Minion, request.user, pk=minion_id)
    empty = (
        Conversation.objects.for_user(request.user).filter(minion=minion, shown=None, messages=None).first()
    )
    found = empty or conversations.begin_conversation(owner=request.user, minion=minion)
    return redirect("minions:conversation", conversation_id=found.pk)


@login_required
@require_GET
def conversation(request, conversation_id):
    found = conversation_or_404(request.user, conversation_id)
    context = turns_context(found) | side_context(found) | attaching.page_of(found)
    return render(request, "minions/conversation.html", context)


@login_required
@require_GET
def turns(request, conversation_id):
    """The branch in view, as a fragment."""
    found = conversation_or_404(request.user, conversation_id)
    return render(request, "minions/_turns.html", turns_context(found))


@login_required
@require_GET
def side(request, conversation_id):
    """The list of conversations beside this one, as a fragment: a first question gives a new one its name."""
    found = conversation_or_404(request.user, conversation_id)
    return render(request, "minions/_side.html", side_context(found))


def side_context(found: Conversation) -> dict:
    rows = selectors.conversations_for(found.owner).filter(minion=found.minion)
    return {"conversation": found, "minion": found.minion, "beside": rows[:SIDE]}


def turns_context(found: Conversation) -> dict:
    return {"conversation": found, "minion": found.minion, "turns": selectors.branch_of(found)}


@login_required
@require_POST
async def ask(request, conversation_id):
    """Server-sent events, as `streaming.answer_events` writes them; 400 with plain words for what cannot be asked."""
    user = await request.auser()
    found = await sync_to_async(conversation_or_404)(user, conversation_id)
    try:
        _question, answer = await sync_to_async(conversations.ask)(
            conversation=found, text=request.POST.get("text", "")
        )
    except CannotAsk as problem:
        return refused(problem)
    return await answered(answer)


@login_required
@require_POST
async def ask_again(request, message_id):
    """Another answer to the same question, as a stream; also the one click after an answer that broke off."""
    message = await sync_to_async(message_or_404)(await request.auser(), message_id)
    try:
        answer = await sync_to_async(conversations.ask_again)(answer=message)
    except CannotAsk as problem:
        return refused(problem)
    return await answered(answer)


@login_required
@require_POST
async def change_question(request, message_id):
    """The question in other words, and the stream of its answer."""
    message = await sync_to_async(message_or_404)(await request.auser(), message_id)
    try:
        _question, answer = await sync_to_async(conversations.change_question)(
            question=message, text=request.POST.get("text", "")
        )
    except CannotAsk as problem:
        return refused(problem)
    return await answered(answer)


async def answered(answer: Message):
    said = await sync_to_async(conversations.turns_before)(answer)
    asked = Asked(
        minion_id=answer.conversation.minion_id, question=Question(messages=said), source=Source.CHAT,
        answer_id=answer.pk,
    )  # fmt: skip
    return answer_response(answer_events(asked))


def refused(problem: CannotAsk) -> HttpResponse:
    return HttpResponse(str(problem), status=400, content_type="text/plain; charset=utf-8")


@login_required
@require_POST
def rename_conversation(request, conversation_id):
    found = conversation_or_404(request.user, conversation_id)
    if title := request.POST.get("title", "").replace("\x00", "").strip():
        conversations.rename_conversation(conversation=found, title=title)
    else:
        messages.error(request, _("Give it a name; nothing was changed."))
    return redirect(back_to(request, found))


def back_to(request, found: Conversation) -> str:
    """The list, where the act was asked for there; else the conversation."""
    is_list = request.POST.get("from") == "list"
    return (
        reverse("minions:conversation-list") if is_list else reverse("minions:conversation", args=[found.pk])
    )


@login_required
@require_POST
def delete_conversation(request, conversation_id):
    found = conversation_or_404(request.user, conversation_id)
    conversations.delete_conversation(conversation=found)
    messages.success(request, _("The conversation is gone."))
    return redirect("minions:conversation-list")


def conversation_or_404(user, conversation_id) -> Conversation:
    rows = Conversation.objects.select_related("minion__adapter__base_model", "owner", "shown")
    return owned_or_404(rows, user, pk=conversation_id)


def message_or_404(user, message_id) -> Message:
    rows = Message.objects.select_related("conversation__minion", "parent", "owner", "trace__version")
    return owned_or_404(rows, user, pk=message_id)
