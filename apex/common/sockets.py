"""A consumer that passes on what `apex.common.events` announces to one group."""

from channels.generic.websocket import AsyncJsonWebsocketConsumer


class PageConsumer(AsyncJsonWebsocketConsumer):
    """Subclasses say which group, or None to refuse: a stranger's and a missing thing are refused alike."""

    group: str | None = None

    async def group_for(self, user) -> str | None:
        raise NotImplementedError

    async def connect(self) -> None:
        user = self.scope["user"]
        self.group = await self.group_for(user) if user.is_authenticated else None
        if self.group is None:
            await self.close()
            return
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def page_event(self, event: dict) -> None:
        await self.send_json(event["payload"])
