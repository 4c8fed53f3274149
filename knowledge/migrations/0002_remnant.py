# What stores elsewhere hold of indexes that are gone.

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Remnant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("index_id", models.UUIDField(unique=True, verbose_name="index")),
                ("store", models.CharField(max_length=40, verbose_name="store")),
                ("whose", models.CharField(db_index=True, max_length=40, verbose_name="whose")),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="deleted")),
                ("tried_at", models.DateTimeField(null=True, verbose_name="last tried")),
                ("tries", models.PositiveIntegerField(default=0, verbose_name="tries")),
                ("problem", models.CharField(blank=True, max_length=500, verbose_name="why it is there still")),
            ],
            options={
                "verbose_name": "remnant of a deleted index",
                "verbose_name_plural": "remnants of deleted indexes",
                "ordering": ["created_at"],
            },
        ),
    ]
