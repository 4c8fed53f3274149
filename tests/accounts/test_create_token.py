from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from knox.auth import TokenAuthentication

from accounts.models import ApiToken
from accounts.services import BadToken, create_token

pytestmark = pytest.mark.django_db


def test_the_command_prints_a_working_token_and_nothing_else(alice):
    out = StringIO()
    call_command("create_token", "alice", stdout=out)
    text = out.getvalue()
    assert text.startswith("apex_") and text.count("\n") == 1
    user, token = TokenAuthentication().authenticate_credentials(text.strip().encode())
    assert user == alice and token.has_scope("chat")


def test_scopes_can_be_narrowed(alice):
    call_command("create_token", "alice", scopes=["read"], stdout=StringIO())
    assert ApiToken.objects.get().scopes == ["read"]


@pytest.mark.parametrize("arguments", [["nobody"], ["alice", "--scopes", "fly"]])
def test_what_cannot_be_is_said(alice, arguments):
    with pytest.raises(CommandError, match="nobody|fly"):
        call_command("create_token", *arguments, stdout=StringIO())
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize("wish", [{"name": "  "}, {"name": "x" * 81}, {"name": "x", "scopes": []}])
def test_a_token_needs_a_name_and_scopes(alice, wish):
    with pytest.raises(BadToken):
        create_token(user=alice, **wish)


def test_only_a_hash_is_kept(alice):
    token, text = create_token(user=alice, name="notebook")
    kept = ApiToken.objects.filter(pk=token.pk).values().get()
    assert text not in str(kept)
