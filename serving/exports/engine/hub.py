"""To the Hugging Face Hub, by its own client, over connections that the parent has allowed."""

from pathlib import Path
from typing import Any

from serving.exports.engine.asked import Asked, ExportFailed, Made, Voice
from serving.exports.engine.merging import merge
from serving.exports.engine.packing import listed

# Beside the weights an adapter holds answers to held-out examples, which are somebody's data.
STAYS_HERE = ["parity.json", "metrics.json"]
CHANGE_TOKEN = "Make a token with write access at the hub, under Settings, Access Tokens, and begin again."
SAID = {
    401: ("hub_token", "The hub does not accept this token.", CHANGE_TOKEN),
    403: ("hub_forbidden", "This token may not write there.", CHANGE_TOKEN),
    404: ("hub_not_found", "The hub knows no such owner, or the token may not see it.", CHANGE_TOKEN),
    413: ("hub_full", "The hub takes no files of this size.", "Push the adapter alone."),
    429: ("hub_busy", "The hub asks us to come back later.", "Try again in an hour."),
}


def make(asked: Asked, voice: Voice) -> Made:
    from serving.exports.engine.guarded import use_guarded_connections

    what, repo = asked.options.get("what", "adapter"), asked.options["repo"]
    folder = asked.adapter_dir
    if what == "merged":
        folder = asked.folder / "merged"
        merge(asked, folder, voice)
    files = [each for each in listed(folder) if each["name"] not in STAYS_HERE]
    voice.step("pushing", 60)
    use_guarded_connections(voice)
    return Made(files, link=push(asked, folder, repo))


def push(asked: Asked, folder: Path, repo: str) -> str:
    """The address of the repository, once all files are in it, by one commit."""
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    hub = HfApi(endpoint=asked.endpoint, token=asked.token)
    try:
        open_repository(hub, repo, is_private=asked.options.get("private", True))
        hub.upload_folder(
            repo_id=repo,
            folder_path=folder,
            ignore_patterns=STAYS_HERE,
            commit_message="Upload with Apex",
        )
    except HFValidationError as error:
        raise ExportFailed(
            "hub_name", f"“{repo}” is no name of a repository.", "Write owner/name."
        ) from error
    except HfHubHTTPError as error:
        raise refused(error, asked) from None  # its text may hold what was sent
    except httpx2.HTTPError as error:
        raise ExportFailed(
            "hub_away", f"The hub does not answer ({type(error).__name__}).", "Try again later."
        ) from None
    return f"{asked.endpoint.rstrip('/')}/{repo}"


def open_repository(hub: Any, repo: str, *, is_private: bool) -> None:
    """Makes it; one that is there already is taken, unless everybody sees it and nobody should."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        hub.create_repo(repo, private=is_private)
    except HfHubHTTPError as error:
        if error.response is None or error.response.status_code != 409:
            raise
        if is_private and not hub.model_info(repo).private:
            raise ExportFailed(
                "hub_public",
                f"{repo} is there already, and everybody can see it.",
                "Name another repository, or say that everybody may see this.",
            ) from None


def refused(error: Any, asked: Asked) -> ExportFailed:
    status = error.response.status_code if error.response is not None else 0
    if status in SAID:
        return ExportFailed(*SAID[status])
    said = str(getattr(error, "server_message", "") or "").replace(asked.token, "…")[:300]
    return ExportFailed("hub", f"The hub answered {status}. {said}".strip(), "Try again later.")
