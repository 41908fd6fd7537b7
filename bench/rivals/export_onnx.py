"""Writes a GPT-NeoX model of safetensors as ONNX for transformers.js and ONNX Runtime: `export_onnx.py MODEL OUT --formats …`.

The graph is fused like that of ONNX Runtime's own model builder: one product for query, key and value, GroupQueryAttention that rotates
and keeps the cache, SkipLayerNormalization, Gelu, MatMulNBits in q4, and logits of the last position only. `--attention plain` uses
products and a softmax instead.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

# File names that transformers.js expects. q4 multiplies f32 numbers, q4f16 multiplies f16 numbers.
FILES = {"f32": "model", "f16": "model_fp16", "q4": "model_q4", "q4f16": "model_q4f16"}
BLOCK = 32
MICROSOFT = "com.microsoft"


def quantize(weight):
    """Quantizes weight [N, K] to 4 bits without zero points, in blocks of 32 along K: bytes [N, K / 32, 16], scales [N · K / 32]."""
    blocks = weight.reshape(weight.shape[0], -1, BLOCK).astype(np.float32)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(-1, keepdims=True), -1)
    scales = np.where(largest == 0, 1, largest / -8)
    codes = np.clip(np.rint(blocks / scales) + 8, 0, 15).astype(np.uint8)
    return codes[..., 0::2] | codes[..., 1::2] << 4, scales.reshape(-1)


class Graph:
    """Collects nodes and weights; the outputs of a node are named after it."""

    def __init__(self, form):
        self.four_bits = form.startswith("q4")
        self.dtype = np.float16 if form.endswith("f16") else np.float32
        self.nodes, self.weights = [], []

    def constant(self, name, value):
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def floats(self, name, value):
        return self.constant(name, value.astype(self.dtype))

    def node(self, op, inputs, name, domain="", outputs=None, **attributes):
        outputs = outputs or [name]
        self.nodes.append(helper.make_node(op, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs[0]

    def linear(self, x, name, weight, bias=None):
        """Adds x · weightᵀ + bias, weight [N, K]."""
        rows, columns = weight.shape
        if self.four_bits:
            codes, scales = quantize(weight)
            inputs = [x, self.constant(f"{name}.codes", codes), self.floats(f"{name}.scales", scales)]
            if bias is not None:
                inputs += ["", "", self.floats(f"{name}.bias", bias)]
            sizes = {"K": columns, "N": rows, "bits": 4, "block_size": BLOCK}
            return self.node("MatMulNBits", inputs, name, MICROSOFT, **sizes)
        product = self.node("MatMul", [x, self.floats(f"{name}.weight", weight.T)], f"{name}.product")
        if bias is None:
            return product
        return self.node("Add", [product, self.floats(f"{name}.bias", bias)], name)


def fused_attention(graph, heads, head, half, cos, sin):
    """Adds one fused node per layer. All layers share two inputs: the last position of each row, and the length."""
    ones = graph.constant("axis", np.array([1], np.int64))
    one = graph.constant("one", np.array(1, np.int64))
    lengths = graph.node("ReduceSum", ["attention_mask", ones], "lengths", keepdims=0)
    lasts = graph.node("Cast", [graph.node("Sub", [lengths, one], "lasts")], "lasts32", to=TensorProto.INT32)
    shape = graph.node("Shape", ["attention_mask"], "shape")
    length = graph.node("Gather", [shape, one], "length", axis=0)
    length = graph.node("Cast", [length], "length32", to=TensorProto.INT32)

    def attend(i, qkv):
        past = [f"past_key_values.{i}.key", f"past_key_values.{i}.value"]
        return graph.node(
            "GroupQueryAttention",
            [qkv, "", "", *past, lasts, length, cos, sin],
            f"attention.{i}",
            MICROSOFT,
            [f"attention.{i}", f"present.{i}.key", f"present.{i}.value"],
            num_heads=heads,
            kv_num_heads=heads,
            do_rotary=1,
            rotary_interleaved=0,
        )

    return attend


def plain_attention(graph, heads, head, half, cos, sin):
    """Adds attention as products and a softmax. All layers share the positions of keys and queries, and the causal mask."""
    zero, one = [graph.constant(f"{n}", np.array(n, np.int64)) for n in (0, 1)]
    first, second = [graph.constant(f"axis.{n}", np.array([n], np.int64)) for n in (0, 1)]
    length = graph.node("Gather", [graph.node("Shape", ["attention_mask"], "shape"), one], "length", axis=0)
    keys = graph.node("Range", [zero, length, one], "keys")
    fed = graph.node("Gather", [graph.node("Shape", ["input_ids"], "fed.shape"), second], "fed", axis=0)
    end = graph.constant("end", np.array([2**31], np.int64))
    queries = graph.node("Slice", [keys, graph.node("Neg", [fed], "fed.negative"), end], "queries")
    row = graph.node("Unsqueeze", [queries, first], "queries.row")
    column = graph.node("Unsqueeze", [queries, second], "queries.column")
    seen = graph.node("LessOrEqual", [keys, column], "seen")
    bias = graph.node(
        "Where", [seen, graph.floats("shown", np.array(0.0)), graph.floats("hidden.bias", np.array(-1e4))], "seen.bias"
    )
    split = graph.constant("split", np.array([0, 0, heads, head], np.int64))
    join = graph.constant("join", np.array([0, 0, heads * head], np.int64))
    scale = graph.floats("scale", np.array(head**-0.5))

    def attend(i, qkv):
        names = [f"q.{i}", f"k.{i}", f"v.{i}"]
        graph.node("Split", [qkv], f"split.{i}", outputs=names, axis=-1, num_outputs=3)
        rotary = {"rotary_embedding_dim": 2 * half, "num_heads": heads}
        rotated = [
            graph.node("RotaryEmbedding", [name, row, cos, sin], f"{name}.rotated", MICROSOFT, **rotary)
            for name in names[:2]
        ]
        q, k, v = [
            graph.node("Transpose", [graph.node("Reshape", [x, split], f"{name}.heads")], f"{name}.t", perm=[0, 2, 1, 3])
            for name, x in zip(names, [*rotated, names[2]])
        ]
        k = graph.node("Concat", [f"past_key_values.{i}.key", k], f"present.{i}.key", axis=2)
        v = graph.node("Concat", [f"past_key_values.{i}.value", v], f"present.{i}.value", axis=2)
        k = graph.node("Transpose", [k], f"keys.{i}", perm=[0, 1, 3, 2])
        scores = graph.node("Mul", [graph.node("MatMul", [q, k], f"products.{i}"), scale], f"scores.{i}")
        weights = graph.node("Softmax", [graph.node("Add", [scores, bias], f"masked.{i}")], f"weights.{i}", axis=-1)
        mixed = graph.node("MatMul", [weights, v], f"mixed.{i}")
        mixed = graph.node("Transpose", [mixed], f"mixed.t.{i}", perm=[0, 2, 1, 3])
        return graph.node("Reshape", [mixed, join], f"attention.{i}")

    return attend


def build(config, tensors, form, plain):
    graph = Graph(form)
    size, heads = config["hidden_size"], config["num_attention_heads"]
    layers, positions = config["num_hidden_layers"], config["max_position_embeddings"]
    head = size // heads
    epsilon = config["layer_norm_eps"]
    half = int(head * config["rotary_pct"]) // 2
    angles = np.outer(np.arange(positions), config["rotary_emb_base"] ** -(np.arange(half) / half))
    cos, sin = graph.floats("cos", np.cos(angles)), graph.floats("sin", np.sin(angles))
    attend = (plain_attention if plain else fused_attention)(graph, heads, head, half, cos, sin)

    def vector(layer, name):
        return tensors[f"gpt_neox.layers.{layer}.{name}"]

    def norm(name, weight, bias):
        return [graph.floats(f"{name}.weight", weight), graph.floats(f"{name}.bias", bias)]

    table = graph.floats("embed", tensors["gpt_neox.embed_in.weight"])
    hidden = graph.node("Gather", [table, "input_ids"], "hidden", axis=0)
    first = norm("norm.0", vector(0, "input_layernorm.weight"), vector(0, "input_layernorm.bias"))
    normed = graph.node("LayerNormalization", [hidden, *first], "norm.0", epsilon=epsilon)
    for i in range(layers):
        # Reorder the rows from [head, q | k | v] to [q | k | v, head].
        qkv = vector(i, "attention.query_key_value.weight").reshape(heads, 3, head, size)
        bias = vector(i, "attention.query_key_value.bias").reshape(heads, 3, head)
        qkv = qkv.transpose(1, 0, 2, 3).reshape(3 * size, size)
        bias = bias.transpose(1, 0, 2).reshape(-1)
        attention = attend(i, graph.linear(normed, f"qkv.{i}", qkv, bias))
        attended = graph.linear(attention, f"dense.{i}", vector(i, "attention.dense.weight"))
        second = norm(f"mlp.norm.{i}", *[vector(i, f"post_attention_layernorm.{n}") for n in ("weight", "bias")])
        x = graph.node("LayerNormalization", [hidden, *second], f"mlp.norm.{i}", epsilon=epsilon)
        up = [vector(i, f"mlp.dense_h_to_4h.{n}") for n in ("weight", "bias")]
        x = graph.node("Gelu", [graph.linear(x, f"up.{i}", *up)], f"gelu.{i}", MICROSOFT)
        x = graph.linear(x, f"down.{i}", vector(i, "mlp.dense_4h_to_h.weight"))
        both = graph.node("Add", [attended, x], f"both.{i}")
        # The residual is parallel: the next norm adds the outputs and biases of attention and the MLP.
        last = i == layers - 1
        name = "gpt_neox.final_layer_norm" if last else f"gpt_neox.layers.{i + 1}.input_layernorm"
        following = norm(f"norm.{i + 1}", tensors[f"{name}.weight"], tensors[f"{name}.bias"])
        biases = vector(i, "attention.dense.bias") + vector(i, "mlp.dense_4h_to_h.bias").astype(np.float32)
        normed = graph.node(
            "SkipLayerNormalization",
            [hidden, both, *following, graph.floats(f"biases.{i}", biases)],
            f"norm.{i + 1}",
            MICROSOFT,
            [f"norm.{i + 1}", "", "", f"hidden.{i + 1}"][: 1 if last else 4],
            epsilon=epsilon,
        )
        hidden = f"hidden.{i + 1}"
    final = graph.node("Gather", [normed, graph.constant("last", np.array([-1], np.int64))], "final", axis=1)
    logits = graph.linear(final, "head", tensors["embed_out.weight"])
    if graph.dtype == np.float16:
        graph.node("Cast", [logits], "logits", to=TensorProto.FLOAT)
    else:
        graph.nodes[-1].output[0] = "logits"

    number = TensorProto.FLOAT16 if graph.dtype == np.float16 else TensorProto.FLOAT
    value = helper.make_tensor_value_info
    past = ["batch_size", heads, "past_sequence_length", head]
    present = ["batch_size", heads, "total_sequence_length", head]
    sides = [(i, side) for i in range(layers) for side in ("key", "value")]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            f"GPT-NeoX in {form}",
            [
                value("input_ids", TensorProto.INT64, ["batch_size", "sequence_length"]),
                value("attention_mask", TensorProto.INT64, ["batch_size", "total_sequence_length"]),
                *[value(f"past_key_values.{i}.{side}", number, past) for i, side in sides],
            ],
            [
                value("logits", TensorProto.FLOAT, ["batch_size", 1, config["vocab_size"]]),
                *[value(f"present.{i}.{side}", number, present) for i, side in sides],
            ],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid(MICROSOFT, 1)],
        ir_version=9,
    )
    onnx.checker.check_model(model)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--formats", default="f32", help=f"some of {', '.join(FILES)}")
    parser.add_argument("--attention", choices=["fused", "plain"], default="fused")
    arguments = parser.parse_args()
    forms = arguments.formats.split(",")
    for form in forms:
        if form not in FILES:
            parser.error(f"--formats: {form} is not one of {', '.join(FILES)}")
    config = json.loads((arguments.model / "config.json").read_text())
    if config.get("model_type") != "gpt_neox":
        parser.error(f"{arguments.model / 'config.json'}: model_type is {config.get('model_type')}, not gpt_neox")
    tensors = load_file(arguments.model / "model.safetensors")
    folder = arguments.out / "onnx"
    folder.mkdir(parents=True, exist_ok=True)
    for form in forms:
        onnx.save(build(config, tensors, form, arguments.attention == "plain"), folder / f"{FILES[form]}.onnx")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(arguments.model / name, arguments.out / name)
    # Without an end-of-text token every run decodes as many tokens as requested.
    config |= {"eos_token_id": None, "transformers.js_config": {"kv_cache_dtype": {"fp16": "float16", "q4f16": "float16"}}}
    (arguments.out / "config.json").write_text(json.dumps(config, indent=2))


if __name__ == "__main__":
    main()
