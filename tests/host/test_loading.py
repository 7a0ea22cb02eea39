"""Plugin files and entry points: how they are found, named, refused and versioned; event hooks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curator import PluginError, RecipeError, UsageError
from curator.loading import Plugins
from tests.host.conftest import Shop

FILTER = """
from curator import hookimpl

def {name}(doc, *, least: int = {least}) -> bool:
    "Keep documents of at least so many characters."
    return len(doc.text) >= least

@hookimpl
def register_filters(register):
    register({name})
"""


def plugin(folder: Path, file: str, name: str = "sized", least: int = 1) -> str:
    path = folder / file
    path.write_text(FILTER.format(name=name, least=least))
    return str(path)


def test_an_entry_names_its_origin_options_and_doc(tmp_path: Path) -> None:
    """What `curator plugins` lists of a drop-in file and of a first-party plugin."""
    file = plugin(tmp_path, "one.py", least=7)
    entry = Plugins((file,)).step("sized")
    assert (entry.kind, entry.name, entry.origin, entry.ref) == ("filter", "sized", file, f"file:{file}")
    assert entry.doc == "Keep documents of at least so many characters."
    assert [(o.name, o.type_name, o.default) for o in entry.plugin.options().values()] == [
        ("least", "int", 7)
    ]
    own = Plugins().step("gopher_quality")
    assert own.origin.startswith("corpus-curator ")
    assert (own.ref, own.version) == ("entry_point:filter.gopher_quality", "2")


def test_one_name_from_two_files_names_both(tmp_path: Path) -> None:
    """The second registration is refused with both origins and the way out."""
    one, two = plugin(tmp_path, "one.py"), plugin(tmp_path, "two.py")
    with pytest.raises(PluginError) as raised:
        Plugins((one, two))
    message = f"filter 'sized' from {two} is already registered by {one}; pass name= to register()"
    assert str(raised.value) == message


def test_one_name_of_two_kinds_is_ambiguous(tmp_path: Path) -> None:
    """A filter and a cleaner of one name are told apart by neither step; both origins are named."""
    filter_file = plugin(tmp_path, "one.py", "lower")
    cleaner = tmp_path / "two.py"
    cleaner.write_text(
        "from curator import hookimpl\ndef lower(text: str) -> str: return text.lower()\n"
        "@hookimpl\ndef register_cleaners(register): register(lower)\n"
    )
    with pytest.raises(UsageError, match=r"'lower' is a cleaner from .*two\.py and a filter from .*one\.py"):
        Plugins((filter_file, str(cleaner))).step("lower")


def test_register_takes_a_name(tmp_path: Path) -> None:
    """`name=` registers a class or function under another name."""
    file = tmp_path / "named.py"
    file.write_text(
        FILTER.format(name="sized", least=1).replace("register(sized)", "register(sized, name='tall')")
        + "    from curator import Filter\n    class Empty(Filter):\n        'Nothing.'\n"
        "    register(Empty, name='void')\n"
    )
    entries = [e for e in Plugins((str(file),)).registry.entries() if e.kind == "filter"]
    assert [(e.name, e.doc) for e in entries] == [
        ("tall", "Keep documents of at least so many characters."),
        ("void", "Nothing."),
    ]


def test_the_same_file_twice_is_one(tmp_path: Path) -> None:
    """A file named twice, by other paths, registers once."""
    file = plugin(tmp_path, "one.py")
    plugins = Plugins((file, str(tmp_path / ".." / tmp_path.name / "one.py")))
    assert [e.origin for e in plugins.registry.entries()] == [file]


REFUSED = {
    "a misspelt hook": ("@hookimpl\ndef register_filter(register): pass", "register_filter"),
    "a failing import": (
        "import no_such_module",
        "failed to load: ModuleNotFoundError: No module named 'no_such_module'",
    ),
    "bad syntax": ("def (", "failed to load: SyntaxError: "),
    "an exit": ("raise SystemExit(3)", "failed to load: SystemExit: 3"),
    "a hook with other arguments": ("@hookimpl\ndef register_filters(registry): pass", "registry"),
    "a wrong base class": (
        "from curator import Cleaner\nclass Mine(Cleaner): pass\n@hookimpl\ndef register_filters(register): register(Mine)",
        "Mine from .* is registered as a filter but is no Filter",
    ),
    "a value": (
        "@hookimpl\ndef register_filters(register): register(3)",
        "3 from .* cannot be registered as a filter",
    ),
    "a function as a source": (
        "def rows(): pass\n@hookimpl\ndef register_sources(register): register(rows)",
        "cannot be registered as a source; give a subclass of Source",
    ),
    "a number without a rule": (
        "def size(doc) -> int: return 1\n@hookimpl\ndef register_filters(register): register(size)",
        r'size from .* answers int, so say which answers drop: register\(size, rule="size < 3"\)',
    ),
    "a positional option": (
        "def size(doc, n=3) -> bool: return True\n@hookimpl\ndef register_filters(register): register(size)",
        r"size from .*: the first parameter is the document, all others are options and stand after a \*",
    ),
    "a rule for a class": (
        "from curator import Filter\nclass Mine(Filter): pass\n@hookimpl\n"
        "def register_filters(register): register(Mine, rule='x')",
        r"Mine from .*: a class states its rules itself, not in register\(\)",
    ),
    "a hook that raises": (
        "@hookimpl\ndef register_filters(register): raise KeyError('lost')",
        "KeyError: 'lost'",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_a_broken_file_is_one_error_of_the_recipe(inline_shop: Shop, mistake: str) -> None:
    """The error stands at the recipe's `plugins` key and names the file and what is wrong with it."""
    content, message = REFUSED[mistake]
    file = inline_shop.folder / "broken.py"
    file.write_text(f"from curator import hookimpl\n{content}\n")
    with pytest.raises(RecipeError, match=message) as raised:
        inline_shop.load("gopher_quality", plugins=("broken.py",))
    assert str(file) in str(raised.value)
    assert str(raised.value).startswith(f"{inline_shop.folder}/test.yaml:")


