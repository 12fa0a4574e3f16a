"""Print the vectors that the embedding tests compare against, as JSON.

An independent forward pass over the published weights: plain numpy in double precision,
no graph, no fusion, no quantisation. Its first vector equals the one on the model card in all
digits printed there (0.0676569, 0.0634959, 0.0487131, …).

    python benchmarks/rag/reference_vectors.py > tests/ai/embedding/reference.json
"""

import json
import math

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from backend.ai.embedding.weights import Tensors, read_tokenizer, read_weights

TEXTS = [
    "This is an example sentence",
    "Each sentence is converted",
    "How long is the runway at the old airfield?",
    "runway",
    "The runway of the old airfield measures 1,840 metres and was resurfaced in 1997.",
    "Die Landebahn des alten Flugplatzes ist 1.840 Meter lang.",
    "Café naïve résumé: accents are folded, CASE is dropped. 東京 is split by character.",
    (
        "Refunds are paid within fourteen days of our receiving the goods, by the same means of "
        "payment that was used for the purchase, unless expressly agreed otherwise. Postage is "
        "refunded at the cheapest rate that was on offer. Goods that were made to measure, opened "
        "software, and newspapers are excluded; so are goods that were used beyond what is needed "
        "to see how they work. The customer bears the direct cost of returning them."
    ),
]

Array = NDArray[np.float64]


def main() -> None:
    weights, tokenizer = read_weights(), Tokenizer.from_str(read_tokenizer())
    tokenizer.no_padding()
    vectors = [compute_vector(weights, tokenizer.encode(text).ids) for text in TEXTS]
    rows = [
        {"text": text, "vector": [round(float(value), 6) for value in vector]}
        for text, vector in zip(TEXTS, vectors, strict=True)
    ]
    print(json.dumps(rows, ensure_ascii=False, indent=None).replace("}, {", "},\n{"))


def compute_vector(weights: Tensors, ids: list[int]) -> Array:
    """Return the unit vector of a text from its token ids."""
    table = weights["embeddings.word_embeddings.weight"].astype(np.float64)
    positions = weights["embeddings.position_embeddings.weight"][: len(ids)]
    segment = weights["embeddings.token_type_embeddings.weight"][0]
    hidden = apply_layer_norm(weights, "embeddings", table[ids] + positions + segment)
    for layer in range(6):
        hidden = apply_layer(weights, f"encoder.layer.{layer}.", hidden)
    mean = hidden.mean(axis=0)
    return mean / np.linalg.norm(mean)


def apply_layer(weights: Tensors, layer: str, hidden: Array) -> Array:
    def dense(name: str, value: Array) -> Array:
        return value @ weights[f"{layer}{name}.weight"].T + weights[f"{layer}{name}.bias"]

    query, key, value = (
        dense(f"attention.self.{part}", hidden).reshape(-1, 12, 32).transpose(1, 0, 2)
        for part in ("query", "key", "value")
    )
    scores = np.exp(query @ key.transpose(0, 2, 1) / math.sqrt(32))
    scores /= scores.sum(axis=-1, keepdims=True)
    attended = (scores @ value).transpose(1, 0, 2).reshape(-1, 384)
    attended = dense("attention.output.dense", attended)
    hidden = apply_layer_norm(weights, f"{layer}attention.output", hidden + attended)
    wide = dense("intermediate.dense", hidden)
    wide = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
    return apply_layer_norm(weights, f"{layer}output", hidden + dense("output.dense", wide))


def apply_layer_norm(weights: Tensors, name: str, value: Array) -> Array:
    centred = value - value.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
    return scaled * weights[f"{name}.LayerNorm.weight"] + weights[f"{name}.LayerNorm.bias"]


if __name__ == "__main__":
    main()
