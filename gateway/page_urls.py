"""Pages of the gateway; what programs ask for is in `urls.py`."""

from django.urls import path

from gateway import pages

app_name = "gateway_pages"
urlpatterns = [
    path("", pages.alias_list, name="alias-list"),
    path("<uuid:alias_id>/delete/", pages.delete_alias, name="alias-delete"),
]
