from django.urls import path

from knowledge import views

app_name = "knowledge"
urlpatterns = [
    path("", views.base_list, name="base-list"),
    path("add/", views.base_add, name="base-add"),
    path("<uuid:base_id>/", views.base_detail, name="base-detail"),
    path("<uuid:base_id>/rename/", views.base_rename, name="base-rename"),
    path("<uuid:base_id>/delete/", views.base_delete, name="base-delete"),
    path("<uuid:base_id>/index/", views.base_index, name="base-index"),
    path("<uuid:base_id>/rerank/", views.base_rerank, name="base-rerank"),
    path("<uuid:base_id>/index/call-off/", views.index_call_off, name="index-call-off"),
    path("<uuid:base_id>/index/again/", views.index_again, name="index-again"),
    path("<uuid:base_id>/documents/add/", views.document_add, name="document-add"),
    path("<uuid:base_id>/documents/<uuid:document_id>/", views.document_detail, name="document-detail"),
    path("<uuid:base_id>/documents/<uuid:document_id>/file/", views.document_file, name="document-file"),
    path("<uuid:base_id>/documents/<uuid:document_id>/again/", views.document_again, name="document-again"),
    path(
        "<uuid:base_id>/documents/<uuid:document_id>/delete/", views.document_delete, name="document-delete"
    ),
]
