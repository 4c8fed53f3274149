"""Base and tuned, side by side: the page, the same as a fragment, and the two streams behind it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import HttpResponseBadRequest, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from serving import selectors, services
from serving.protocol import ApiError, ChatRequest
from training.models import Adapter

log = logging.getLogger(__name__)

LONGEST_PROMPT = 8000  # characters, as the form says
# About a page of text; a small model that does not find its end would go on to the end of its context.
MOST_PIECES = 600


@login_required
@require_GET
def compare(request, adapter_id):
    return render(request, "serving/compare.html", _compare_context(request, adapter_id))


@login_required
@require_GET
def compare_part(request, adapter_id):
    """The same as a fragment, for pages that do not know this app, such as that of a finished job."""
    return render(request, "serving/_compare.html", _compare_context(request, adapter_id))


@login_required
@require_POST
async def answer_base(request, adapter_id):
    """Server-sent events: `{"delta"}` …, then `{"done": true, "words", "seconds"}` or `{"error"}`."""
    return await _answer(request, adapter_id, is_tuned=False)


@login_required
@require_POST
async def answer_tuned(request, adapter_id):
    """As `answer_base`, from the adapter."""
    return await _answer(request, adapter_id, is_tuned=True)


def _compare_context(request, adapter_id) -> dict:
    adapter = selectors.adapter_or_404(request.user, adapter_id)
    prompts = selectors.suggested_prompts(adapter.dataset_version)
    return {
        "adapter": adapter,
        "base_model": adapter.base_model,
        "base_url": reverse("serving:answer-base", args=[adapter.pk]),
        "tuned_url": reverse("serving:answer-tuned", args=[adapter.pk]),
        "suggested_prompts": prompts,
        "instruction": selectors.shared_instruction(adapter.dataset_version),
        "prompt": request.GET.get("prompt", "")[:LONGEST_PROMPT] or (prompts[0] if prompts else ""),
    }


async def _answer(request, adapter_id, *, is_tuned: bool):
    user = await request.auser()
    adapter = await sync_to_async(selectors.adapter_or_404)(user, adapter_id)
    prompt = request.POST.get("prompt", "").strip()
    if not 0 < len(prompt) <= LONGEST_PROMPT:
        return HttpResponseBadRequest(
            _("A question has 1 to %(most)d characters; this one has %(count)d.")
            % {"most": LONGEST_PROMPT, "count": len(prompt)}
        )
    instruction = await sync_to_async(selectors.shared_instruction)(adapter.dataset_version)
    return StreamingHttpResponse(
        _events(adapter, prompt, instruction, is_tuned=is_tuned),
        content_type="text/event-stream; charset=utf-8",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _events(adapter: Adapter, prompt: str, instruction: str, *, is_tuned: bool) -> AsyncIterator[str]:
    yield ": the model may have to be loaded first\n\n"
    started, text, pieces = None, "", 0
    try:
        target = (
            await services.adapter_target(adapter) if is_tuned else services.base_target(adapter.base_model)
        )
        # Greedy, so that the two differ only by what was learned and the same question gets the same answer.
        request = ChatRequest(model=target.model_id, messages=_messages(prompt, instruction), temperature=0)
        async with aclosing(services.stream_answer(target=target, request=request)) as deltas:
            async for delta in deltas:
                # Loading the model is not part of answering.
                started = started or time.monotonic()
                pieces += 1
                text += delta.text
                if delta.text:
                    yield _event({"delta": delta.text})
                if pieces == MOST_PIECES:
                    yield _event({"delta": " …"})
                    break
    except ApiError as error:
        log.warning("no answer from %s: %s", adapter.model_id if is_tuned else adapter.base_model, error)
        yield _event({"error": _plain(error)})
        return
    seconds = round(time.monotonic() - started, 2) if started else 0
    yield _event({"done": True, "words": len(text.split()), "seconds": seconds})


def _messages(prompt: str, instruction: str) -> list[dict[str, str]]:
    system = [{"role": "system", "content": instruction}] if instruction else []
    return [*system, {"role": "user", "content": prompt}]


def _event(data: dict) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _plain(error: ApiError) -> str:
    """The words for a person; a program gets the error as it is."""
    match error.code:
        case "backend_unavailable":
            return _("The answering process is not up yet. Ask again in a few seconds.")
        case "overloaded":
            return _("Many questions are being answered right now. Ask again in a moment.")
        case "context_length_exceeded":
            return _("This question is longer than the model can read at once. Ask a shorter one.")
        case "answer_broke_off":
            return _("The answer broke off because the answering process stopped. Ask again.")
        case "base_model_not_here":
            return _("The base model is not on this machine any more, so nothing can answer.")
    return error.message
