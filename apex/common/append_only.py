"""Tables whose rows are written once, guarded by the database itself: no UPDATE, no DELETE, whoever asks.

A migration that rebuilds such a table (SQLite does, for most changes) loses its guards: it calls `protect` again.
"""

from __future__ import annotations

from typing import Any

TABLES = ["audit_auditevent", "ledger_usageline"]
FUNCTION = "apex_append_only"


def protect(connection: Any, table: str) -> None:
    """`connection` of Django, or a schema editor's. Twice is as good as once."""
    unprotect(connection, table)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for act in ("UPDATE", "DELETE"):
                cursor.execute(
                    f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
            return
        cursor.execute(
            f"CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END$$"
        )
        cursor.execute(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION {FUNCTION}()"
        )
        cursor.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {FUNCTION}()"
        )


def unprotect(connection: Any, table: str) -> None:
    """For tests, which empty tables, and for a migration that has to move rows."""
    on = "" if connection.vendor == "sqlite" else f" ON {table}"
    with connection.cursor() as cursor:
        for name in guards(connection, table):
            cursor.execute(f"DROP TRIGGER {name}{on}")


def guards(connection: Any, table: str) -> list[str]:
    """The names of those that stand."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [table])
        else:
            cursor.execute(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", [table]
            )
        return sorted(name for (name,) in cursor.fetchall())
