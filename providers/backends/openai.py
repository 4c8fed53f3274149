"""OpenAI itself. https://platform.openai.com/docs/api-reference/chat"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from providers.backends.openai_protocol import OpenAIProtocol
from providers.base import Call

# Models that think before they answer take neither, whatever the value.
THINKING = re.compile(r"^(ft:)?(o\d|gpt-5(?!.*chat))")


class OpenAI(OpenAIProtocol):
    name: ClassVar[str] = "openai"
    label: ClassVar[str] = "OpenAI"
    default_address: ClassVar[str] = "https://api.openai.com/v1"
    key_page: ClassVar[str] = "https://platform.openai.com/api-keys"
    takes_address: ClassVar[bool] = True
    # `max_tokens` is the old name, which the newer models refuse and the older ones do not need.
    limit_name: ClassVar[str] = "max_completion_tokens"

    def body(self, call: Call, is_stream: bool) -> dict[str, Any]:
        body = super().body(call, is_stream)
        if THINKING.match(call.model):
            body.pop("temperature", None)
            body.pop("top_p", None)
        return body
