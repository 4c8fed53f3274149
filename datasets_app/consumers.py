"""Sockets of the Data pages."""

from apex.common.sockets import PageConsumer
from datasets_app.events import import_group
from datasets_app.models import DatasetImport


class ImportConsumer(PageConsumer):
    """`/ws/data/imports/<uuid>/`: changes of one import, for its owner."""

    async def group_for(self, user) -> str | None:
        import_id = self.scope["url_route"]["kwargs"]["import_id"]
        owns = await DatasetImport.objects.for_user(user).filter(pk=import_id).aexists()
        return import_group(import_id) if owns else None
