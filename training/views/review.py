"""The last step of the wizard: what it takes, which way to go about it, what to change, and the start."""

import json

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from base_models.models import BaseModel
from training import plan_settings, services, telling
from training.engine.config import describe
from training.forms import SettingsForm
from training.models import Plan
from training.plan_settings import Settled
from training.presets import NAMES
from training.views.plans import open_plan, started


@login_required
def plan_review(request, plan_id):
    plan = open_plan(request, plan_id)
    if gone := started(plan):
        return gone
    if plan.dataset_version is None:
        messages.info(request, _("Show it examples first."))
        return redirect("training:plan-examples", plan_id=plan.pk)
    if plan.base_model is None or not plan.base_model.is_on_this_machine:
        messages.info(request, _("Pick a starting point first."))
        return redirect("training:plan-model", plan_id=plan.pk)
    settled, refused = look(plan)
    form = SettingsForm(request.POST or None, plan=plan, proposed=proposed(plan, settled))
    if request.method == "POST" and form.is_valid():
        keep(plan, form)
        if "start" in request.POST:
            return start(request, plan)
        act(request, plan)
        return redirect("training:plan-review", plan_id=plan.pk)
    config = settled.config if settled else plan_settings.free_settings(plan)
    context = {"plan": plan, "step": 4, "form": form, "site": request.build_absolute_uri("/").rstrip("/"),
               "api_body": api_body(plan, config)}  # fmt: skip
    context |= review_context(plan, settled) if settled else {"refused": refused}
    return render(request, "training/plan_review.html", context, status=422 if form.errors else 200)


def look(plan: Plan) -> tuple[Settled | None, str]:
    """The plan as it would be trained, or why it cannot be."""
    try:
        return plan_settings.settle(plan), ""
    except services.StartRefused as problem:
        return None, str(problem)


def proposed(plan: Plan, settled: Settled | None) -> dict:
    """What the settings are where nothing was changed by hand."""
    preset = settled.preset.config if settled else {}
    return {**services.suits(plan.base_model, plan.method), **preset}


def review_context(plan: Plan, settled: Settled) -> dict:
    asked = settled.asked
    estimate = telling.told(asked)
    return {
        "estimate": estimate,
        "places": telling.places_told(asked),
        "rentable": rentable(asked) if not estimate["fits"] else None,
        "suggestions": telling.suggestions_told(asked),
        "presets": telling.presets_told(settled.presets),
        "preset": settled.preset.name,
        "changed": changes_by_hand(plan, settled),
    }


def api_body(plan: Plan, config: dict) -> str:
    """What a program sends to start the very same training, to stand between single quotes in a shell."""
    body = {
        "name": plan.name,
        "dataset": str(plan.dataset_version.dataset_id),
        "dataset_version": str(plan.dataset_version_id),
        "base_model": plan.base_model.name,
        "method": plan.method,
        "config": config,
    }
    if plan.start_adapter_id:
        body["start_adapter"] = str(plan.start_adapter_id)
    if plan.device_count > 1:
        body["device_count"] = plan.device_count
    return json.dumps(body, indent=2, ensure_ascii=False).replace("'", r"\u0027")


def rentable(asked) -> dict | None:
    """The cheapest rented machine that it would fit on as it is."""
    fitting = [one for one in telling.places_told(asked) if one["kind"] == "offer" and one["fits"]]
    return min(fitting, key=lambda one: one["cost"]["on_demand"] or float("inf"), default=None)


def changes_by_hand(plan: Plan, settled: Settled) -> list[dict]:
    """What was changed by hand: label, value, and what the preset has in its place."""
    usual = settled.asked.again(settled.preset.config).config.to_dict(plan.method)
    changed = plan_settings.free_settings(plan)
    return [
        {
            "label": setting["label"],
            "term": setting["term"],
            "value": changed[setting["name"]],
            "usual": usual.get(setting["name"]),
        }
        for setting in describe(plan.method)
        if setting["name"] in changed
    ]


def keep(plan: Plan, form: SettingsForm) -> None:
    """Keeps what was changed by hand, whichever button was pressed."""
    plan.config = form.changed_settings()
    plan.device_count = form.cleaned_data["device_count"]
    if (method := form.cleaned_data.get("method")) and method != plan.method:
        plan.method = method
    plan.save(update_fields=["config", "device_count", "method", "changed_at"])


def act(request, plan: Plan) -> None:
    """Another preset, back to the preset, or one of the suggestions."""
    if request.POST.get("preset") in NAMES:
        plan.preset = request.POST["preset"]
    elif "reset" in request.POST:
        plan.config, plan.device_count = {}, 1
    elif "apply" in request.POST:
        apply_suggestion(request, plan)
    plan.save(update_fields=["preset", "config", "device_count", "base_model", "changed_at"])


def apply_suggestion(request, plan: Plan) -> None:
    """Does what was suggested, as it is worked out now: the plan may have changed since the page was made."""
    settled, refused = look(plan)
    suggested = telling.suggestions_told(settled.asked) if settled else []
    chosen = next((one for one in suggested if one["code"] == request.POST["apply"]), None)
    if chosen is None:
        messages.info(request, refused or _("That is not needed any more."))
        return
    if chosen["base_model"]:
        plan.base_model = BaseModel.objects.on_this_machine().get(name=chosen["base_model"])
    plan.device_count = chosen["device_count"] or plan.device_count
    plan.config = {**plan.config, **chosen["config"]}


def start(request, plan: Plan):
    """One plan, one job: pressing twice leads to the same page."""
    try:
        settled = plan_settings.settle(plan)
        estimate = telling.told(settled.asked)
        job = services.start_job(
            owner=request.user,
            name=plan.name,
            dataset_version=plan.dataset_version,
            base_model=plan.base_model,
            method=plan.method,
            start_adapter=plan.start_adapter,
            config=settled.config,
            plan=plan,
            estimate=estimate,
            device_count=plan.device_count,
            memory_bytes=estimate["asks_bytes"],
        )
    except services.StartRefused as problem:
        messages.error(request, str(problem))
        return redirect("training:plan-review", plan_id=plan.pk)
    return redirect("training:job-detail", job_id=job.pk)
