"""Model aliases: which model a name means for a person, and how they are made, changed and removed."""

import re

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from audit.models import Act
from audit.services import record_act
from base_models.models import BaseModel
from gateway.models import ModelAlias

# What OpenAI adds to a name for one dated state of it: gpt-4o-mini-2024-07-18, gpt-3.5-turbo-0125.
DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4})$")
ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,119}")


class AliasRefused(Exception):
    """No such alias can be; the message says why, `field` what to change."""

    def __init__(self, message: str, field: str = "name"):
        super().__init__(message)
        self.field = field


def resolved(user, name: str) -> str:
    """The model that `name` means for `user`: the base model behind an alias, else the name as it is.

    One's own alias comes before the house's, and a dated name finds the undated one: `gpt-4o-mini-2024-07-18` is
    `gpt-4o-mini` where nothing else is said. A base model's own name is never an alias.
    """
    if "\x00" in name or name.startswith("ft:"):
        return name
    wanted = [name, undated] if (undated := DATED.sub("", name)) != name else [name]
    found = {
        (alias.name, alias.owner_id is None): alias.base_model.name
        for alias in ModelAlias.objects.for_user(user).filter(name__in=wanted).select_related("base_model")
    }
    if not found or BaseModel.objects.filter(name=name).exists():
        return name
    order = [(one, is_house) for one in wanted for is_house in (False, True)]
    return next(found[key] for key in order if key in found)


def aliases_for(user) -> list[ModelAlias]:
    """Those that hold for `user`, by name: one's own hides the house's of the same name."""
    found: dict[str, ModelAlias] = {}
    for alias in ModelAlias.objects.for_user(user).select_related("base_model"):
        if alias.name not in found or alias.owner_id is not None:
            found[alias.name] = alias
    return list(found.values())


def create_alias(*, owner, name: str, base_model: BaseModel) -> ModelAlias:
    """`owner` None: for the whole house. Raises `AliasRefused`."""
    name = name.strip()
    refuse_name(name)
    try:
        with transaction.atomic():
            return ModelAlias.objects.create(owner=owner, name=name, base_model=base_model)
    except IntegrityError as problem:
        raise AliasRefused(
            _("There is an alias %(name)s already; change that one.") % {"name": name}
        ) from problem


def change_alias(*, alias: ModelAlias, base_model: BaseModel) -> ModelAlias:
    """Lets it mean another base model from now on."""
    alias.base_model = base_model
    alias.save(update_fields=["base_model"])
    return alias


def delete_alias(*, alias: ModelAlias) -> None:
    with transaction.atomic():
        record_act(Act.DELETED, subject=alias)
        alias.delete()


def refuse_name(name: str) -> None:
    """Raises `AliasRefused` for what no program would send, and for names that mean something else already."""
    if name.startswith("ft:") or not ALLOWED.fullmatch(name):
        raise AliasRefused(
            _(
                "%(name)r cannot be an alias: take up to 120 letters, digits, dots, dashes, colons and underscores, "
                "beginning with a letter or digit; names that begin with ft: are those of adapters."
            )
            % {"name": name}
        )
    if BaseModel.objects.filter(name=name).exists():
        raise AliasRefused(_("%(name)s is a base model here; choose another name.") % {"name": name})
