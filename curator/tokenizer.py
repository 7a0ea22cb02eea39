"""Any tokenizer of the tokenizers library: a tokenizer.json, a checkpoint's folder, or vocabulary files.

Texts are read whole (no truncation, no padding), and no special token is taken from them: a document that mentions
<|endoftext|> would hold an end. What a tokenizer is, is the sha256 of its tokenizer.json.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

SPECIAL_TOKENS = ("<|endoftext|>", "[PAD]", "[MASK]", "[CLS]", "[SEP]", "[UNK]")
#: the token that ends a document: the first of these that a tokenizer has
END_TOKENS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[SEP]")
#: Megatron's rule, so that its readers find the type they expect
VOCABULARY_OF_TWO_BYTES = 65_500
VOCABULARY = 8192  # of a tokenizer that is trained here: an eighth of a small model's parameters
TRAINING_BYTES = 64 << 20  # of text, to train a tokenizer: more changes few merges


@dataclass(frozen=True)
class Described:
    """A tokenizer as it is stored: its tokenizer.json, and what readers of tokens need to know of it.

    `size` is one more than the largest id.
    """

    name: str
    json: str
    size: int
    end_token: str
    end_id: int

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.json.encode()).hexdigest()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a token in a payload: 2 bytes where the vocabulary allows it, else 4; little-endian."""
        import numpy as np

        return np.dtype("<u2" if self.size < VOCABULARY_OF_TWO_BYTES else "<u4")


def describe(path: Path) -> Described:
    """Read a tokenizer. Raises UsageError as load_tokenizer does, and for one without a token to end a document with."""
    text = _json(path)
    tokenizer = _parsed(text, path)
    for token in END_TOKENS:
        if (end := tokenizer.token_to_id(token)) is not None:
            size = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
            return Described(path.name, text, size, token, end)
    raise UsageError(
        f"the tokenizer {path} has no token to end a document with; add one of {', '.join(END_TOKENS)} to it"
    )


def load_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer that reads texts whole and takes no special token from them.

    `path` is a tokenizer.json; the folder of a checkpoint; GPT-2's vocab.json (merges.txt beside it); or BERT's vocab.txt,
    which is lower-cased unless it has capitals. Raises UsageError for what is none of these, and where a package is missing.
    """
    return _parsed(_json(path), path)


def _parsed(text: str, path: Path) -> Tokenizer:
    try:
        tokenizer = _tokenizers().Tokenizer.from_str(text)
    except Exception as error:  # the package raises bare Exception
        raise UsageError(f"{path} is no file of the tokenizers library: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer  # type: ignore[no-any-return]  # imported late


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise UsageError(
            "tokenizers is not installed; pip install 'corpus-curator[train]' brings it"
        ) from None
    return tokenizers


def _json(path: Path) -> str:
    """The tokenizer.json that a path stands for."""
    if not path.exists():
        raise UsageError(f"there is no tokenizer {str(path)!r}")
    if path.is_dir():
        if (path / "tokenizer.json").is_file():
            path = path / "tokenizer.json"
            return path.read_bytes().decode(errors="replace")
        if (path / "tokenizer_config.json").is_file() or (path / "config.json").is_file():
            return _of_checkpoint(path)
        found = [path / n for n in ("vocab.json", "vocab.txt") if (path / n).is_file()]
        if not found:
            raise UsageError(
                f"the folder {path} has no tokenizer: neither tokenizer.json nor vocab.json nor vocab.txt is there"
            )
        path = found[0]
    if path.suffix == ".txt":
        return _of_wordpieces(path)
    if path.name == "vocab.json" and (merges := path.with_name("merges.txt")).is_file():
        made = _tokenizers().ByteLevelBPETokenizer(str(path), str(merges))
        made.add_special_tokens([t for t in END_TOKENS if made.token_to_id(t) is not None])
        return str(made.to_str())
    return path.read_bytes().decode(errors="replace")


def _of_checkpoint(folder: Path) -> str:
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise UsageError(
            f"{folder} has no tokenizer.json, and transformers, which makes one, is not installed; "
            "pip install 'corpus-curator[train]' brings it"
        ) from None
    try:
        fast = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return str(fast.backend_tokenizer.to_str())
    except Exception as error:  # whatever a checkpoint's code raises
        raise UsageError(f"the tokenizer of {folder} cannot be read: {error}") from None


def _of_wordpieces(path: Path) -> str:
    tokens = path.read_text(encoding="utf-8").split("\n")
    lower = not any(t != t.lower() for t in tokens if not t.startswith("["))
    made = _tokenizers().BertWordPieceTokenizer(str(path), lowercase=lower)
    return str(made.to_str())


def train(texts: Iterator[str], vocab_size: int = VOCABULARY) -> str:
    """Train a byte-level BPE as GPT-2's and return its tokenizer.json; it has BERT's special tokens too.

    The same texts give the same bytes; the library's WordPiece does not (it numbers letters in the order of a hash map).
    Raises UsageError for a vocabulary that does not hold the bytes.
    """
    package = _tokenizers()
    least = 256 + len(SPECIAL_TOKENS)
    if vocab_size < least:
        raise UsageError(
            f"a vocabulary of {vocab_size} is too small; bytes and special tokens alone are {least}"
        )
    tokenizer = package.Tokenizer(package.models.BPE())
    tokenizer.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = package.decoders.ByteLevel()
    trainer = package.trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(package.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return str(tokenizer.to_str(pretty=True))
