"""`/v1/fine_tuning/jobs`."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase, JsonResponse

from accounts.models import Scope
from gateway import asking, tuning, tuning_events, tuning_settings, tuning_told
from gateway.auth import model_not_allowed
from gateway.endpoints import endpoint
from gateway.models import FineTune
from serving.protocol import ApiError

PREFIX = "ftjob-"
USUAL_JOBS, USUAL_EVENTS, USUAL_CHECKPOINTS, MOST = 20, 20, 10, 100
KNOWN = {
    "model", "training_file", "validation_file", "suffix", "seed", "method", "hyperparameters", "integrations",
    "metadata",
}  # fmt: skip
METADATA = re.compile(r"metadata\[(.*)\]", re.DOTALL)


@endpoint(method="GET", scope=Scope.READ)
@asking.in_thread
def list_jobs(request: HttpRequest, user) -> HttpResponseBase:
    rows = tuning_told.tunes_for(user)
    wanted = {found[1]: request.GET[name] for name in request.GET if (found := METADATA.fullmatch(name))}
    if wanted:
        # A person's jobs are few, and databases differ in how they look into JSON.
        pairs = FineTune.objects.for_user(user).values_list("pk", "metadata")
        rows = rows.filter(pk__in=[pk for pk, has in pairs if wanted.items() <= has.items()])
    elif request.GET.get("metadata") == "null":
        rows = rows.filter(metadata={})
    found, has_more = asking.page_of(rows, request, prefix=PREFIX, usual=USUAL_JOBS, most=MOST)
    return asking.list_response([job_told(tune) for tune in found], has_more)


@endpoint(method="POST", scope=Scope.WRITE)
@asking.in_thread
def create_job(request: HttpRequest, user) -> HttpResponseBase:
    wanted = wanted_in(asking.json_object(request))
    if not request.api_token.may_ask(wanted.model):
        raise model_not_allowed(wanted.model)
    tune = tuning.create_fine_tune(owner=user, wanted=wanted)
    return JsonResponse(job_told(find_tune(user, tune.public_id)))


@endpoint(method="GET", scope=Scope.READ)
@asking.in_thread
def get_job(request: HttpRequest, user, fine_tuning_job_id: str) -> HttpResponseBase:
    return JsonResponse(job_told(find_tune(user, fine_tuning_job_id)))


def changing(act: Callable[..., bool], words: str) -> Callable:
    """A POST that changes a job's status: 400 with `words` where it cannot be changed so."""

    @endpoint(method="POST", scope=Scope.WRITE)
    @asking.in_thread
    def change(request: HttpRequest, user, fine_tuning_job_id: str) -> HttpResponseBase:
        tune = find_tune(user, fine_tuning_job_id)
        if not act(tune=tune):
            status = tuning_told.status_of(find_tune(user, fine_tuning_job_id))
            raise ApiError(words.format(status=status), param="fine_tuning_job_id", code="invalid_job_status")
        return JsonResponse(job_told(find_tune(user, fine_tuning_job_id)))

    return change


cancel_job = changing(tuning.cancel, "Job has already completed: it is {status}, and cannot be cancelled.")
pause_job = changing(tuning.pause, "Only a job that waits or runs can be paused; this one is {status}.")
resume_job = changing(tuning.resume, "Only a job that was paused can be resumed; this one is {status}.")


@endpoint(method="GET", scope=Scope.READ)
@asking.in_thread
def list_events(request: HttpRequest, user, fine_tuning_job_id: str) -> HttpResponseBase:
    tune = find_tune(user, fine_tuning_job_id)
    after, limit = request.GET.get("after"), asking.limit_in(request, usual=USUAL_EVENTS, most=MOST)
    found = tuning_events.page(tune, after, limit)
    if found is None:
        raise no_such_after(after)
    return asking.list_response(*found)


@endpoint(method="GET", scope=Scope.READ)
@asking.in_thread
def list_checkpoints(request: HttpRequest, user, fine_tuning_job_id: str) -> HttpResponseBase:
    tune = find_tune(user, fine_tuning_job_id)
    after, limit = request.GET.get("after"), asking.limit_in(request, usual=USUAL_CHECKPOINTS, most=MOST)
    told = [tuning_told.checkpoint_told(tune, one) for one in tuning_told.checkpoints_of(tune)]
    if after:
        ids = [one["id"] for one in told]
        if after not in ids:
            raise no_such_after(after)
        told = told[ids.index(after) + 1 :]
    return asking.list_response(told[:limit], len(told) > limit)


jobs = asking.by_method(GET=list_jobs, POST=create_job)


def find_tune(user, public_id: str) -> FineTune:
    """The user's job of this id; the same 404 for a stranger's, a missing one and what is no id."""
    tune = tuning_told.tunes_for(user).filter(pk=asking.id_of(public_id, PREFIX)).first()
    if tune is None:
        raise ApiError(
            f"Could not find fine tune: {public_id[:100]}", status=404, param="fine_tune_id",
            code="fine_tune_not_found",
        )  # fmt: skip
    return tune


def job_told(tune: FineTune) -> dict:
    return tuning_told.tune_told(tuning_told.settle_results(tune))


def no_such_after(after: str | None) -> ApiError:
    return ApiError(
        f"`after` names nothing of this list: {asking.short(after)}.", param="after", code="invalid_value"
    )


def wanted_in(body: dict) -> tuning.Wanted:
    """A request's body, checked. Raises ApiError."""
    asking.refuse_unknown(body, KNOWN)
    suffix = asking.text_in(body, "suffix", most=64)
    return tuning.Wanted(
        model=asking.text_in(body, "model", is_needed=True),
        training_file=asking.text_in(body, "training_file", is_needed=True),
        validation_file=asking.text_in(body, "validation_file"),
        suffix=suffix.strip(),
        seed=seed_in(body),
        method=tuning_settings.method_in(body),
        integrations=integrations_in(body),
        metadata=asking.metadata_in(body),
    )


def seed_in(body: dict) -> int | None:
    seed = body.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31):
        raise ApiError(
            f"`seed` must be an integer from 0 to {2**31 - 1}, got {asking.short(seed)}.", param="seed",
            code="invalid_value",
        )  # fmt: skip
    return seed


def integrations_in(body: dict) -> list[dict]:
    """OpenAI's list of integrations; the only type is "wandb", with a project."""
    given = body.get("integrations") or []
    if not isinstance(given, list) or len(given) > 5:
        raise ApiError("`integrations` must be a list of up to 5.", param="integrations", code="invalid_type")
    return [integration_in(one, f"integrations[{index}]") for index, one in enumerate(given)]


def integration_in(given, where: str) -> dict:
    if (
        not isinstance(given, dict)
        or given.get("type") != "wandb"
        or not isinstance(given.get("wandb"), dict)
    ):
        raise ApiError(
            f"`{where}` must be of the type 'wandb', with an object 'wandb'.",
            param=where,
            code="invalid_value",
        )
    wandb = given["wandb"]
    tags = wandb.get("tags") or []
    texts = [wandb.get("project"), wandb.get("name") or "", wandb.get("entity") or ""]
    if not texts[0] or not all(isinstance(text, str) for text in texts):
        raise ApiError(
            f"`{where}.wandb` needs a project, as text.", param=f"{where}.wandb.project", code="invalid_value"
        )
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ApiError(
            f"`{where}.wandb.tags` must be texts.", param=f"{where}.wandb.tags", code="invalid_type"
        )
    shown = {"project": texts[0], "name": wandb.get("name"), "entity": wandb.get("entity"), "tags": tags}
    return {"type": "wandb", "wandb": shown}
