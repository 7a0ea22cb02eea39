"""Sources that fetch: what they bring is kept, resumed and read again; parts that only ever grow; retries."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from curator.corpus import Corpus
from curator.engines.local import InlineEngine, LocalEngine
from curator.errors import CuratorError, RecipeError, UsageError
from curator.forgetting import choose, forget
from curator.run import Report, run
from tests.cli.conftest import call
from tests.conftest import Workshop

#: copies numbered pages of a folder that stands for a server; a file `down` there is an outage at that page
SHELF = '''
import os, shutil
from pathlib import Path
from curator import CuratorError, FetchError, NothingToRead, Part, Rejected, Source, UsageError, hookimpl

class Shelf(Source):
    """Pages of a folder, fetched one by one."""
    version = 1
    server: str
    pause: float = 0.0
    without_effect = ("name", "pause")

    def fetch(self):
        folder, server = Path(self.folder), Path(self.base, self.server)
        folder.mkdir(parents=True, exist_ok=True)
        for n, page in enumerate(sorted(p for p in server.glob("*.txt") if not (folder / p.name).exists()), 1):
            if (server / "down").exists() and page.stem == (server / "down").read_text():
                raise FetchError(f"{page.stem} does not answer")
            with open(server / "asked", "a") as log:
                log.write(page.stem + " ")
            shutil.copy(page, folder / f"{page.name}.new")
            os.rename(folder / f"{page.name}.new", folder / page.name)
            yield n

    def parts(self):
        pages = sorted(Path(self.folder).glob("*.txt"))
        if Path(self.base, "away").exists():
            raise CuratorError("the shelf is away")
        if not pages:
            raise NothingToRead("nothing was fetched")
        old = {p.uri for p in self.known}
        yield from self.known
        yield from (Part(p.name, signature="v1", size=p.stat().st_size) for p in pages if p.name not in old)

    def read(self, part):
        text = Path(self.folder, part.uri).read_text()
        if text.startswith("slow") and not Path(self.base, "patience").exists():
            yield Rejected("0", "took_too_long", "more than a second")
        else:
            yield {"text": text, "id": part.uri}

@hookimpl
def register_sources(register):
    register(Shelf)
'''


class Shop:
    """A server of pages, and a recipe that fetches them."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.server = workshop.folder / "server"
        self.server.mkdir()
        (workshop.folder / "shelf.py").write_text(SHELF)

    def page(self, name: str, text: str) -> None:
        (self.server / f"{name}.txt").write_text(text)

    def run(
        self, engine: Any = None, *, options: dict[str, Any] | None = None, others: Sequence[Any] = (), **more: Any
    ) -> Report:
        source = {"shelf": {"name": "shelf", "server": "server", **(options or {})}}
        recipe = self.workshop.recipe([], [source, *others], plugins=["./shelf.py"])
        return run(recipe, engine or InlineEngine(), **more)

    def asked(self) -> list[str]:
        """The pages that the server was asked for, in order."""
        return (self.server / "asked").read_text().split()

    def texts(self) -> dict[str, str]:
        sql = "SELECT source_key, text FROM documents JOIN texts USING (doc_id)"
        return dict(Corpus.existing(self.workshop.corpus_folder).sql(sql).rows())

    @property
    def fetched(self) -> Path:
        return self.workshop.corpus_folder / "fetched" / "shelf"


@pytest.fixture
def shop(workshop: Workshop) -> Shop:
    """Three pages on a server, nothing fetched."""
    shop = Shop(workshop)
    for name in ("a", "b", "c"):
        shop.page(name, f"page {name}")
    return shop


def test_a_page_is_asked_for_once(shop: Shop) -> None:
    """What was fetched is read by any worker, and by later runs, without the server; only a new page is asked for."""
    shop.run(LocalEngine(2))
    shop.page("d", "page d")
    report = shop.run()
    assert shop.asked() == ["a", "b", "c", "d"]
    assert shop.texts() == {f"{n}.txt": f"page {n}" for n in "abcd"}
    assert (report.changes.new, report.changes.vanished, report.counts["documents"]) == ({"shelf": 1}, {}, 1)


def test_an_outage_ends_nothing(shop: Shop) -> None:
    """The run goes on with the pages before it and says so; the next brings the others."""
    (shop.server / "down").write_text("b")
    report = shop.run()
    assert report.failed == ["source shelf: b does not answer"]
    assert shop.texts() == {"a.txt": "page a"}
    (shop.server / "down").unlink()
    assert shop.run().failed == []
    assert (shop.asked(), len(shop.texts())) == (["a", "b", "c"], 3)


def test_an_outage_before_the_first_page(shop: Shop) -> None:
    """It is no mistake of the recipe: other sources are read, and where there is none the run fails."""
    (shop.server / "down").write_text("a")
    with pytest.raises(CuratorError, match=r"^source shelf: a does not answer$") as raised:
        shop.run()
    assert raised.value.exit_code == 1
    other = shop.workshop.source("web", [{"text": "a page that lies here"}])
    report = shop.run(others=[other])
    assert (report.failed, report.counts["documents"]) == (["source shelf: a does not answer"], 1)
    (shop.server / "down").unlink()
    assert (shop.run(others=[other]).failed, len(shop.texts())) == ([], 4)


