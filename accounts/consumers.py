"""The socket behind the bell: `/ws/notices/`."""

from apex.common.events import user_group
from apex.common.sockets import PageConsumer


class NoticesConsumer(PageConsumer):
    """Tells a signed-in person's pages that there is a new notice; anybody else is refused."""

    async def group_for(self, user) -> str | None:
        return user_group(user.pk)
