"""Scrubbed files stay in the corpus, with an account of what went."""

from pathlib import Path

from tests.repositories import MIT, new_repository
from training.data.corpus import Split, format_summary
from training.data.prepare import prepare
from training.recipe import CorpusRecipe

CODE = "".join(f"def area_{i}(width):\n    return width * {i}\n\n" for i in range(10))
OTHER = CODE.replace("area", "size").replace("width", "height")
SECRET = "postgres://someone:" + "Hw7kq2xx" + "@db.internal/app"
MAIL = "jane" + "@firm.io"


def test_file_is_scrubbed_and_kept_and_the_manifest_says_so(tmp_path: Path) -> None:
    text = f"# by {MAIL}\n{CODE}url = '{SECRET}'\n"
    new_repository(tmp_path / "a+one", {"LICENSE": MIT, "x.py": text, "y.py": OTHER})
    out = tmp_path / "out"
    manifest = prepare(CorpusRecipe(sources=(f"{tmp_path}/a+one",), processes=1), out)
    clean = text.replace(MAIL, "user1@example.com").replace("Hw7kq2xx", "xxxxxxxx")
    assert [document.text for document in Split(out)] == [clean, OTHER]
    assert manifest["scrubbed"] == {
        "files": 1,
        "kinds": {"URL password": 1, "e-mail address": 1},
    }
    assert "        1 files with secrets or personal data" in format_summary(manifest)


def test_copies_that_differ_in_personal_data_only_are_one(tmp_path: Path) -> None:
    for name, mail in (("a+one", MAIL), ("b+two", "joe" + "@firm.io")):
        new_repository(tmp_path / name, {"LICENSE": MIT, "x.py": f"# by {mail}\n{CODE}"})
    manifest = prepare(CorpusRecipe(sources=(f"{tmp_path}/*+*",), processes=1), tmp_path / "out")
    assert manifest["reasons"] == {"duplicate": 1}
    assert manifest["scrubbed"]["files"] == 1
