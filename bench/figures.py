"""The one shape of a result, shared by all subjects."""

import json


def figure(name: str, value: float, unit: str, peer: str, peer_value: float | None) -> dict:
    """Return one result; `ratio` is ours by the peer's. Whether more or less is better, the unit says.

    The ratio is null where the peer's is 0, and with `peer_value` None where the peer has nothing of the kind.
    """
    return {
        "figure": name,
        "value": significant(value),
        "unit": unit,
        "peer": peer,
        "peer_value": None if peer_value is None else significant(peer_value),
        "ratio": significant(value / peer_value) if peer_value else None,
    }


def significant(value: float, digits: int = 4) -> float:
    """Return `value` rounded to so many significant digits."""
    return float(f"{value:.{digits}g}")


def as_json(result: dict) -> str:
    """Return a result as one line of JSON."""
    return json.dumps(result)


def as_text(result: dict) -> str:
    """Return a result as one line for a person."""
    ours = f"{result['value']:g} {result['unit']}"
    theirs = f"{result['peer']}: {or_dash(result['peer_value'])} {result['unit']}"
    return f"{result['figure']:<52} {ours:>16}   {theirs} (ratio {or_dash(result['ratio'])})"


def or_dash(value: float | None) -> str:
    """Return a number in few digits, or a dash for none."""
    return "–" if value is None else f"{value:g}"
