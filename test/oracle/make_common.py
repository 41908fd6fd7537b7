"""Shared by the scripts that make the base models' fixtures: true float64, greedy continuation, safetensors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM, PreTrainedModel

transformers.utils.logging.disable_progress_bar()

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
POSITIONS_300 = [0, 1, 37, 63, 128, 200, 256, 299]
"""The positions of the longest prompt whose logits are kept."""
MIN_MARGIN = 1e-3
"""Minimum distance of the best logit from the second, so that rounding cannot change the chosen token."""


class _NoFloat32(TorchDispatchMode):
    """Refuses every operation that returns float32, so that all results are truly float64."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(value, Tensor) and value.dtype in (_FLOAT32, torch.float16, torch.bfloat16):
                raise TypeError(f"{func} gave {value.dtype}")
        return out


_FLOAT32 = torch.float32


@contextmanager
def float64(model: PreTrainedModel) -> Iterator[PreTrainedModel]:
    """Builds the same model in float64, and makes transformers compute only in float64 within this context.

    `model.double()` is not enough: RMSNorm, softmax and the rotary angles ask for float32 by name. Within this
    context those names mean float64. The model is built again, so that its rotary frequencies are float64, too.
    """
    state = {name: tensor.double() for name, tensor in model.state_dict().items()}
    names = {"float32": torch.float32, "float": torch.float}
    to_float = torch.Tensor.float
    torch.set_default_dtype(torch.float64)
    for name in names:
        setattr(torch, name, torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    try:
        with torch.no_grad(), _NoFloat32():
            twin = type(model)(model.config)
            twin.load_state_dict(state)
            yield twin.eval()
    finally:
        torch.Tensor.float = to_float  # type: ignore[method-assign]
        for name, dtype in names.items():
            setattr(torch, name, dtype)
        torch.set_default_dtype(_FLOAT32)


def load_f32(folder: Path) -> PreTrainedModel:
    """Loads the model from its files, with float32 weights and arithmetic."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def logits(model: nn.Module, ids: list[int]) -> Tensor:
    """Returns the logits [T, V] of a text from its start."""
    return model(torch.tensor([ids]), use_cache=False).logits[0]


def greedy(model: nn.Module, prompt: list[int], count: int, *, cached: bool) -> tuple[list[int], float]:
    """Decodes `count` tokens greedily; returns them and the smallest distance of the best logit from the second."""
    ids: list[int] = []
    margin = float("inf")
    cache: Any = None
    feed = prompt
    while len(ids) < count:
        out = model(torch.tensor([feed]), past_key_values=cache, use_cache=cached)
        best, second = out.logits[0, -1].topk(2).values.tolist()
        margin = min(margin, best - second)
        ids.append(int(out.logits[0, -1].argmax()))
        if cached:
            cache, feed = out.past_key_values, ids[-1:]
        else:
            feed = prompt + ids
    return ids, margin


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Returns ‖actual − expected‖ / ‖expected‖."""
    difference = actual.to(torch.float64) - expected.to(torch.float64)
    return float(difference.norm() / expected.to(torch.float64).norm())


def write_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Writes a safetensors file; its metadata has `about` as JSON, with the versions of the libraries."""
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
    # Uses one entry, because safetensors writes several in any order.
    metadata = {"about": json.dumps(about | {"versions": versions})}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    path.chmod(0o644)
