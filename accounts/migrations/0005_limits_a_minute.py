"""What everybody may ask is said in the admin too, so the words name the environment no more."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_token_requests_per_minute'),
    ]

    operations = [
        migrations.AlterField(
            model_name='user',
            name='requests_per_minute',
            field=models.PositiveIntegerField(blank=True, help_text='Empty: as for everybody; 0: no limit.', null=True, verbose_name='questions a minute'),
        ),
        migrations.AlterField(
            model_name='user',
            name='tokens_per_minute',
            field=models.PositiveIntegerField(blank=True, help_text='Empty: as for everybody; 0: no limit.', null=True, verbose_name='tokens a minute'),
        ),
    ]
