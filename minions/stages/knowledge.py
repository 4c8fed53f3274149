"""What it looks up: passages of the minion's knowledge bases."""

from __future__ import annotations

from django.utils.translation import gettext as _

from apex.common.refusals import ApiError
from minions import prompts
from minions.flow import Found
from minions.models import OnFailure
from minions.stages.work import Work
from minions.tracing import Stage


async def look_up(work: Work) -> tuple[Stage, Found]:
    """Raises NoAnswer where it fails and the recipe says that there is no answer then."""
    recipe, stage = work.recipe, work.trace.begin("knowledge")
    if not recipe.has_knowledge:
        stage.status, stage.done_about = "skipped", _("No knowledge base is chosen.")
        return work.trace.end(stage), Found("")
    asked = prompts.question_of(work.turns)
    stage.prompt = [{"role": "user", "content": asked}]
    try:
        with work.trace.clock.outside():
            found = await work.means.look_up(asked, stage)
    except ApiError as problem:
        stage.status, stage.problem = "failed", str(problem)
        work.trace.end(stage)
        if recipe.on_knowledge_failure == OnFailure.FAIL:
            raise work.no_answer(
                _("Nothing could be looked up: %(why)s") % {"why": stage.problem}
            ) from problem
        stage.done_about = _("Went on without passages.")
        return stage, Found("")
    stage.passages, stage.reranked = found.passages, found.reranked
    if why := next((each["problem"] for each in stage.reranked if each["problem"]), ""):
        stage.problem = _("Reranking failed: %(why)s") % {"why": why}
        stage.done_about = _("The passages are in the order of words and meaning.")
    return work.trace.end(stage), found
