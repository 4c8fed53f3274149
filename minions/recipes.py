"""What shapes a minion's answers, as plain values: read from its rows, kept as JSON, given to the pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils.translation import gettext as _

from minions.models import AdapterRole, Minion, Mode

MOST_LINKS = 10
MOST_RETRIES = 5
# What may send a question on to the next link; `bad_request` is left out: the next one would say the same.
KINDS = ("overload", "network", "rate", "quota", "auth", "context", "content")
USUAL_KINDS = ("overload", "network", "rate", "quota", "auth", "context")


class BadChain(ValueError):
    """A chain that cannot be; the message says which link and what to do."""


@dataclass(frozen=True, slots=True)
class Link:
    """One model of one provider, and when it may be asked.

    `key` is the id of a provider key, or None for the first that fits. `most_cost` is in US dollars an answer,
    `first_seconds` how long its first words may take, `context` how many tokens it reads and writes together (None:
    not said). `has_tools` says whether it may be given tools. `retries` are tries beyond the first, while no word has
    come; `falls_back_on` the kinds of failure that send the question on.
    """

    provider: str
    model: str
    key: str | None = None
    most_cost: str | None = None
    first_seconds: float | None = None
    context: int | None = None
    has_tools: bool = True
    retries: int = 1
    falls_back_on: tuple[str, ...] = USUAL_KINDS

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model}"

    @property
    def health_key(self) -> str:
        """Links of the same key and model are well or ill together."""
        return f"{self.provider}:{self.key or ''}:{self.model}"

    @property
    def cost_cap(self) -> Decimal | None:
        return None if self.most_cost is None else Decimal(self.most_cost)


def told_apart(chain: Sequence[Link]) -> list[str]:
    """What each link is called in messages and traces: its name, with its place where another has the same name."""
    names = [link.name for link in chain]
    return [
        _("%(link)s, number %(place)d") % {"link": name, "place": place} if names.count(name) > 1 else name
        for place, name in enumerate(names, start=1)
    ]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A version of a minion. `adapter` is a model id of its owner; `knowledge_bases` are ids."""

    name: str
    persona: str
    mode: str
    adapter: str | None
    adapter_base: str | None
    adapter_role: str
    knowledge_bases: tuple[str, ...]
    chain: tuple[Link, ...]
    choosing: str
    style_tokens: int
    knowledge_tokens: int
    history_tokens: int
    answer_tokens: int
    passages: int
    temperature: float
    on_style_failure: str
    on_knowledge_failure: str
    on_answer_failure: str

    @property
    def has_style(self) -> bool:
        return self.mode in (Mode.HYBRID, Mode.LORA_ONLY) and self.adapter is not None

    @property
    def has_knowledge(self) -> bool:
        return self.mode in (Mode.HYBRID, Mode.RAG_ONLY) and bool(self.knowledge_bases)

    @property
    def has_chain(self) -> bool:
        return self.mode != Mode.LORA_ONLY and bool(self.chain)

    @property
    def rewrites(self) -> bool:
        """Whether the adapter has the last word."""
        return self.has_style and self.has_chain and self.adapter_role == AdapterRole.REWRITER

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def recipe_of(minion: Minion, knowledge_bases: Iterable) -> Recipe:
    """`minion` comes with its adapter and that one's base model; `knowledge_bases` are ids."""
    adapter = minion.adapter
    return Recipe(
        adapter=adapter.model_id if adapter else None,
        adapter_base=adapter.base_model.name if adapter else None,
        knowledge_bases=tuple(sorted(str(each) for each in knowledge_bases)),
        chain=tuple(Link(**_link_values(each)) for each in minion.chain),
        **{name: getattr(minion, name) for name in PLAIN},
    )


def recipe_from(stored: dict[str, Any]) -> Recipe:
    """What `as_json` wrote. Fields that were added since have their default, if they have one."""
    known = {one.name for one in fields(Recipe)}
    values = {name: value for name, value in stored.items() if name in known}
    values["chain"] = tuple(Link(**_link_values(each)) for each in stored["chain"])
    values["knowledge_bases"] = tuple(stored["knowledge_bases"])
    return Recipe(**values)


PLAIN = (
    "name", "persona", "mode", "adapter_role", "choosing", "style_tokens", "knowledge_tokens", "history_tokens",
    "answer_tokens", "passages", "temperature", "on_style_failure", "on_knowledge_failure", "on_answer_failure",
)  # fmt: skip


def _link_values(stored: dict[str, Any]) -> dict[str, Any]:
    known = {one.name for one in fields(Link)}
    values = {name: value for name, value in stored.items() if name in known}
    if "falls_back_on" in values:
        values["falls_back_on"] = tuple(values["falls_back_on"])
    return values


# --- A chain as somebody gives it ------------------------------------------------------------------------------


