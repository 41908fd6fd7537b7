"""Creates a small tokenizer like Llama's and a chat template, with Hugging Face's results for difficult texts.

    .venv/bin/python test/oracle/make_tokenizers.py test/fixtures/tokenizers

`llama/` gets `tokenizer.json`, a BPE with byte fallback whose normalizer turns spaces into marks, as Llama's and
TinyLlama's; `tokenizer-metaspace.json`, the same with a Metaspace pre-tokenizer and decoder in the place of normalizer
and replacement; `tokenizer_config.json`; and `expected.json`: for each, what `tokenizers` gives for each text (`ids`,
with the post-processor's special tokens, and their `decoded` text without them), and the texts of random `ids`.

`chat/` gets a tokenizer with a chat template, and `expected.json`: conversations as transformers renders them.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import tokenizers
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

MARK = "\u2581"
SPECIAL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]

TRAINING = """\
To be, or not to be, that is the question: whether it is nobler in the mind to suffer the slings and arrows of fortune.
A pendulum swings; two pendulums on one wall swing together, for the wall carries a little of each to the other.
The phase of an oscillator is where it stands in its round; the rate at which the phase goes on is its frequency.
What is the answer? The answer is 42, and 42 is 6 times 7. It was 1999, then 2000; now it is 2024, or so they say.
def step(state, token): return [memory * decay + value for memory, value in zip(state, token)]
Straßen, Füße und Bäume; le café à côté, déjà vu, naïve; el niño, mañana; smörgåsbord, Ångström.
Привет, мир! Как дела? Это было давно, и это не правда.
\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3001\u3053\u3093\u306b\u3061\u306f\u3002 \u4f60\u597d\uff0c\u4e16\u754c\u3002
the the the and and and of of to to in in is is it it that that as as for for with with
"""

TEXTS = [
    "",
    " ",
    "  ",
    "   ",
    "a",
    " a",
    "  a",
    "a ",
    "a  ",
    " a ",
    "The answer is 42.",
    "the  answer   is    42",
    "To be, or not to be",
    "unbelievably",
    "Hello, world!",
    "\n",
    "\n\n",
    "a\nb",
    "line one\nline two\r\nline three\n",
    "\t",
    "a\tb\t\tc",
    "  def f(x):\n    return x ** 2\n",
    "Füße, naïve café",
    "cafe\u0301",
    "Привет, мир!",
    "\u65e5\u672c\u8a9e",
    "\u4f60\u597d, \u4e16\u754c",
    "\ud55c\uad6d\uc5b4",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u05e2\u05d1\u05e8\u05d9\u05ea",
    "\U0001f3b5",
    "a\U0001f3b5b",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e8\U0001f1ed",
    "\U0010ffff\ufffd",
    "\u0000\u0001\u007f\u0080\u00a0\u00ad",
    "\ufeffa byte order mark",
    "a\u2581b \u2581 c",
    "\u2581",
    "x\u3000y\u2028z",
    "<0x41>",
    "<0x41><0xE2>",
    "<s>",
    "</s>",
    "a</s>b",
    "a </s> b",
    "<unk>",
    "<s>a<s> b</s>",
    "1234567890",
    "don't won't we'll I'd",
    "-- \u2014 \u201cquotes\u201d\u2026",
    "e" * 50,
]

TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {%- if message['role'] == 'system' and not loop.first %}
        {{- raise_exception('A system message must come first') }}
    {%- elif message['role'] not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('Unknown role: ' + message['role']) }}
    {%- endif %}
    {{- '<|' + message.role + '|>\\n' + message['content'] | trim + eos_token + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\\n' }}
{%- endif %}
"""


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


CHATS: list[tuple[bool, list[dict[str, str]]]] = [
    (True, [message("user", "Hello!")]),
    (True, [message("system", "Be brief."), message("user", "  What is the answer?\n")]),
    (
        False,
        [
            message("user", 'Say "<b>&amp;</b>" and </s>'),
            message("assistant", "\u65e5\u672c\u8a9e \U0001f3b5\n\nand {{ bos_token }} {% raw %}"),
        ],
    ),
    (
        True,
        [
            message("system", ""),
            message("user", "one"),
            message("assistant", "two"),
            message("user", "three\nlines\n\n  indented"),
        ],
    ),
]

FAILING = [
    ("A system message must come first", [message("user", "a"), message("system", "b")]),
    ("Unknown role: tool", [message("tool", "a")]),
]


def train() -> list[tuple[str, str]]:
    """Returns the merges of a BPE trained within words, each with a mark before it."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=400, min_frequency=2, show_progress=False)
    trained.train_from_iterator(TRAINING.splitlines(), trainer)
    model = json.loads(trained.to_str())["model"]
    return [tuple(merge) for merge in model["merges"]]


def llama(merges: list[tuple[str, str]], *, metaspace: bool) -> Tokenizer:
    # Keep only the symbols that merges need; other characters use byte tokens.
    pieces = sorted({part for merge in merges for part in merge if len(part) == 1})
    joined = ["".join(merge) for merge in merges]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys([*SPECIAL, *BYTES, *joined, *pieces]))}
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True, ignore_merges=False)
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    if metaspace:
        mark: dict[str, Any] = {"replacement": MARK, "prepend_scheme": "first", "split": False}
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(**mark)
        tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(**mark)])
    else:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
        tokenizer.decoder = decoders.Sequence(
            [
                decoders.Replace(MARK, " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(content=" ", left=1, right=0),
            ]
        )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def describe(tokenizer: Tokenizer) -> dict[str, Any]:
    texts = []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        texts.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids)})
    source = random.Random(1)
    size = tokenizer.get_vocab_size()
    drawn = [[source.randrange(size) for _ in range(source.randint(1, 12))] for _ in range(100)]
    return {"texts": texts, "random": [{"ids": ids, "decoded": tokenizer.decode(ids)} for ids in drawn]}


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=True) + "\n")


def wrap(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    names = dict(zip(("unk_token", "bos_token", "eos_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **names)


def make_llama(folder: Path, merges: list[tuple[str, str]]) -> None:
    marked, metaspace = llama(merges, metaspace=False), llama(merges, metaspace=True)
    wrap(marked).save_pretrained(folder)
    metaspace.save(str(folder / "tokenizer-metaspace.json"))
    write_json(
        folder / "expected.json",
        {
            "versions": {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__},
            "tokenizer.json": describe(marked),
            "tokenizer-metaspace.json": describe(metaspace),
        },
    )


def make_chat(folder: Path, merges: list[tuple[str, str]]) -> None:
    tokenizer = wrap(llama(merges, metaspace=False))
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder, save_jinja_files=False)
    chats = []
    for prompt, messages in CHATS:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
        ids = tokenizer.encode(text, add_special_tokens=False)
        chats.append({"messages": messages, "add_generation_prompt": prompt, "text": text, "ids": ids})
    failing = []
    for error, messages in FAILING:
        try:
            tokenizer.apply_chat_template(messages, tokenize=False)
        except Exception as raised:
            assert str(raised) == error, raised
            failing.append({"messages": messages, "error": error})
    assert len(failing) == len(FAILING)
    versions = {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__}
    write_json(folder / "expected.json", {"versions": versions, "chats": chats, "failing": failing})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder that gets llama/ and chat/")
    args = parser.parse_args()
    merges = train()
    for make, name in ((make_llama, "llama"), (make_chat, "chat")):
        folder = args.out / name
        folder.mkdir(parents=True, exist_ok=True)
        make(folder, merges)


if __name__ == "__main__":
    main()
