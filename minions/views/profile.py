"""What a person has taught: trainings, versions, experience."""

from django.contrib.auth.decorators import login_required
from django.shortcuts import render
from django.views.decorators.http import require_GET

from minions import selectors


@login_required
@require_GET
def profile(request):
    return render(request, "minions/profile.html", selectors.profile_of(request.user))
