"""Convert a BERT checkpoint to an ONNX graph of fused operators, and quantise it to int8.

The graph takes token ids and their mask and returns unit sentence vectors. If the weights contain
no word embeddings, it takes the embeddings of the tokens (`words`) instead of their ids. Its five
nodes a layer are written by hand, which needs neither torch nor an exporter. The fused operators
for attention, GELU and layer normalisation make the int8 version twice as fast as fp32.
"""

import tempfile
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from backend.ai.embedding.weights import WORD_EMBEDDINGS, Tensors

HEADS = 12
DIMENSIONS = 384
EPSILON = 1e-12
# The operator domain of onnxruntime's fused operators.
FUSED = "com.microsoft"


def write_int8_graph(weights: Tensors, target: Path) -> None:
    """Write the dynamically quantised graph: weights per channel, activations per batch."""
    # Imported here: the quantiser loads half of onnx, which a running service does not need.
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        fp32_graph = Path(folder) / "fp32.onnx"
        write_fp32_graph(weights, fp32_graph)
        quantize_dynamic(
            fp32_graph,
            target,
            op_types_to_quantize=["MatMul", "Attention"],
            per_channel=True,
            # Use seven bits: with eight, processors without VNNI saturate when they add pairs of
            # products. This costs 0.001 of cosine similarity and no time.
            reduce_range=True,
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )


def write_fp32_graph(weights: Tensors, target: Path) -> None:
    """Write the graph in full precision, as the reference for the loss of quantisation."""
    onnx.save(_GraphBuilder(weights).build_model(), target)


