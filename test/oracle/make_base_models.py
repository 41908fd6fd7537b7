"""Creates small random GPT-NeoX and Llama models, and the results that transformers computes with them.

    python -m venv .venv && .venv/bin/pip install -r test/oracle/requirements-make.txt
    .venv/bin/python test/oracle/make_base_models.py test/fixtures/base-models

Each folder gets what `save_pretrained` writes, and `expected.safetensors`:

- `prompt_1`, `prompt_17`, `prompt_300` [T] int32: token ids;
- `logits_1` [1, V], `logits_17` [17, V], and `logits_300` [8, V] of the positions `positions_300` [8] int32:
  float64 throughout, from the weights as stored, rounded once to float32. They are the law;
- `logits_f32_1`, … the same in float32, to show what rounding does;
- `greedy_17` [64], `greedy_300` [20] int32: the likeliest tokens after those prompts, with a key-value cache. No
  best logit is nearer to the second than `margin` (in the metadata's `about`), and none is the model's end token.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from make_common import MIN_MARGIN, POSITIONS_300, float64, greedy, load_f32, logits, relative_error, write_tensors
from torch import Tensor
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel


@dataclass(frozen=True)
class Case:
    """One model: its configuration's arguments, and how it is stored."""

    name: str
    config: dict[str, Any]
    dtype: torch.dtype = torch.float32
    shard_size: str = "1GB"

    @property
    def neox(self) -> bool:
        return self.name.startswith("neox")


def rope(kind: str = "default", theta: float = 10000.0, **more: Any) -> dict[str, Any]:
    return {"rope_type": kind, "rope_theta": theta, **more}


def sizes(vocab: int, hidden: int, layers: int, heads: int, inner: int) -> dict[str, Any]:
    return {
        "vocab_size": vocab,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
    }


CASES = [
    Case(
        "neox-parallel",
        sizes(128, 32, 3, 4, 48) | {"rope_parameters": rope(partial_rotary_factor=0.25), "hidden_act": "gelu"},
    ),
    Case(
        "neox-sequential",
        sizes(131, 32, 4, 4, 44)
        | {
            "rope_parameters": rope(partial_rotary_factor=1.0),
            "hidden_act": "gelu_new",
            "use_parallel_residual": False,
            "layer_norm_eps": 1e-6,
        },
    ),
    Case(
        "neox-odd-rotary",  # int(12 · 0.25) = 3 dimensions: two frequencies, so four are rotated
        sizes(97, 48, 2, 4, 60) | {"rope_parameters": rope(partial_rotary_factor=0.25), "hidden_act": "gelu_fast"},
    ),
    Case(
        "neox-tied",
        sizes(151, 40, 2, 2, 60)
        | {
            "rope_parameters": rope(partial_rotary_factor=0.5, theta=25000.0),
            "hidden_act": "gelu_pytorch_tanh",
            "tie_word_embeddings": True,
        },
    ),
    Case(
        "neox-relu-no-bias",
        sizes(113, 48, 2, 2, 52)
        | {
            "rope_parameters": rope(partial_rotary_factor=1.0),
            "hidden_act": "relu",
            "attention_bias": False,
            "use_parallel_residual": False,
            "max_position_embeddings": 320,
        },
    ),
    Case(
        "neox-linear",
        sizes(101, 32, 2, 1, 64)
        | {
            "rope_parameters": rope("linear", factor=4.0, theta=5000.0, partial_rotary_factor=0.25),
            "layer_norm_eps": 1e-6,
        },
    ),
    Case(
        "neox-sharded-padded-vocab",  # 300 rows for a tokenizer of at most 260
        sizes(300, 32, 2, 4, 48) | {"rope_parameters": rope(partial_rotary_factor=0.25)},
        shard_size="52KB",
    ),
    Case(
        "neox-f16",
        sizes(99, 64, 2, 8, 96) | {"rope_parameters": rope(partial_rotary_factor=0.25)},
        dtype=torch.float16,
    ),
    Case("llama-mha", sizes(128, 32, 3, 4, 40)),
    Case(
        "llama-gqa-tied",
        sizes(103, 32, 4, 4, 52)
        | {
            "num_key_value_heads": 2,
            "rope_parameters": rope(theta=50000.0),
            "tie_word_embeddings": True,
            "rms_norm_eps": 1e-5,
            "pretraining_tp": 2,
        },
    ),
    Case("llama-head-dim", sizes(109, 48, 2, 6, 30) | {"num_key_value_heads": 3, "head_dim": 12, "rms_norm_eps": 1e-5}),
    Case(
        "llama-mqa",
        sizes(97, 64, 2, 8, 40) | {"num_key_value_heads": 1, "tie_word_embeddings": True},
    ),
    Case(
        "llama-linear",
        sizes(107, 32, 2, 4, 45) | {"rope_parameters": rope("linear", factor=2.5)},
    ),
    Case(
        "llama-dynamic",  # both prompts' continuations pass the original length
        sizes(100, 40, 2, 2, 36) | {"rope_parameters": rope("dynamic", factor=4.0), "max_position_embeddings": 64},
    ),
    Case(
        "llama-llama3",
        sizes(105, 48, 2, 4, 52)
        | {
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
            "rope_parameters": rope(
                "llama3",
                theta=500.0,
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=64,
            ),
            "max_position_embeddings": 512,
            "rms_norm_eps": 1e-5,
        },
    ),
    Case(
        "llama-yarn",
        sizes(111, 48, 2, 2, 28)
        | {
            "rope_parameters": rope(
                "yarn", theta=1000.0, factor=8.0, beta_fast=16.0, original_max_position_embeddings=64
            ),
            "max_position_embeddings": 512,
        },
    ),
    Case(
        "llama-biases",
        sizes(117, 32, 2, 4, 60) | {"num_key_value_heads": 2, "attention_bias": True, "mlp_bias": True},
    ),
    Case(
        "llama-bf16",
        sizes(120, 96, 2, 8, 33) | {"num_key_value_heads": 2, "tie_word_embeddings": True},
        dtype=torch.bfloat16,
    ),
]


