"""Every web socket of the site. Only same-origin pages may open one; the session says who it is."""

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from accounts.consumers import NoticesConsumer
from datasets_app.consumers import ImportConsumer
from knowledge.consumers import KnowledgeConsumer
from training.consumers import JobConsumer

socket_routes = [
    path("ws/notices/", NoticesConsumer.as_asgi(), name="notices"),
    path("ws/data/imports/<uuid:import_id>/", ImportConsumer.as_asgi(), name="import"),
    path("ws/knowledge/<uuid:base_id>/", KnowledgeConsumer.as_asgi(), name="knowledge"),
    path("ws/training/jobs/<uuid:job_id>/", JobConsumer.as_asgi(), name="job"),
]

sockets = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(socket_routes)))
