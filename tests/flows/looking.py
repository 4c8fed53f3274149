"""Looks for planted words wherever a running Apex writes something down or shows it, also in other spellings."""

import base64
import html
import json
import re
import socket
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import redis
from django.contrib import admin
from django.db import models
from django.urls import NoReverseMatch, reverse

from apex.processes import broker
from tests.common.routes import key_for, own_routes

# These hold what opens the rest, by design, and may be read by the one who runs Apex alone.
KEY_FILES = ("secret_key", "secret_keys")
LINK = re.compile(rb'(?:href|src|hx-get|hx-post|action)="(/[^"#]*)')
ELSEWHERE = ("//", "/static/", "/admin/", "/accounts/logout")
ROWS_OF_EACH = 2  # of an admin's list are opened, the newest beside those that are named


def spellings(word: str) -> set[bytes]:
    """The word as it is, as addresses, pages and JSON write it, in hex and in base64 wherever it begins in a text."""
    plain = word.encode()
    written = [quote(word), quote(word, safe=""), html.escape(word), json.dumps(word)[1:-1]]
    found = {plain, *(each.encode() for each in (*written, plain.hex(), plain.hex().upper()))}
    for before in range(3):
        # Of what stands before and behind it some bits are in the first and in the last characters.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(b"\0" * before + plain).rstrip(b"=")
            found.add(whole[(0, 2, 3)[before] : len(whole) - (1 if (before + len(plain)) % 3 else 0)])
    return found


class Needles:
    """Words by what they are, and where each of them was found: `hits` of `(what, where)`."""

    def __init__(self, words: dict[str, str]):
        self.words = {what: spellings(word) for what, word in words.items()}
        self.hits: set[tuple[str, str]] = set()

    def look(self, where: str, data: bytes, among: Iterable[str] | None = None) -> None:
        """`among`: these words alone."""
        for what in self.words if among is None else among:
            if any(form in data for form in self.words[what]):
                self.hits.add((what, where))

    def kinds(self, what: str) -> set[str]:
        """In which kinds of place (the first word of each) it was found."""
        return {where.split()[0] for found, where in self.hits if found == what}


@contextmanager
def overheard(stack) -> Iterator[bytearray]:
    """All that goes to the broker meanwhile, as it says itself (MONITOR)."""
    heard = bytearray()
    ear = socket.socket(socket.AF_UNIX)
    ear.connect(broker.socket_url(stack.data, "broker").removeprefix("unix://"))
    ear.sendall(b"MONITOR\r\n")

    def listen() -> None:
        while part := ear.recv(65536):
            heard.extend(part)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield heard
    finally:
        ear.shutdown(socket.SHUT_RDWR)
        listener.join(10)
        ear.close()


def redis_of(stack, number: int) -> redis.Redis:
    return redis.Redis.from_url(broker.redis_py_url(broker.socket_url(stack.data, "broker"), number))


def kept_by_the_broker(stack) -> bytes:
    """Everything that stands there now."""
    found = []
    for number in range(4):
        with redis_of(stack, number) as client:
            for key in client.scan_iter():
                read = {
                    b"string": client.get,
                    b"hash": client.hgetall,
                    b"set": client.smembers,
                    b"list": lambda key, client=client: client.lrange(key, 0, -1),
                    b"zset": lambda key, client=client: client.zrange(key, 0, -1),
                }[client.type(key)]
                found += [key, repr(read(key)).encode()]
    return b"\n".join(found)


def dump(stack) -> bytes:
    """All tables as SQL."""
    with sqlite3.connect(f"file:{stack.data / 'apex.sqlite3'}?mode=ro", uri=True) as database:
        return "\n".join(database.iterdump()).encode()


def look_at_files(stack, needles: Needles, begun: float, older: Iterable[str]) -> int:
    """All files below the data directory, the database's and its journal's among them; how many.

    In those that were written before `begun` (as `time.time()`) only words that are `older` can be.
    """
    count = 0
    for path in sorted(stack.data.rglob("*")):
        if path.is_file() and path.name not in KEY_FILES:
            kind = "log" if path.parent.name == "logs" else "database" if "sqlite3" in path.name else "file"
            among = older if path.stat().st_mtime < begun else None
            needles.look(f"{kind} {path.relative_to(stack.data)}", path.read_bytes(), among)
            count += 1
    return count


def addresses(mine: dict) -> Iterable[str]:
    """Every route of the product that is without parameters, or whose parameters are among `mine`."""
    for route in own_routes():
        keys = {parameter: key_for(route, parameter, mine) for parameter in route.parameters}
        if None not in keys.values():
            yield reverse(route.name, kwargs={parameter: mine[key] for parameter, key in keys.items()})


def walk(get, start: Iterable[str], needles: Needles, who: str, most: int = 300) -> set[str]:
    """Opens all of `start` and what these pages lead to, up to `most`; the addresses that answered well."""
    waiting, known, good = list(start), set(start), set()
    while waiting:
        path = waiting.pop(0)
        status, body = get(path)
        assert status < 500, f"{path}: {status}"
        needles.look(f"{'api' if path.startswith(('/api/', '/v1/')) else 'page'} {path} for {who}", body)
        if status == 200:
            good.add(path)
        for link in LINK.findall(body) if b"<html" in body[:2000] else ():
            address = html.unescape(link.decode())
            if len(known) < most and address not in known and not address.startswith(ELSEWHERE):
                known.add(address)
                waiting.append(address)
    return good


def look_at_the_admin(get, needles: Needles, rows: dict[type[models.Model], list]) -> int:
    """Of every table its list, and of some rows the page and the history: `rows` by name, and the newest."""
    count = 0
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        listed = get(reverse(f"{name}_changelist"))
        assert listed[0] == 200, name
        needles.look(f"admin list of {name}", listed[1])
        at = re.escape(reverse(f"{name}_changelist")).encode()
        newest = [key.decode() for key in re.findall(at + rb"([^/\"]+)/change/", listed[1])]
        for key in dict.fromkeys([*map(str, rows.get(model, ())), *newest[:ROWS_OF_EACH]]):
            for page in ("change", "history"):
                try:
                    status, body = get(reverse(f"{name}_{page}", args=[key]))
                except NoReverseMatch:
                    continue
                assert status == 200, f"{name} {key} {page}: {status}"
                needles.look(f"admin {page} of {name} {key}", body)
                count += 1
    return count