class _GraphBuilder:
    """Collects nodes and constants. Each method adds one stage and returns its output's name."""

    def __init__(self, weights: Tensors) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def build_model(self) -> onnx.ModelProto:
        hidden = self._add_embeddings()
        layers = (f"encoder.layer.{number}." for number in count())
        for layer in takewhile(self._has_layer, layers):
            hidden = self._add_transformer_layer(layer, hidden)
        self._add_pooling(hidden)
        mask = helper.make_tensor_value_info("mask", TensorProto.INT32, ["batch", "length"])
        out = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", DIMENSIONS])
        inputs = [self._build_token_input(), mask]
        graph = helper.make_graph(self._nodes, "encoder", inputs, [out], self._constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(FUSED, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        # Without this property the quantiser warns that the model was not preprocessed.
        helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
        return model

    def _has_layer(self, layer: str) -> bool:
        return f"{layer}output.dense.weight" in self._weights

    def _has_words(self) -> bool:
        return WORD_EMBEDDINGS in self._weights

    def _build_token_input(self) -> onnx.ValueInfoProto:
        if self._has_words():
            return helper.make_tensor_value_info("ids", TensorProto.INT32, ["batch", "length"])
        shape: list[str | int | None] = ["batch", "length", DIMENSIONS]
        return helper.make_tensor_value_info("words", TensorProto.FLOAT, shape)

    def _add_words(self) -> str:
        """Return the name of the embeddings of the tokens."""
        if not self._has_words():
            return "words"
        # Half precision suffices for the word embeddings, which are half of the model.
        table = self._weights[WORD_EMBEDDINGS].astype(np.float16)
        self._add("Gather", ["$table", "ids"], "word_half", table=table)
        return self._add("Cast", ["word_half"], "word", to=TensorProto.FLOAT)

    def _add_embeddings(self) -> str:
        words = self._add_words()
        # Only one segment is used, so its embedding is added to every position in advance.
        positions = (
            self._weights["embeddings.position_embeddings.weight"]
            + self._weights["embeddings.token_type_embeddings.weight"][0]
        )
        self._add("Shape", ["mask"], "length", start=1, end=2)
        start, axis = np.array([0], np.int64), np.array([0], np.int64)
        inputs = ["$positions", "$start", "length", "$axis_0"]
        self._add("Slice", inputs, "position", positions=positions, start=start, axis_0=axis)
        self._add("Add", [words, "position"], "embedded")
        return self._add_normalisation("embeddings.LayerNorm", "embedded")

    def _add_transformer_layer(self, layer: str, hidden: str) -> str:
        attended = self._add_attention(layer + "attention.self.", hidden)
        attended = self._add_dense(layer + "attention.output.dense", attended)
        hidden = self._add_residual(layer + "attention.output", attended, hidden)
        wide = self._add_dense(layer + "intermediate.dense", hidden)
        bias = self._add_constant(layer + "intermediate.dense.bias")
        self._add("BiasGelu", [wide, bias], wide + ".gelu", domain=FUSED)
        narrow = self._add_dense(layer + "output.dense", wide + ".gelu")
        return self._add_residual(layer + "output", narrow, hidden)

    def _add_attention(self, name: str, hidden: str) -> str:
        parts = ("query", "key", "value")
        kernel = np.concatenate([self._weights[f"{name}{part}.weight"].T for part in parts], axis=1)
        bias = np.concatenate([self._weights[f"{name}{part}.bias"] for part in parts])
        self._add_constant(name + "kernel", kernel)
        self._add_constant(name + "bias", bias)
        inputs = [hidden, name + "kernel", name + "bias", "mask"]
        return self._add("Attention", inputs, name + "out", domain=FUSED, num_heads=HEADS)

    def _add_dense(self, name: str, hidden: str) -> str:
        self._add_constant(name + ".kernel", self._weights[name + ".weight"].T)
        return self._add("MatMul", [hidden, name + ".kernel"], name + ".out")

    def _add_residual(self, name: str, update: str, hidden: str) -> str:
        """Add bias, residual connection and normalisation as one fused operator."""
        gamma = self._add_constant(name + ".LayerNorm.weight")
        beta = self._add_constant(name + ".LayerNorm.bias")
        bias = self._add_constant(name + ".dense.bias")
        inputs = [update, hidden, gamma, beta, bias]
        return self._add(
            "SkipLayerNormalization", inputs, name + ".joined", domain=FUSED, epsilon=EPSILON
        )

    def _add_normalisation(self, name: str, hidden: str) -> str:
        inputs = [hidden, self._add_constant(name + ".weight"), self._add_constant(name + ".bias")]
        return self._add("LayerNormalization", inputs, name + ".out", epsilon=EPSILON)

    def _add_pooling(self, hidden: str) -> None:
        """Add mean pooling over unmasked tokens and normalisation to length one.

        The sum is not divided by the number of tokens: normalisation makes that redundant.
        """
        self._add("Cast", ["mask"], "weight_flat", to=TensorProto.FLOAT)
        self._add("Unsqueeze", ["weight_flat", "$last"], "weight", last=np.array([2], np.int64))
        self._add("Mul", [hidden, "weight"], "weighted")
        self._add(
            "ReduceSum", ["weighted", "$axis"], "sum", axis=np.array([1], np.int64), keepdims=0
        )
        self._add("LpNormalization", ["sum"], "vectors", axis=1, p=2)

    def _add(
        self, operator: str, inputs: list[str], output: str, domain: str = "", **attributes: Any
    ) -> str:
        """Add one node and return the name of its output.

        An array among *attributes* becomes a constant; inputs refer to it as `$name`.
        """
        for name, value in attributes.items():
            if isinstance(value, np.ndarray):
                self._add_constant(name, value)
        scalars = {k: v for k, v in attributes.items() if not isinstance(v, np.ndarray)}
        inputs = [name.removeprefix("$") for name in inputs]
        self._nodes.append(
            helper.make_node(operator, inputs, [output], name=output, domain=domain, **scalars)
        )
        return output

    def _add_constant(self, name: str, value: NDArray[np.generic] | None = None) -> str:
        tensor = self._weights[name] if value is None else value
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(tensor), name))
        return name
