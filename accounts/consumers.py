from apex.common.events import user_group
from apex.common.sockets import PageConsumer


class NoticesConsumer(PageConsumer):
    async def group_for(self, user) -> str | None:
        return user_group(user.pk)
