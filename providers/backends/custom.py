"""Any server with OpenAI's surface, at an address that its user gives."""

from __future__ import annotations

from typing import ClassVar

from providers.backends.openai_protocol import OpenAIProtocol


class Custom(OpenAIProtocol):
    name: ClassVar[str] = "custom"
    label: ClassVar[str] = "OpenAI-compatible server"
    needs_key: ClassVar[bool] = False
    takes_address: ClassVar[bool] = True