@dataclass
class ChainReader:
    """Reads a chain that came from outside. `providers` are the names that there are, `keys` (id → provider) may be
    named; what a link leaves out has the defaults of `Link`."""

    providers: Iterable[str]
    keys: dict[str, str] = field(default_factory=dict)

    def read(self, given: Any) -> list[dict[str, Any]]:
        """The links as JSON. Raises BadChain."""
        if not isinstance(given, list):
            raise BadChain(_("The chain is a list of outside models, first to last."))
        if len(given) > MOST_LINKS:
            raise BadChain(
                _("A chain has at most %(most)d models; this one has %(count)d.")
                % {"most": MOST_LINKS, "count": len(given)}
            )
        return [self._link(each, number) for number, each in enumerate(given, start=1)]

    def _link(self, given: Any, number: int) -> dict[str, Any]:
        where = _("Outside model %(number)d") % {"number": number}
        if not isinstance(given, dict):
            raise BadChain(_("%(where)s is not an object with provider and model.") % {"where": where})
        known = {one.name for one in fields(Link)}
        if unknown := sorted(set(given) - known):
            raise BadChain(
                _("%(where)s: %(found)s is not known; there are %(known)s.")
                % {
                    "where": where,
                    "found": ", ".join(map(str, unknown))[:100],
                    "known": ", ".join(sorted(known)),
                }
            )
        provider, model = given.get("provider"), given.get("model")
        if not isinstance(provider, str) or provider not in set(self.providers):
            raise BadChain(
                _("%(where)s: there is no provider %(found)s; choose one of %(known)s.")
                % {"where": where, "found": _shown(provider), "known": ", ".join(sorted(self.providers))}
            )
        if not isinstance(model, str) or not 1 <= len(model.strip()) <= 200 or "\x00" in model:
            raise BadChain(
                _("%(where)s: say which model, by the provider’s own name of it.") % {"where": where}
            )
        link = Link(
            provider=provider,
            model=model.strip(),
            key=self._key(given.get("key"), provider, where),
            most_cost=_cost(given.get("most_cost"), where),
            first_seconds=_number(given.get("first_seconds"), 0.1, 600, where, "first_seconds"),
            context=_whole(given.get("context"), 1, 100_000_000, where, "context"),
            has_tools=_flag(given.get("has_tools", True), where, "has_tools"),
            retries=_whole(given.get("retries", 1), 0, MOST_RETRIES, where, "retries") or 0,
            falls_back_on=_kinds(given.get("falls_back_on", USUAL_KINDS), where),
        )
        return asdict(link) | {"falls_back_on": list(link.falls_back_on)}

    def _key(self, given: Any, provider: str, where: str) -> str | None:
        if given in (None, ""):
            return None
        if self.keys.get(str(given)) != provider:
            raise BadChain(
                _("%(where)s: you have no such key of %(provider)s. Leave it out, or choose one of yours.")
                % {"where": where, "provider": provider}
            )
        return str(given)


def _cost(given: Any, where: str) -> str | None:
    if given in (None, ""):
        return None
    try:
        cost = Decimal(str(given))
    except InvalidOperation:
        cost = Decimal(-1)
    if isinstance(given, bool) or not cost.is_finite() or not 0 < cost <= 10_000:
        raise BadChain(
            _("%(where)s: the most that an answer may cost is an amount in dollars, got %(found)s.")
            % {"where": where, "found": _shown(given)}
        )
    return str(cost)


def _number(given: Any, least: float, most: float, where: str, name: str) -> float | None:
    if given in (None, ""):
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not least <= given <= most:
        raise BadChain(
            _("%(where)s: %(name)s is a number from %(least)s to %(most)s, got %(found)s.")
            % {"where": where, "name": name, "least": least, "most": most, "found": _shown(given)}
        )
    return float(given)


def _whole(given: Any, least: int, most: int, where: str, name: str) -> int | None:
    found = _number(given, least, most, where, name)
    if found is not None and found != int(found):
        raise BadChain(_("%(where)s: %(name)s is a whole number.") % {"where": where, "name": name})
    return None if found is None else int(found)


def _flag(given: Any, where: str, name: str) -> bool:
    if not isinstance(given, bool):
        raise BadChain(_("%(where)s: %(name)s is true or false.") % {"where": where, "name": name})
    return given


def _kinds(given: Any, where: str) -> tuple[str, ...]:
    if not isinstance(given, (list, tuple)) or not all(
        isinstance(kind, str) and kind in KINDS for kind in given
    ):
        raise BadChain(
            _("%(where)s: falls_back_on is a list out of %(known)s.")
            % {"where": where, "known": ", ".join(KINDS)}
        )
    return tuple(kind for kind in KINDS if kind in given)


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "…"


def needs(values: dict[str, Any]) -> dict[str, str]:
    """What a minion of these values still lacks for its mode, by field. Empty: it can answer."""
    mode, lacks = values["mode"], {}
    if mode == Mode.LORA_ONLY and not values["adapter"]:
        lacks["adapter"] = _("Choose what it learned: in this mode nothing else answers.")
    if mode != Mode.LORA_ONLY and not values["chain"]:
        lacks["chain"] = _("Name an outside model: in this mode it gives the answers.")
    return lacks
