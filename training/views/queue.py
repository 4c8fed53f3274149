"""The queue: what runs, what waits, why and for about how long."""

from django.contrib.auth.decorators import login_required
from django.shortcuts import render

from training import turns


@login_required
def queue(request):
    context = {"board": turns.board(request.user)}
    template = "training/queue.html"
    return render(request, f"{template}#board" if request.htmx else template, context)
