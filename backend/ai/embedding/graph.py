"""Turn the checkpoint into an ONNX graph of fused operators, and that into int8.

The graph takes token ids and their mask and gives unit sentence vectors. Writing its
thirty nodes by hand needs neither torch nor an exporter, and the fused forms of attention,
GELU and layer norm are what makes the int8 version twice as fast as fp32.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from backend.ai.embedding.weights import Tensors

LAYERS = 6
HEADS = 12
DIMENSIONS = 384
EPSILON = 1e-12
FUSED = "com.microsoft"


def write_int8(weights: Tensors, target: Path) -> None:
    """Write the dynamically quantised graph: weights per channel, activations per batch."""
    # Here, because quantising drags in half of onnx, which no service needs while it runs.
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        plain = Path(folder) / "fp32.onnx"
        write_fp32(weights, plain)
        quantize_dynamic(
            plain,
            target,
            op_types_to_quantize=["MatMul", "Attention"],
            per_channel=True,
            # Seven bits: with eight, processors without VNNI saturate when they add pairs of
            # products. It costs 0.001 of cosine and no time.
            reduce_range=True,
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )


def write_fp32(weights: Tensors, target: Path) -> None:
    """Write the graph in full precision: the measure of what quantising costs."""
    onnx.save(_Graph(weights).build(), target)


class _Graph:
    """Nodes and constants in the making; each method adds one stage and names its output."""

    def __init__(self, weights: Tensors) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def build(self) -> onnx.ModelProto:
        hidden = self._embed()
        for layer in range(LAYERS):
            hidden = self._transform(f"encoder.layer.{layer}.", hidden)
        self._pool(hidden)
        ids = helper.make_tensor_value_info("ids", TensorProto.INT32, ["batch", "length"])
        mask = helper.make_tensor_value_info("mask", TensorProto.INT32, ["batch", "length"])
        out = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", DIMENSIONS])
        graph = helper.make_graph(self._nodes, "minilm", [ids, mask], [out], self._constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(FUSED, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        # Tells the quantiser that shapes and fusions were seen to; it warns otherwise.
        helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
        return model

    def _embed(self) -> str:
        # Half precision is plenty for the table of words, which is half of the whole model.
        words = self._weights["embeddings.word_embeddings.weight"].astype(np.float16)
        # Only one segment is ever used, so its row is added to every position once, here.
        places = (
            self._weights["embeddings.position_embeddings.weight"]
            + self._weights["embeddings.token_type_embeddings.weight"][0]
        )
        self._add("Gather", ["$words", "ids"], "word_half", words=words)
        self._add("Cast", ["word_half"], "word", to=TensorProto.FLOAT)
        self._add("Shape", ["ids"], "length", start=1, end=2)
        first, rows = np.array([0], np.int64), np.array([0], np.int64)
        slots = ["$places", "$first", "length", "$rows"]
        self._add("Slice", slots, "place", places=places, first=first, rows=rows)
        self._add("Add", ["word", "place"], "embedded")
        return self._normalised("embeddings.LayerNorm", "embedded")

    def _transform(self, layer: str, hidden: str) -> str:
        attended = self._attend(layer + "attention.self.", hidden)
        attended = self._dense(layer + "attention.output.dense", attended)
        hidden = self._joined(layer + "attention.output", attended, hidden)
        wide = self._dense(layer + "intermediate.dense", hidden)
        bias = self._constant(layer + "intermediate.dense.bias")
        self._add("BiasGelu", [wide, bias], wide + ".gelu", domain=FUSED)
        narrow = self._dense(layer + "output.dense", wide + ".gelu")
        return self._joined(layer + "output", narrow, hidden)

    def _attend(self, name: str, hidden: str) -> str:
        parts = ("query", "key", "value")
        kernel = np.concatenate([self._weights[f"{name}{part}.weight"].T for part in parts], axis=1)
        bias = np.concatenate([self._weights[f"{name}{part}.bias"] for part in parts])
        self._constant(name + "kernel", kernel)
        self._constant(name + "bias", bias)
        inputs = [hidden, name + "kernel", name + "bias", "mask"]
        return self._add("Attention", inputs, name + "out", domain=FUSED, num_heads=HEADS)

    def _dense(self, name: str, hidden: str) -> str:
        self._constant(name + ".kernel", self._weights[name + ".weight"].T)
        return self._add("MatMul", [hidden, name + ".kernel"], name + ".out")

    def _joined(self, name: str, change: str, hidden: str) -> str:
        """Add the dense layer's bias and the residual, then normalise: one fused operator."""
        gamma = self._constant(name + ".LayerNorm.weight")
        beta = self._constant(name + ".LayerNorm.bias")
        bias = self._constant(name + ".dense.bias")
        inputs = [change, hidden, gamma, beta, bias]
        return self._add(
            "SkipLayerNormalization", inputs, name + ".joined", domain=FUSED, epsilon=EPSILON
        )

    def _normalised(self, name: str, hidden: str) -> str:
        inputs = [hidden, self._constant(name + ".weight"), self._constant(name + ".bias")]
        return self._add("LayerNormalization", inputs, name + ".out", epsilon=EPSILON)

    def _pool(self, hidden: str) -> None:
        """The mean over real tokens. A unit vector has no use for the division, so none is."""
        self._add("Cast", ["mask"], "weight_flat", to=TensorProto.FLOAT)
        self._add("Unsqueeze", ["weight_flat", "$last"], "weight", last=np.array([2], np.int64))
        self._add("Mul", [hidden, "weight"], "weighted")
        self._add(
            "ReduceSum", ["weighted", "$axis"], "sum", axis=np.array([1], np.int64), keepdims=0
        )
        self._add("LpNormalization", ["sum"], "vectors", axis=1, p=2)

    def _add(
        self, operator: str, inputs: list[str], output: str, domain: str = "", **given: Any
    ) -> str:
        """Add one node. An array given by name is the constant that an input calls `$name`."""
        for name, value in given.items():
            if isinstance(value, np.ndarray):
                self._constant(name, value)
        attributes = {k: v for k, v in given.items() if not isinstance(v, np.ndarray)}
        inputs = [name.removeprefix("$") for name in inputs]
        self._nodes.append(
            helper.make_node(operator, inputs, [output], name=output, domain=domain, **attributes)
        )
        return output

    def _constant(self, name: str, value: NDArray[np.generic] | None = None) -> str:
        tensor = self._weights[name] if value is None else value
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(tensor), name))
        return name
