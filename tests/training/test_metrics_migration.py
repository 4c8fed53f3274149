"""What was kept as one row a step before is there in blocks."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from training.metrics.store import StoredSteps
from training.models import MetricBlock, TrainingJob

BEFORE = ("training", "0002_methods_attempts_devices")
AFTER = ("training", "0003_metrics_in_blocks")


def migrate(*targets):
    executor = MigrationExecutor(connection)
    executor.migrate(list(targets))
    return executor.loader.project_state(list(targets)).apps


@pytest.mark.django_db(transaction=True)
def test_metrics_of_an_earlier_version_are_kept_as_blocks(job):
    # Those of other apps that stand on training's are taken back with them.
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    Metric = migrate(BEFORE).get_model("training", "Metric")
    Metric.objects.create(job_id=job.pk, token=1, step=0, eval_loss=3.0)
    Metric.objects.bulk_create(
        Metric(job_id=job.pk, token=1, step=step, loss=1 / step, tokens=7 * step) for step in range(1, 2500)
    )
    try:
        migrate(AFTER)
        rows = list(StoredSteps(TrainingJob(pk=job.pk)))
        assert [row["step"] for row in rows] == list(range(2500))
        assert (rows[0]["eval_loss"], rows[0]["loss"]) == (3.0, None)
        assert all(row["loss"] == 1 / row["step"] and row["tokens"] == 7 * row["step"] for row in rows[1:])
        assert all(row["time"] > 1.7e9 for row in rows)
        assert MetricBlock.objects.count() == 3
    finally:
        MetricBlock.objects.all().delete()
        migrate(*newest)
