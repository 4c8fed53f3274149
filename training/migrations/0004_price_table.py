"""The price table as it begins, and how many devices a plan asks for. Superusers edit prices in the admin."""

from datetime import date

from django.db import migrations, models

GIB = 1024**3
RUNPOD = (
    "RunPod price page (runpod.io/pricing): the lower price is Community Cloud, on demand is Secure Cloud"
)
AWS = "AWS on-demand list, us-east-1, {}; spot prices move daily"
# GPU, memory in GiB, dense bf16 TFLOP/s by the data sheet, from, to, on demand (US dollars an hour), source, as of
OFFERS = [
    ("T4", 16, 65, None, None, "0.526", AWS.format("g4dn.xlarge"), date(2025, 6, 1)),
    ("L4", 24, 121, None, None, "0.8048", AWS.format("g6.xlarge"), date(2025, 6, 1)),
    ("A10G", 24, 70, None, None, "1.006", AWS.format("g5.xlarge"), date(2025, 6, 1)),
    ("RTX 4090", 24, 165.2, "0.34", "0.34", "0.74", RUNPOD, date(2026, 9, 25)),
    ("A100 40 GB", 40, 312, None, None, "1.99", "Lambda price page (lambda.ai/pricing)", date(2026, 9, 25)),
    ("A100 80 GB", 80, 312, "1.39", "1.39", "1.59", RUNPOD, date(2026, 9, 25)),
    ("L40S", 48, 362, "0.79", "0.79", "1.09", RUNPOD, date(2026, 9, 25)),
    ("H100", 80, 989, "2.49", "4.99", "7.99", "Offers seen by users: spot from to, on demand", date(2026, 11, 1)),
    ("H200", 141, 989, "3.59", "3.59", "4.59", RUNPOD, date(2026, 9, 25)),
    ("B200", 180, 2250, "5.98", "5.98", "6.79", RUNPOD, date(2026, 9, 25)),
]


def add_offers(apps, schema_editor):
    """Only where the table is empty: prices that somebody has set stay."""
    offers = apps.get_model("training", "HardwareOffer")
    if offers.objects.exists():
        return
    for gpu, memory, teraflops, low, high, on_demand, source, priced_at in OFFERS:
        offers.objects.create(
            name=f"1 × {gpu}", gpu_name=f"NVIDIA {gpu}", memory_bytes=memory * GIB, teraflops=teraflops, spot_low=low,
            spot_high=high, on_demand=on_demand, source=source, priced_at=priced_at,
        )  # fmt: skip


class Migration(migrations.Migration):
    dependencies = [("training", "0003_metrics_in_blocks")]

    operations = [
        migrations.AddField(
            model_name="plan",
            name="device_count",
            field=models.PositiveSmallIntegerField(default=1, verbose_name="devices it asks for"),
        ),
        migrations.RunPython(add_offers, migrations.RunPython.noop),
    ]
