"""Secrets and personal data: what is found, what is left alone, and what masking leaves."""

import pytest

from datasets_app.checking.privacy import KINDS, Privacy, findings, mask_row, mask_text

ALL = frozenset(KINDS)
# Put together here, so that no scanner of this repository takes them for real ones.
FOUND = [
    ("Write to anna.lang+news@firma.de today", "email", "anna.lang+news@firma.de"),
    ("IBAN: DE89 3704 0044 0532 0130 00, please", "iban", "DE89 3704 0044 0532 0130 00"),
    ("GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
    ("card 4111 1111 1111 1111 exp", "card", "4111 1111 1111 1111"),
    ("card 378282246310005.", "card", "378282246310005"),
    ("SSN 123-45-6789", "social_security", "123-45-6789"),
    ("call +49 171 1234567!", "telephone", "+49 171 1234567"),
    ("call (555) 123-4567", "telephone", "(555) 123-4567"),
    ("Tel. 0171 1234567", "telephone", "0171 1234567"),
    ("key " + "AKIA" + "IOSFODNN7EXAMPLE", "aws_key", "AKIA" + "IOSFODNN7EXAMPLE"),
    ("t=" + "ghp_" + "a1B2" * 9, "github_token", "ghp_" + "a1B2" * 9),
    ("OPENAI=" + "sk-" + "proj-" + "x9" * 12, "api_key", "sk-" + "proj-" + "x9" * 12),
    ("hf: " + "hf_" + "Q" * 34, "api_key", "hf_" + "Q" * 34),
    ("xo" + "xb-123456789012-abcdef", "slack_token", "xo" + "xb-123456789012-abcdef"),
]
LEFT_ALONE = [
    "LDA.w #$00 : STA $7E:0E20 ; JSL $0FFD94",
    "Order 12345678901234 of 2024-01-15 10:00:00",
    "pi is 3.14159265358979 and 1,000,000,000.00 is a lot",
    "It is task-based and risk-averse; my desk-lamp is on.",
    "not.an.address@, @mention, user@localhost",
    "4111 1111 1111 1112",
    "0000 0000 0000 0000",
    "DE89 3704 0044 0532 0130 01",
    "ids: 550e8400-e29b-41d4-a716-446655440000",
    "2024/01/15 - 2024/02/20",
    "version 10.20.30.40 of 192.168.10.20",
    "anna@example.com is an address of no one",
]


@pytest.mark.parametrize(("text", "kind", "found"), FOUND)
def test_what_has_the_form_is_found_where_it_is(text, kind, found):
    assert [(pattern.kind, text[start:end]) for pattern, start, end in findings(text)] == [(kind, found)]


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_only_looks_a_little_like_it_is_left_alone(text):
    assert list(findings(text)) == []


def test_a_private_key_goes_whole():
    text = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\nAbc\n-----END RSA PRIVATE KEY-----\nthanks"
    assert mask_text(text, ALL) == "[private_key]\nthanks"


def test_only_the_chosen_kinds_are_masked():
    text = "anna@firma.de, 4111 1111 1111 1111"
    assert mask_text(text, frozenset({"card"})) == "anna@firma.de, [card]"
    assert mask_text(text, ALL) == "[email], [card]"


def test_masking_reaches_tool_calls_and_changes_no_original():
    call = {"id": "1", "type": "function", "function": {"name": "mail", "arguments": '{"to": "a@firma.de"}'}}
    row = {"messages": [{"role": "assistant", "content": "To a@firma.de", "tool_calls": [call]}], "line": 3}
    masked = mask_row(row)["messages"][0]
    assert masked["content"] == "To [email]"
    assert masked["tool_calls"][0]["function"]["arguments"] == '{"to": "[email]"}'
    assert row["messages"][0]["content"] == "To a@firma.de"


@pytest.mark.parametrize("kind", ["text", "preference", "unpaired"])
def test_every_kind_of_row_is_looked_at(kind):
    said = [{"role": "user", "content": "I am a@firma.de"}]
    rows = {
        "text": {"text": "I am a@firma.de"},
        "preference": {"prompt": [], "chosen": said, "rejected": []},
        "unpaired": {"prompt": said, "completion": [], "label": True},
    }
    faults = list(Privacy().see({**rows[kind], "line": 9}, kind))
    assert [(fault.line, fault.code) for fault in faults] == [(9, "personal_data")]


def test_a_report_shows_no_secret():
    secret = "sk-" + "q7" * 20
    check = Privacy()
    (fault,) = check.see({"text": f"use {secret} and {secret}", "line": 1}, "text")
    assert secret not in repr(fault)
    assert fault.code == "secret"
    assert check.summary() == {"private": {"api_key": 1}}


def test_long_runs_of_digits_take_no_time():
    assert list(findings("1 " * 50_000 + "@" * 50_000)) == []
    assert list(findings("a@" + "b." * 50_000 + "a" * 50_000)) == []
    assert list(findings("eyJ" * 30_000 + "-----BEGIN " * 10_000)) == []
