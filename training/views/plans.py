"""The wizard: what should it learn → examples → base model → review → start. Each step saves the plan."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from apex.common.access import owned_or_404
from base_models.models import BaseModel
from datasets_app import selectors as dataset_selectors
from datasets_app import services as dataset_services
from datasets_app.models import Dataset, DatasetImport
from training import selectors, services
from training.forms import GoalForm, TypedExamplesForm
from training.kinds import kinds_for, method_for, mismatch, purpose_for
from training.models import Adapter, Plan, Purpose

ADAPTER = "adapter:"
SOURCES = ["file", "mine", "typed", "demo"]


def open_plan(request, plan_id) -> Plan:
    """The user's plan; one that has become a job is no longer open to change."""
    plans = Plan.objects.select_related("dataset_version__dataset", "base_model", "start_adapter__job")
    return owned_or_404(plans, request.user, pk=plan_id)


def started(plan: Plan):
    """Where a plan leads that has already become a job, or None."""
    job = getattr(plan, "job", None)
    return redirect("training:job-detail", job_id=job.pk) if job else None


def method_of(plan: Plan) -> str:
    """How the plan learns: by what it is shown, else by what is usual for its purpose."""
    kinds = kinds_for(plan.purpose)
    shown = plan.dataset_version.kind if plan.dataset_version else ""
    return method_for(shown if shown in kinds else kinds[0], plan.method)


@login_required
def teach(request):
    """Step 1 for a new plan; `?dataset=` names examples that it begins with."""
    key = request.GET.get("dataset")
    dataset = owned_or_404(Dataset, request.user, pk=key) if key else None
    version = dataset.latest if dataset else None
    begun = {"purpose": purpose_for(version.kind)} if version else None
    form = GoalForm(request.POST or None, initial=begun)
    if request.method == "POST" and form.is_valid():
        form.instance.owner = request.user
        if version and (refusal := mismatch(version, form.cleaned_data["purpose"])):
            messages.error(request, refusal)
            version = None
        form.instance.dataset_version = version
        plan = form.save(commit=False)
        plan.method = method_of(plan)
        plan.save()
        return redirect("training:plan-examples", plan_id=plan.pk)
    return render(
        request, "training/plan_goal.html", {"form": form, "step": 1}, status=422 if form.errors else 200
    )


@login_required
@require_POST
def teach_demo(request):
    """The example set and the demo base model, filled in up to the review."""
    version = dataset_services.demo_dataset(owner=request.user)
    plan = Plan.objects.create(
        owner=request.user,
        name=version.dataset.name[: services.NAME_LENGTH],
        purpose="style",
        dataset_version=version,
        base_model=BaseModel.objects.on_this_machine().first(),
    )
    return redirect("training:plan-review", plan_id=plan.pk)


@login_required
def plan_goal(request, plan_id):
    plan = open_plan(request, plan_id)
    if gone := started(plan):
        return gone
    form = GoalForm(request.POST or None, instance=plan)
    if request.method == "POST" and form.is_valid():
        plan = form.save(commit=False)
        plan.method = method_of(plan)
        plan.save()
        return redirect("training:plan-examples", plan_id=plan.pk)
    context = {"plan": plan, "form": form, "step": 1}
    return render(request, "training/plan_goal.html", context, status=422 if form.errors else 200)


@login_required
def plan_examples(request, plan_id):
    plan = open_plan(request, plan_id)
    if gone := started(plan):
        return gone
    source = request.GET.get("from", "file")
    context = {"plan": plan, "step": 2, "source": source if source in SOURCES else "file",
               "typed_form": TypedExamplesForm(initial={"name": plan.name}), "faults": []}  # fmt: skip
    context |= import_context(request, plan)
    status = 200
    if request.method == "POST":
        file = request.FILES.get("file")
        try:
            if dataset_services.is_for_a_worker(file):
                return check_in_peace(request, plan, file)
            if take_examples(request, plan, context):
                return redirect("training:plan-examples", plan_id=plan.pk)
        except dataset_services.DatasetRefused as problem:
            imported = dataset_services.keep_for_columns(
                problem=problem,
                owner=request.user,
                file=file,
                text=request.POST.get("text"),
                name=request.POST.get("name", ""),
                next_url=reverse("training:plan-examples", args=[plan.pk]),
            )
            if imported:
                return redirect("datasets:import-detail", import_id=imported.pk)
            context |= {"refused": str(problem), "faults": problem.faults[:20]}
        status = 422
    if plan.dataset_version:
        context |= preview_context(request, plan)
        if "refused" not in context and (refusal := mismatch(plan.dataset_version, plan.purpose)):
            other = Purpose(purpose_for(plan.dataset_version.kind))
            context |= {"refused": refusal, "other_purpose": other, "misfit": plan.dataset_version}
    context["is_fitting"] = plan.dataset_version and not mismatch(plan.dataset_version, plan.purpose)
    if context["source"] == "mine":
        context["versions"] = selectors.usable_versions(request.user, kinds_for(plan.purpose))
    return render(request, "training/plan_examples.html", context, status=status)


