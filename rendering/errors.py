"""What can go wrong when a conversation becomes tokens."""


class RenderError(ValueError):
    """The model directory or its chat template cannot render these messages; the text says why."""


class BadModel(RenderError):
    """The directory holds no causal language model in safetensors, or one that wants to run code of its own."""


class RowTooLong(RenderError):
    """The target answer and the question before it do not fit, even with every earlier turn dropped.

    `tokens` is what the shortest possible form takes, `max_length` what is allowed (both in tokens).
    """

    def __init__(self, tokens: int, max_length: int):
        self.tokens = tokens
        self.max_length = max_length
        super().__init__(f"The last question and its answer take {tokens} tokens; at most {max_length} fit.")