def test_a_source_that_is_away_keeps_its_documents(shop: Shop) -> None:
    """The run tells it and goes on, and not even --prune takes anything out; a mistake stops."""
    other = shop.workshop.source("web", [{"text": "a page that lies here"}])
    shop.run()
    (shop.workshop.folder / "away").touch()
    shop.page("d", "page d")
    report = shop.run(prune=True, others=[other])
    assert (report.failed, report.changes.vanished, len(shop.texts())) == (["source shelf: the shelf is away"], {}, 4)
    (shop.workshop.folder / "away").unlink()
    assert (shop.run().failed, len(shop.texts())) == ([], 5)
    (shop.workshop.folder / "shelf.py").write_text(SHELF.replace("raise NothingToRead", "raise UsageError"))
    for page in shop.fetched.iterdir():
        page.unlink()
    for page in shop.server.glob("*.txt"):
        page.unlink()
    with pytest.raises(RecipeError, match="nothing was fetched"):
        shop.run(prune=True)
    assert len(shop.texts()) == 5


def test_a_trial_fetches_no_more_than_it_needs(shop: Shop) -> None:
    """It does so for the corpus itself, and takes what that has: no page is asked for twice."""
    scratch = shop.workshop.folder / "corpus.sample"
    for _ in range(2):
        shutil.rmtree(scratch, ignore_errors=True)
        report = shop.run(corpus=scratch, limit=2)
        assert (report.corpus.name, report.counts["documents"]) == ("corpus.sample", 2)
    assert shop.asked() == ["a", "b"]
    shop.run()
    assert shop.asked() == ["a", "b", "c"]
    assert len(shop.texts()) == 3


def test_another_corpus_fetches_for_itself(shop: Shop, tmp_path: Path) -> None:
    """A corpus given instead of the recipe's has its own folder of what was fetched."""
    shop.run(corpus=tmp_path / "other")
    assert sorted(p.name for p in (tmp_path / "other" / "fetched" / "shelf").iterdir()) == ["a.txt", "b.txt", "c.txt"]
    assert not shop.fetched.exists()


def test_an_option_without_effect(shop: Shop) -> None:
    """It reads nothing again, where another option does; with that, earlier parts are no longer known."""
    shop.run()
    assert shop.run(options={"pause": 1.0}).counts["documents"] == 0
    report = shop.run(options={"license": "MIT"})
    assert (report.counts["documents"], report.changes.changed) == (3, {"shelf": ["a.txt", "b.txt", "c.txt"]})
    assert shop.asked() == ["a", "b", "c"]


def test_two_runs_do_not_fetch_into_one_folder(shop: Shop) -> None:
    """The second is told so, by the folder's name."""
    from filelock import FileLock

    shop.fetched.parent.mkdir(parents=True)
    with FileLock(f"{shop.fetched}.lock"), pytest.raises(CuratorError, match=r"another run fetches into .*shelf"):
        shop.run()


def test_retry_reads_quarantined_files_again(shop: Shop) -> None:
    """Only the files that have such records; what can be read now leaves the quarantine, the rest stays there once."""
    shop.page("b", "slow page")
    shop.page("c", "slow too")
    shop.run()
    reasons = "SELECT uri, reason FROM quarantine ORDER BY ALL"
    corpus = Corpus.existing(shop.workshop.corpus_folder)
    failed = [("b.txt", "took_too_long"), ("c.txt", "took_too_long")]
    assert corpus.sql(reasons).rows() == failed
    assert shop.run().counts["quarantined"] == 0
    report = shop.run(retry=["took_too_long"])
    assert (report.counts["quarantined"], corpus.sql(reasons).rows()) == (2, failed)
    (shop.workshop.folder / "patience").touch()
    report = shop.run(retry=["took_too_long"])
    assert (report.counts["documents"], corpus.sql(reasons).rows()) == (2, [])
    assert shop.texts() == {"a.txt": "page a", "b.txt": "slow page", "c.txt": "slow too"}


def test_retry_of_an_unknown_reason(shop: Shop) -> None:
    """It is an error that names the reasons there are."""
    shop.page("b", "slow page")
    shop.run()
    with pytest.raises(UsageError, match=r"--retry timeout: .*the reasons there are: took_too_long$"):
        shop.run(retry=["timeout"])


def test_forgetting_names_what_was_fetched(shop: Shop) -> None:
    """The file that the document came in is named, and no other; a run does not bring the document back."""
    shop.run()
    corpus = Corpus.existing(shop.workshop.corpus_folder)
    report = forget(corpus, choose(corpus, ids=["b.txt"]), "asked to")
    assert report.fetched == [str(shop.fetched / "b.txt")]
    shop.run()
    assert sorted(shop.texts()) == ["a.txt", "c.txt"]


def test_a_count_of_what_is_left_out(shop: Shop) -> None:
    """One row may stand for many records: status, the summary and SQL sum them; other rows stand for one."""
    (shop.workshop.folder / "shelf.py").write_text(
        SHELF.replace("yield {", 'yield Rejected("*", "images", "by type", records=40)\n            yield {')
    )
    shop.page("b", "slow page")
    report = shop.run()
    assert report.counts["quarantined"] == 81
    corpus = Corpus.existing(shop.workshop.corpus_folder)
    sums = corpus.sql("SELECT reason, sum(records)::INT FROM quarantine GROUP BY ALL ORDER BY ALL").rows()
    assert sums == [("images", 80), ("took_too_long", 1)]
    said = call("run", "test.yaml", "-w", 0, "--retry", "images", folder=shop.workshop.folder)
    assert said.out.splitlines()[-4].endswith("; 0 new records in quarantine; left out by their sources: 80 images")
    assert call("status", "--json", folder=shop.workshop.folder).json["quarantine"] == [
        {"source": "shelf", "step": "reading", "reason": "images", "records": 80},
        {"source": "shelf", "step": "reading", "reason": "took_too_long", "records": 1},
    ]
    origins = corpus.sql("SELECT uri FROM origins JOIN documents USING (doc_id) ORDER BY ALL").rows()
    assert origins == [("a.txt",), ("c.txt",)]
