"""Files in the chat: bringing them, how far their reading is, and letting the minion look them up."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from minions import attaching
from minions.services import MinionRefused
from minions.views.chat import conversation_or_404


@login_required
@require_POST
def attach(request, conversation_id):
    """One or several files. Answers with the list of all, and for each that was refused why."""
    found = conversation_or_404(request.user, conversation_id)
    made, problems = None, []
    uploads = request.FILES.getlist("file")
    for upload in uploads:
        try:
            kept = attaching.attach(conversation=found, upload=upload, base_id=request.POST.get("base", ""))
        except attaching.CannotAttach as problem:
            problems.append({"name": upload.name, "why": str(problem)})
        else:
            made = made or kept.made
    if not uploads:
        problems.append({"name": "", "why": _("Nothing came. Choose a file.")})
    context = attaching.page_of(found) | {"made": made, "problems": problems}
    return render(request, "minions/_attached.html", context, status=422 if problems else 200)


@login_required
@require_GET
def attached(request, conversation_id):
    found = conversation_or_404(request.user, conversation_id)
    return render(request, "minions/_attached.html", attaching.page_of(found))


@login_required
@require_POST
def look_up(request, conversation_id):
    """Switches the minion to a mode that looks things up."""
    found = conversation_or_404(request.user, conversation_id)
    try:
        attaching.let_look_up(minion=found.minion)
    except MinionRefused as problem:
        messages.error(request, str(problem))
        return redirect("minions:minion-edit", minion_id=found.minion_id)
    messages.success(
        request,
        _("From the next question on, %(name)s looks things up first.") % {"name": found.minion.name},
    )
    return redirect("minions:conversation", conversation_id=found.pk)
