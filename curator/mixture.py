"""Mixture file -> plan: which documents, how many tokens of each component, how many epochs.

    mixture: demo
    tokens: 2M
    components:
      medical: {where: "declared_domain = 'medicine'", weight: 0.5}
      law: {sql: "SELECT doc_id FROM documents WHERE kept AND source = 'acts'", weight: 0.5}

A document is chosen, ordered and held out by keyed hashes of its doc_key alone, so a mixture does not depend
on shards, and a larger budget takes the same documents and more. Near copies fall on one side of a holdout:
its hash is of the smallest doc_key in the document's cluster.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
import xxhash
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from curator import yamlfile
from curator.corpus import Corpus
from curator.errors import CuratorError, RecipeError, UsageError
from curator.plan import splitmix64
from curator.registry import suggest
from curator_catalog import CatalogError
from curator_catalog.mixtures import Demand, Share, allocate

#: characters a token, until a tokenizer is named: GPT-2's on English prose
CHARS_PER_TOKEN = 4.3
SAMPLED = 200
_HOLDOUT_KEY = 0x686F6C646F757431  # "holdout1": never changed, so what is held out stays so


def _number(value: Any) -> Any:
    """10B, 1.5M, 200k."""
    if isinstance(value, str) and value and value[-1].upper() in "KMBT":
        return float(value[:-1]) * {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}[value[-1].upper()]
    return value


def _fraction(value: Any) -> Any:
    """0.5%."""
    return float(value[:-1]) / 100 if isinstance(value, str) and value.endswith("%") else value


Number = Annotated[float, BeforeValidator(_number), Field(gt=0)]


class ComponentModel(BaseModel):
    """One component: documents by `sql` (giving doc_id) or `where` (over kept documents)."""

    model_config = ConfigDict(extra="forbid")

    sql: str | None = None
    where: str | None = None
    weight: Annotated[float, Field(ge=0)] | None = None
    tokens: Number | None = None
    epochs: Annotated[float, Field(gt=0)] | None = None
    max_epochs: Annotated[float, Field(gt=0)] | None = None


class HoldoutModel(BaseModel):
    """What is never trained on: a share of every component's documents."""

    model_config = ConfigDict(extra="forbid")

    per_component: Annotated[float, BeforeValidator(_fraction), Field(ge=0, lt=1)] = 0.0


class MixtureModel(BaseModel):
    """The mixture file."""

    model_config = ConfigDict(extra="forbid", title="curator mixture")

    mixture: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
    tokens: Number | None = None
    seq_len: Annotated[int, Field(ge=8)] = 1024
    tokenizer: str | None = None
    seed: int = 17
    weighting: Literal["explicit", "natural", "temperature", "unimax"] = "explicit"
    temperature: float = 0.5
    max_epochs: Annotated[float, Field(gt=0)] = 4.0
    on_short: Literal["error", "renormalise", "shrink"] = "error"
    components: Annotated[dict[str, ComponentModel], Field(min_length=1)]
    holdout: HoldoutModel = HoldoutModel()


@dataclass(frozen=True)
class Mixture:
    """A checked mixture file."""

    model: MixtureModel
    file: str | None

    @property
    def tokenizer(self) -> Path | None:
        """The tokenizer file, resolved against the mixture's folder."""
        if self.model.tokenizer is None:
            return None
        return (Path(self.file).parent if self.file else Path()) / self.model.tokenizer

    def with_tokenizer(self, path: Path) -> Mixture:
        """The mixture, with another tokenizer."""
        return replace(self, model=self.model.model_copy(update={"tokenizer": str(path.absolute())}))


@dataclass(frozen=True)
class Plan:
    """What a mixture takes from a corpus now. `documents` are in training order within each component."""

    mixture: Mixture
    shares: list[Share]
    documents: pl.DataFrame
    held_out: dict[str, int]
    budget: float
    chars_per_token: float
    tokenizer: str
    fingerprint: str

    def to_dict(self) -> dict[str, Any]:
        """For --json and the catalog."""
        return {
            "mixture": self.mixture.model.mixture,
            "fingerprint": self.fingerprint,
            "tokens": round(self.budget),
            "tokens_planned": round(sum(s.target for s in self.shares)),
            "tokenizer": self.tokenizer,
            "components": [
                asdict(s) | {"epochs": s.epochs, "held_out": self.held_out[s.name]} for s in self.shares
            ],
        }


