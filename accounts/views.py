"""Settings: profile and API tokens. The bell: its list, and the way from a notice to what it tells of."""

from allauth.account.decorators import reauthentication_required
from django.conf import settings as house
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import selectors, services
from accounts.forms import ProfileForm, TokenForm
from accounts.models import Notice, User
from apex.common.access import owned_or_404


def changes_address(request: HttpRequest) -> bool:
    """By mail to its address an account is opened where the password is forgotten; so whoever changes it knows that."""
    return house.MAIL_IS_SET_UP and request.POST.get("email", "").strip() != request.user.email


@login_required
@reauthentication_required(allow_get=True, enabled=changes_address)
@require_http_methods(["GET", "POST"])
def settings(request: HttpRequest) -> HttpResponse:
    """Who one is and in which zone one's dates show."""
    form = ProfileForm(request.POST or None, instance=User.objects.get(pk=request.user.pk))
    if request.method == "POST" and form.is_valid():
        services.save_profile(user=form.instance, **form.cleaned_data)
        messages.success(request, _("Saved."))
        return redirect("accounts:settings")
    return render(request, "accounts/settings.html", {"form": form})


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
@sensitive_variables("secret")
def tokens(request: HttpRequest) -> HttpResponse:
    """The tokens that act for one; a new one is shown in the answer to the request that made it, and never again."""
    form = TokenForm(request.POST or None)
    token = secret = None
    if request.method == "POST" and form.is_valid():
        token, secret = services.create_token(user=request.user, **form.asked())
        form = TokenForm()
    context = {"form": form, "tokens": selectors.tokens_of(request.user), "token": token, "secret": secret}
    context |= first_call(request.build_absolute_uri("/"))
    return render(request, "accounts/tokens.html", context)


@login_required
@require_POST
def revoke_token(request: HttpRequest, public_id) -> HttpResponse:
    token = get_object_or_404(selectors.tokens_of(request.user), public_id=public_id)
    services.revoke_token(token=token)
    messages.success(request, _("“%(name)s” no longer opens anything.") % {"name": token.name})
    return redirect("accounts:tokens")


@login_required
@require_GET
def notices(request: HttpRequest) -> HttpResponse:
    """The fragment behind the bell."""
    return render(request, "accounts/_notices.html", selectors.bell(request.user))


@login_required
@require_POST
def read_notices(request: HttpRequest) -> HttpResponse:
    services.read_notices(user=request.user)
    return render(request, "accounts/_notices.html", selectors.bell(request.user))


@login_required
@require_GET
def notice(request: HttpRequest, notice_id) -> HttpResponse:
    """Goes to what the notice tells of, and counts it as read."""
    row = owned_or_404(Notice, request.user, pk=notice_id)
    services.read_notices(user=request.user, notices=Notice.objects.for_user(request.user).filter(pk=row.pk))
    is_ours = url_has_allowed_host_and_scheme(row.url, allowed_hosts=None)
    return redirect(row.url if row.url and is_ours else "training:home")


def first_call(site: str) -> dict:
    """The smallest thing that a program can do with a token, in two languages."""
    return {
        "curl": f'curl {site}v1/models -H "Authorization: Bearer $APEX_TOKEN"',
        "python": (
            "import os\n\nfrom openai import OpenAI\n\n"
            f'client = OpenAI(base_url="{site}v1", api_key=os.environ["APEX_TOKEN"])\n'
            "for model in client.models.list():\n    print(model.id)"
        ),
    }
