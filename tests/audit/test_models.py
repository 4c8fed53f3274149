"""What was done is written once: the model refuses changes, and so does the database."""

import pytest
from django.db import DatabaseError, connection, transaction

from apex.common.append_only import TABLES, guards, protect
from audit.models import Act, AuditEvent
from audit.services import record_act
from ledger.budgets import settle
from ledger.models import UsageLine
from tests.conftest import GUARDS
from tests.ledger.test_budgets import line

pytestmark = pytest.mark.django_db


def test_migrations_put_up_the_guards():
    assert set(GUARDS) == set(TABLES)
    assert all(len(names) == 2 for names in GUARDS.values())


def test_the_models_refuse_to_change_or_delete(alice):
    event = record_act(Act.LOGIN, owner=alice)
    settle(None, [line(alice)])
    for row in (event, UsageLine.objects.get()):
        with pytest.raises(TypeError):
            row.save()
        with pytest.raises(TypeError):
            row.delete()
    for act in (lambda rows: rows.update(act=Act.LOGOUT), lambda rows: rows.delete()):
        with pytest.raises(TypeError):
            act(AuditEvent.objects.all())


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["UPDATE {} SET at = at", "DELETE FROM {}"])
def test_the_database_refuses_it_whoever_asks(alice, table, statement):
    record_act(Act.LOGIN, owner=alice)
    settle(None, [line(alice)])
    with transaction.atomic():
        protect(connection, table)
        assert len(guards(connection, table)) == 2
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            connection.cursor().execute(statement.format(table))
        # The account may go all the same; what it did stays, under its name.
        alice.delete()
    assert AuditEvent.objects.get().owner_name == "alice" and UsageLine.objects.count() == 1
