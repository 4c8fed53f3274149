"""The one shape of a result, shared by all subjects."""

import json


def figure(name: str, value: float, unit: str, peer: str, peer_value: float) -> dict:
    """Return one result; `ratio` is ours by the peer's. Whether more or less is better, the unit says."""
    return {
        "figure": name,
        "value": significant(value),
        "unit": unit,
        "peer": peer,
        "peer_value": significant(peer_value),
        "ratio": significant(value / peer_value),
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
    theirs = f"{result['peer']}: {result['peer_value']:g} {result['unit']}"
    return f"{result['figure']:<52} {ours:>16}   {theirs} (ratio {result['ratio']:g})"
