from django.urls import path

from serving import node_views, views, work_views
from serving.exports import views as export_views

app_name = "serving"
urlpatterns = [
    path("work/", work_views.work_list, name="work-list"),
    path("work/<uuid:deployment_id>/", work_views.work_detail, name="work-detail"),
    path("work/<uuid:deployment_id>/switch/", work_views.switch, name="work-switch"),
    path("work/<uuid:deployment_id>/roll-back/", work_views.roll_back, name="work-roll-back"),
    path("work/<uuid:deployment_id>/try-again/", work_views.try_again, name="work-try-again"),
    path("work/<uuid:deployment_id>/unload/", work_views.unload, name="work-unload"),
    path("servers/", node_views.node_list, name="node-list"),
    path("servers/<uuid:node_id>/use/", node_views.node_use, name="node-use"),
    path("servers/<uuid:node_id>/remove/", node_views.node_remove, name="node-remove"),
    path("adapters/<uuid:adapter_id>/work/", work_views.adapter_work, name="adapter-work"),
    path("adapters/<uuid:adapter_id>/deploy/", work_views.deploy, name="adapter-deploy"),
    path("adapters/<uuid:adapter_id>/exports/", export_views.adapter_exports, name="adapter-exports"),
    path("adapters/<uuid:adapter_id>/exports/start/", export_views.start, name="export-start"),
    path("exports/", export_views.export_list, name="export-list"),
    path("exports/<uuid:export_id>/cancel/", export_views.cancel, name="export-cancel"),
    path("exports/<uuid:export_id>/delete/", export_views.delete, name="export-delete"),
    path("exports/<uuid:export_id>/download/", export_views.download, name="export-download"),
    path("adapters/<uuid:adapter_id>/compare/", views.compare, name="compare"),
    path("adapters/<uuid:adapter_id>/compare/part/", views.compare_part, name="compare-part"),
    path("adapters/<uuid:adapter_id>/answers/base/", views.answer_base, name="answer-base"),
    path("adapters/<uuid:adapter_id>/answers/tuned/", views.answer_tuned, name="answer-tuned"),
    path(
        "training/<uuid:job_id>/checkpoints/<int:step>/compare/",
        views.compare_checkpoint,
        name="checkpoint-compare",
    ),
    path(
        "training/<uuid:job_id>/checkpoints/<int:step>/answers/base/",
        views.answer_checkpoint_base,
        name="checkpoint-answer-base",
    ),
    path(
        "training/<uuid:job_id>/checkpoints/<int:step>/answers/tuned/",
        views.answer_checkpoint_tuned,
        name="checkpoint-answer-tuned",
    ),
]
