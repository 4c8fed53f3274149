"""Draws tokens."""

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from datasets_app.token_view import Token

register = template.Library()
# A line break and a tab are tokens too, and would else be boxes without anything in them.
VISIBLE = {"\n": "↵", "\t": "⇥", "\r": "␍", "\u00a0": "⍽", "\u200b": "∅"}


@register.simple_tag
def token_box(token: Token) -> SafeString:
    """`<i>` around a token's text, with signs for what cannot be seen and the breaks themselves kept."""
    name = "tok special" if token.is_special else "tok"
    if not any(character in VISIBLE for character in token.text):
        return format_html('<i class="{}">{}</i>', name, token.text)
    return format_html('<i class="{}">{}</i>', name, format_html_join("", "{}{}", map(_visible, token.text)))


def _visible(character: str) -> tuple[str | SafeString, str]:
    sign = VISIBLE.get(character)
    if sign is None:
        return character, ""
    drawn = mark_safe(f'<span class="sign" aria-hidden="true">{sign}</span>')
    return drawn, "\n" if character == "\n" else ""
