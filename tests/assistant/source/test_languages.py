import pytest

from assistant.source.languages import LANGUAGES, grammar, is_text_completed, language_of


@pytest.mark.parametrize(
    ("path", "language_id", "name"),
    [
        ("a.py", None, "python"),
        ("a.pyi", None, "python"),
        ("dir.py/a.js", None, "javascript"),
        ("a.jsx", None, "javascript"),
        ("a.ts", None, "typescript"),
        ("a.tsx", None, "tsx"),
        ("a.tsx", "typescriptreact", "tsx"),
        ("a.go", None, "go"),
        ("a.rs", None, "rust"),
        ("A.java", None, "java"),
        ("a.c", None, "c"),
        ("a.h", None, "c"),
        ("a.h", "cpp", "cpp"),
        ("a.h", "c++", "cpp"),
        ("A.CPP", None, "cpp"),
        ("C:\\src\\a.rs", None, "rust"),
        ("untitled", "Python", "python"),
        ("a.py", "plaintext", "python"),
    ],
)
def test_language_comes_from_identifier_then_extension(path, language_id, name):
    language = language_of(path, language_id)
    assert language is not None
    assert language.name == name


@pytest.mark.parametrize("path", ["a.unknown", "Makefile", "", ".py", "a."])
def test_unknown_files_have_no_language(path):
    assert language_of(path) is None


@pytest.mark.parametrize(
    ("path", "language_id", "is_completed"),
    [
        ("scripts/check", "shellscript", True),
        ("scripts/check", "sh", True),
        ("scripts/check", None, False),
        ("untitled:Untitled-1", "Ruby", True),
        ("notes", "markdown", False),
        ("notes.txt", "plaintext", False),
        ("a.rb", "plaintext", True),
    ],
)
def test_code_without_an_ending_is_told_by_the_editor(
    path: str, language_id: str | None, is_completed: bool
) -> None:
    assert is_text_completed(path, language_id) is is_completed


@pytest.mark.parametrize("name", LANGUAGES)
def test_grammar_of_every_language_is_installed(name):
    assert grammar(name) is not None


def test_grammar_is_kept():
    assert grammar("python") is grammar("python")


def test_extensions_and_identifiers_are_unambiguous():
    for pick in ("extensions", "ids"):
        every = [word for language in LANGUAGES.values() for word in getattr(language, pick)]
        assert len(every) == len(set(every))
