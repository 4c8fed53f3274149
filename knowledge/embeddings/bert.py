"""A BERT encoder in numpy, for a small model on a processor: no torch, so that a web process can hold it.

Weights are mapped from the safetensors file, so that all processes of a machine share one copy. Pure: no Django.
Shapes: b texts, t tokens, h numbers a token.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from threadpoolctl import ThreadpoolController
from tokenizers import Tokenizer

TOKENS_AT_ONCE = 512  # b × t of one pass: what is computed on then stays in the processor's cache


class Bert:
    """Sentence vectors: the mean over the tokens of the last layer, of length 1 (sentence-transformers' pooling)."""

    def __init__(self, folder: Path, most_tokens: int = 256) -> None:
        config = json.loads((folder / "config.json").read_text())
        if config["model_type"] != "bert" or config["hidden_act"] != "gelu":
            raise ValueError(f"{folder} holds a {config['model_type']}, not a BERT with gelu")
        self.layers, self.heads = config["num_hidden_layers"], config["num_attention_heads"]
        self.epsilon = config["layer_norm_eps"]
        self.weights = mapped(folder / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(most_tokens)
        self.dimension = config["hidden_size"]
        self.threads = ThreadpoolController()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """(len(texts), h) float32. Texts of like length go through together, so that little is padding."""
        encoded = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(texts)), key=lambda place: len(encoded[place]))
        vectors = np.zeros((len(texts), self.dimension), "f4")
        # Matrices this small only make several threads wait for each other: five times the processor time.
        with self.threads.limit(limits=1, user_api="blas"):
            while order:
                count = max(1, TOKENS_AT_ONCE // len(encoded[order[-1]]))
                batch, order = order[-count:], order[:-count]
                vectors[batch] = self.encode([encoded[place] for place in batch])
        return vectors

    def encode(self, rows: list[list[int]]) -> np.ndarray:
        length = max(map(len, rows))
        ids = np.zeros((len(rows), length), "i4")
        mask = np.zeros((len(rows), length), "f4")
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
            mask[place, : len(row)] = 1
        weights = self.weights
        x = weights["embeddings.word_embeddings.weight"][ids]
        x = x + weights["embeddings.position_embeddings.weight"][:length]
        x = self.norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        hidden = (mask[:, None, None, :] - 1) * np.float32(1e9)  # added to scores: nobody looks at padding
        for layer in range(self.layers):
            x = self.layer(x, hidden, f"encoder.layer.{layer}.")
        mean = (x * mask[..., None]).sum(1) / mask.sum(1)[:, None]
        return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)

    def layer(self, x: np.ndarray, hidden: np.ndarray, name: str) -> np.ndarray:
        count, length, width = x.shape
        query, key, value = (
            np.ascontiguousarray(
                self.linear(x, f"{name}attention.self.{part}")
                .reshape(count, length, self.heads, width // self.heads)
                .transpose(0, 2, 1, 3)
            )
            for part in ("query", "key", "value")
        )
        query *= np.float32(1 / math.sqrt(width // self.heads))
        scores = query @ key.transpose(0, 1, 3, 2)
        scores += hidden
        scores -= scores.max(-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(-1, keepdims=True)
        seen = (scores @ value).transpose(0, 2, 1, 3).reshape(count, length, width)
        x = self.norm(
            x + self.linear(seen, f"{name}attention.output.dense"), f"{name}attention.output.LayerNorm"
        )
        wide = gelu(self.linear(x, f"{name}intermediate.dense"))
        return self.norm(x + self.linear(wide, f"{name}output.dense"), f"{name}output.LayerNorm")

    def linear(self, x: np.ndarray, name: str) -> np.ndarray:
        flat = x.reshape(-1, x.shape[-1]) @ self.weights[f"{name}.weight"].T
        flat += self.weights[f"{name}.bias"]
        return flat.reshape(*x.shape[:-1], -1)

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        x /= np.sqrt(np.einsum("bth,bth->bt", x, x)[..., None] / x.shape[-1] + self.epsilon)
        x *= self.weights[f"{name}.weight"]
        x += self.weights[f"{name}.bias"]
        return x


def gelu(x: np.ndarray) -> np.ndarray:
    """x Φ(x), with the error function of Abramowitz and Stegun, 7.1.26: wrong by 1.5e-7 at most."""
    z = np.abs(x)
    z *= np.float32(1 / math.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    z *= z
    np.negative(z, out=z)
    np.exp(z, out=z)
    error = np.float32(1.061405429) * t
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        error += np.float32(factor)
        error *= t
    error *= z
    np.subtract(1, error, out=error)
    np.copysign(error, x, out=error)
    error += 1
    error *= x
    error *= np.float32(0.5)
    return error


def mapped(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file, not read but mapped (https://github.com/huggingface/safetensors, format)."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    data = np.memmap(path, np.uint8, "r", 8 + size)
    tensors = {}
    for name, facts in header.items():
        if name == "__metadata__":
            continue
        kind = {"F32": "<f4", "I64": "<i8"}[facts["dtype"]]
        begin, end = facts["data_offsets"]
        tensors[name.removeprefix("bert.")] = data[begin:end].view(kind).reshape(facts["shape"])
    return tensors
