"""What processes that we start may know of our environment. No Django: whoever starts one has it from here."""

from collections.abc import Mapping

# Ours, and other people's: a process that trains, makes files or answers needs neither the database nor a password,
# and never asks a hub in our name.
SECRETS = frozenset({
    "DATABASE_URL", "APEX_SECRET_KEY", "APEX_SECRET_KEYS", "APEX_ADMIN_PASSWORD", "APEX_REDIS_URL", "APEX_VLLM_KEY",
    "APEX_EMAIL_HOST_PASSWORD", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_PASSWORD", "WANDB_API_KEY", "POSTGRES_PASSWORD",
})  # fmt: skip


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in SECRETS}
