"""The playground's page and the answers of its columns."""

from django.urls import path

from gateway import playground

app_name = "playground"
urlpatterns = [
    path("", playground.page, name="page"),
    path("answer/", playground.answer, name="answer"),
]
