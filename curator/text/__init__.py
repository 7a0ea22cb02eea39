"""Words made once for each text and shared by all steps, and the kernels that read them."""

from __future__ import annotations

from curator.text.chunks import Chunks
from curator.text.learned import merge
from curator.text.tokenizers import tokenizer_version
from curator.text.words import Words

__all__ = ["Chunks", "Words", "merge", "tokenizer_version"]
