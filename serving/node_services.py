"""What superusers ask for: add a server of models, change it, take it out of use, remove it."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from apex.common.secrets import Context, fault_of, hint_of, seal
from audit.models import Act
from audit.services import record_act
from base_models.models import BaseModel
from serving.backends.registry import BACKENDS
from serving.models import EMBEDDED, Hardware, Node
from serving.nudges import nudge_on_commit
from serving.slots import most_adapters_for

KINDS = tuple(name for name in BACKENDS if name != EMBEDDED)
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM takes as --max-lora-rank, but 1


class NodeRefused(Exception):
    """It cannot be kept like this; `field` names what to change."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def add_node(
    *,
    name: str,
    address: str,
    base_model: BaseModel,
    backend: str = "vllm",
    served_name: str = "",
    hardware: str = Hardware.GPU,
    adapter_slots: int = 8,
    most_adapters: int | None = None,
    most_rank: int = 64,
    api_key: str = "",
) -> Node:
    """A server that runs already. Deployments of its base model are put on it at once, where its kind takes adapters.

    Raises `NodeRefused`.
    """
    node = Node(
        name=name.strip(),
        backend=backend,
        address=plain_address(address, backend),
        base_model=base_model,
        served_name=served_name.strip() or base_model.name,
        hardware=hardware,
        adapter_slots=adapter_slots,
        most_rank=most_rank,
    )
    usual = most_adapters_for(slots=adapter_slots, needs_free_slot=node.needs_free_slot)
    node.most_adapters = usual if most_adapters is None else most_adapters
    if not node.takes_adapters:
        node.most_adapters = 0
    if api_key:
        put_key(node, api_key)
    return keep(node)


def change_node(*, node: Node, api_key: str | None = None, **changes) -> Node:
    """What is not named stays; `api_key` "" forgets the key. Raises `NodeRefused`.

    A key does not follow its server to another address.
    """
    if node.backend == EMBEDDED and set(changes) - {"is_enabled"}:
        raise NodeRefused(_("Apex runs this one itself; it can be taken out of use, nothing else."), "name")
    if changes.get("backend", node.backend) != node.backend:
        raise NodeRefused(
            _("A server of another kind is another server: remove this one and add it."), "backend"
        )
    if "address" in changes:
        changes["address"] = plain_address(changes["address"], node.backend)
        if changes["address"] != node.address and node.sealed_key and api_key is None:
            raise NodeRefused(_("The address is another one; enter its key too."), "api_key")
    for name, value in changes.items():
        setattr(node, name, value)
    if api_key is not None:
        put_key(node, api_key)
    return keep(node)


def remove_node(*, node: Node) -> None:
    """Apex forgets the server, which goes on running. What worked there goes to the others of its base model."""
    if node.backend == EMBEDDED:
        raise NodeRefused(_("Apex runs this one itself; take it out of use instead."), "name")
    with transaction.atomic():
        record_act(Act.DELETED, subject=node)
        node.delete()
        nudge_on_commit()


def put_key(node: Node, api_key: str) -> None:
    if fault := fault_of(api_key):
        raise NodeRefused(fault, "api_key")
    node.sealed_key = seal(api_key, Context.of(node, "sealed_key")) if api_key else ""
    node.key_hint = hint_of(api_key) if api_key else ""


def keep(node: Node) -> Node:
    check(node)
    try:
        with transaction.atomic():
            node.save()
            nudge_on_commit()
    except IntegrityError as problem:
        raise NodeRefused(
            _("There is a server named “%(name)s” already.") % {"name": node.name}, "name"
        ) from problem
    return node


def check(node: Node) -> None:
    """Raises `NodeRefused` for what could never work."""
    if node.backend == EMBEDDED and not node.base_model_id and not node.address:
        return
    if not node.name:
        raise NodeRefused(_("The server needs a name."), "name")
    if node.backend not in KINDS:
        words = _("“%(kind)s” is no kind of server that can be added; choose one of %(kinds)s.")
        raise NodeRefused(words % {"kind": node.backend[:30], "kinds": ", ".join(KINDS)}, "backend")
    check_address(node.address)
    if not 1 <= node.adapter_slots <= 1000:
        raise NodeRefused(_("A server has 1 to 1000 adapter slots (--max-loras)."), "adapter_slots")
    if node.most_rank not in RANKS:
        listed = ", ".join(map(str, RANKS))
        raise NodeRefused(_("The largest rank is one of %(ranks)s.") % {"ranks": listed}, "most_rank")
    if node.needs_free_slot and node.most_adapters > node.adapter_slots - 1:
        raise NodeRefused(
            _(
                "On a processor one slot has to stay free, or vLLM answers with the wrong adapter: %(most)s at most "
                "with %(slots)s slots."
            )
            % {"most": node.adapter_slots - 1, "slots": node.adapter_slots},
            "most_adapters",
        )
    others = Node.objects.enabled().filter(base_model=node.base_model_id).exclude(pk=node.pk)
    other = others.exclude(served_name=node.served_name).first()
    stranger = others.exclude(backend=node.backend).first()
    if stranger and node.is_enabled:
        words = _(
            "%(other)s serves the same base model and is of another kind (%(kind)s); take it out of use first."
        )
        raise NodeRefused(words % {"other": stranger.name, "kind": stranger.backend}, "backend")
    if other and node.is_enabled:
        words = _("%(other)s calls the same base model %(name)s; all its servers have to call it the same.")
        raise NodeRefused(words % {"other": other.name, "name": other.served_name}, "served_name")


def plain_address(address: str, backend: str) -> str:
    """Without the `/v1` that everybody writes; a server of OpenAI's surface may have it below a path of its own."""
    address = address.strip().rstrip("/")
    return address if backend == "openai_compatible" else address.removesuffix("/v1")


def check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    else:
        is_good = is_good and not (parts.username or parts.password or parts.query or parts.fragment)
    if not is_good or len(address) > 300:
        raise NodeRefused(
            _("Give an address such as http://10.0.0.5:8000, without a name or password."), "address"
        )
