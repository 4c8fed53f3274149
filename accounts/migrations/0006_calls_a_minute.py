"""How many calls of the API one person may make in a minute, beside questions."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_limits_a_minute'),
    ]

    operations = [
        migrations.AddField(
            model_name='user',
            name='calls_per_minute',
            field=models.PositiveIntegerField(blank=True, help_text='Of the API, beside questions to models. Empty: as for everybody; 0: no limit.', null=True, verbose_name='other calls a minute'),
        ),
        migrations.AlterField(
            model_name='apitoken',
            name='requests_per_minute',
            field=models.PositiveIntegerField(blank=True, help_text='And as many other calls. Empty: as its user.', null=True, verbose_name='questions a minute'),
        ),
    ]