def test_changed_content_is_another_fingerprint(inline_shop: Shop) -> None:
    """A file without a version is measured anew when its content changes; one with a version is not."""
    versioned = "\nsized.version = 4\n"
    fingerprints = []
    for ending in ("", "# a comment\n", versioned, versioned + "# a comment\n"):
        plugin(inline_shop.folder, "one.py")
        (inline_shop.folder / "one.py").write_text(FILTER.format(name="sized", least=1) + ending)
        (step,) = inline_shop.load("sized", plugins=("one.py",)).steps
        fingerprints.append(step.fingerprint)
    assert fingerprints[0] != fingerprints[1] != fingerprints[2]
    assert fingerprints[2] == fingerprints[3]


def test_changed_content_is_measured_by_the_next_run(shop: Shop) -> None:
    """Both versions' measures lie side by side; decisions follow the file as it is now."""
    plugin(shop.folder, "one.py", least=1)
    shop.run("sized", plugins=("one.py",))
    assert shop.fates() == {"long": ("kept",), "short": ("kept",)}
    plugin(shop.folder, "one.py", least=20)
    shop.run("sized", plugins=("one.py",))
    assert shop.fates() == {"long": ("kept",), "short": ("dropped", "sized.sized")}
    assert shop.sql("SELECT count(*) FROM shards WHERE measure = 'text'") == [(1,)]


EVENTS = """
import json
from pathlib import Path
from curator import hookimpl

def _log(name, facts):
    with open(Path(__file__).with_name("events.jsonl"), "a") as file:
        file.write(json.dumps([name, dict(facts)], default=str) + "\\n")

@hookimpl
def run_started(run):
    _log("run_started", run)

@hookimpl
def shard_committed(shard):
    _log("shard_committed", shard)

@hookimpl
def run_finished(run):
    _log("run_finished", run)
"""


