"""Files that pages and the API give in the same way."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator

from django.http import HttpResponse, StreamingHttpResponse

from datasets_app import services
from datasets_app.curation.label_studio import CONFIG
from datasets_app.models import DatasetVersion, Review


def named(response, name: str):
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def exported_response(exported) -> HttpResponse:
    """Gold stars as JSON Lines; the headers say how many went, and why others did not."""
    response = HttpResponse(exported.content, content_type="application/jsonl")
    response["X-Apex-Rows"] = str(exported.count)
    response["X-Apex-Skipped"] = json.dumps(exported.skipped)
    return named(response, exported.name)


def reviews_response(reviews: Iterable[Review]) -> HttpResponse:
    return named(
        HttpResponse(services.reviews_csv(reviews), content_type="text/csv; charset=utf-8"), "reviews.csv"
    )


def tasks_response(version: DatasetVersion, as_predictions: bool) -> StreamingHttpResponse:
    """Label Studio tasks, piece by piece. Raises BadReview where no rows are kept."""
    tasks = services.label_studio_tasks(version=version, as_predictions=as_predictions)
    response = StreamingHttpResponse(one_by_one(tasks), content_type="application/json")
    return named(response, f"label-studio-v{version.number}.json")


async def one_by_one(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Under ASGI, Django would read a synchronous iterator to its end before it answers."""
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece


def config_response() -> HttpResponse:
    """The labeling config that shows our tasks in Label Studio."""
    return named(HttpResponse(CONFIG, content_type="application/xml"), "label-studio-config.xml")
