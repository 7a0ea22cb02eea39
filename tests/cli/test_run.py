"""run, init and their exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from curator import recipe as recipes
from tests.cli.conftest import Ended, call


def test_a_run_ends_with_a_funnel(finished: tuple[Path, Ended]) -> None:
    """Exit code 0; the funnel on stdout, step by step; progress on stderr; three commands to go on with."""
    folder, ended = finished
    assert ended.code == 0
    kept = call(
        "sql", "SELECT count(*) FROM documents WHERE kept", "--format", "csv", folder=folder
    ).out.split()[1]
    rows = {cells[0]: cells[1:] for cells in reversed(ended.cells()) if len(cells) > 1}
    assert (rows["read"][0], rows["kept"][0]) == ("596", kept)
    assert [s for s in rows if s in ("language", "gopher_quality", "exact")] == [
        "exact",
        "gopher_quality",
        "language",
    ]
    assert "596 documents read in " in ended.out
    assert "1 new records in quarantine" in ended.out
    assert "reading and measuring" in ended.err
    commands = ended.out.partition("next:\n")[2].strip().splitlines()
    assert [c.split()[1] for c in commands] == ["sql", "sql", "why", "decide"]


def test_the_suggested_commands_work(finished: tuple[Path, Ended]) -> None:
    """What a run suggests can be pasted."""
    import shlex

    folder, ended = finished
    for line in ended.out.partition("next:\n")[2].strip().splitlines():
        assert call(*shlex.split(line)[1:], folder=folder).code == 0


def test_a_second_run_has_nothing_to_do(fresh: Path) -> None:
    """It reads nothing, and says the same of the corpus."""
    first, second = (call("run", "small.yaml", "-w", 0, "--json", folder=fresh) for _ in range(2))
    assert (first.code, second.code) == (0, 0)
    assert (first.json["run_id"], second.json["run_id"]) == (1, 2)
    assert (first.json["counts"]["documents"], second.json["counts"].get("documents", 0)) == (5, 0)
    assert {k: first.json["counts"][k] for k in ("kept", "pending", "dropped")} == {
        k: second.json["counts"][k] for k in ("kept", "pending", "dropped")
    }
    assert first.json["counts"]["dropped"] == {
        "exact.duplicate": 1, "gopher_quality.gopher_short_doc": 1, "language.language": 1
    }  # fmt: skip


def test_a_limit_goes_into_a_scratch_corpus(fresh: Path) -> None:
    """`--limit` leaves the corpus alone, shows drops redacted, and estimates the full run."""
    ended = call("run", "small.yaml", "-w", 0, "--limit", 3, folder=fresh)
    assert ended.code == 0
    assert not (fresh / "corpus").exists()
    assert call(
        "sql", "-c", "corpus.sample", "SELECT count(*) AS n FROM documents", folder=fresh
    ).cells() == [["n"], ["3"]]
    assert "Write to <email> or call <number> from <ip>." in ended.out
    assert "jane.doe" not in ended.out
    assert re.search(r"the full run: about .* of text, .* core hours, .* of disk", ended.out)
    shown = call("run", "small.yaml", "-w", 0, "--limit", 3, "--unredacted", folder=fresh)
    assert "jane.doe@example.org" in "".join(shown.out.split())


def test_a_sample_is_a_share_by_key(finished: tuple[Path, Ended]) -> None:
    """The same documents each time, about the share; another share holds the smaller one."""
    folder, _ = finished
    keys = []
    for share in ("10%", "0.1", "30%"):
        assert call("run", "small.yaml", "-w", 0, "--sample", share, folder=folder).code == 0
        found = call(
            "sql", "-c", "corpus.sample", "SELECT doc_key FROM documents", "--format", "csv", folder=folder
        )
        keys.append(set(found.out.split()))
    assert keys[0] == keys[1] < keys[2]
    assert 30 < len(keys[0]) < 90


def test_wrong_usage_exits_with_two(fresh: Path) -> None:
    """Wrong options and shares, each with what would be right, before any work."""
    for arguments, message in (
        (["run"], "name a recipe: curator run RECIPE"),
        (["run", "no.yaml"], "there is no recipe 'no.yaml'"),
        (["run", "small.yaml", "--engine", "spark"], "--engine 'spark': there is local"),
        (
            ["run", "small.yaml", "--sample", "0%"],
            "--sample '0%': give a share of the documents, as 1% or 0.01",
        ),
        (["run", "small.yaml", "--sample", "many"], "--sample 'many': give a share"),
        (["run", "small.yaml", "--sample", "150%"], "--sample '150%': give a share"),
        (["run", "small.yaml", "--sample", "1%", "--limit", "3"], "--limit and --sample exclude each other"),
        (["run", "small.yaml", "--plugin", "gone.py"], "there is no plugin file "),
        (["run", "small.yaml", "--workers", "-1"], "--workers"),
        (["rnu"], "rnu"),
    ):
        ended = call(*arguments, folder=fresh)
        assert (ended.code, ended.out) == (2, ""), arguments
        assert message in ended.err
    assert not (fresh / "corpus").exists()


def test_a_failed_split_exits_with_one(fresh: Path) -> None:
    """What could not be read is named and left to the next run; the rest is done."""
    (fresh / "torn.py").write_text(
        "from curator import Part, Source, hookimpl\n"
        "class Torn(Source):\n"
        "    def parts(self): yield Part('torn:1', signature='1', size=9)\n"
        "    def read(self, part): raise OSError('torn off'); yield {}\n"
        "@hookimpl\ndef register_sources(register): register(Torn)\n"
    )
    recipe = (fresh / "small.yaml").read_text().replace("steps:", "  - torn: {name: torn}\nsteps:")
    (fresh / "small.yaml").write_text(recipe)
    ended = call("run", "small.yaml", "-w", 0, "--plugin", "torn.py", "--json", folder=fresh)
    assert ended.code == 1
    assert ended.json["counts"]["documents"] == 5
    (failed,) = ended.json["failed"]
    assert failed.startswith("split 1 of torn: OSError: torn off")
    states = call(
        "sql", "SELECT source, state FROM splits ORDER BY split_id", "--format", "csv", folder=fresh
    )
    assert states.out == "source,state\nnotes,done\ntorn,failed\n"


def test_a_guard_exits_with_three_and_leaves_the_decisions(fresh: Path) -> None:
    """`expect:` is not met: exit code 3, the decisions in force stay those of the run before."""
    assert call("run", "small.yaml", "-w", 0, folder=fresh).code == 0
    query = "SELECT source_key, decision, reason FROM documents ORDER BY ALL"
    before = call("sql", query, folder=fresh).out
    recipe = (fresh / "small.yaml").read_text()
    guarded = "gopher_quality: {min_words: 1000, expect: {drop: 0..0.5}}"
    (fresh / "small.yaml").write_text(recipe.replace("gopher_quality: {min_words: 40}", guarded))
    for command in (
        ["run", "small.yaml", "-w", 0],
        ["decide", "small.yaml"],
        ["decide", "small.yaml", "--dry-run"],
    ):
        ended = call(*command, folder=fresh)
        assert ended.code == 3
        message = "step gopher_quality drops 100.0% of the 4 documents that reach it, expected 0.0% to 50.0%"
        assert f"curator: {message}" in ended.err
        assert call("sql", query, folder=fresh).out == before
    runs = call("sql", "SELECT run_id, state FROM runs ORDER BY run_id", "--format", "csv", folder=fresh)
    assert runs.out == "run_id,state\n1,done\n2,stopped\n"


def test_init_writes_a_recipe_that_loads(tmp_path: Path) -> None:
    """The recipe and the sample plugin run as they are, once there is data; init overwrites nothing."""
    ended = call("init", "mine", folder=tmp_path)
    assert ended.code == 0
    assert "curator run mine/recipe.yaml" in ended.out
    loaded = recipes.load(str(tmp_path / "mine" / "recipe.yaml"))
    assert [s.name for s in loaded.steps] == [
        "fix_unicode", "language", "gopher_quality", "short_lines", "exact", "minhash"
    ]  # fmt: skip
    (tmp_path / "mine" / "data").mkdir()
    (tmp_path / "mine" / "data" / "a.jsonl").write_text(
        json.dumps({"text": "The first of the texts that I have. " * 9})
    )
    assert call("run", "mine/recipe.yaml", "-w", 0, folder=tmp_path).code == 0
    again = call("init", "mine", folder=tmp_path)
    assert (again.code, again.out) == (2, "")
    assert "mine/recipe.yaml exists already" in again.err
