"""What is done with one turn: another branch, how it was answered, thumbs, better words, the better of two."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from minions import conversations, feedback
from minions.views.chat import conversation_or_404, message_or_404, turns_context


@login_required
@require_POST
def show_branch(request, message_id):
    message = message_or_404(request.user, message_id)
    conversations.show_branch(message=message)
    return turns_of(request, message)


@login_required
@require_GET
def trace(request, message_id):
    """“How was this answered”: the stages with what each was told and gave."""
    message = message_or_404(request.user, message_id)
    return render(request, "minions/_trace.html", {"message": message, "trace": message.trace})


@login_required
@require_POST
def rate(request, message_id):
    message = message_or_404(request.user, message_id)
    return _thought(
        request, message, lambda: feedback.rate(answer=message, kind=request.POST.get("kind", ""))
    )


@login_required
@require_POST
def edit(request, message_id):
    message = message_or_404(request.user, message_id)
    return _thought(
        request, message, lambda: feedback.edit(answer=message, text=request.POST.get("text", ""))
    )


@login_required
@require_POST
def pick(request, message_id):
    """This answer is better than the one that `over` names."""
    message = message_or_404(request.user, message_id)
    over = message_or_404(request.user, request.POST.get("over", ""))
    return _thought(request, message, lambda: feedback.pick(answer=message, over=over))


def _thought(request, message, keep):
    try:
        keep()
    except feedback.BadFeedback as problem:
        return HttpResponse(str(problem), status=400, content_type="text/plain; charset=utf-8")
    return turns_of(request, message)


def turns_of(request, message):
    """The branch in view again, with what has changed."""
    found = conversation_or_404(request.user, message.conversation_id)
    return render(request, "minions/_turns.html", turns_context(found))
