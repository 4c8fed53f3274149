from django.urls import path

from providers import views

app_name = "providers"
urlpatterns = [
    path("", views.key_list, name="key-list"),
    path("add/", views.key_add, name="key-add"),
    path("<uuid:key_id>/", views.key_detail, name="key-detail"),
    path("<uuid:key_id>/test/", views.key_test, name="key-test"),
    path("<uuid:key_id>/share/", views.key_share, name="key-share"),
    path("<uuid:key_id>/delete/", views.key_delete, name="key-delete"),
]
