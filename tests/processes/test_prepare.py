"""What is done before the site starts: once, and then not again."""

import pytest
from django.contrib.auth import authenticate, get_user_model

from apex.processes import prepare


@pytest.fixture
def admins(db):
    return get_user_model().objects.filter(is_superuser=True)


def test_the_first_superuser_gets_a_random_password_that_works(admins, monkeypatch):
    monkeypatch.delenv("APEX_ADMIN_PASSWORD", raising=False)
    password = prepare.create_first_superuser()
    assert len(password) >= 16
    assert authenticate(username="admin", password=password) == admins.get()
    assert prepare.create_first_superuser() is None, "there is one now"


def test_a_given_password_is_used_and_not_shown(admins, monkeypatch):
    monkeypatch.setenv("APEX_ADMIN_PASSWORD", "given by the environment")
    assert prepare.create_first_superuser() is None
    assert authenticate(username="admin", password="given by the environment") == admins.get()


def test_a_superuser_of_another_name_is_enough(admins, monkeypatch):
    get_user_model().objects.create_superuser("olga", password="correct horse battery")
    assert prepare.create_first_superuser() is None
    assert [user.username for user in admins] == ["olga"]


def test_someone_who_took_the_name_admin_is_not_made_a_superuser(admins):
    get_user_model().objects.create_user("admin", password="correct horse battery")
    with pytest.raises(prepare.NameTaken, match="createsuperuser"):
        prepare.create_first_superuser()
    assert not admins.exists()


def test_a_migrated_database_has_nothing_to_do(db):
    assert prepare.migrate() is False


def test_static_files_are_collected_when_one_has_changed(tmp_path, settings):
    source = tmp_path / "source"
    source.mkdir()
    (source / "page.css").write_text("a {}")
    settings.STATICFILES_DIRS = [source]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATIC_ROOT = tmp_path / "static"
    assert prepare.collect_static() is True
    assert (tmp_path / "static" / "page.css").exists()
    assert prepare.collect_static() is False
    (source / "page.css").write_text("a { color: red }")
    assert prepare.collect_static() is True
    assert "red" in (tmp_path / "static" / "page.css").read_text()
