"""A base: made, changed, deleted."""

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from knowledge import reranking
from knowledge.erasing import erase_base
from knowledge.models import IndexStatus, KnowledgeBase, KnowledgeIndex
from knowledge.services.indexes import checked_index
from knowledge.services.refusals import KnowledgeRefused


def create_base(*, owner, name: str, description: str = "", **index) -> KnowledgeBase:
    """A base with an empty index, ready for documents. `index`: as of `checked_index`. Raises KnowledgeRefused."""
    name = name.strip()
    if not name:
        raise KnowledgeRefused(_("Give it a name."), field="name")
    try:
        with transaction.atomic():
            base = KnowledgeBase.objects.create(
                owner=owner, name=name[:120], description=description.strip()[:300]
            )
            wanted = checked_index(base, **index)
            KnowledgeIndex.objects.create(
                owner=owner, knowledge_base=base, number=1, status=IndexStatus.ACTIVE, progress=1, **wanted
            )
    except IntegrityError as problem:
        raise KnowledgeRefused(
            _("You have a knowledge base called “%(name)s” already; choose another name.") % {"name": name},
            field="name",
        ) from problem
    return base


def change_base(
    *,
    base: KnowledgeBase,
    name: str | None = None,
    description: str | None = None,
    rerank_provider: str | None = None,
    rerank_model: str | None = None,
) -> KnowledgeBase:
    """Another name, description or reranker ("" for none); what is None stays. Raises KnowledgeRefused."""
    if name is not None and not name.strip():
        raise KnowledgeRefused(_("Give it a name."), field="name")
    base.name = base.name if name is None else name.strip()[:120]
    base.description = base.description if description is None else description.strip()[:300]
    if rerank_provider is not None:
        base.rerank_provider = rerank_provider
        base.rerank_model = base.rerank_model if rerank_provider else ""
    if rerank_model is not None and base.rerank_provider:
        base.rerank_model = rerank_model.strip()[:200]
    if fault := reranking.fault_of(base.rerank_provider, base.rerank_model):
        raise KnowledgeRefused(fault[1], field=fault[0])
    try:
        with transaction.atomic():
            base.save(update_fields=["name", "description", "rerank_provider", "rerank_model"])
    except IntegrityError as problem:
        raise KnowledgeRefused(
            _("You have a knowledge base called “%(name)s” already; choose another name.")
            % {"name": base.name},
            field="name",
        ) from problem
    return base


def delete_base(*, base: KnowledgeBase) -> None:
    erase_base(base)