def check_in_peace(request, plan: Plan, file):
    """A large file is checked by a worker; the step shows how far it is."""
    address = reverse("training:plan-examples", args=[plan.pk])
    imported = dataset_services.import_file(owner=request.user, file=file, next_url=address)
    return redirect(f"{address}?import={imported.pk}")


def import_context(request, plan: Plan) -> dict:
    """Of `?import=`, the examples on their way into this plan: at work, refused, or ready to be used."""
    key = request.GET.get("import")
    if not key:
        return {}
    imported = owned_or_404(DatasetImport, request.user, pk=key)
    if imported.status in dataset_selectors.UNDER_WAY:
        return {"imported": imported}
    if imported.version and imported.version_id != plan.dataset_version_id:
        return {"ready": imported}
    return {} if imported.version else {"ended_import": imported, "refused": imported.message}


def take_examples(request, plan: Plan, context: dict) -> bool:
    """Puts the examples that the form brings into the plan. False if the form itself is at fault."""
    source = context["source"] = request.POST.get("source", "file")
    if source == "file":
        file = request.FILES.get("file")
        if file is None:
            context["refused"] = _("No file came. Choose one, or drop it on the field.")
            return False
        name = dataset_services.free_name(owner=request.user, wanted=file.name)
        version = dataset_services.create_dataset(
            owner=request.user, name=name, file=file, file_name=file.name
        )
    elif source == "typed":
        form = context["typed_form"] = TypedExamplesForm(request.POST)
        if not form.is_valid():
            return False
        name = dataset_services.free_name(owner=request.user, wanted=form.cleaned_data["name"])
        version = dataset_services.create_dataset(
            owner=request.user, name=name, text=form.cleaned_data["text"]
        )
    elif source == "mine":
        version = owned_or_404(Dataset, request.user, pk=request.POST.get("dataset")).latest
    elif source == "import":
        version = owned_or_404(DatasetImport, request.user, pk=request.POST.get("import")).version
        if version is None:
            context["refused"] = _("These examples are not ready, or have been deleted since.")
            return False
    elif source == "demo":
        version = dataset_services.demo_dataset(owner=request.user)
    else:
        raise Http404
    if request.POST.get("purpose") == "other" and version:
        plan.purpose = purpose_for(version.kind)
    if version and (refusal := mismatch(version, plan.purpose)):
        context |= {
            "refused": refusal,
            "other_purpose": Purpose(purpose_for(version.kind)),
            "misfit": version,
        }
        return False
    plan.dataset_version = version
    plan.method = method_of(plan)
    plan.save(update_fields=["dataset_version", "purpose", "method", "changed_at"])
    return True


def preview_context(request, plan: Plan) -> dict:
    try:
        index = int(request.GET.get("example", 0))
    except ValueError:
        index = 0
    return dataset_selectors.preview(plan.dataset_version, index)


@login_required
def plan_model(request, plan_id):
    plan = open_plan(request, plan_id)
    if gone := started(plan):
        return gone
    if request.method == "POST":
        if not choose_start(request, plan):
            messages.error(request, _("Choose one of the starting points."))
            return redirect("training:plan-model", plan_id=plan.pk)
        plan.save(update_fields=["base_model", "start_adapter", "changed_at"])
        return redirect("training:plan-review", plan_id=plan.pk)
    if plan.dataset_version is None:
        messages.info(request, _("Show it examples first."))
        return redirect("training:plan-examples", plan_id=plan.pk)
    adapters = selectors.adapters_to_go_on_from(request.user)
    context = {"plan": plan, "step": 3, "cards": selectors.base_model_choices(), "adapters": adapters}
    return render(request, "training/plan_model.html", context)


def choose_start(request, plan: Plan) -> bool:
    """Puts the chosen base model, or the adapter to go on from with its base model, into the plan."""
    chosen = request.POST.get("base_model", "")
    if chosen.startswith(ADAPTER):
        adapters = Adapter.objects.select_related("base_model")
        adapter = owned_or_404(adapters, request.user, pk=chosen.removeprefix(ADAPTER))
        plan.base_model, plan.start_adapter = adapter.base_model, adapter
        return adapter.base_model.is_on_this_machine
    plan.base_model = BaseModel.objects.on_this_machine().filter(name=chosen).first()
    plan.start_adapter = None
    return plan.base_model is not None


@login_required
@require_POST
def delete_plan(request, plan_id):
    plan = open_plan(request, plan_id)
    if gone := started(plan):
        return gone
    services.delete_plan(plan=plan)
    messages.success(request, _("The plan is gone. Your examples stay under Data."))
    return redirect("training:home")
