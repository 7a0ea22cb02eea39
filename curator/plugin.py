"""What a plugin author subclasses.

A plugin is a class (or, for the simplest, a function: see `curator.registry`) whose annotated attributes
are its options, checked when the recipe is loaded:

    class ShortLines(Filter):
        min_chars: float = 20.0

An option that a rule names (`$min_chars`) is a *rule option*: `curator decide` changes it without
measuring, so reading it while measuring is an error. Every other option is a *measure option* and enters
the fingerprint of what the step stores. Attributes annotated `ClassVar`, or not annotated, are no options.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from curator.errors import PluginError
from curator.options import FILE, FOLDER, REQUIRED, SECRET, Option

if typing.TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from curator.documents import Documents
    from curator.exporting import Blend, Payload, Shard

PARAMETER = re.compile(r"\$([A-Za-z_]\w*)")


class _RuleOption:
    """Stands where a rule option would be, so that measuring cannot read it unnoticed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, plugin: Any, owner: type | None = None) -> Any:
        raise PluginError(
            f"{type(plugin).__name__}: option {self.name!r} is used in a rule, so measuring must not read it: "
            "`curator decide --set` would change the rule and leave the measure as it was"
        )


@functools.cache
def _hints(klass: type) -> dict[str, Any]:
    """Annotations as types; they are asked for a hundred times a recipe, and take 2 ms."""
    return typing.get_type_hints(klass, include_extras=True)


class Plugin:
    """Base of every class plugin.

    `name` defaults to the class name in snake_case. `version` is raised by the author whenever the same
    input would give another output; a drop-in file that declares none is versioned by its content.
    """

    name: ClassVar[str] = ""
    version: ClassVar[str | int | None] = None
    #: what a worker needs: {"gpus": 1}, {"memory": "4GB"}, {"workers": 1}
    resources: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, **options: Any) -> None:
        known = self.options()
        for option in known.values():
            if option.name in options:
                setattr(self, option.name, options.pop(option.name))
            elif option.default is REQUIRED:
                raise TypeError(f"{type(self).__name__} needs the option {option.name!r}")
        if options:
            raise TypeError(f"{type(self).__name__} has no option {next(iter(options))!r}")

    @classmethod
    def options(cls) -> dict[str, Option]:
        """The options by name, those of the base class first."""
        found: dict[str, Option] = {}
        for klass in reversed(cls.__mro__):
            own = inspect.get_annotations(klass)
            if not own:
                continue
            hints = _hints(klass)
            for name in own:
                hint = hints[name]
                if name.startswith("_") or typing.get_origin(hint) is ClassVar or hint is ClassVar:
                    continue
                help_text, marks = "", ()
                if typing.get_origin(hint) is typing.Annotated:
                    hint, *extras = typing.get_args(hint)
                    help_text = next((e for e in extras if isinstance(e, str)), "")
                    marks = tuple(extras)
                default = inspect.getattr_static(cls, name, REQUIRED)
                found[name] = Option(
                    name, hint, default, help_text, FILE in marks, FOLDER in marks, SECRET in marks
                )
        return found

    @classmethod
    def resolve(cls, options: dict[str, Any], file: Callable[[str], str]) -> dict[str, Any]:
        """The options as the recipe is to hold them; their types are checked, and paths of FILE options absolute.

        A plugin may look into them, and put what a file holds in the place of its path, so that deciding reads
        it anew. `file` makes a path relative to the recipe absolute, and raises UsageError where there is none.
        Raises UsageError for what cannot be used.
        """
        return options

    def setup(self) -> None:
        """Called once in every worker before the first batch: load models here."""

    def versions(self) -> Mapping[str, str]:
        """What else decides the result, for the fingerprint: hashes of models, versions of libraries."""
        words = getattr(self, "words", None)
        if isinstance(words, str):
            from curator.text import tokenizer_version

            return {"words": tokenizer_version(words)}
        return {}


