"""Every hook; its docstring is its reference page.

A plugin is a module (an entry point of group `curator` named `<kind>.<plugin>`, or a file named in the
recipe) with functions marked `@hookimpl`. Order and options belong to the recipe, so hooks register; they
are never called per document (measured with five no-op filters: 5.0 µs a document through pluggy, 0.5 µs
through a list).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pluggy

hookspec = pluggy.HookspecMarker("curator")
hookimpl = pluggy.HookimplMarker("curator")

Register = Callable[..., None]

#: kind of plugin -> the hook that registers it
KINDS = {
    "source": "register_sources",
    "cleaner": "register_cleaners",
    "filter": "register_filters",
    "dedup": "register_dedups",
    "classifier": "register_classifiers",
    "exporter": "register_exporters",
}


@hookspec
def register_sources(register: Register) -> None:
    """Register sources: `register(MySource)`, a subclass of `curator.Source`, or of `FileSource` for one that reads files.

    Subtitles, as the recipe's `- vtt: {name: talks, path: "talks/*.vtt"}`:

        from curator import Part, Rejected, hookimpl
        from curator.files import FileSource, open_raw, signature, size_of, unchanged

        class Vtt(FileSource):
            '''WebVTT subtitles: one document a file, without times.'''

            version = 1
            endings = (".vtt",)

            def parts(self):
                for uri in self.files():
                    yield Part(uri, signature=signature(uri), size=size_of(uri))

            def read(self, part):
                with unchanged(part), open_raw(part.uri) as file:
                    content = file.read(4 * self.max_chars).decode(errors="surrogateescape")
                if not content.startswith("WEBVTT"):
                    yield Rejected("0", "wrong_format", "no WEBVTT in the first line")
                    return
                cues = [cue.split("\\n") for cue in content.split("\\n\\n")[1:]]
                spoken = [line for cue in cues for line in cue if "-->" not in line and not line.isdigit()]
                yield {"text": " ".join(spoken)}

        @hookimpl
        def register_sources(register):
            register(Vtt)

    What lies elsewhere is brought by `Source.fetch`.
    """


@hookspec
def register_cleaners(register: Register) -> None:
    """Register cleaners: a subclass of `curator.Cleaner` (`CorpusCleaner` where the corpus decides), or a function `f(text: str, *, option=1) -> str`."""


@hookspec
def register_filters(register: Register) -> None:
    """Register filters: a subclass of `curator.Filter`, or a function.

    A function `f(doc, *, option=1) -> bool` keeps the document where it answers True; its name is the
    plugin, the signal and the rule. One that answers a number or a string takes the rule beside it:
    `register(f, rule="f < 3")`. Its keyword-only parameters are its (measure) options.
    """


@hookspec
def register_dedups(register: Register) -> None:
    """Register dedups: `register(MyDedup)`, a subclass of `curator.Dedup`."""


@hookspec
def register_classifiers(register: Register) -> None:
    """Register classifiers: `register(MyClassifier)`, a subclass of `curator.Classifier`."""


@hookspec
def register_exporters(register: Register) -> None:
    """Register exporters: `register(MyExporter)`, a subclass of `curator.Exporter`.

    One for mosaicml-streaming (llm-foundry, Composer), with the entry point `"exporter.mds" = "curator_mds"`:

        import json
        from pathlib import Path

        from curator import Exporter, hookimpl

        class Mds(Exporter):
            '''Shards of mosaicml-streaming: a sample a document.'''

            version = 1
            reads, cut = "tokens", ()  # its writer cuts files by itself

            def write(self, documents, folder, shard):
                from streaming import MDSWriter

                out = Path(shard.component, shard.split)
                columns = {"id": "str", "tokens": "ndarray"}
                with MDSWriter(out=str(folder / out), columns=columns, hashes=["xxh64"], size_limit=1 << 26) as writer:
                    for frame in documents:
                        for id, tokens in zip(frame["id"], frame["tokens"]):
                            writer.write({"id": id, "tokens": tokens.to_numpy()})
                shards = json.loads((folder / out / "index.json").read_text())["shards"]
                return [(f"{out}/{s['raw_data']['basename']}", s["samples"]) for s in shards]

        @hookimpl
        def register_exporters(register):
            register(Mds)
    """


@hookspec
def run_started(run: Mapping[str, Any]) -> None:
    """Once, when a run has planned its work; `run` has run_id, recipe, corpus and splits to read."""


@hookspec
def shard_committed(shard: Mapping[str, Any]) -> None:
    """After the transaction that committed a shard; `shard` has shard_id, source, documents and bytes."""


@hookspec
def run_finished(run: Mapping[str, Any]) -> None:
    """Once, after the decisions are committed; `run` has run_id, recipe, corpus and counts."""
