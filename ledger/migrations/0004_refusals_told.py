"""Whether the bell has told of a refusal in this period."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0003_sums_of_days'),
    ]

    operations = [
        migrations.AddField(
            model_name='counter',
            name='is_refusal_told',
            field=models.BooleanField(default=False),
        ),
    ]
