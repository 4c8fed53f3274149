# Who puts what was found in order once more.

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0002_remnant")]

    operations = [
        migrations.AddField(
            "knowledgebase",
            "rerank_provider",
            models.CharField(blank=True, default="", max_length=40, verbose_name="reranker's provider"),
            preserve_default=False,
        ),
        migrations.AddField(
            "knowledgebase",
            "rerank_model",
            models.CharField(blank=True, default="", max_length=200, verbose_name="reranker's model"),
            preserve_default=False,
        ),
    ]
