"""What forms of several rooms have in common."""

from django import forms

from apex.common.forms import secret_input, tell


class Refused(Exception):
    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Form(forms.Form):
    name = forms.CharField()
    key = forms.CharField(widget=secret_input())


def filled() -> Form:
    form = Form({"name": "team", "key": "sk-very-secret"})
    assert form.is_valid()
    return form


def test_a_refusal_stands_at_the_field_that_it_names():
    form = filled()
    tell(form, Refused("This name is taken.", "name"))
    assert form.errors == {"name": ["This name is taken."]}


def test_a_refusal_of_something_else_stands_above_the_form():
    for problem in (Refused("Not here.", "base_url"), Refused("Not here."), ValueError("Not here.")):
        form = filled()
        tell(form, problem)
        assert form.errors == {"__all__": ["Not here."]}


def test_a_secret_that_was_typed_is_not_sent_back():
    assert "sk-very-secret" not in str(filled())
