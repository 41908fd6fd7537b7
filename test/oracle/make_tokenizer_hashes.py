"""Hashes the tokens of WikiText-2 from Hugging Face's `tokenizers`; the texts are too large to store here.

    .venv/bin/python test/oracle/make_tokenizer_hashes.py TOKENIZER.json WIKITEXT-FOLDER test/fixtures/tokenizers

Writes `wikitext-2.json`. Each file is encoded in one call, as a whole, and once more line by line (every line with its
end, the ids joined): the two differ, since a run of white space across a line's end may be one token. All hashes
are SHA-256: of a file's bytes, of ids as little-endian u32, of a decoded text as UTF-8.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import Tokenizer


def hash_ids(ids: Sequence[int]) -> dict[str, Any]:
    return {"count": len(ids), "sha256": sha256(np.array(ids, dtype="<u4").tobytes()).hexdigest()}


def describe(tokenizer: Tokenizer, file: Path) -> dict[str, Any]:
    data = file.read_bytes()
    text = data.decode()
    whole = tokenizer.encode(text).ids
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    by_line = [i for encoding in tokenizer.encode_batch(lines) for i in encoding.ids]
    decoded = tokenizer.decode(whole)
    assert tokenizer.decode(by_line) == decoded
    return {
        "source_sha256": sha256(data).hexdigest(),
        "ids": hash_ids(whole),
        "ids_by_line": hash_ids(by_line),
        "decoded_sha256": sha256(decoded.encode()).hexdigest(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path, help="GPT-NeoX 20B's tokenizer.json")
    parser.add_argument("wikitext", type=Path, help="a folder with valid.txt and test.txt")
    parser.add_argument("out", type=Path, help="the folder that gets wikitext-2.json")
    args = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(args.tokenizer))
    files = {name: describe(tokenizer, args.wikitext / name) for name in ("valid.txt", "test.txt")}
    result = {"tokenizers": tokenizers.__version__, "files": files}
    (args.out / "wikitext-2.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
