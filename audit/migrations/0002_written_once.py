"""The database itself refuses to change or delete what was done."""

from django.db import migrations

from apex.common.append_only import protect, unprotect

TABLE = "audit_auditevent"


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_acts")]

    operations = [
        migrations.RunPython(
            lambda apps, editor: protect(editor.connection, TABLE),
            lambda apps, editor: unprotect(editor.connection, TABLE),
        )
    ]