def load(path: str | Path, *, without_tokenizer: bool = False) -> Mixture:
    """Read and check a mixture file, and its tokenizer unless that is yet to be made.

    Raises RecipeError with file, line and key.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"there is no mixture {str(path)!r}")
    data, lines = yamlfile.load(file.read_text(encoding="utf-8"), str(path))
    try:
        model = MixtureModel.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = tuple(first["loc"])
        hint = ""
        if first["type"] == "extra_forbidden":
            known = ComponentModel if where[0] == "components" else MixtureModel
            hint = suggest(str(where[-1]), known.model_fields)
        key = ".".join(str(p) for p in where)
        line = yamlfile.line_of(lines, tuple(str(p) for p in where))
        raise RecipeError(first["msg"].lower() + hint, file=str(path), line=line, key=key) from None
    if without_tokenizer:
        model = model.model_copy(update={"tokenizer": None})
    mixture = Mixture(model, str(file.resolve()))
    for name, component in model.components.items():
        place = ("components", name)
        amounts = [k for k in ("weight", "tokens", "epochs") if getattr(component, k) is not None]
        needed = model.weighting == "explicit"
        problem = None
        if (component.sql is None) == (component.where is None):
            problem = "give one of sql: and where:"
        elif len(amounts) > 1 or (needed and not amounts):
            problem = f"give one of weight:, tokens: and epochs:{', not ' + ' and '.join(amounts) if amounts else ''}"
        elif amounts == ["weight"] and not needed:
            problem = f"weight: has no effect with weighting: {model.weighting}"
        if problem:
            raise RecipeError(
                problem, file=str(path), line=yamlfile.line_of(lines, place), key=f"components.{name}"
            )
    if model.tokens is None and any(c.epochs is None and c.tokens is None for c in model.components.values()):
        raise RecipeError("give the budget, as tokens: 10M", file=str(path), line=1, key="tokens")
    if mixture.tokenizer is not None and not mixture.tokenizer.exists():
        raise RecipeError(
            f"there is no tokenizer {str(mixture.tokenizer)!r}", file=str(path),
            line=yamlfile.line_of(lines, ("tokenizer",)), key="tokenizer",
        )  # fmt: skip
    return mixture


def of_query(sql: str, *, name: str = "selection") -> Mixture:
    """All documents of one query, once."""
    component = ComponentModel(where=sql, epochs=1.0)
    return Mixture(MixtureModel(mixture=name, components={"all": component}, max_epochs=1.0), None)


def plan(corpus: Corpus, mixture: Mixture) -> Plan:
    """Ask the catalog for the components and divide the budget. Raises UsageError for what cannot be had."""
    model = mixture.model
    frames = {name: _documents(corpus, name, c) for name, c in model.components.items()}
    _refuse_overlap(corpus, frames)
    count, tokenizer = _measured_ratio(corpus, mixture, frames)
    held: dict[str, int] = {}
    demands, candidates = [], {}
    once = _held_out_before(corpus)
    for name, frame in frames.items():
        component = model.components[name]
        out = _held_out(frame, model.holdout.per_component, once)
        held[name] = int(out.sum())
        candidates[name] = frame.with_columns(
            held_out=out, component=pl.lit(name), tokens=pl.col("n_chars") / count
        )
        training = candidates[name].filter(~pl.col("held_out"))
        demands.append(
            Demand(
                name, training.height, float(training["tokens"].sum()), component.max_epochs or model.max_epochs,
                weight=component.weight, tokens=component.tokens, epochs=component.epochs,
            )
        )  # fmt: skip
    budget = model.tokens or sum(d.tokens or (d.epochs or 0.0) * d.available for d in demands)
    try:
        shares = allocate(
            demands, budget, weighting=model.weighting, temperature=model.temperature, on_short=model.on_short
        )
    except CatalogError as error:
        raise UsageError(f"mixture {model.mixture!r}: {error}") from None
    chosen = pl.concat([_chosen(candidates[s.name], s, model.seed) for s in shares])
    fingerprint = xxhash.xxh3_64()
    fingerprint.update(json.dumps(model.model_dump(), sort_keys=True).encode())
    fingerprint.update("".join(chosen["doc_key"]).encode())
    fingerprint.update(chosen["held_out"].cast(pl.UInt8).to_numpy().tobytes())
    return Plan(mixture, shares, chosen, held, budget, count, tokenizer, fingerprint.hexdigest())


def _documents(corpus: Corpus, name: str, component: ComponentModel) -> pl.DataFrame:
    inner = component.sql or f"SELECT doc_id FROM documents WHERE kept AND ({component.where}\n)"
    from curator_catalog.catalog import check_statement

    try:
        with corpus.catalog.users() as con:
            check_statement(con, inner)
        frame = corpus.sql(
            "SELECT DISTINCT doc_id, doc_key::VARCHAR AS doc_key, coalesce(cluster, doc_key)::VARCHAR AS cluster, source, "
            "source_key, content_hash::VARCHAR AS content_hash, license, coalesce(n_chars, 0) AS n_chars FROM documents "
            f"SEMI JOIN ({inner}\n) chosen USING (doc_id) LEFT JOIN (SELECT doc_id, min(cluster_id) AS cluster FROM duplicates "
            "WHERE decision_set = (SELECT value FROM store.settings WHERE name = 'decision_set') GROUP BY doc_id) USING (doc_id)"
        ).pl()
    except (CatalogError, CuratorError) as error:
        raise UsageError(f"component {name!r}: {error}") from None
    return frame.sort("doc_key")


def _refuse_overlap(corpus: Corpus, frames: dict[str, pl.DataFrame]) -> None:
    seen: dict[str, pl.DataFrame] = {}
    for name, frame in frames.items():
        for other, earlier in seen.items():
            both = frame.join(earlier, on="doc_id", how="semi")
            if both.height:
                raise UsageError(
                    f"components {other!r} and {name!r} share {both.height:,} documents, as doc_id {both['doc_id'][0]}; "
                    "a document may be in one: tell their queries apart"
                )
        seen[name] = frame


def _measured_ratio(corpus: Corpus, mixture: Mixture, frames: dict[str, pl.DataFrame]) -> tuple[float, str]:
    """Characters a token: of the named tokenizer on a sample, else a published figure."""
    path = mixture.tokenizer
    if path is None:
        return CHARS_PER_TOKEN, f"estimate, {CHARS_PER_TOKEN} characters a token"
    from curator.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(path)
    ids = pl.concat([f.sort("doc_key").head(SAMPLED) for f in frames.values()])["doc_id"].to_list()
    texts = [
        t for (t,) in corpus.sql("SELECT text FROM texts WHERE doc_id IN (SELECT unnest(?))", [ids]).rows()
    ]
    tokens = sum(len(e.ids) for e in tokenizer.encode_batch(texts)) if texts else 1
    return max(1.0, sum(map(len, texts))) / max(
        1, tokens
    ), f"estimate of {path.name} on {len(texts)} documents"


def _low64(keys: pl.Series) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """The low 64 bits of doc_keys, which are xxh3-128 and so uniform."""
    return np.array([int(k.replace("-", "")[16:], 16) for k in keys], dtype=np.uint64)


def _held_out(frame: pl.DataFrame, share: float, before: set[str]) -> pl.Series:
    hashed = splitmix64(_low64(frame["cluster"]) ^ np.uint64(_HOLDOUT_KEY))
    out = pl.Series("held_out", hashed < np.uint64(min(int(share * 2**64), 2**64 - 1)), dtype=pl.Boolean)
    return out | frame["doc_key"].is_in(list(before)) if before else out


def _held_out_before(corpus: Corpus) -> set[str]:
    rows = corpus.sql(
        "SELECT DISTINCT doc_key::VARCHAR FROM export_documents WHERE held_out AND doc_key IS NOT NULL"
    ).rows()
    return {key for (key,) in rows}


def _chosen(frame: pl.DataFrame, share: Share, seed: int) -> pl.DataFrame:
    """The documents of one component, in the order of a keyed hash; fewer than all if the target is less."""
    key = splitmix64(np.array([seed], dtype=np.uint64))[0]
    frame = frame.with_columns(order=pl.Series(splitmix64(_low64(frame["doc_key"]) ^ key), dtype=pl.UInt64))
    frame = frame.sort("order", "doc_key")
    training = frame.filter(~pl.col("held_out"))
    if share.target < share.available:
        taken = pl.col("tokens").cum_sum() - pl.col("tokens") < share.target
        training = training.filter(taken)
    return pl.concat([training, frame.filter(pl.col("held_out"))]).drop("order")
