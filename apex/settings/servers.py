"""Programs and servers that Apex starts or asks: models, vectors, converters, other people's."""

import os
import sys

from apex.processes import broker
from apex.settings.data import DATA_DIR
from apex.settings.work import GPU_COUNT

# ChromaDB as a store of vectors: a program that `manage.py up` starts on loopback, or one that runs elsewhere.
CHROMA_PROGRAM = os.environ.get("APEX_CHROMA_PROGRAM", "")
CHROMA_PORT = int(os.environ.get("APEX_CHROMA_PORT", "8002"))
CHROMA_URL = os.environ.get("APEX_CHROMA_URL") or (
    f"http://127.0.0.1:{CHROMA_PORT}" if CHROMA_PROGRAM else ""
)
EMBEDDED_URL = os.environ.get("APEX_EMBEDDED_URL") or broker.socket_url(DATA_DIR, "serving")
# A vLLM of our own, started by `manage.py up` where a base model is named, and by `manage.py serve_vllm`.
VLLM = {
    "base_model": os.environ.get("APEX_VLLM_BASE_MODEL", ""),
    "host": os.environ.get("APEX_VLLM_HOST", "127.0.0.1"),
    "port": int(os.environ.get("APEX_VLLM_PORT", "8001")),
    "device": os.environ.get("APEX_VLLM_DEVICE", "gpu" if GPU_COUNT else "cpu"),
    "adapters": int(os.environ.get("APEX_VLLM_ADAPTERS", "8")),
    "most_rank": int(os.environ.get("APEX_VLLM_RANK", "64")),
    "context": int(os.environ.get("APEX_VLLM_CONTEXT", "0")),  # tokens; 0: the model's own
    "api_key": os.environ.get("APEX_VLLM_KEY", ""),
    "program": os.environ.get("APEX_VLLM_PROGRAM", ""),
    "options": os.environ.get("APEX_VLLM_OPTIONS", ""),
}

# Converters to GGUF come with llama.cpp; the Python that runs them may have packages that ours has not.
LLAMA_CPP_DIR = os.environ.get("APEX_LLAMA_CPP_DIR", "")
LLAMA_CPP_PYTHON = os.environ.get("APEX_LLAMA_CPP_PYTHON") or sys.executable

# Who else is told what trainings measure: training/trackers.
TRACKER = os.environ.get("APEX_TRACKER", "").lower()
HUB_ENDPOINT = os.environ.get("HF_ENDPOINT")  # None: the hub itself
# Where providers are asked in place of their own addresses, by whoever runs the house: "openai=https://…/v1,…".
PROVIDER_URLS = dict(
    pair.split("=", 1) for pair in os.environ.get("APEX_PROVIDER_URLS", "").split(",") if "=" in pair
)
