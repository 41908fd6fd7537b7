"""Measures PyTorch with Hugging Face transformers, alone (`pytorch.py MODEL`) or as an engine of `run.mjs` (`--serve`).

Alone it needs only Python, torch and transformers. It measures the CPU and, if there is CUDA, the GPU eager and compiled.
MODEL is the folder of a GPT-NeoX model; `node dist/cli.js random-model pythia-160m FOLDER` writes one.
"""

import argparse
import json
import statistics
import sys
import time

import torch
import transformers
from transformers import AutoModelForCausalLM, StaticCache

DTYPES = {"f32": torch.float32, "f16": torch.float16}


class Engine:
    """A model on a device. Tokens stay on the device until the last one, so that no step waits for the host."""

    def __init__(self, model, device, form, compiled):
        self.device = torch.device(device)
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=DTYPES[form]).to(self.device).eval()
        self.compiled = compiled
        # Compiles a step (with CUDA graphs on CUDA); a prompt runs once, and eagerly.
        mode = "reduce-overhead" if device == "cuda" else "default"
        self.step = torch.compile(self.model.forward, mode=mode, fullgraph=True) if compiled else self.model
        self.cache = None

    @property
    def adapter(self):
        name = torch.cuda.get_device_name() if self.device.type == "cuda" else f"{torch.get_num_threads()} threads"
        return {"vendor": "", "architecture": self.device.type, "description": name}

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def past(self, length):
        """Returns a static cache, whose tensors do not move, for compiled code. Eager code is faster with a cache that grows."""
        if not self.compiled:
            return None
        if self.cache is None or self.cache.get_max_length() < length:
            self.cache = StaticCache(config=self.model.config, max_cache_len=length)
        else:
            self.cache.reset()
        return self.cache

    @torch.inference_mode()
    def run(self, prompt, tokens):
        ids = torch.tensor([prompt], device=self.device)
        past = self.past(len(prompt) + tokens)
        self.wait()
        start = time.perf_counter()
        out = self.model(input_ids=ids, past_key_values=past, use_cache=True, logits_to_keep=1)
        token = out.logits[:, -1].argmax(-1, keepdim=True)
        past, drawn = out.past_key_values, [token]
        self.wait()
        read = time.perf_counter()
        for _ in range(tokens - 1):
            out = self.step(input_ids=token, past_key_values=past, use_cache=True, logits_to_keep=1)
            token = out.logits[:, -1].argmax(-1, keepdim=True)
            drawn.append(token)
        drawn = torch.cat(drawn, 1)[0].tolist()
        end = time.perf_counter()
        return {"tokens": drawn, "promptMs": 1000 * (read - start), "stepMs": 1000 * (end - read) / (tokens - 1)}


def version():
    return f"{torch.__version__}, transformers {transformers.__version__}"


def serve(arguments):
    """Answers each line `{"prompt", "tokens"}` with a line `{"answer"}`."""

    def answer(value):
        print(json.dumps({"answer": value}), flush=True)

    if arguments.device == "cuda" and not torch.cuda.is_available():
        return answer({"error": f"torch {torch.__version__} finds no CUDA"})
    engine = Engine(arguments.model, arguments.device, arguments.format, arguments.compiled)
    answer({"version": version(), "adapter": engine.adapter})
    for line in sys.stdin:
        answer(engine.run(**json.loads(line)))


def measure(arguments):
    ways = [("cpu", False), *([("cuda", False), ("cuda", True)] if torch.cuda.is_available() else [])]
    print(f"torch {version()}; a prompt of {arguments.prompt}, {arguments.tokens} tokens, {arguments.rounds} rounds")
    for form in arguments.formats.split(","):
        for device, compiled in ways:
            if device == "cpu" and form == "f16":
                continue  # not faster than f32 on a CPU
            engine = Engine(arguments.model, device, form, compiled)
            vocabulary = engine.model.config.vocab_size
            prompt = [(i * 31 + 7) % vocabulary for i in range(arguments.prompt)]
            runs = [engine.run(prompt, arguments.tokens) for _ in range(arguments.rounds + 1)][1:]
            row = {
                "engine": f"PyTorch {'compiled' if compiled else 'eager'}",
                "adapter": engine.adapter["description"],
                "format": form,
                "promptTokensPerSecond": 1000 * arguments.prompt / statistics.median(r["promptMs"] for r in runs),
                "decodeTokensPerSecond": 1000 / statistics.median(r["stepMs"] for r in runs),
                "tokens": runs[-1]["tokens"],
            }
            print(json.dumps(row), flush=True)
            del engine


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of the model")
    parser.add_argument("--prompt", type=int, default=512, help="tokens of the prompt")
    parser.add_argument("--tokens", type=int, default=32, help="tokens to generate")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds, after one warm-up round")
    parser.add_argument("--formats", default="f32,f16")
    parser.add_argument("--serve", action="store_true", help="run the requests on standard input, with the options below")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--format", choices=DTYPES, default="f32")
    parser.add_argument("--compiled", action="store_true")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    (serve if arguments.serve else measure)(arguments)


if __name__ == "__main__":
    main()
