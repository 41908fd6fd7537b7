"""Computes the expected results of base models with reference adapters, and with attention bypassed.

    .venv/bin/python test/oracle/make_base_models.py test/fixtures/base-models
    .venv/bin/python test/oracle/make_adapted_models.py test/fixtures/base-models

It reads the output of the first script and the three adapters of `test/fixtures/checkpoints/adapters_d32_zip.pt`, and
adds `expected-adapters.safetensors` to four of the models: `logits_1`, `logits_17`, `logits_300` as in
`expected.safetensors`, for the prompts and positions there, and `greedy` [64] int32, the likeliest tokens after
`prompt_greedy` [17] int32 (which alone has no prefix), each under

- `embedding_on.`, `embedding_bypass.`: all adapters in order on the token embeddings, before layer 0;
- `layers_on.`, `layers_bypass.`: adapter i of N after base layer L − N + i, feeding forward;
- `none_bypass.`: no adapters.

`on` is the model's own attention, `bypass` puts its normalised input in its place: h + LN(h), and in a layer with a
parallel residual h + LN1(h) + MLP(LN2(h)). All is computed in float64; how far float32 is from it, ‖a − b‖ / ‖b‖,
stands in the metadata's `about`.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from make_common import (
    FIXTURES,
    MIN_MARGIN,
    POSITIONS_300,
    float64,
    greedy,
    load_f32,
    logits,
    relative_error,
    write_tensors,
)
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import glu, layer_norm, linear
from transformers import PreTrainedModel

MODELS = ["neox-parallel", "neox-sequential", "llama-mha", "llama-gqa-tied"]
CHECKPOINTS = FIXTURES / "checkpoints"

StateDict = dict[str, Tensor]


class Adapter:
    """A reference adapter: the resonant block with a GLU mixer and a Phase-Vector Memory, starting with an empty memory."""

    def __init__(self, state: StateDict, config: dict[str, Any], index: int, dtype: torch.dtype) -> None:
        """`index` counts from 1."""
        self.state = {name: tensor.to(dtype) for name, tensor in state.items()}
        self.dtype = dtype
        self.beta, self.alpha = config.get("pvm_beta", 0.88), config.get("pvm_alpha", 0.12)
        self.omega, self.phi = config.get("omega", 6.0), config.get("phi", 0.0)
        self.step = int(state["global_step"])
        since = self.step - config.get("stillness_warm", 0) - (index - 1) * config.get("block_warm_delta", 0)
        self.ramp = 0.0 if since < 0 else min(1.0, since / max(1, config.get("block_ramp", 300)))
        delta = config.get("phase_delta", 0.0) if since >= 0 else 0.0
        self.phase_shift = delta * (1 - math.exp(-since / config.get("phase_ramp", 300)))

    def __call__(self, h: Tensor) -> Tensor:
        """Applies the adapter to `h` [T, D] from position 0, in the dtype of the adapter."""
        x = self.norm("norm1", h)
        u = glu(linear(x, self.state["mixer.0.weight"], self.state["mixer.0.bias"]), dim=-1)
        y = u + self.state["pvm.gate"].sigmoid() * self.memory(u)
        alpha = self.state["alpha"]
        p = (1 - alpha) * x + alpha * self.drive(len(h))
        return h + self.norm("norm2", y + self.state["gamma_raw"].sigmoid() * self.ramp * p)

    def norm(self, name: str, x: Tensor) -> Tensor:
        return layer_norm(x, x.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"], 1e-5)

    def drive(self, length: int) -> Tensor:
        learnable = self.state.get("phase_embed.omega_param")
        omega = self.state["phase_embed.omega_const"] if learnable is None else learnable.clamp(5.6, 6.4)
        t = torch.arange(length, dtype=self.dtype)
        psi = omega * torch.log(1 + t) + self.state["phi_base"] + self.phase_shift
        circle = torch.stack([psi.cos(), psi.sin()], dim=-1)
        return linear(circle, self.state["phase_embed.proj.weight"], self.state["phase_embed.proj.bias"])

    def memory(self, u: Tensor) -> Tensor:
        m = torch.zeros_like(u[0])
        memories = []
        for row in u:
            m = self.beta * m + self.alpha * self.state["pvm.input_scale"] * row
            memories.append(m)
        t = torch.arange(len(u), dtype=self.dtype)
        theta = (self.omega * torch.log(1 + self.step + t + 1) + self.phi)[:, None]
        half = u.shape[1] // 2
        all_m = torch.stack(memories)
        re, im = all_m[:, :half], all_m[:, half : 2 * half]
        turned = [re * theta.cos() - im * theta.sin(), re * theta.sin() + im * theta.cos()]
        return torch.cat([*turned, all_m[:, 2 * half :]], dim=-1)


def load_adapters() -> tuple[list[StateDict], dict[str, Any]]:
    checkpoint = torch.load(CHECKPOINTS / "adapters_d32_zip.pt", weights_only=True)
    return checkpoint["afrb_adapters"], checkpoint["model_config"]


def check_adapters(states: list[StateDict], config: dict[str, Any]) -> float:
    """Asserts that this block matches the reference: its chain of outputs has a relative error below 1e-6."""
    golden = load_file(CHECKPOINTS / "adapters_d32_expected.safetensors")
    h = golden["input"]
    worst = 0.0
    for i, state in enumerate(states):
        h = Adapter(state, config, i + 1, torch.float32)(h)
        worst = max(worst, relative_error(h, golden[f"chain_output.{i}"]))
    assert worst < 1e-6, f"the adapters are off by {worst}"
    return worst


def parts(model: Any) -> tuple[nn.ModuleList, list[nn.Module]]:
    """Returns a model's layers and their attention modules."""
    if model.config.model_type == "gpt_neox":
        layers = model.gpt_neox.layers
        return layers, [layer.attention for layer in layers]
    layers = model.model.layers
    return layers, [layer.self_attn for layer in layers]