def test_events(shop: Shop) -> None:
    """run_started, shard_committed and run_finished come in order, once, with what their docstrings say."""
    shop.write("events.py", EVENTS)
    report = shop.run("exact", plugins=("events.py",))
    lines = (shop.folder / "events.jsonl").read_text().splitlines()
    about = {"run_id": 1, "recipe": "test", "corpus": str(shop.corpus_folder)}
    assert [json.loads(line) for line in lines] == [
        ["run_started", {**about, "splits": 1}],
        [
            "shard_committed",
            {"shard_id": 0, "source": "web", "documents": 2, "bytes": report.counts["bytes"]},
        ],
        ["run_finished", {**about, "counts": report.funnel.counts}],
    ]
    none = {"step": "exact", "clusters": 0, "documents": 0, "largest": 0, "dropped": 0, "by_source": []}
    unlinked = dict.fromkeys(("edges", "groups", "measured", "buckets", "truncated"))
    nothing = {"dropped": {}, "notes": [], "copies": [none | unlinked]}
    assert report.funnel.counts == {"documents_in_corpus": 2, "kept": 2, "pending": 0, **nothing}


def test_an_unknown_plugin_is_suggested() -> None:
    """A near name is suggested; where nothing is near, what there is."""
    with pytest.raises(
        UsageError, match=r"^there is no step 'gopher_qualty'; did you mean 'gopher_quality'\?$"
    ):
        Plugins().step("gopher_qualty")
    with pytest.raises(
        UsageError, match=r"^there is no source 'zzz'; there are: archive, crawl, csv, docx, epub, feed, html, http_api, huggingface, jsonl, mbox, odt, parquet, pdf, sql, stackexchange, text, tsv, warc, wikipedia, xml$"
    ):
        Plugins().get("source", "zzz")


def test_a_plugin_that_a_worker_lacks_is_named() -> None:
    """Where a worker's machine has other plugins, the error says which is missing and what to do."""
    with pytest.raises(PluginError, match=r"filter 'gone' is not in 'filter\.gone' on this machine; install"):
        Plugins().by_ref("entry_point:filter.gone", "filter", "gone")


def installed(folder: Path, distribution: str, points: str, **modules: str) -> None:
    """A distribution as pip leaves it in a folder of sys.path."""
    info = folder / f"{distribution}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[curator]\n{points}\n")
    for name, content in modules.items():
        (folder / f"{name}.py").write_text(content)


def test_an_installed_plugin_that_fails_is_named_and_the_others_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken entry point is one named line, with its distribution; using it is a PluginError."""
    monkeypatch.syspath_prepend(tmp_path)
    installed(tmp_path, "torn", "filter.torn = torn_module", torn_module="import no_such_module")
    installed(
        tmp_path, "sane", "filter.sized = sane_module", sane_module=FILTER.format(name="sized", least=1)
    )
    plugins = Plugins()
    origins = {e.name: e.origin for e in plugins.all()}
    message = "torn 1.0 failed to load: ModuleNotFoundError: No module named 'no_such_module'"
    assert plugins.broken == {"filter.torn": message}
    assert origins["sized"] == "sane 1.0"
    assert {"gopher_quality", "jsonl", "minhash"} < set(origins)
    with pytest.raises(PluginError, match=message):
        Plugins().step("torn")


def test_two_distributions_of_one_plugin_are_both_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither wins silently, not even over a first-party plugin."""
    monkeypatch.syspath_prepend(tmp_path)
    installed(tmp_path, "rival", "filter.language = rival", rival=FILTER.format(name="language", least=1))
    with pytest.raises(PluginError) as raised:
        Plugins().step("language")
    assert "rival 1.0 and corpus-curator " in str(raised.value)
    assert "both have an entry point 'filter.language'; uninstall one of them" in str(raised.value)


def test_an_entry_point_that_registers_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of an entry point is a promise; one that is not kept is named."""
    monkeypatch.syspath_prepend(tmp_path)
    installed(tmp_path, "odd", "filter.odd = odd_module", odd_module=FILTER.format(name="even", least=1))
    with pytest.raises(
        PluginError, match=r"^entry point 'filter\.odd' of odd 1\.0 registers no filter 'odd'$"
    ):
        Plugins().step("odd")