LAST_NORMS = ("gpt_neox.final_layer_norm.weight", "model.norm.weight")
MIN_DISTINCT = 10
"""Minimum number of different tokens in a continuation; one that repeats itself tests little."""


def build(case: Case, seed: int) -> PreTrainedModel:
    """Creates a model whose attention and logits are far from uniform.

    Its embeddings are small, so that the eps of the first norm has an effect; if they are also the head, the last norm is
    large.
    """
    settings = {"max_position_embeddings": 400, "initializer_range": 0.2} | case.config
    model: Any = (
        GPTNeoXForCausalLM(GPTNeoXConfig(**settings)) if case.neox else LlamaForCausalLM(LlamaConfig(**settings))
    )
    tied = model.config.tie_word_embeddings
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = torch.randn(parameter.shape, generator=random)
            if name.endswith(".bias"):
                values *= 0.2
            elif parameter.ndim == 1:
                values = 1 + 0.3 * values
                if tied and name in LAST_NORMS:
                    values *= 5
            elif "embed" in name:
                values *= 0.1 if tied else 0.05
            else:
                values *= 1.5 / parameter.shape[1] ** 0.5
            parameter.copy_(values)
    return model.to(case.dtype)


def expect(folder: Path, case: Case, seed: int) -> tuple[dict[str, Tensor], float, list[float]]:
    """Returns the saved model's results, its smallest margin, and the error of float32 against float64 for each prompt."""
    random = torch.Generator().manual_seed(seed + 1)
    vocab = case.config["vocab_size"]
    model = load_f32(folder)
    tensors: dict[str, Tensor] = {"positions_300": torch.tensor(POSITIONS_300, dtype=torch.int32)}
    prompts = {n: torch.randint(vocab, (n,), generator=random).tolist() for n in (1, 17, 300)}
    prompts[300][:2] = [vocab - 1, 0]
    kept = {1: [0], 17: list(range(17)), 300: POSITIONS_300}
    errors: list[float] = []
    with torch.no_grad():
        for n, ids in prompts.items():
            tensors[f"prompt_{n}"] = torch.tensor(ids, dtype=torch.int32)
            tensors[f"logits_f32_{n}"] = logits(model, ids)[kept[n]]
    margin = float("inf")
    with float64(model) as exact:
        for n, ids in prompts.items():
            tensors[f"logits_{n}"] = logits(exact, ids)[kept[n]]
        for n, count in ((17, 64), (300, 20)):
            ids, smallest = greedy(exact, prompts[n], count, cached=True)
            margin = min(margin, smallest)
            tensors[f"greedy_{n}"] = torch.tensor(ids, dtype=torch.int32)
            # Dynamic scaling rotates a cached key with the scale of its time, so the expected result depends on the cache.
            if exact.config.rope_parameters["rope_type"] != "dynamic":
                assert greedy(exact, prompts[n], count, cached=False)[0] == ids
    for n in prompts:
        errors.append(relative_error(tensors[f"logits_f32_{n}"], tensors[f"logits_{n}"]))
        tensors[f"logits_{n}"] = tensors[f"logits_{n}"].to(torch.float32)
    return tensors, margin, errors


def sharpness(folder: Path, ids: list[int]) -> float:
    """Returns the largest attention weight of the last position, averaged over heads and layers (1 is one-hot)."""
    with torch.no_grad():
        out = load_f32(folder)(torch.tensor([ids]), output_attentions=True)
    return float(torch.stack([layer[0, :, -1].amax(-1).mean() for layer in out.attentions]).mean())


def make(case: Case, folder: Path) -> None:
    for attempt in range(20):
        seed = 1000 + 100 * attempt
        shutil.rmtree(folder, ignore_errors=True)
        build(case, seed).save_pretrained(folder, max_shard_size=case.shard_size)
        tensors, margin, errors = expect(folder, case, seed)
        end = load_f32(folder).config.eos_token_id
        first, second = (tensors[name].tolist() for name in ("greedy_17", "greedy_300"))
        if margin >= MIN_MARGIN and end not in first + second and len(set(first)) >= MIN_DISTINCT:
            break
    else:
        raise RuntimeError(f"{case.name}: no seed gives a continuation that rounding cannot flip")
    write_tensors(folder / "expected.safetensors", tensors, {"seed": seed, "margin": margin})
    size = sum(file.stat().st_size for file in folder.iterdir()) // 1000
    sharp = sharpness(folder, tensors["prompt_300"].tolist())
    std = float(tensors["logits_300"].std())
    print(
        f"{case.name:26} {size:4} kB  seed {seed}  margin {margin:.4f}  f32 off by {max(errors):.1e}"
        f"  attention {sharp:.2f}  logits' std {std:.2f}  {len(set(first))} distinct greedy tokens",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder that gets a folder for each model")
    parser.add_argument("names", nargs="*", help="only these models")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for case in CASES:
        if not args.names or case.name in args.names:
            make(case, args.out / case.name)


if __name__ == "__main__":
    main()
