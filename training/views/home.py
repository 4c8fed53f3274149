"""Home and the palette."""

from django.contrib.auth.decorators import login_required
from django.shortcuts import render

from training import selectors, verdicts


@login_required
def home(request):
    found = selectors.home(request.user)
    is_new = not (found["recent_jobs"] or found["recent_datasets"] or found["plans"])
    if is_new:
        return render(request, "training/home_empty.html")
    last = found["last_result"]
    found["last_words"] = verdicts.final_words(last) if last else ""
    return render(request, "training/home.html", found)


@login_required
def palette(request):
    return render(request, "training/_palette.html", selectors.find_things(request.user))
