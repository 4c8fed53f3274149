"""What forms of several rooms have in common."""

from django import forms


def secret_input() -> forms.PasswordInput:
    """A field for a key or token: what was typed is never sent back, and no browser keeps or corrects it."""
    return forms.PasswordInput(render_value=False, attrs={"autocomplete": "off", "spellcheck": "false"})


def tell(form: forms.BaseForm, problem: Exception) -> None:
    """Puts a service's refusal at the field that it names (`problem.field`); above the form where that has no such."""
    field = getattr(problem, "field", None)
    form.add_error(field if field in form.fields else None, str(problem))
