"""How much everybody may ask in a minute: one row, which superusers change."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0004_refusals_told'),
    ]

    operations = [
        migrations.CreateModel(
            name='MinuteLimits',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ('requests_per_minute', models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MaxValueValidator(1000000000)], verbose_name='questions a minute')),
                ('tokens_per_minute', models.PositiveIntegerField(blank=True, null=True, validators=[django.core.validators.MaxValueValidator(1000000000)], verbose_name='tokens a minute')),
            ],
            options={
                'verbose_name': 'limits a minute',
                'verbose_name_plural': 'limits a minute',
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='one_row_of_limits_a_minute')],
            },
        ),
    ]
