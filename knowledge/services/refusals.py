"""Why something that was asked for is not done."""


class KnowledgeRefused(Exception):
    """It is not done; the message says why and what to do. `field` names what was wrong, if something was."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field
