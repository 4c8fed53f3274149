"""The back office of the ledger: budgets and prices are set here, lines are to look at."""

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from apex.common.admin import SeenAdmin, SuperusersOnly
from ledger import minutes, services
from ledger.models import Budget, Counter, Measure, MinuteLimits, ServingPrice, UsageDay, UsageLine, public
from ledger.money import dollars_of

OF_WHAT = ("owner", "scope", "token_id", "minion_id", "measure", "period")


class BudgetForm(forms.ModelForm):
    """The limit as people count it; in the table it is in the smallest unit."""

    amount = forms.DecimalField(
        label=_("limit"), required=False, min_value=0, max_digits=20, decimal_places=9,
        help_text=_("US dollars, tokens, or seconds. Empty: no limit, also where everybody has one."),
    )  # fmt: skip

    class Meta:
        model = Budget
        fields = [*OF_WHAT, "name"]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            self.initial["amount"] = self.instance.public_limit

    def asked(self) -> dict:
        """What a budget is of stays as it is where the form has no field for it."""
        found = {
            name: self.cleaned_data.get(name, getattr(self.instance, name)) for name in (*OF_WHAT, "name")
        }
        return {**found, "limit": self.cleaned_data.get("amount")}

    def clean(self):
        asked = super().clean()
        try:
            services.limit_of(self.asked()["measure"] or Measure.MONEY, asked.get("amount"))
            services.refuse_odd(
                **{name: self.asked()[name] for name in ("owner", "scope", "token_id", "minion_id")}
            )
        except services.BudgetRefused as problem:
            raise forms.ValidationError(str(problem)) from problem
        return asked


@admin.register(Budget)
class BudgetAdmin(ModelAdmin):
    """Without an owner: of everybody, each for themselves. What a budget is of stays; its limit changes."""

    form = BudgetForm
    list_display = ["whose", "scope", "measure", "period", "limit_said", "is_own", "name"]
    list_filter = ["measure", "period", "scope", "is_own"]
    search_fields = ["owner__username", "name"]
    list_select_related = ["owner"]

    @admin.display(description=_("of"))
    def whose(self, budget) -> str:
        return budget.owner.get_username() if budget.owner else str(_("everybody"))

    @admin.display(description=_("limit"))
    def limit_said(self, budget) -> str:
        return str(_("none")) if budget.limit is None else f"{budget.public_limit:,}"

    def get_readonly_fields(self, request, obj=None):
        return () if obj is None else OF_WHAT

    def save_model(self, request, obj, form, change):
        saved = services.set_budget(**form.asked(), is_own=obj.is_own)
        obj.pk, obj.key, obj.limit = saved.pk, saved.key, saved.limit
        obj._state.adding = False


class MinuteLimitsForm(forms.ModelForm):
    """Says at each field what holds while it is empty."""

    class Meta:
        model = MinuteLimits
        fields = list(minutes.SETTINGS)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for field, setting in minutes.SETTINGS.items():
            self.fields[field].help_text = _(
                "0: no limit. Empty: %(count)s, as APEX_%(setting)s in the environment says."
            ) % {"count": getattr(settings, setting), "setting": setting}


@admin.register(MinuteLimits)
class MinuteLimitsAdmin(SuperusersOnly, ModelAdmin):
    """What everybody may ask in a minute, in one form: the list leads straight to its one row."""

    form = MinuteLimitsForm

    def get_fieldsets(self, request, obj=None):
        about = format_html(
            _(
                "Of everybody, each for themselves. Single people have other ones under "
                '<a href="{}">users</a>. What everybody may use in a day or month is under <a href="{}">budgets</a>, '
                "without an owner."
            ),
            reverse("admin:accounts_user_changelist"),
            reverse("admin:ledger_budget_changelist"),
        )
        return [(None, {"fields": list(minutes.SETTINGS), "description": about})]

    def has_add_permission(self, request):
        return super().has_add_permission(request) and not MinuteLimits.objects.exists()

    def has_delete_permission(self, request, obj=None):
        return False

    def changelist_view(self, request, extra_context=None):
        row = MinuteLimits.objects.first()
        page = "change" if row else "add"
        return HttpResponseRedirect(
            reverse(f"admin:ledger_minutelimits_{page}", args=[row.pk] if row else [])
        )


@admin.register(Counter)
class CounterAdmin(SeenAdmin):
    """Who has used how much of what."""

    list_display = ["owner", "budget", "began_at", "spent_said", "reserved_said", "limit_said"]
    list_filter = ["budget__measure", "budget__period"]
    search_fields = ["owner__username"]
    list_select_related = ["owner", "budget"]

    @admin.display(description=_("used"), ordering="spent")
    def spent_said(self, counter) -> str:
        return f"{public(counter.budget.measure, counter.spent):,}"

    @admin.display(description=_("held"), ordering="reserved")
    def reserved_said(self, counter) -> str:
        return f"{public(counter.budget.measure, counter.reserved):,}"

    @admin.display(description=_("limit"), ordering="limit")
    def limit_said(self, counter) -> str:
        return "–" if counter.limit is None else f"{public(counter.budget.measure, counter.limit):,}"


@admin.register(UsageLine)
class UsageLineAdmin(SeenAdmin):
    list_display = ["at", "owner", "kind", "activity", "provider", "model", "money", "outcome"]
    list_filter = ["kind", "activity", "outcome", "at"]
    search_fields = ["model", "reference"]
    show_full_result_count = False


@admin.register(UsageDay)
class UsageDayAdmin(SeenAdmin):
    """Who has used what on which day; the page Usage sums it up."""

    list_display = ["day", "owner", "activity", "provider", "model", "outcome", "error", "count", "dollars"]
    list_filter = ["day", "kind", "outcome"]
    search_fields = ["model", "error"]
    list_select_related = ["owner"]
    fields = [
        "day", "owner", "kind", "activity", "provider", "model", "minion_id", "token_id", "outcome", "error", "count",
        "dollars", "input_tokens", "output_tokens", "gpu_ms", "slowest_ms",
    ]  # fmt: skip
    show_full_result_count = False

    @admin.display(description=_("US dollars"), ordering="nanos")
    def dollars(self, day) -> str:
        return f"{dollars_of(day.nanos):f}"


@admin.register(ServingPrice)
class ServingPriceAdmin(ModelAdmin):
    list_display = ["__str__", "input_dollars", "output_dollars", "source"]
