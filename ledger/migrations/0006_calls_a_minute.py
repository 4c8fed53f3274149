"""How many calls of the API everybody may make in a minute, beside questions."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0005_limits_a_minute'),
    ]

    operations = [
        migrations.AddField(
            model_name='minutelimits',
            name='calls_per_minute',
            field=models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MaxValueValidator(1000000000)], verbose_name='other calls a minute'),
        ),
    ]
