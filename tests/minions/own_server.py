"""Answers for our own models, as the process of `serving.embedded` does, with words and faults that a test chooses."""

from tests.providers.fake_openai import FakeOpenAI
from tests.providers.fakes import BODY


class OwnServer(FakeOpenAI):
    """`adapter_words` where an adapter is asked, `base_words` where its base is. No key; everything is loaded."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.base = base
        self.adapter_words, self.base_words = "As it learned to say.", "As the base says."

    def is_let_in(self, request) -> bool:
        return True

    async def _chat(self, request):
        model = request[BODY]["model"]
        self.models = [model]
        self.answer = self.base_words if model == self.base else self.adapter_words
        return await super()._chat(request)
