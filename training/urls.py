from django.urls import path

from training.views import chains, checkpoints, curves, home, jobs, plans, queue, review

app_name = "training"
urlpatterns = [
    path("", home.home, name="home"),
    path("palette/", home.palette, name="palette"),
    path("teach/", plans.teach, name="teach"),
    path("teach/demo/", plans.teach_demo, name="teach-demo"),
    path("teach/<uuid:plan_id>/", plans.plan_goal, name="plan-goal"),
    path("teach/<uuid:plan_id>/examples/", plans.plan_examples, name="plan-examples"),
    path("teach/<uuid:plan_id>/model/", plans.plan_model, name="plan-model"),
    path("teach/<uuid:plan_id>/review/", review.plan_review, name="plan-review"),
    path("teach/<uuid:plan_id>/delete/", plans.delete_plan, name="plan-delete"),
    path("training/", jobs.job_list, name="job-list"),
    path("training/queue/", queue.queue, name="queue"),
    path("training/compare/", curves.compare_jobs, name="job-compare"),
    path("training/compare/points/", curves.compare_points, name="job-compare-points"),
    path("training/chains/", chains.chain_list, name="chain-list"),
    path("training/chains/new/", chains.chain_add, name="chain-add"),
    path("training/chains/<uuid:chain_id>/", chains.chain_detail, name="chain-detail"),
    path("training/chains/<uuid:chain_id>/stages/", chains.chain_stages, name="chain-stages"),
    path("training/chains/<uuid:chain_id>/cancel/", chains.cancel_chain, name="chain-cancel"),
    path("training/chains/<uuid:chain_id>/go-on/", chains.go_on, name="chain-go-on"),
    path("training/chains/<uuid:chain_id>/delete/", chains.delete_chain, name="chain-delete"),
    path("training/<uuid:job_id>/", jobs.job_detail, name="job-detail"),
    path("training/<uuid:job_id>/status/", jobs.job_status, name="job-status"),
    path("training/<uuid:job_id>/log/", jobs.job_log, name="job-log"),
    path("training/<uuid:job_id>/log/file/", jobs.job_log_file, name="job-log-file"),
    path("training/<uuid:job_id>/points/", curves.job_points, name="job-points"),
    path("training/<uuid:job_id>/metrics/<slug:kind>/", curves.job_metrics_file, name="job-metrics-file"),
    path("training/<uuid:job_id>/pause/", jobs.pause_job, name="job-pause"),
    path("training/<uuid:job_id>/resume/", jobs.resume_job, name="job-resume"),
    path("training/<uuid:job_id>/priority/", jobs.change_priority, name="job-priority"),
    path("training/<uuid:job_id>/cancel/", jobs.cancel_job, name="job-cancel"),
    path("training/<uuid:job_id>/retry/", jobs.retry_job, name="job-retry"),
    path("training/<uuid:job_id>/delete/", jobs.delete_job, name="job-delete"),
    path("training/<uuid:job_id>/checkpoints/", checkpoints.checkpoint_list, name="checkpoint-list"),
    path(
        "training/<uuid:job_id>/checkpoints/<int:step>/keep/",
        checkpoints.keep_checkpoint,
        name="checkpoint-keep",
    ),
    path("training/<uuid:job_id>/samples/", checkpoints.sample_list, name="sample-list"),
    path("training/of-dataset/<uuid:dataset_id>/", jobs.jobs_of_dataset, name="jobs-of-dataset"),
    path(
        "training/of-dataset/<uuid:dataset_id>/lineage/", jobs.lineage_of_dataset, name="lineage-of-dataset"
    ),
    path("adapters/", jobs.adapter_list, name="adapter-list"),
    path("adapters/<uuid:adapter_id>/download/", jobs.download_adapter, name="adapter-download"),
    path("adapters/<uuid:adapter_id>/delete/", checkpoints.delete_adapter, name="adapter-delete"),
]
