"""A mixture over a corpus -> which documents, how many tokens of each component, how many epochs, in which stage.

A document is chosen, ordered and held out by keyed hashes of its doc_key alone, so a mixture does not depend
on shards, and a larger budget takes the same documents and more (curator.holdout says what is held out).
A document's tokens are counted where the corpus has counts of the mixture's tokenizer, and estimated elsewhere: its
characters over the characters a token of the counted documents of the mixture, or of a sample.
A proxy run (`proxy:`) sees of each component the share of its tokens that its budget is of the run to simulate, by the
same order, so that its epochs are those of the large run (levanter's simulated budget); tokens: of a component are
taken as they stand.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xxhash

from curator.corpus import Corpus
from curator.errors import CuratorError, UsageError
from curator.holdout import held_out_before, hold_out, low64
from curator.mixture_file import ComponentModel, Mixture, MixtureModel, load, share_of
from curator.plan import splitmix64
from curator.token_counts import exact_counts
from curator.tokenizer import describe, load_tokenizer
from curator_catalog import CatalogError
from curator_catalog.mixtures import Demand, Share, Stage, StageShares, allocate_stages

__all__ = ["Mixture", "Plan", "load", "of_query", "plan"]

#: characters a token, until a tokenizer is named: GPT-2's on English prose
CHARS_PER_TOKEN = 4.3
SAMPLED = 200


@dataclass(frozen=True)
class Counts:
    """How tokens are counted: `exact` by component, characters a token of the others, and what that is, in words."""

    exact: dict[str, bool]
    chars_per_token: float
    described: str

    @property
    def all_exact(self) -> bool:
        return all(self.exact.values())


@dataclass(frozen=True)
class Plan:
    """What a mixture takes from a corpus now. `documents` are in training order within each component.

    `held_out`, `taken` (by an earlier component, with overlap: first_wins) and `unseen` (within the component, but not
    needed) count documents by component.
    """

    mixture: Mixture
    shares: list[Share]
    stages: list[StageShares]
    documents: pl.DataFrame
    held_out: dict[str, int]
    taken: dict[str, int]
    unseen: dict[str, int]
    budget: float
    counts: Counts
    fingerprint: str

    @property
    def tokens(self) -> float:
        """The tokens that the run takes; fewer than the budget where on_short allows it."""
        return sum(s.target for s in self.shares)

    def to_dict(self) -> dict[str, Any]:
        """For --json and the catalog."""
        natural = sum(s.available for s in self.shares)
        return {
            "mixture": self.mixture.model.mixture,
            "fingerprint": self.fingerprint,
            "tokens": round(self.budget),
            "tokens_planned": round(self.tokens),
            "tokenizer": self.counts.described,
            "exact": self.counts.all_exact,
            "components": [
                asdict(s) | {
                    "natural": s.available / natural, "epochs": s.epochs, "unique": s.unique, "effective": s.effective,
                    "held_out": self.held_out[s.name], "taken": self.taken[s.name], "unseen": self.unseen[s.name],
                    "exact": self.counts.exact[s.name],
                }
                for s in self.shares
            ],
            "stages": [{"start": s.start, "shares": s.shares} for s in self.stages],
        }  # fmt: skip


def of_query(sql: str, *, name: str = "selection") -> Mixture:
    """All documents of one query, once."""
    component = ComponentModel(where=sql, epochs=1.0)
    return Mixture(MixtureModel(mixture=name, components={"all": component}, max_epochs=1.0), None)


def plan(corpus: Corpus, mixture: Mixture, *, whole: bool = False) -> Plan:
    """Ask the catalog for the components and divide the budget. Raises UsageError for what cannot be had.

    `whole`: `documents` are all of each component, not only those that its target needs.
    """
    model = mixture.model
    frames = {
        name: _documents(corpus, f"component {name!r}", c.sql or _kept(c)) for name, c in model.components.items()
    }
    found = {name: frame.height for name, frame in frames.items()}
    frames, taken = _disjoint(frames, model.overlap)
    named = set(_documents(corpus, "holdout: sql", model.holdout.sql)["doc_id"]) if model.holdout.sql else set()
    frames = hold_out(frames, model.holdout.per_component, named, held_out_before(corpus))
    frames, counts = _counted(corpus, mixture, frames)
    cut = model.budget / model.proxy.simulate_target_tokens if model.proxy and model.budget else 1.0
    frames = {name: _ordered(frame, model.seed, cut) for name, frame in frames.items()}
    training = {name: frame.filter(~pl.col("held_out")) for name, frame in frames.items()}
    for name, frame in training.items():
        if found[name] and not frame.height:
            raise UsageError(
                f"mixture {model.mixture!r}: component {name!r} has no documents to train on: of {found[name]:,}, "
                f"{taken[name]:,} belong to earlier components and {frames[name].height:,} are held out"
            )
    demands = [
        Demand(
            name, frame.height, float(frame["tokens"].sum()), component.max_epochs or model.max_epochs,
            weight=component.weight, tokens=component.tokens, epochs=component.epochs,
        )
        for (name, frame), component in zip(training.items(), model.components.values(), strict=True)
    ]  # fmt: skip
    budget = model.budget or sum(d.tokens or (d.epochs or 0.0) * d.available for d in demands)
    stages = [Stage(share_of(s.start, budget), s.weights) for s in model.stages or ()] or [Stage(0.0)]
    try:
        shares, staged = allocate_stages(
            demands, budget, stages,
            weighting=model.weighting, temperature=model.temperature, on_short=model.on_short,
        )  # fmt: skip
    except CatalogError as error:
        raise UsageError(f"mixture {model.mixture!r}: {error}") from None
    chosen = {s.name: training[s.name] if whole else _chosen(training[s.name], s) for s in shares}
    held = {name: frame.filter("held_out") for name, frame in frames.items()}
    documents = pl.concat(
        pl.concat([chosen[name], held[name]]).with_columns(component=pl.lit(name)) for name in chosen
    )
    return Plan(
        mixture, shares, staged, documents,
        held_out={name: frame.height for name, frame in held.items()},
        taken=taken,
        unseen={name: training[name].height - frame.height for name, frame in chosen.items()},
        budget=budget, counts=counts, fingerprint=_fingerprint(mixture, shares, documents),
    )  # fmt: skip


def _kept(component: ComponentModel) -> str:
    return f"SELECT doc_id FROM documents WHERE kept AND ({component.where}\n)"


def _documents(corpus: Corpus, what: str, inner: str) -> pl.DataFrame:
    """The documents that a query gives, in the order of their doc_keys."""
    from curator_catalog.catalog import check_statement

    try:
        with corpus.catalog.users() as con:
            check_statement(con, inner)
        frame = corpus.sql(
            "SELECT DISTINCT doc_id, doc_key::VARCHAR AS doc_key, coalesce(cluster, doc_key)::VARCHAR AS cluster, source, "
            "source_key, content_hash::VARCHAR AS content_hash, text_hash::VARCHAR AS text_hash, license, coalesce(n_chars, 0) AS n_chars FROM documents "
            f"SEMI JOIN ({inner}\n) chosen USING (doc_id) LEFT JOIN (SELECT doc_id, min(cluster_id) AS cluster FROM duplicates "
            "WHERE decision_set = (SELECT value FROM store.settings WHERE name = 'decision_set') GROUP BY doc_id) USING (doc_id)"
        ).pl()
    except (CatalogError, CuratorError) as error:
        raise UsageError(f"{what}: {error}") from None
    return frame.sort("doc_key")


def _disjoint(
    frames: dict[str, pl.DataFrame], overlap: str
) -> tuple[dict[str, pl.DataFrame], dict[str, int]]:
    """The components without what earlier ones have, and how many documents that took from each."""
    apart: dict[str, pl.DataFrame] = {}
    taken: dict[str, int] = {}
    for name, frame in frames.items():
        mine = frame
        for other, earlier in apart.items():
            both = mine.join(earlier, on="doc_id", how="semi")
            if both.height and overlap == "error":
                raise UsageError(
                    f"components {other!r} and {name!r} share {both.height:,} documents, as doc_id {both['doc_id'][0]}; "
                    "a document may be in one: tell their queries apart, or set overlap: first_wins"
                )
            mine = mine.join(earlier, on="doc_id", how="anti", maintain_order="left")
        apart[name], taken[name] = mine, frame.height - mine.height
    return apart, taken


def _counted(
    corpus: Corpus, mixture: Mixture, frames: dict[str, pl.DataFrame]
) -> tuple[dict[str, pl.DataFrame], Counts]:
    """The documents with their `tokens`, and how these were counted."""
    path = mixture.tokenizer
    if path is None:
        described = f"an estimate, {CHARS_PER_TOKEN} characters a token"
        counts = Counts(dict.fromkeys(frames, False), CHARS_PER_TOKEN, described)
        return {n: f.with_columns(tokens=pl.col("n_chars") / CHARS_PER_TOKEN) for n, f in frames.items()}, counts
    known = exact_counts(corpus, path).select("doc_id", "n_tokens")
    key = next(iter(frames.values())).schema["doc_id"]
    known = known.with_columns(pl.col("doc_id").cast(key))
    frames = {n: f.join(known, on="doc_id", how="left", maintain_order="left") for n, f in frames.items()}
    counted = pl.concat([f.select("n_chars", "n_tokens") for f in frames.values()]).drop_nulls()
    exact = {n: f.filter(~pl.col("held_out"))["n_tokens"].null_count() == 0 for n, f in frames.items()}
    missing = sum(f["n_tokens"].null_count() for f in frames.values())
    if all(exact.values()) or counted.height >= SAMPLED:
        ratio = max(1, int(counted["n_chars"].sum())) / max(1, int(counted["n_tokens"].sum()))
        described = f"counted with {path.name}"
        if not all(exact.values()):
            described += f", and estimated from the counts for {missing:,} documents"
    else:
        ratio, sampled = _sampled_ratio(corpus, path, frames)
        described = f"an estimate of {path.name} on {sampled:,} documents"
    frames = {
        n: f.with_columns(tokens=pl.coalesce(pl.col("n_tokens").cast(pl.Float64), pl.col("n_chars") / ratio)).drop("n_tokens")
        for n, f in frames.items()
    }  # fmt: skip
    return frames, Counts(exact, ratio, described)


def _sampled_ratio(corpus: Corpus, path: Path, frames: dict[str, pl.DataFrame]) -> tuple[float, int]:
    """Characters a token of a tokenizer, end tokens counted, on some documents of every component."""
    tokenizer = load_tokenizer(path)
    ids = pl.concat([f.sort("doc_key").head(SAMPLED)["doc_id"] for f in frames.values()]).to_list()
    texts = [
        t for (t,) in corpus.sql("SELECT text FROM texts WHERE doc_id IN (SELECT unnest(?))", [ids]).rows()
    ]
    tokens = sum(len(e.ids) + 1 for e in tokenizer.encode_batch(texts, add_special_tokens=False))
    return max(1, sum(map(len, texts))) / max(1, tokens), len(texts)


def _ordered(frame: pl.DataFrame, seed: int, cut: float) -> pl.DataFrame:
    """The documents of one component in the order of a keyed hash; to train on, the first `cut` of their tokens."""
    key = splitmix64(np.array([seed], dtype=np.uint64))[0]
    order = pl.Series("order", splitmix64(low64(frame["doc_key"]) ^ key), dtype=pl.UInt64)
    frame = frame.with_columns(order).sort("order", "doc_key").drop("order")
    if cut == 1:
        return frame
    training = frame.filter(~pl.col("held_out"))
    return pl.concat([_first(training, cut * float(training["tokens"].sum())), frame.filter("held_out")])


def _first(frame: pl.DataFrame, tokens: float) -> pl.DataFrame:
    return frame.filter(pl.col("tokens").cum_sum() - pl.col("tokens") < tokens)


def _chosen(training: pl.DataFrame, share: Share) -> pl.DataFrame:
    """As many documents as the target needs; all of them where it is more than there is."""
    return _first(training, share.target) if share.target < share.available else training


def _fingerprint(mixture: Mixture, shares: list[Share], documents: pl.DataFrame) -> str:
    """16 hex digits of what the mixture says (where its tokenizer lies apart), its targets and its documents."""
    said = mixture.model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if mixture.tokenizer is not None:
        said["tokenizer"] = describe(mixture.tokenizer).sha256
    hashed = xxhash.xxh3_64()
    hashed.update(json.dumps([said, [round(s.target) for s in shares]], sort_keys=True).encode())
    hashed.update("".join(documents["doc_key"]).encode())
    hashed.update(documents["held_out"].cast(pl.UInt8).to_numpy().tobytes())
    return hashed.hexdigest()
