"""Questions to models go the hot path, other HTTP to Django, web sockets to consumers: `apex.asgi:application`."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apex.settings.active")

from django.core.asgi import get_asgi_application

http = get_asgi_application()  # sets Django up, before anything imports a model

from channels.routing import ProtocolTypeRouter  # noqa: E402
from django.conf import settings  # noqa: E402

from apex.common.limits import BodyLimit  # noqa: E402
from apex.common.partial_bodies import KeepWhatCame  # noqa: E402
from apex.sockets import sockets  # noqa: E402
from gateway.hot.app import HotPath  # noqa: E402

http = KeepWhatCame(http, prefix="/api/v1/uploads/")
http = BodyLimit(http, limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
# Questions to models do not go through Django at all (docs/decisions/0100).
application = HotPath(ProtocolTypeRouter({"http": http, "websocket": sockets}))
