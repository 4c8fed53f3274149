"""Metrics move from one row a step into packed blocks, `data` last in the table. Nothing had written blocks before."""

import django.db.models.deletion
from django.db import migrations, models

from training.metrics.packing import RANGE, gather, pack, summarise

SERIES = ["epoch", "loss", "eval_loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second"]


def pack_metrics(apps, schema_editor):
    Metric = apps.get_model("training", "Metric")
    MetricBlock = apps.get_model("training", "MetricBlock")
    for job_id in Metric.objects.order_by().values_list("job_id", flat=True).distinct():
        rows = Metric.objects.filter(job_id=job_id)
        last = rows.order_by("-step").values_list("step", flat=True)[0]
        for start in range(0, last + 1, RANGE):
            steps = [
                {name: getattr(row, name) for name in SERIES if getattr(row, name) is not None}
                | {"step": row.step, "time": row.recorded_at.timestamp()}
                for row in rows.filter(step__gte=start, step__lt=start + RANGE).order_by("step")
            ]
            if not steps:
                continue
            columns = gather(steps)
            MetricBlock.objects.create(
                job_id=job_id,
                first_step=start,
                last_step=int(columns.steps[-1]),
                count=len(columns),
                is_sealed=True,
                summary=summarise(columns),
                data=pack(columns),
            )


class Migration(migrations.Migration):
    dependencies = [("training", "0002_methods_attempts_devices")]

    operations = [
        migrations.DeleteModel("MetricBlock"),
        migrations.CreateModel(
            name="MetricBlock",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("first_step", models.PositiveIntegerField(verbose_name="first step of its range")),
                ("last_step", models.PositiveIntegerField(verbose_name="last step that is in it")),
                ("count", models.PositiveIntegerField(verbose_name="steps in it")),
                ("is_sealed", models.BooleanField(default=False, verbose_name="a whole range")),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="metric_blocks",
                        to="training.trainingjob",
                    ),
                ),
                ("summary", models.BinaryField(default=bytes)),
                ("data", models.BinaryField(default=bytes)),
            ],
            options={"verbose_name": "block of metrics", "ordering": ["first_step"]},
        ),
        migrations.AddConstraint(
            model_name="metricblock",
            constraint=models.UniqueConstraint(
                fields=("job", "first_step"), name="one_metric_block_per_first_step"
            ),
        ),
        migrations.RunPython(pack_metrics, migrations.RunPython.noop),
        migrations.DeleteModel("Metric"),
    ]
