"""MLflow, by its REST API 2.0 (mlflow.org/docs/latest/rest-api.html), without its library.

`MLFLOW_TRACKING_URI` says where; `MLFLOW_EXPERIMENT_NAME` (Apex if left out) in which experiment; for a server that
wants to know who calls, `MLFLOW_TRACKING_TOKEN`, or `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`.
"""

import os
import time
from urllib.parse import urlsplit

import httpx2

from training.trackers.base import Run, TrackerAway

METRICS_A_CALL = 1000  # MLflow takes no more
PARAM_LENGTH = 6000
TIMEOUT_SECONDS = 10
STATUSES = {"succeeded": "FINISHED", "failed": "FAILED", "crashed": "FAILED", "cancelled": "KILLED"}
JOB_TAG = "apex.job"


class MLflow:
    name = "MLflow"

    def __init__(self, environment=os.environ):
        self.uri = environment.get("MLFLOW_TRACKING_URI", "")
        self.experiment = environment.get("MLFLOW_EXPERIMENT_NAME", "Apex")
        self.run_id: str | None = None
        headers, auth = {}, None
        if token := environment.get("MLFLOW_TRACKING_TOKEN"):
            headers["Authorization"] = f"Bearer {token}"
        elif user := environment.get("MLFLOW_TRACKING_USERNAME"):
            auth = (user, environment.get("MLFLOW_TRACKING_PASSWORD", ""))
        self.client = httpx2.Client(timeout=TIMEOUT_SECONDS, headers=headers, auth=auth)

    def call(self, method: str, path: str, content: dict) -> dict:
        """One call; raises `TrackerAway` with the host and MLflow's own code, never with the address or a header."""
        if urlsplit(self.uri).scheme not in ("http", "https"):
            raise TrackerAway("MLFLOW_TRACKING_URI should begin with http:// or https://")
        kind = {"params": content} if method == "GET" else {"json": content}
        host = urlsplit(self.uri).hostname
        try:
            answer = self.client.request(method, f"{self.uri.rstrip('/')}/api/2.0/mlflow/{path}", **kind)
        except (httpx2.HTTPError, httpx2.InvalidURL) as problem:
            raise TrackerAway(f"{host} does not answer ({type(problem).__name__})") from None
        try:
            said = answer.json()
        except ValueError:
            said = {}
        if answer.is_success and isinstance(said, dict):
            return said
        code = said.get("error_code", "") if isinstance(said, dict) else ""
        raise Refused(f"{host} answers {answer.status_code} {code} to {path}".strip(), code)

    def open(self, run: Run) -> int:
        experiment = self.experiment_id()
        found = self.call(
            "POST",
            "runs/search",
            {
                "experiment_ids": [experiment],
                "filter": f"tags.`{JOB_TAG}` = '{run.job}'",
                "max_results": 1,
            },
        ).get("runs")
        if found:
            self.run_id = found[0]["info"]["run_id"]
            self.call("POST", "runs/update", {"run_id": self.run_id, "status": "RUNNING"})
            known = found[0].get("data", {}).get("metrics", [])
            return max((int(metric.get("step", 0)) for metric in known), default=-1)
        tags = {**run.tags, JOB_TAG: run.job, "mlflow.user": run.owner, "mlflow.source.name": "Apex"}
        made = self.call(
            "POST",
            "runs/create",
            {
                "experiment_id": experiment,
                "run_name": run.name,
                "start_time": round(time.time() * 1000),
                "tags": [{"key": key, "value": value} for key, value in tags.items()],
            },
        )
        self.run_id = made["run"]["info"]["run_id"]
        params = [{"key": key, "value": value[:PARAM_LENGTH]} for key, value in run.params.items()]
        self.call("POST", "runs/log-batch", {"run_id": self.run_id, "params": params[:100]})
        return -1

    def experiment_id(self) -> str:
        """Of the experiment of that name, which is made if there is none."""
        try:
            found = self.call("GET", "experiments/get-by-name", {"experiment_name": self.experiment})
            return found["experiment"]["experiment_id"]
        except Refused as problem:
            if problem.code != "RESOURCE_DOES_NOT_EXIST":
                raise
        return self.call("POST", "experiments/create", {"name": self.experiment})["experiment_id"]

    def log(self, rows: list[dict]) -> None:
        """A step's numbers go together, so the highest step that MLflow has is whole."""
        batch: list[dict] = []
        for row in rows:
            moment = round((row.get("time") or time.time()) * 1000)
            numbers = [
                {"key": key, "value": value, "timestamp": moment, "step": row["step"]}
                for key, value in row.items()
                if key not in ("step", "time") and value is not None
            ]
            if len(batch) + len(numbers) > METRICS_A_CALL:
                self.call("POST", "runs/log-batch", {"run_id": self.run_id, "metrics": batch})
                batch = []
            batch += numbers
        if batch:
            self.call("POST", "runs/log-batch", {"run_id": self.run_id, "metrics": batch})

    def close(self, status: str) -> None:
        if ended := STATUSES.get(status):
            changes = {"run_id": self.run_id, "status": ended, "end_time": round(time.time() * 1000)}
            self.call("POST", "runs/update", changes)


class Refused(TrackerAway):
    """It answered, and said no."""

    def __init__(self, message: str, code: str):
        super().__init__(message)
        self.code = code
