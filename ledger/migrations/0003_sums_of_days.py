"""Sums of days beside the lines, filled with what the lines hold; and what went wrong, on each line."""

import math
import uuid
from hashlib import blake2b

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Count, F, Max, Q, Sum
from django.db.models.functions import Floor, Ln

STEP, STEPS = math.log(1.25), 60
SPREAD = [f"{time}_{step:02}" for time in ("first", "whole") for step in range(STEPS)]
GROUP = ("day", "owner_id", "kind", "activity", "provider", "model", "minion_id", "token_id", "outcome", "status")
ADDED = ("count", "nanos", "input_tokens", "output_tokens", "gpu_ms", "timed", "latency_ms", "timed_first", "first_byte_ms")
IS_TIMED = Q(outcome="ok") & ~Q(kind="gpu_seconds")
TIMES = (("first", "first_byte_ms", IS_TIMED & Q(is_stream=True)), ("whole", "latency_ms", IS_TIMED))
AT_ONCE = 1000


def fill(apps, schema_editor):
    """What `ledger.days.add` would have made of the lines that are there."""
    UsageLine, UsageDay = apps.get_model("ledger", "UsageLine"), apps.get_model("ledger", "UsageDay")
    lines, days = UsageLine.objects.order_by(), {}
    for row in lines.values(*GROUP).annotate(**sums()).iterator(chunk_size=AT_ONCE):
        key = key_of(row)
        day = days.setdefault(id_of(key), UsageDay(id=id_of(key), **key))
        for name in ADDED:
            setattr(day, name, getattr(day, name) + (row[f"of_{name}"] or 0))
        day.slowest_ms = max(filter(None, (day.slowest_ms, row["of_slowest_ms"])), default=None)
    for what, time, timed in TIMES:
        rows = lines.filter(timed)
        groups = rows.filter(**{f"{time}__gt": 1}).annotate(step=Floor(Ln(time) / STEP)).values(*GROUP, "step")
        quick = rows.filter(**{f"{time}__lte": 1}).values(*GROUP)
        for group in (groups, quick):
            for row in group.annotate(n=Count("pk")).iterator(chunk_size=AT_ONCE):
                day = days[id_of(key_of(row))]
                name = f"{what}_{min(int(row.get('step', 0)), STEPS - 1):02}"
                setattr(day, name, getattr(day, name) + row["n"])
    UsageDay.objects.bulk_create(days.values(), batch_size=AT_ONCE)


def sums():
    first, whole = TIMES[0][2] & Q(first_byte_ms__isnull=False), TIMES[1][2] & Q(latency_ms__isnull=False)
    found = {f"of_{name}": Sum(F(name)) for name in ("nanos", "input_tokens", "output_tokens", "gpu_ms")}
    return found | {
        "of_count": Count("pk"),
        "of_timed": Count("pk", filter=whole),
        "of_latency_ms": Sum("latency_ms", filter=whole),
        "of_slowest_ms": Max("latency_ms", filter=whole),
        "of_timed_first": Count("pk", filter=first),
        "of_first_byte_ms": Sum("first_byte_ms", filter=first),
    }


def key_of(row):
    key = {name: row[name] for name in GROUP if name != "status"}
    is_bad = row["outcome"] not in ("ok", "left")
    return key | {"error": f"http_{row['status']}" if is_bad and row["status"] else ""}


def id_of(key):
    return uuid.UUID(bytes=blake2b("\x1f".join(map(str, key.values())).encode(), digest_size=16).digest())


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0002_written_once'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='usageline',
            name='error',
            field=models.CharField(max_length=40, null=True, verbose_name='what went wrong'),
        ),
        migrations.CreateModel(
            name='UsageDay',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('day', models.DateField(verbose_name='day')),
                ('kind', models.CharField(choices=[('own_tokens', 'answers of our own servers'), ('provider_tokens', 'answers of providers'), ('gpu_seconds', 'time of GPUs and processors')], max_length=16, verbose_name='kind')),
                ('activity', models.CharField(max_length=24, verbose_name='for')),
                ('provider', models.CharField(max_length=60, verbose_name='provider')),
                ('model', models.CharField(blank=True, max_length=255, verbose_name='model')),
                ('minion_id', models.UUIDField(null=True, verbose_name='minion')),
                ('token_id', models.UUIDField(null=True, verbose_name='API token')),
                ('outcome', models.CharField(choices=[('ok', 'done'), ('refused', 'refused'), ('failed', 'failed'), ('left', 'broken off by who asked')], max_length=8, verbose_name='outcome')),
                ('error', models.CharField(blank=True, max_length=40, verbose_name='what went wrong')),
                ('count', models.PositiveBigIntegerField(default=0)),
                ('nanos', models.BigIntegerField(default=0)),
                ('input_tokens', models.PositiveBigIntegerField(default=0)),
                ('output_tokens', models.PositiveBigIntegerField(default=0)),
                ('gpu_ms', models.PositiveBigIntegerField(default=0)),
                ('timed', models.PositiveBigIntegerField(default=0)),
                ('latency_ms', models.FloatField(default=0)),
                ('slowest_ms', models.FloatField(null=True)),
                ('timed_first', models.PositiveBigIntegerField(default=0)),
                ('first_byte_ms', models.FloatField(default=0)),
                *((name, models.PositiveBigIntegerField(default=0)) for name in SPREAD),
                ('owner', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='owner')),
            ],
            options={
                'verbose_name': 'sums of a day',
                'verbose_name_plural': 'sums of days',
            },
        ),
        migrations.AddIndex(
            model_name='usageday',
            index=models.Index(fields=['owner', 'day'], name='ledger_day_owner'),
        ),
        migrations.AddIndex(
            model_name='usageday',
            index=models.Index(fields=['day'], name='ledger_day'),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
