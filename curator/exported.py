"""Which exports a document is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curator.corpus import Corpus


def exports_of(corpus: Corpus, doc_id: int) -> list[dict[str, Any]]:
    """The exports that a document is in, and where it stands in each."""
    return corpus.sql(
        "SELECT export_id, e.path, e.mixture, e.format, x.component, x.held_out, x.epoch, x.place, x.token_start, x.token_stop, "
        "e.created FROM export_documents x JOIN exports e USING (export_id) WHERE x.doc_key = (SELECT doc_key FROM documents "
        "WHERE doc_id = $1) OR x.doc_id = $1 ORDER BY export_id, x.epoch, x.place",
        [doc_id],
    ).dicts()
