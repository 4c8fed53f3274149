from django.urls import path

from datasets_app.views import catalogue, connections, imports, profile, reports

app_name = "datasets"
urlpatterns = [
    path("", catalogue.dataset_list, name="dataset-list"),
    path("add/", catalogue.dataset_add, name="dataset-add"),
    path("demo/", catalogue.dataset_demo, name="dataset-demo"),
    path("connections/", connections.connection_list, name="connection-list"),
    path("connections/add/", connections.connection_add, name="connection-add"),
    path("connections/<uuid:connection_id>/", connections.connection_detail, name="connection-detail"),
    path("connections/<uuid:connection_id>/try/", connections.connection_try, name="connection-try"),
    path("connections/<uuid:connection_id>/delete/", connections.connection_delete, name="connection-delete"),
    path("imports/<uuid:import_id>/", imports.import_detail, name="import-detail"),
    path("imports/<uuid:import_id>/status/", imports.import_status, name="import-status"),
    path("imports/<uuid:import_id>/columns/", imports.import_columns, name="import-columns"),
    path("imports/<uuid:import_id>/again/", imports.import_again, name="import-again"),
    path("imports/<uuid:import_id>/cancel/", imports.import_cancel, name="import-cancel"),
    path("imports/<uuid:import_id>/report/", imports.import_report, name="import-report"),
    path("versions/<uuid:version_id>/report/", reports.version_report, name="version-report"),
    path("versions/<uuid:version_id>/cleaned/", reports.version_cleaned, name="version-cleaned"),
    path("<uuid:dataset_id>/", catalogue.dataset_detail, name="dataset-detail"),
    path("<uuid:dataset_id>/profile/", profile.dataset_profile, name="dataset-profile"),
    path("<uuid:dataset_id>/add/", catalogue.version_add, name="version-add"),
    path("<uuid:dataset_id>/rename/", catalogue.dataset_rename, name="dataset-rename"),
    path("<uuid:dataset_id>/delete/", catalogue.dataset_delete, name="dataset-delete"),
]
