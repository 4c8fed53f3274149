"""Reads the answers of the side-by-side pages."""

import json

from asgiref.sync import async_to_sync


def read_stream(client, url: str, prompt: str) -> tuple[int, list[dict]]:
    """(status, events) of one stream; `client` is an `AsyncClient`."""

    async def run():
        response = await client.post(url, {"prompt": prompt})
        if response.status_code != 200:
            return response.status_code, []
        body = b"".join([part async for part in response]).decode()
        return 200, [json.loads(line[6:]) for line in body.split("\n\n") if line.startswith("data: ")]

    return async_to_sync(run)()