class Step(Plugin):
    """A step over documents: it measures `signals`, and its `rules` say over them what is dropped.

    `signals` is a mapping (or a method that returns one, when it needs a measure option) from name to
    either a row-wise Polars expression over the columns of `Documents.frame`, or a type (`float`, `int`,
    `bool`, `str`, or a Polars data type) of what `measure` returns.
    `rules` is a mapping (or a method) from the rule's name to a SQL expression; true drops the document,
    NULL never does. Bare names are the step's own signals; `step.signal`, `documents.column` and `$option`
    are the only others.
    """

    signals: ClassVar[Any] = {}
    rules: ClassVar[Any] = {}
    #: what the summary of a run says, and SQL over the step's own signals that counts the documents it is said of
    notes: ClassVar[Mapping[str, str]] = {}
    #: earlier signals that `measure` reads, as ("language.language", …); "documents.language" is whatever
    #: earlier step fills that column, and null where none does
    reads: ClassVar[Sequence[str]] = ()
    #: SQL over the step's own signals, `$options` and documents.columns: the document's rows of the view
    #: `contamination`, a list of STRUCT(benchmark, item, field, overlap, words, text, spans, reviewed, verdict)
    contamination: ClassVar[str | None] = None
    #: columns of `documents` that this step's signals fill, as {"language": "language"}
    documents: ClassVar[Mapping[str, str]] = {}

    def measure(self, docs: Documents) -> Mapping[str, Any]:
        """Measure a batch: every declared signal as an array of `len(docs)`; None is "undefined"."""
        raise NotImplementedError(f"{type(self).__name__} declares signals by type, so it needs measure()")

    def declared_signals(self) -> dict[str, Any]:
        return dict(self.signals() if callable(self.signals) else self.signals)

    def declared_rules(self) -> dict[str, str]:
        return dict(self.rules() if callable(self.rules) else self.rules)

    def rule_options(self) -> dict[str, Option]:
        """The options that some rule names."""
        used = {name for sql in self.declared_rules().values() for name in PARAMETER.findall(sql)}
        return {name: option for name, option in self.options().items() if name in used}

    def for_measuring(self) -> Step:
        """The same step with its rule options out of reach."""
        rule_options = self.rule_options()
        if not rule_options:
            return self
        guarded = type(type(self).__name__, (type(self),), {n: _RuleOption(n) for n in rule_options})
        twin: Step = object.__new__(guarded)
        twin.__dict__.update({k: v for k, v in self.__dict__.items() if k not in rule_options})
        return twin


class Filter(Step):
    """Measures documents and drops by rules; never changes text."""


class Classifier(Step):
    """Measures `label` and `score`, and may have rules over them."""

    signals: ClassVar[Any] = {"label": str, "score": float}


class Cleaner(Step):
    """Rewrites text; the text as read stays stored beside it.

    `clean` returns the new texts (None leaves a text as it is), or (texts, signals) when the cleaner also
    measures what it did. Texts may be a batch that `docs.with_text` made, which hands on the words it knows.
    """

    def clean(self, docs: Documents) -> Any:
        raise NotImplementedError(f"{type(self).__name__} needs clean()")


class Dedup(Step):
    """Finds copies. The map side is `measure`; clusters and the kept copy are the catalog's.

    Exactly one of the three says which documents are copies, over the step's own signals:

    - `group`: name of a signal; documents with equal values are one cluster;
    - `band_keys`: name of a BIGINT[] signal; documents that share a key are linked, and `signature` names
      the uint32 signature (BLOB) whose equal positions estimate the Jaccard similarity of the link, or `sets`,
      where the step has it, a BLOB of sorted, distinct uint64 that tells it exactly;
    - `vectors`: name of a TINYINT[] signal; documents are linked whose cosine is at least 1 - `eps`, an option.
      The options `clusters`, `seed` and `store_above` say which pairs are compared and stored (`curator_catalog.vectors`).

    `wide` signals are stored in shard files instead of the catalog. `within` limits copies to equal values
    of a column of `documents`. `keep` elects: `first` (source's rank in the recipe, then source_key, then
    content_hash), `longest`, `newest` (published, else retrieved), `none`, or a SQL expression whose largest
    value is kept, as `gopher_quality.n_words`.
    """

    group: ClassVar[str | None] = None
    band_keys: ClassVar[str | None] = None
    signature: ClassVar[str | None] = None
    sets: ClassVar[str | None] = None
    vectors: ClassVar[str | None] = None
    wide: ClassVar[bool] = False

    keep: Annotated[
        str, "the copy that is kept: first, longest, newest, none, or a SQL value whose largest wins"
    ] = "first"
    prefer: Annotated[list[str] | None, "sources in order of preference; it comes before keep"] = None
    copies: Annotated[int | str, "copies that are kept, or SQL over cluster_size for how many"] = 1
    against: Annotated[
        list[str] | None, "sources to look copies up in: only copies of their documents are dropped, never these"
    ] = None
    within: Annotated[str | None, "column of documents: only copies of one value are linked"] = None
    reelect: Annotated[bool, "elect among the documents that all other steps keep"] = False

    def rule_options(self) -> dict[str, Option]:
        deciding = {"keep", "prefer", "copies", "against", "within", "reelect", "min_similarity"}
        if self.vectors:
            deciding |= {"eps", "clusters", "seed", "store_above"}
        return {n: o for n, o in self.options().items() if n in deciding} | super().rule_options()


@dataclass(frozen=True)
class Part:
    """A piece of a source that one task can read by itself, in units of the source's choice (bytes, row groups, keys).

    `signature` changes when the content does; `size` is the expected bytes of text, for packing; a `newer` part's
    records take the place of those that parts before it have under the same keys (within a split the first stays)."""

    uri: str
    start: int | None = None
    stop: int | None = None
    signature: str = ""
    size: int = 0
    newer: bool = False


@dataclass(frozen=True)
class Rejected:
    """A record that cannot be read: it goes to `quarantine` and the run goes on.

    What a source leaves out on purpose, as images of a crawl or redirects, it may count: one of these for all of a
    part with one reason, with how many `records` it stands for, position `*`."""

    position: str
    reason: str
    detail: str = ""
    records: int = 1


