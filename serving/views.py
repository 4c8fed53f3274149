"""Base and tuned, side by side: the page, the same as a fragment, and the two streams behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import HttpResponseBadRequest
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from base_models.models import BaseModel
from datasets_app.models import DatasetVersion
from serving import selectors, services
from serving.answering import LONGEST_PROMPT, Book, answer_events, answer_response
from serving.backends.base import Target
from serving.protocol import ChatRequest
from training.checkpoints import note_trial

# About a page of text; a small model that does not find its end would go on to the end of its context.
MOST_PIECES = 600


@login_required
@require_GET
def compare(request, adapter_id):
    return render(request, "serving/compare.html", _adapter_context(request, adapter_id))


@login_required
@require_GET
def compare_part(request, adapter_id):
    """The same as a fragment, for pages that do not know this app, such as that of a finished job."""
    return render(request, "serving/_compare.html", _adapter_context(request, adapter_id))


@login_required
@require_GET
def compare_checkpoint(request, job_id, step):
    """A checkpoint on trial, also while its job goes on; beside what the job left, where it has ended."""
    checkpoint = selectors.checkpoint_or_404(request.user, job_id, step)
    note_trial(checkpoint)
    job = checkpoint.job
    context = _compare_context(request, job.dataset_version, job.base_model) | {
        "trained_name": job.name,
        "job_id": job.pk,
        "tuned_name": job.name,
        "tuned_word": _step_name(step),
        "base_url": reverse("serving:checkpoint-answer-base", args=[job.pk, step]),
        "tuned_url": reverse("serving:checkpoint-answer-tuned", args=[job.pk, step]),
        "keep_url": reverse("training:checkpoint-keep", args=[job.pk, step]),
    }
    return render(request, "serving/compare.html", context | _end_column(job.pk))


@login_required
@require_POST
async def answer_base(request, adapter_id):
    """Server-sent events, as `answering.answer_events` writes them."""
    adapter = await sync_to_async(selectors.adapter_or_404)(await request.auser(), adapter_id)
    return await _answer(request, adapter.dataset_version, partial(_base, adapter.base_model))


@login_required
@require_POST
async def answer_tuned(request, adapter_id):
    """As `answer_base`, from the adapter."""
    adapter = await sync_to_async(selectors.adapter_or_404)(await request.auser(), adapter_id)
    return await _answer(request, adapter.dataset_version, partial(services.adapter_target, adapter))


@login_required
@require_POST
async def answer_checkpoint_base(request, job_id, step):
    checkpoint = await sync_to_async(selectors.checkpoint_or_404)(await request.auser(), job_id, step)
    return await _answer(request, checkpoint.job.dataset_version, partial(_base, checkpoint.job.base_model))


@login_required
@require_POST
async def answer_checkpoint_tuned(request, job_id, step):
    """As `answer_base`, from the checkpoint."""
    checkpoint = await sync_to_async(selectors.checkpoint_or_404)(await request.auser(), job_id, step)
    await sync_to_async(note_trial)(checkpoint)
    return await _answer(
        request, checkpoint.job.dataset_version, partial(services.checkpoint_target, checkpoint)
    )


def _adapter_context(request, adapter_id) -> dict:
    adapter = selectors.adapter_or_404(request.user, adapter_id)
    context = _compare_context(request, adapter.dataset_version, adapter.base_model) | {
        "trained_name": adapter.job.name,
        "job_id": adapter.job_id,
        "tuned_name": adapter.name,
        "base_url": reverse("serving:answer-base", args=[adapter.pk]),
        "tuned_url": reverse("serving:answer-tuned", args=[adapter.pk]),
        "here": reverse("serving:compare", args=[adapter.pk]),
        "program_name": adapter.model_id,
        "site": request.build_absolute_uri("/").rstrip("/"),
    }
    if adapter.step is None:
        return context
    return context | {"tuned_word": _step_name(adapter.step)} | _end_column(adapter.job_id)


def _compare_context(request, version: DatasetVersion, base_model: BaseModel) -> dict:
    prompts = selectors.suggested_prompts(version)
    return {
        "base_model": base_model,
        "here": request.path,
        "suggested_prompts": prompts,
        "instruction": selectors.shared_instruction(version),
        "prompt": request.GET.get("prompt", "")[:LONGEST_PROMPT] or (prompts[0] if prompts else ""),
    }


def _end_column(job_id) -> dict:
    """A third answer beside that of a checkpoint: from what its job left at its end, if it has one."""
    last = selectors.last_adapter_of(job_id)
    if last is None:
        return {}
    return {"end_name": last.name, "end_url": reverse("serving:answer-tuned", args=[last.pk])}


def _step_name(step: int) -> str:
    return _("Step %(step)s") % {"step": step}


async def _base(base_model: BaseModel) -> Target:
    return services.embedded_base_target(base_model)


async def _answer(request, version: DatasetVersion, find: Callable[[], Awaitable[Target]]):
    """Streams the answer of the target that `find` brings, to the question in the request."""
    prompt = request.POST.get("prompt", "").strip()
    if not 0 < len(prompt) <= LONGEST_PROMPT:
        return HttpResponseBadRequest(
            _("A question has 1 to %(most)d characters; this one has %(count)d.")
            % {"most": LONGEST_PROMPT, "count": len(prompt)},
            content_type="text/plain; charset=utf-8",
        )
    instruction = await sync_to_async(selectors.shared_instruction)(version)

    def make_request(name: str) -> ChatRequest:
        # Greedy, so that they differ only by what was learned and the same question gets the same answer.
        return ChatRequest(model=name, messages=messages_of(prompt, instruction), temperature=0)

    book = Book(await request.auser(), "comparison")
    return answer_response(answer_events(find, make_request, book=book, most_pieces=MOST_PIECES))


def messages_of(prompt: str, instruction: str) -> list[dict[str, str]]:
    system = [{"role": "system", "content": instruction}] if instruction else []
    return [*system, {"role": "user", "content": prompt}]
