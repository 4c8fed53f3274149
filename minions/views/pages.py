"""Minions: the list, one minion, its form, its token, and what to learn from its answers."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apex.common.access import owned_or_404
from apex.common.forms import tell
from minions import improving, selectors, services, spending
from minions.forms import LimitForm, LinkForms, MinionForm, PaceForm, link_values
from minions.models import AnswerTrace, Minion
from minions.recipes import MOST_LINKS


@login_required
@require_GET
def minion_list(request):
    return render(request, "minions/minion_list.html", {"minions": selectors.minions_for(request.user)})


@login_required
@require_http_methods(["GET", "POST"])
def minion_add(request):
    return _form_page(request, None)


@login_required
@require_http_methods(["GET", "POST"])
def minion_edit(request, minion_id):
    return _form_page(request, minion_or_404(request.user, minion_id))


def _form_page(request, minion: Minion | None):
    """The form, with the outside models as rows that the page adds, moves and takes away (chain.js)."""
    owner, data = request.user, request.POST or None
    form = MinionForm(data, instance=minion, owner=owner)
    links = LinkForms(
        data, prefix="chain", form_kwargs={"owner": owner},
        # What was sent says all: rows may have been moved, so that none stands where it began.
        initial=[link_values(each) for each in minion.chain] if minion and not data else [],
    )  # fmt: skip
    # A ModelForm writes into its instance as it is checked; the service gets the row as it is.
    if data and form.is_valid() and links.is_valid():
        wanted = form.wanted() | {"chain": links.chain()}
        try:
            if minion is None:
                made = services.create_minion(owner=owner, **wanted)
            else:
                made = services.change_minion(minion=minion_or_404(owner, minion.pk), **wanted)
        except services.MinionRefused as problem:
            tell(form, problem)
        else:
            messages.success(request, _("Saved. It holds from the next question on."))
            return redirect("minions:minion-detail", minion_id=made.pk)
    has_faults = bool(data and (form.errors or links.total_error_count()))
    context = {"form": form, "links": links, "minion": minion, "most_links": MOST_LINKS}
    return render(request, "minions/minion_form.html", context, status=422 if has_faults else 200)


@login_required
@require_GET
def minion_detail(request, minion_id):
    return _detail(request, minion_or_404(request.user, minion_id))


def _detail(request, minion: Minion, token_text: str = ""):
    answers = AnswerTrace.objects.filter(minion=minion).select_related("version", "message")
    context = {
        "minion": minion,
        "chain": selectors.chain_for_page(minion),
        "figures": selectors.figures_of(minion),
        "standings": spending.standings_of(minion),
        "limit_form": LimitForm(),
        "pace_form": PaceForm(instance=minion),
        "experience": selectors.experience_of_minion(minion),
        "learnable": improving.learnable(minion),
        "conversations": selectors.conversations_for(request.user).filter(minion=minion)[:5],
        "answers": answers[:10],
        "versions": minion.versions.all()[:20],
        "token_text": token_text,
        "site": request.build_absolute_uri("/").rstrip("/"),
    }
    return render(request, "minions/minion_detail.html", context)


@login_required
@require_POST
def delete_minion(request, minion_id):
    minion = minion_or_404(request.user, minion_id)
    services.delete_minion(minion=minion)
    messages.success(
        request, _("“%(name)s” is gone, with its conversations and its token.") % {"name": minion.name}
    )
    return redirect("minions:minion-list")


@login_required
@never_cache
@require_POST
@sensitive_variables("text")
def make_token(request, minion_id):
    """Shows the new token in the answer to the request that made it, and never again."""
    minion = minion_or_404(request.user, minion_id)
    _token, text = services.make_token(minion=minion)
    return _detail(request, minion_or_404(request.user, minion_id), token_text=text)


@login_required
@require_POST
def end_token(request, minion_id):
    services.end_token(minion=minion_or_404(request.user, minion_id))
    messages.success(request, _("The token opens nothing any more."))
    return redirect("minions:minion-detail", minion_id=minion_id)


@login_required
@require_POST
def improve(request, minion_id):
    """Makes the examples, and opens the wizard with them."""
    minion = minion_or_404(request.user, minion_id)
    try:
        version = improving.improve(minion=minion, kind=request.POST.get("kind", ""))
    except (improving.NothingToLearn, improving.DatasetRefused) as problem:
        messages.error(request, str(problem))
        return redirect("minions:minion-detail", minion_id=minion.pk)
    return redirect(f"{reverse('training:teach')}?dataset={version.dataset_id}")


def minion_or_404(user, minion_id) -> Minion:
    return owned_or_404(
        selectors.minions_for(user).select_related("owner", "adapter__job", "adapter__base_model"),
        user,
        pk=minion_id,
    )