class Source(Plugin):
    """Reads documents. `fetch` brings what lies elsewhere, `parts` says what there is, `read` yields one part's records.

    A record is a dict; the host maps its fields to the columns of `documents` by the options below and
    puts all others into `metadata`. A record may carry `"#position"`, the place in the part to name in
    messages; without it records are counted from 0.
    """

    #: how the source is called in the catalog; the plugin's name unless given
    name: str = ""  # type: ignore[misc]  # an option here, a class constant elsewhere
    text: Annotated[str, "field of the text; a.b reaches into a nested record"] = "text"
    id: Annotated[str | None, "field of the id; `id` where there is one, else file#place"] = None
    url_field: Annotated[str, "field of the URL"] = "url"
    title: Annotated[str, "field of the title"] = "title"
    published: Annotated[str, "field of the date of publication"] = "published"
    retrieved: Annotated[str, "field of the date of fetching"] = "retrieved"
    license: Annotated[str | None, "licence of records that state none"] = None
    license_field: Annotated[str, "field of a record's own licence"] = "license"
    declared_domain: Annotated[str | None, "domain of records that state none"] = None
    domain_field: Annotated[str | None, "field of a record's own domain"] = None
    columns: Annotated[
        dict[str, str], "fields that become typed columns of documents, as {year: int}"
    ] = {}  # an option's default, never changed
    max_chars: Annotated[int, "a longer text is quarantined"] = 20_000_000

    #: folder that relative paths start from: the recipe's
    base: ClassVar[str] = "."
    #: folder of the corpus that is this source's own and kept between runs, for `fetch`; it may not be there yet
    folder: ClassVar[str] = ""
    #: what earlier runs planned of this source with these options, in order: a source that only ever grows
    #: gives these parts again, as they are, and then one for what is new
    known: ClassVar[Sequence[Part]] = ()
    #: what `parts` found and left out, by URI, as links out of a folder: it goes to the quarantine
    skipped: ClassVar[Mapping[str, Rejected]] = {}
    #: how the names of its files end, in small letters and without that of a compression, as (".jsonl",)
    endings: ClassVar[Sequence[str]] = ()
    #: options that do not change what a part holds: other values do not have it read again
    without_effect: ClassVar[Sequence[str]] = ("name", "path")

    def fetch(self) -> Iterator[int]:
        """Bring what lies elsewhere into `self.folder`, once a run and before `parts`, in one process.

        Yields, after each piece that is safely on disk, how many records this run brought so far; the caller may
        stop at any. What came is kept as it came, in files that are renamed into place when they are whole, so
        that a killed run goes on from the last, and `parts` and `read` need nothing but these files.
        Raises FetchError where it cannot go on now: the run takes what is there, and the next goes on from it.
        """
        return iter(())

    def parts(self) -> Iterator[Part]:
        """What there is to read now, in a stable order. Raises UsageError where there is nothing."""
        raise NotImplementedError(f"{type(self).__name__} needs parts()")

    def read(self, part: Part) -> Iterator[dict[str, Any] | Rejected]:
        """The records of one part, in order. Raise `SourceChanged` where it is not what was planned.

        A source of tables may have a method `read_rows` beside it, which the host prefers, and which yields
        `curator.tables.Rows` (a record batch of Arrow) for dicts: several times as fast, with the same documents.
        """
        raise NotImplementedError(f"{type(self).__name__} needs read()")

    def key_of(self, part: Part, position: str) -> str:
        """The source_key of a record that has no id of its own."""
        return f"{part.uri}#{position}"


class Exporter(Plugin):
    """Writes an export in one layout, into a folder of its own; the name of the plugin is the format's.

    The host cuts each component's split into shards of `shard_chars` characters of text and has them written one by
    one, so an interrupted export goes on with the first that is missing. The same documents must give the same bytes.
    """

    #: what is written from: "text" or "tokens" of each document, or the "payload" of a whole split, which is shared
    reads: ClassVar[Literal["text", "tokens", "payload"]] = "text"
    #: splits that may be cut into several shards; one that writes several files of its own has none: `()`
    cut: ClassVar[tuple[str, ...]] = ("train", "heldout")

    shard_chars: Annotated[int, "characters of text a file"] = 256_000_000

    def write(self, documents: Iterator[pl.DataFrame], folder: Path, shard: Shard) -> list[tuple[str, int]]:
        """Write the documents of a shard, in order; returns (path below `folder`, documents in it) of each file.

        Columns: id, text, source, url, title, published, license, domain, language; with `reads = "tokens"` also
        `tokens`, a list of ids of 2 or 4 bytes whose last is the end token.
        """
        raise NotImplementedError(f"{type(self).__name__} needs write()")

    def share(self, payload: Payload, folder: Path) -> None:
        """With `reads = "payload"`: link the tokens of a whole split into `folder`, and write what readers want beside."""
        raise NotImplementedError(f"{type(self).__name__} needs share()")

    def finish(self, folder: Path, blend: Blend) -> None:
        """Called once, when all is written: the consumers' own files that say how much of each component to take."""
