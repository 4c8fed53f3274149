from django.urls import path, re_path

from gateway import views

app_name = "gateway"
urlpatterns = [
    path("models", views.list_models, name="models"),
    path("models/<path:model_id>", views.get_model, name="model"),
    path("chat/completions", views.create_chat_completion, name="chat-completions"),
    re_path(r"^(?P<path>.*)$", views.unknown_route, name="unknown-route"),
]
