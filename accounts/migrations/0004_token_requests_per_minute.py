from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_token_models_and_limits")]

    operations = [
        migrations.AddField(
            model_name="apitoken",
            name="requests_per_minute",
            field=models.PositiveIntegerField(
                blank=True, help_text="Empty: as many as its user may ask.", null=True,
                verbose_name="questions a minute",
            ),
        ),
    ]
