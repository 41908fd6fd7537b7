"""Adds to each base model its configuration as transformers 4 writes it: `config.v4.json`.

That is the form of most models there are: `rope_theta`, `rope_scaling`, `rotary_pct` where transformers 5 writes
`rope_parameters`. Needs an environment of its own, with transformers 4:

    .venv4/bin/pip install torch==2.15.0 transformers==4.57.6
    .venv4/bin/python test/oracle/make_v4_configs.py test/fixtures/base-models

Asserts that the model computes with it what it did with transformers 5.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from make_base_models import CASES, Case
from make_common import POSITIONS_300, load_f32, logits, relative_error
from safetensors.torch import load_file
from transformers import GPTNeoXConfig, LlamaConfig


def legacy(case: Case) -> dict[str, Any]:
    """Returns the case's settings with their names in transformers 4."""
    settings = {"max_position_embeddings": 400, "initializer_range": 0.2} | case.config
    rope = dict(settings.pop("rope_parameters", {"rope_type": "default", "rope_theta": 10000.0}))
    theta, kind = rope.pop("rope_theta"), rope.pop("rope_type")
    if case.neox:
        settings |= {"rotary_emb_base": theta, "rotary_pct": rope.pop("partial_rotary_factor")}
    else:
        settings |= {"rope_theta": theta}
    return settings | ({} if kind == "default" else {"rope_scaling": {"rope_type": kind, **rope}})


def make(case: Case, folder: Path) -> None:
    config: Any = (GPTNeoXConfig if case.neox else LlamaConfig)(**legacy(case))
    config.architectures = ["GPTNeoXForCausalLM" if case.neox else "LlamaForCausalLM"]
    config.dtype = case.dtype
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "model"
        shutil.copytree(folder, copy)
        config.save_pretrained(copy)
        model = load_f32(copy)
        expected = load_file(folder / "expected.safetensors")
        with torch.no_grad():
            actual = logits(model, expected["prompt_300"].tolist())[POSITIONS_300]
        error = relative_error(actual, expected["logits_300"])
        assert error < 1e-5, f"{case.name} is off by {error}"
        shutil.copyfile(copy / "config.json", folder / "config.v4.json")
    print(f"{case.name:26} off by {error:.1e}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder that make_base_models.py wrote")
    args = parser.parse_args()
    assert transformers.__version__.startswith("4."), transformers.__version__
    torch.set_num_threads(1)
    for case in CASES:
        make(case, args.out / case.name)


if __name__ == "__main__":
    main()
