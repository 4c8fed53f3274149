"""Documents to text with places. No Django inside: it runs in a process of its own (`knowledge.parsing.child`).

    bytes → kind (recognised by content, then by name) → blocks → text and marks

To add a kind of file: one module with `blocks(path)`, and a line in `parsers.KINDS`. What reads them is imported
by the process that does, and by nobody else.
"""

from .base import Parsed, Refused

__all__ = ["Parsed", "Refused"]
