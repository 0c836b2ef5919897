"""Archives as sources: the same files as unpacked, and none of the tricks an archive can play."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.repositories import MIT
from training.data import archives
from training.data.archives import ArchiveError, contents, is_archive, sizes
from training.data.corpus import Split
from training.data.prepare import prepare
from training.data.recipe import CorpusRecipe
from training.data.sources import Source, open_source

CODE = "".join(f"def area_{i}(width):\n    return width * {i}\n\n" for i in range(10))
FILES = {"pkg-1.2/LICENSE": MIT, "pkg-1.2/pkg/a.py": CODE, "pkg-1.2/pkg/größe.py": "x = 1\n"}


def new_tar(path: Path, files: Mapping[str, str], extra: tuple[tarfile.TarInfo, ...] = ()) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            item = tarfile.TarInfo(name)
            item.size = len(text.encode())
            archive.addfile(item, io.BytesIO(text.encode()))
        for item in extra:
            archive.addfile(item)
    return path


def new_zip(path: Path, files: Mapping[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def texts(source: Source, max_bytes: int = 10_000) -> dict[str, str | None]:
    entries = source.entries()
    read = source.read(entries, max_bytes=max_bytes)
    return {
        entry.path: None if content is None else content.decode()
        for entry, content in zip(entries, read, strict=True)
    }


@pytest.mark.parametrize("ending", [".tar.gz", ".tgz", ".zip"])
def test_archive_holds_what_was_packed_without_its_one_folder(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"pkg-1.2{ending}"
    (new_zip if ending == ".zip" else new_tar)(path, FILES)
    source = open_source(path)
    assert texts(source) == {name.partition("/")[2]: text for name, text in FILES.items()}
    assert (source.kind, source.name, source.version) == ("archive", "pkg", "1.2")
    assert len(source.sha256) == 64
    assert list(tmp_path.iterdir()) == [path]


def test_name_may_be_given_or_have_an_owner(tmp_path: Path) -> None:
    path = new_zip(tmp_path / "some+lib.zip", FILES)
    assert (open_source(path).name, open_source(path).version) == ("some/lib", "")
    assert open_source(path, "other/name").name == "other/name"


def test_files_beside_folders_keep_their_whole_names(tmp_path: Path) -> None:
    path = new_zip(tmp_path / "a.zip", {"setup.py": "x", "pkg/a.py": "y"})
    assert texts(open_source(path)) == {"setup.py": "x", "pkg/a.py": "y"}


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../up.py", "pkg/../../up.py", "C:\\a.py", "a\\b.py", "a\nb.py"]
)
def test_names_that_climb_out_are_left_out(tmp_path: Path, name: str) -> None:
    files = {name: "bad", "pkg/good.py": "good"}
    for path in (new_tar(tmp_path / "a.tar.gz", files), new_zip(tmp_path / "a.zip", files)):
        assert sizes(path) == {"pkg/good.py": 4}


def test_only_regular_files_count_and_of_a_name_the_first(tmp_path: Path) -> None:
    extra = []
    for kind, target in ((tarfile.SYMTYPE, "/etc/passwd"), (tarfile.LNKTYPE, "p/a.py")):
        item = tarfile.TarInfo(f"p/link{kind.decode()}.py")
        item.type, item.linkname = kind, target
        extra.append(item)
    for kind in (tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
        item = tarfile.TarInfo(f"p/odd{kind.decode()}.py")
        item.type = kind
        extra.append(item)
    again = tarfile.TarInfo("p/a.py")
    path = new_tar(tmp_path / "a.tar.gz", {"p/a.py": "a = 1\n"}, (*extra, again))
    assert contents(path, ["p/a.py"], max_bytes=100) == {"p/a.py": b"a = 1\n"}
    assert sizes(path) == {"p/a.py": 6}


def test_link_in_a_zip_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    link = zipfile.ZipInfo("p/link.py")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("p/a.py", "a = 1\n")
    assert sizes(path) == {"p/a.py": 6}


def test_long_file_is_not_unpacked(tmp_path: Path) -> None:
    files = {"p/a.py": "a" * 1000, "p/b.py": "b"}
    for path in (new_tar(tmp_path / "a.tar.gz", files), new_zip(tmp_path / "a.zip", files)):
        assert texts(open_source(path), max_bytes=999) == {"a.py": None, "b.py": "b"}


@pytest.mark.parametrize("name", ["bomb.tar.gz", "bomb.zip"])
def test_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 50_000)
    new = new_zip if name.endswith("zip") else new_tar
    path = new(tmp_path / name, {f"{i}.py": "0" * 10_000 for i in range(6)})
    with pytest.raises(ArchiveError, match="unpacks to more than 50000 bytes"):
        sizes(path)


def test_archive_of_too_many_members_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    path = new_tar(tmp_path / "a.tar.gz", {"a": "", "b": "", "c": ""})
    with pytest.raises(ArchiveError, match="more than 2 members"):
        sizes(path)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip"])
def test_damaged_archive_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for content in (b"", b"no archive", gzip.compress(b"no tar" * 200)[:-9]):
        path.write_bytes(content)
        with pytest.raises(ArchiveError, match=f"cannot read .*{name}"):
            sizes(path)


def test_only_names_we_can_read_are_archives() -> None:
    names = ["a.tar.gz", "A.ZIP", "a.tgz", "a.tar", "a.gz", "a.whl", "zip"]
    assert [is_archive(Path(name)) for name in names] == [True] * 3 + [False] * 4


def test_archives_become_a_corpus_and_a_broken_one_is_said(tmp_path: Path) -> None:
    new_tar(tmp_path / "pkg-1.2.tar.gz", FILES)
    (tmp_path / "broken-0.1.zip").write_bytes(b"no archive")
    (tmp_path / "notes.txt").write_text("no source")
    recipe = CorpusRecipe(sources=(f"{tmp_path}/*",), processes=1)
    manifest = prepare(recipe, tmp_path / "out")
    assert [(d.source, d.path, d.text) for d in Split(tmp_path / "out")] == [
        ("pkg", "pkg/a.py", CODE)
    ]
    rows = [(row["name"], row["version"], row["refused"]) for row in manifest["sources"]]
    assert rows == [("broken", "0.1", "unreadable"), ("pkg", "1.2", "")]
