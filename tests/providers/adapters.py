"""Every adapter and the stand-in that it is driven against."""

from providers.backends.anthropic import Anthropic
from providers.backends.custom import Custom
from providers.backends.huggingface import HuggingFace
from providers.backends.nvidia import Nvidia
from providers.backends.ollama import Ollama
from providers.backends.openai import OpenAI
from providers.base import Access, Call, Patience, Provider, Usage
from tests.providers.fake_anthropic import FakeAnthropic
from tests.providers.fake_ollama import FakeOllama
from tests.providers.fake_openai import FakeOpenAI

QUICK = Patience(tries=3, first_wait=0.01, longest_wait=1, first_byte=5, silence=1, total=10)
HELLO = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
TOOLS = [
    {
        "type": "function",
        "function": {"name": name, "description": "d", "parameters": {"type": "object", "properties": {}}},
    }
    for name in ("weather", "time")
]
KINDS = {
    "openai": (FakeOpenAI, OpenAI, "/v1", "gpt-4o-mini", Usage(19, 10, 8)),
    "nvidia": (lambda: FakeOpenAI("nvidia"), Nvidia, "/v1", "meta/llama-3.1-8b-instruct", Usage(19, 10, 8)),
    "huggingface": (
        lambda: FakeOpenAI("huggingface"),
        HuggingFace,
        "/v1",
        "owner/model:groq",
        Usage(19, 10, 8),
    ),
    "custom": (FakeOpenAI, Custom, "/v1", "gpt-4o-mini", Usage(19, 10, 8)),
    "anthropic": (FakeAnthropic, Anthropic, "", "claude-haiku-4-5", Usage(20, 17, 5)),
    "ollama": (FakeOllama, Ollama, "", "llama3.2", Usage(26, 11)),
}


class Made:
    """A fake that runs, and how to reach it."""

    def __init__(self, kind: str, fake) -> None:
        _make, self.adapter, self.path, self.model, self.usage = KINDS[kind]
        self.kind, self.fake = kind, fake

    def client(self, key: str | None = None, patience: Patience = QUICK) -> Provider:
        return self.adapter(
            Access(self.fake.key if key is None else key, self.fake.url + self.path), patience
        )

    def call(self, **more) -> Call:
        return Call(**{"model": self.model, "messages": HELLO} | more)


async def streamed(provider: Provider, call: Call):
    pieces = [piece async for piece in provider.stream(call)]
    return "".join(piece.text for piece in pieces), pieces
