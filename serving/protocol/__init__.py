"""OpenAI's requests, read in one place by the embedded server and the gateway alike. No Django and no torch in here.

Field names and limits follow OpenAI's API reference (chat completions, completions, embeddings; 2026-08).
"""

from serving.protocol.abilities import PLAIN_CHAT, Ability, unsupported_endpoint
from serving.protocol.chat import ChatRequest, parse_chat_request
from serving.protocol.completions import CompletionRequest, parse_completion_request
from serving.protocol.embeddings import EmbeddingRequest, parse_embedding_request
from serving.protocol.errors import ApiError, model_not_found
from serving.protocol.values import is_unicode

__all__ = [
    "PLAIN_CHAT", "Ability", "ApiError", "ChatRequest", "CompletionRequest", "EmbeddingRequest", "is_unicode",
    "model_not_found", "parse_chat_request", "parse_completion_request", "parse_embedding_request",
    "unsupported_endpoint",
]  # fmt: skip
