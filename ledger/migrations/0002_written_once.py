"""The database itself refuses to change or delete a line."""

from django.db import migrations

from apex.common.append_only import protect, unprotect

TABLE = "ledger_usageline"


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_lines_and_budgets")]

    operations = [
        migrations.RunPython(
            lambda apps, editor: protect(editor.connection, TABLE),
            lambda apps, editor: unprotect(editor.connection, TABLE),
        )
    ]
