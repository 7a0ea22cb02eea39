"""The word tokenizers by name, and their versions.

- `whitespace`: what `str.split()` gives.
- `unicode`: runs of word characters (UTS #18 \\w: letters, marks, numbers, connector punctuation, joiners);
  every other character but white space is a word of its own.
- `unspaced`: as `unicode`, and a letter of a script that is written without spaces (Han, kana, Thai, …) is a
  word of its own.
- `normalized`: the whitespace words of the normalised text (`curator.text.normal`).
- `spacy-en`: spaCy's `blank("en")`, as datatrove uses it.

A version names everything that decides the words: our rule, the package, and Python's Unicode tables.
"""

from __future__ import annotations

import unicodedata
from importlib import metadata

from curator.errors import UsageError

OURS = {"whitespace": 1, "unicode": 1, "unspaced": 1, "normalized": 1}
KNOWN = (*OURS, "spacy-en")
WITHOUT_SPACES = frozenset({"unspaced"})  #: which find words in scripts that put no spaces between them


def tokenizer_version(name: str) -> str:
    """Name and version of a word tokenizer, for fingerprints, as "whitespace 1, Unicode 14.0.0"."""
    if name in OURS:
        return f"{name} {OURS[name]}, Unicode {unicodedata.unidata_version}"
    if name not in KNOWN:
        raise UsageError(f"there is no word tokenizer {name!r}; words: may be {', '.join(KNOWN)}")
    try:
        return f"{name} {metadata.version('spacy')}, Unicode {unicodedata.unidata_version}"
    except metadata.PackageNotFoundError:
        raise UsageError(f"words: {name} needs spaCy: pip install 'corpus-curator[spacy]'") from None
