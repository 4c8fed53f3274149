"""Sockets of the Knowledge pages."""

from apex.common.sockets import PageConsumer
from knowledge.events import base_group
from knowledge.models import KnowledgeBase


class KnowledgeConsumer(PageConsumer):
    """`/ws/knowledge/<uuid>/`: changes in one knowledge base, for its owner."""

    async def group_for(self, user) -> str | None:
        base_id = self.scope["url_route"]["kwargs"]["base_id"]
        owns = await KnowledgeBase.objects.for_user(user).filter(pk=base_id).aexists()
        return base_group(base_id) if owns else None