def adapt(model: PreTrainedModel, adapters: list[Adapter], placement: str, attention: str) -> None:
    """Inserts the adapters into a model permanently."""
    layers, attentions = parts(model)
    if attention == "bypass":
        for module in attentions:
            module.forward = lambda hidden_states, **_: (hidden_states, None)
    if placement == "embedding":

        def chain(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
            h = output[0]
            for adapter in adapters:
                h = adapter(h)
            return h[None]

        model.get_input_embeddings().register_forward_hook(chain)
    elif placement == "layers":
        for layer, adapter in zip(layers[len(layers) - len(adapters) :], adapters, strict=True):
            layer.register_forward_hook(lambda _module, _args, output, adapter=adapter: adapter(output[0])[None])


def variants() -> list[tuple[str, str]]:
    both = [(placement, attention) for placement in ("embedding", "layers") for attention in ("on", "bypass")]
    return [*both, ("none", "bypass")]


def continuations(
    models: dict[str, PreTrainedModel], end: int, vocab: int
) -> tuple[list[int], dict[str, list[int]], float]:
    """Finds a prompt whose 64-token continuations rounding cannot change; returns it, them and the smallest margin."""
    for seed in range(7000, 7100):
        prompt = torch.randint(vocab, (17,), generator=torch.Generator().manual_seed(seed)).tolist()
        ids: dict[str, list[int]] = {}
        margins: list[float] = []
        for name, model in models.items():
            ids[name], margin = greedy(model, prompt, 64, cached=False)
            margins.append(margin)
            if margin < MIN_MARGIN or end in ids[name]:
                break
        else:
            return prompt, ids, min(margins)
    raise RuntimeError("rounding could change the continuations of every prompt")


def make(folder: Path, states: list[StateDict], config: dict[str, Any]) -> None:
    known = load_file(folder / "expected.safetensors")
    prompts = {n: known[f"prompt_{n}"].tolist() for n in (1, 17, 300)}
    kept = {1: [0], 17: list(range(17)), 300: POSITIONS_300}
    tensors: StateDict = {}
    worst = 0.0
    exact: dict[str, PreTrainedModel] = {}
    plain = load_f32(folder)
    for placement, attention in variants():
        name = f"{placement}_{attention}"
        with float64(plain) as exact[name]:
            chain = [Adapter(state, config, i + 1, torch.float64) for i, state in enumerate(states)]
            adapt(exact[name], chain, placement, attention)
            for n, ids in prompts.items():
                tensors[f"{name}.logits_{n}"] = logits(exact[name], ids)[kept[n]]
        chain = [Adapter(state, config, i + 1, torch.float32) for i, state in enumerate(states)]
        model = load_f32(folder)
        adapt(model, chain, placement, attention)
        with torch.no_grad():
            for n, ids in prompts.items():
                expected = tensors[f"{name}.logits_{n}"]
                worst = max(worst, relative_error(logits(model, ids)[kept[n]], expected))
                tensors[f"{name}.logits_{n}"] = expected.to(torch.float32)
    with float64(plain):
        prompt, continued, margin = continuations(exact, plain.config.eos_token_id, plain.config.vocab_size)
    tensors["prompt_greedy"] = torch.tensor(prompt, dtype=torch.int32)
    for name, ids in continued.items():
        tensors[f"{name}.greedy"] = torch.tensor(ids, dtype=torch.int32)
    print(f"{folder.name:16} margin {margin:.4f}  f32 off by {worst:.1e}", flush=True)
    write_tensors(folder / "expected-adapters.safetensors", tensors, {"margin": margin, "f32_error": worst})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder that make_base_models.py wrote")
    args = parser.parse_args()
    torch.set_num_threads(1)
    states, config = load_adapters()
    print(f"the adapters are within {check_adapters(states, config):.1e} of the reference's")
    for name in MODELS:
        make(args.out / name, states, config)


if __name__ == "__main__":
    main()
