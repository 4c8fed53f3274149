"""The playground: one question to several models side by side. Here, not in `serving`, since aliases are asked too."""

from functools import partial

from asgiref.sync import sync_to_async
from django import forms
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from gateway import aliases
from serving import playground, services
from serving.answering import LONGEST_PROMPT, Book, answer_events, answer_response
from serving.backends.base import Target
from serving.playground import Choice
from serving.protocol import ChatRequest
from serving.views import messages_of

MOST_COLUMNS = 4
MOST_TOKENS = 4096


class QuestionForm(forms.Form):
    """One question with its settings, as each column sends it."""

    model = forms.CharField(max_length=300)
    prompt = forms.CharField(max_length=LONGEST_PROMPT)
    instruction = forms.CharField(
        label=gettext_lazy("Instruction"), max_length=LONGEST_PROMPT, required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("Goes before the question to each model. What was trained under one is asked under it."),
    )  # fmt: skip
    temperature = forms.FloatField(
        label=gettext_lazy("Chance"), min_value=0, max_value=2, initial=0,
        help_text=gettext_lazy("0: always the likeliest word, so that the same question gets the same answer."),
    )  # fmt: skip
    max_tokens = forms.IntegerField(
        label=gettext_lazy("Longest answer"), min_value=1, max_value=MOST_TOKENS, initial=300,
        help_text=gettext_lazy("In tokens; a page of text has about 600."),
    )  # fmt: skip
    seed = forms.IntegerField(
        label=gettext_lazy("Seed"), min_value=0, max_value=2**53 - 1, required=False,
        help_text=gettext_lazy("The same one draws the same chances again. Empty: each time others."),
    )  # fmt: skip


@login_required
@require_GET
def page(request):
    """Up to four columns, which `?model=` names; what is not (any more) to be asked is said and left out."""
    own, bases = playground.own_choices(request.user), playground.base_choices(request.user)
    others = [_alias(each) for each in aliases.aliases_for(request.user)]
    groups = [*own, (_("Base models"), bases), (_("Other names (aliases)"), others)]
    names = {choice.name for _title, found in groups for choice in found}
    wanted = list(dict.fromkeys(request.GET.getlist("model")))
    chosen = [name for name in wanted if name in names][:MOST_COLUMNS]
    chosen = chosen or playground.columns_to_begin_with(own, bases)
    context = {
        "groups": groups,
        "columns": chosen,
        "gone": [name for name in wanted if name not in names],
        "most": MOST_COLUMNS,
        "form": QuestionForm(auto_id="ask-%s"),
        "prompt": request.GET.get("prompt", "")[:LONGEST_PROMPT],
        "site": request.build_absolute_uri("/").rstrip("/"),
    }
    return render(request, "gateway/playground.html", context)


@login_required
@require_POST
async def answer(request):
    """Server-sent events, as `answering.answer_events` writes them, beginning with the lineage. 400: plain words."""
    user = await request.auser()
    form = QuestionForm(request.POST)
    if not form.is_valid():
        return HttpResponse(_faults(form), status=400, content_type="text/plain; charset=utf-8")
    asked = form.cleaned_data

    def make_request(name: str) -> ChatRequest:
        return ChatRequest(
            model=name,
            messages=messages_of(asked["prompt"], asked["instruction"]),
            temperature=asked["temperature"],
            max_tokens=asked["max_tokens"],
            seed=asked["seed"],
        )

    find = partial(_find, user, asked["model"])
    tell = sync_to_async(partial(playground.lineage_words, user))
    return answer_response(answer_events(find, make_request, book=Book(user, "playground"), tell=tell))


async def _find(user, name: str) -> Target:
    return await services.resolve_model(user=user, model_id=await sync_to_async(aliases.resolved)(user, name))


def _alias(alias) -> Choice:
    return Choice(alias.name, f"{alias.name} → {alias.base_model.display_name}")


def _faults(form: QuestionForm) -> str:
    """What is wrong with each field, one sentence after another."""
    words = {"prompt": _("The question"), "model": _("The model")}
    return " ".join(
        f"{words.get(name) or form.fields[name].label}: {' '.join(errors)}"
        for name, errors in form.errors.items()
    )
