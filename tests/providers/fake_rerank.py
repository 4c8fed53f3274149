"""A server that puts texts in order, in the words of vLLM (and Jina, Cohere), Text Embeddings Inference or a NIM."""

from aiohttp import web

from tests.providers.fakes import BODY, FakeProvider

MODEL = "BAAI/bge-reranker-base"
MOST_TEXTS = 32  # of a call to Text Embeddings Inference, if nobody allowed it more


class FakeReranker(FakeProvider):
    """`flavour` is `vllm`, `jina`, `cohere`, `inference` or `nim`. A text fits by the words that it shares."""

    def __init__(self, flavour: str = "vllm") -> None:
        super().__init__()
        self.flavour = flavour
        self.odd: list | None = None  # rows in place of the right ones

    def add_routes(self, router: web.UrlDispatcher) -> None:
        if self.flavour == "inference":
            router.add_post("/rerank", self._inference)
        elif self.flavour == "nim":
            router.add_post("/v1/ranking", self._ranking)
        else:
            router.add_post("/v1/rerank", self._rerank)
            router.add_post("/rerank", self._rerank)

    def wrong_key(self, request: web.Request) -> web.Response:
        return web.json_response({"error": "Unauthorized"}, status=401)

    def rows(self, question: str, texts: list[str], score: str) -> list[dict]:
        words = set(question.lower().split())
        fits = [len(words & set(text.lower().split())) / len(words) for text in texts]
        rows = [{"index": place, score: fits[place]} for place in range(len(texts))]
        rows.sort(key=lambda row: -row[score])
        return rows if self.odd is None else self.odd

    async def _rerank(self, request: web.Request) -> web.Response:
        body = request[BODY]
        if "documents" not in body:
            detail = [{"type": "missing", "loc": ["body", "documents"], "msg": "Field required"}]
            return web.json_response({"detail": detail}, status=422)
        if body["model"] != MODEL:
            message = f"The model `{body['model']}` does not exist."
            error = {"message": message, "type": "NotFoundError", "param": "model", "code": 404}
            return web.json_response({"error": error}, status=404)
        texts = body["documents"]
        results = self.rows(body["query"], texts, "relevance_score")
        if self.flavour == "cohere":
            meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
            return web.json_response({"id": "07734bd2", "results": results, "meta": meta})
        tokens = 9 * len(texts)
        if self.flavour == "jina":
            usage = {"total_tokens": tokens}
            return web.json_response({"model": MODEL, "object": "list", "usage": usage, "results": results})
        told = [row | {"document": {"text": "…", "multi_modal": None}} for row in results]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return web.json_response({"id": "rerank-1", "model": MODEL, "usage": usage, "results": told})

    async def _inference(self, request: web.Request) -> web.Response:
        body = request[BODY]
        if len(body["texts"]) > MOST_TEXTS:
            message = f"batch size {len(body['texts'])} > maximum allowed batch size {MOST_TEXTS}"
            return web.json_response({"error": message, "error_type": "Validation"}, status=422)
        return web.json_response(self.rows(body["query"], body["texts"], "score"))

    async def _ranking(self, request: web.Request) -> web.Response:
        body = request[BODY]
        texts = [each["text"] for each in body["passages"]]
        rankings = self.rows(body["query"]["text"], texts, "logit")
        usage = {"prompt_tokens": 9 * len(texts), "total_tokens": 9 * len(texts)}
        return web.json_response({"rankings": rankings, "usage": usage})
