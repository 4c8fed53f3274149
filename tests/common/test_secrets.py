"""Sealed credentials: opened by the right row with the right key, and by nothing else."""

import json
import stat
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from apex.common import secrets
from apex.common.secrets import Context, KeyMissing, SecretError, Tampered, open_secret, seal
from datasets_app.models import Connection

pytestmark = pytest.mark.django_db
OLD, NEW = "o" * 40, "n" * 40
HERE = Context("datasets_app.Connection", "sealed", "row-1")


@pytest.fixture
def keys(settings):
    def use(text: str) -> None:
        settings.SECRET_KEYS = text

    use(OLD)
    return use


def test_what_is_sealed_opens_again_and_does_not_show(keys):
    sealed = seal("s3cr3t – ключ", HERE)
    assert sealed.startswith("v1:") and "s3cr3t" not in sealed
    assert open_secret(sealed, HERE) == "s3cr3t – ключ"
    assert seal("s3cr3t", HERE) != seal("s3cr3t", HERE)


@pytest.mark.parametrize(
    "elsewhere",
    [
        Context("datasets_app.Connection", "sealed", "row-2"),
        Context("datasets_app.Connection", "other", "row-1"),
        Context("accounts.User", "sealed", "row-1"),
    ],
)
def test_a_sealed_text_that_was_moved_opens_nothing(keys, elsewhere):
    with pytest.raises(Tampered):
        open_secret(seal("s3cr3t", HERE), elsewhere)


def test_one_changed_character_and_other_texts_open_nothing(keys):
    sealed = seal("s3cr3t", HERE)
    middle = len(sealed) // 2
    wrong = sealed[:middle] + ("A" if sealed[middle] != "A" else "B") + sealed[middle + 1 :]
    for text in (wrong, "", "plain", "v1:", "v2:" + sealed[3:], sealed[:-5], "v1:x"):
        with pytest.raises(SecretError):
            open_secret(text, HERE)


def test_a_missing_key_is_told_from_a_changed_text(keys):
    sealed = seal("s3cr3t", HERE)
    keys(NEW)
    with pytest.raises(KeyMissing, match="APEX_SECRET_KEYS"):
        open_secret(sealed, HERE)
    keys(f"{NEW}, {OLD}")
    assert open_secret(sealed, HERE) == "s3cr3t"
    assert not secrets.is_current(sealed) and secrets.is_current(seal("x", HERE))


def test_a_key_that_is_too_short_is_refused_without_being_shown(keys):
    keys("hunter2")
    with pytest.raises(SecretError, match="7 characters") as refused:
        seal("x", HERE)
    assert "hunter2" not in str(refused.value)


def test_without_a_setting_a_key_is_made_once_for_its_owner_only(settings, tmp_path):
    settings.SECRET_KEYS, settings.DATA_DIR = "", tmp_path
    sealed = seal("s3cr3t", HERE)
    path = tmp_path / "secret_keys"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    made = path.read_text()
    assert open_secret(sealed, HERE) == "s3cr3t" and path.read_text() == made
    assert [entry.name for entry in Path(tmp_path).iterdir()] == ["secret_keys"]


def connection(owner, name: str) -> Connection:
    row = Connection(owner=owner, name=name, kind="hf", hint="…cr3t")
    row.sealed = seal(json.dumps({"token": "hf_s3cr3t"}), Context.of(row, "sealed"))
    row.save()
    return row


def test_rotation_seals_everything_with_the_newest_key_and_can_run_twice(keys, alice):
    rows = [connection(alice, name) for name in ("a", "b")]
    keys(f"{NEW},{OLD}")
    for said in ("2 sealed anew.", "0 sealed anew."):
        out = StringIO()
        call_command("rotate_secrets", stdout=out)
        assert out.getvalue().strip() == said
    keys(NEW)
    for row in rows:
        row.refresh_from_db()
        assert json.loads(open_secret(row.sealed, Context.of(row, "sealed")))["token"] == "hf_s3cr3t"


def test_keys_in_a_file_are_changed_while_the_site_runs(settings, tmp_path, alice):
    settings.SECRET_KEYS, settings.DATA_DIR = "", tmp_path
    row = connection(alice, "a")
    before = secrets.master_keys()
    call_command("rotate_secrets", "--new-key", stdout=StringIO())
    assert (
        secrets.master_keys()[1:] == before
        and stat.S_IMODE((tmp_path / "secret_keys").stat().st_mode) == 0o600
    )
    call_command("rotate_secrets", "--forget-old", stdout=StringIO())
    assert len(secrets.master_keys()) == 1 and secrets.master_keys() != before
    row.refresh_from_db()
    assert "hf_s3cr3t" in open_secret(row.sealed, Context.of(row, "sealed"))


def test_old_keys_stay_while_something_needs_them(settings, tmp_path, alice):
    settings.SECRET_KEYS, settings.DATA_DIR = "", tmp_path
    row = connection(alice, "a")
    Connection.objects.filter(pk=row.pk).update(sealed=row.sealed[:-4] + "AAAA")
    with pytest.raises(CommandError):
        call_command("rotate_secrets", "--new-key", "--forget-old", stdout=StringIO())
    assert len(secrets.master_keys()) == 2


def test_keys_of_the_environment_are_not_changed_by_the_command(keys):
    with pytest.raises(CommandError, match="APEX_SECRET_KEYS"):
        call_command("rotate_secrets", "--new-key", stdout=StringIO())


def test_rotation_names_what_it_cannot_open_and_leaves_it(keys, alice):
    row = connection(alice, "a")
    keys(NEW)
    with pytest.raises(CommandError, match=str(row.pk)) as failed:
        call_command("rotate_secrets", stdout=StringIO())
    assert "s3cr3t" not in str(failed.value)
    keys(OLD)
    row.refresh_from_db()
    assert "hf_s3cr3t" in open_secret(row.sealed, Context.of(row, "sealed"))


def test_a_dump_of_the_database_holds_no_credential(keys, alice):
    connection(alice, "a")
    out = StringIO()
    call_command("dumpdata", "datasets_app.connection", stdout=out)
    assert "s3cr3t" not in out.getvalue() and "v1:" in out.getvalue()
    assert "s3cr3t" not in repr(Connection.objects.get()) + str(vars(Connection.objects.get()))


def test_a_hint_gives_little_away():
    assert secrets.hint_of("AKIAIOSFODNN7EXAMPLE") == "…MPLE"
    assert secrets.hint_of("short") == "…"


@pytest.mark.parametrize(
    "text", ["two words", "a\nb", "a\r\nX-Other: header", "k\u00e9y", "\x00", "x" * 4001]
)
def test_what_cannot_be_a_key_is_said_without_repeating_it(text):
    fault = secrets.fault_of(text)
    assert "copy it once more" in fault and text not in fault
    assert secrets.fault_of("sk-" + "x" * 3997) == "" == secrets.fault_of("")
