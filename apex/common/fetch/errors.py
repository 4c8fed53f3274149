"""Why nothing came. No text here holds a query string, a header or a credential: addresses may be signed."""


class FetchError(Exception):
    """`str()` is one plain sentence that names the host and says why. `host` is that host, without its port."""

    def __init__(self, message: str, host: str = "") -> None:
        super().__init__(message)
        self.host = host


class FetchRefused(FetchError):
    """We do not go there: the address is malformed, or in a place that no user's address may lead to."""


class FetchFailed(FetchError):
    """We went, and it did not work. `status` is what the server answered, or None if it did not.

    `is_broken_off` is True when bytes came and then stopped coming: asking for the rest may help.
    """

    def __init__(
        self, message: str, host: str = "", *, status: int | None = None, is_broken_off: bool = False
    ) -> None:
        super().__init__(message, host)
        self.status = status
        self.is_broken_off = is_broken_off
