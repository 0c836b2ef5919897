"""The programming languages that the assistant knows: names, files, lexical habits, grammars.

A grammar is imported on first use and kept; a language without an installed grammar still works by
the text rules. So does other code, of which nothing is known but how its files are called.
"""

import functools
import importlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import tree_sitter


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)  # compared and hashed by identity
class Language:
    """What the text rules and the syntax trees need to know about one language."""

    name: str
    extensions: tuple[str, ...]
    ids: tuple[str, ...]  # LSP language identifiers
    blocks: Literal["indent", "brace"]
    comment: str  # begins a comment that ends with the line
    block_comment: tuple[str, str] | None = None
    quotes: tuple[str, ...]  # string delimiters, longest first
    multi_line_quotes: tuple[str, ...] = ()  # those whose strings may span lines
    char_literals: bool = False  # ' delimits one character, not a string
    grammar_module: str
    grammar_function: str = "language"


PYTHON = Language(
    name="python",
    extensions=(".py", ".pyi", ".pyw"),
    ids=("python",),
    blocks="indent",
    comment="#",
    quotes=('"""', "'''", '"', "'"),
    multi_line_quotes=('"""', "'''"),
    grammar_module="tree_sitter_python",
)


def _braced(name: str, extensions: str, ids: str, grammar: str, **habits: Any) -> Language:
    """Return a language with blocks in braces and C's comments."""
    usual: dict[str, Any] = {"quotes": ('"',), "char_literals": True}
    return Language(
        name=name,
        extensions=(*extensions.split(),),
        ids=(*ids.split(),),
        blocks="brace",
        comment="//",
        block_comment=("/*", "*/"),
        grammar_module=grammar,
        **usual | habits,
    )


_JS, _TS = "tree_sitter_javascript", "tree_sitter_typescript"
_TEXT_BLOCKS = {"quotes": ('"""', '"'), "multi_line_quotes": ('"""',)}
_RAW = {"quotes": ('"', "`"), "multi_line_quotes": ("`",)}
_SCRIPT: dict[str, Any] = _RAW | {"quotes": ('"', "'", "`"), "char_literals": False}
_TYPED = _SCRIPT | {"grammar_function": "language_typescript"}
_BRACED = (
    _braced("javascript", ".js .jsx .mjs .cjs", "javascript javascriptreact", _JS, **_SCRIPT),
    _braced("typescript", ".ts .mts .cts", "typescript", _TS, **_TYPED),
    _braced("tsx", ".tsx", "typescriptreact", _TS, grammar_function="language_tsx", **_SCRIPT),
    _braced("go", ".go", "go", "tree_sitter_go", **_RAW),
    _braced("rust", ".rs", "rust", "tree_sitter_rust", multi_line_quotes=('"',)),
    _braced("java", ".java", "java", "tree_sitter_java", **_TEXT_BLOCKS),
    _braced("c", ".c .h", "c", "tree_sitter_c"),
    _braced("cpp", ".cpp .cc .cxx .hpp .hh .hxx", "cpp c++", "tree_sitter_cpp"),
)

LANGUAGES: dict[str, Language] = {language.name: language for language in (PYTHON, *_BRACED)}
_BY_ID = {
    key: language for language in LANGUAGES.values() for key in (language.name, *language.ids)
}
_BY_EXTENSION = {
    extension: language for language in LANGUAGES.values() for extension in language.extensions
}


_OTHER_ENDINGS = frozenset(
    ".rb .php .kt .kts .scala .swift .m .mm .cs .fs .vb .lua .pl .pm .r .jl .dart .ex .exs .erl"
    " .hs .ml .mli .clj .cljs .el .lisp .scm .zig .nim .d .pas .f90 .f .sh .bash .zsh .fish .ps1"
    " .sql .vue .svelte .proto .thrift .graphql .gradle .groovy .cmake .mk .bzl .star .tf .hcl"
    " .nix .vim .cu .cuh .metal .glsl .hlsl .sol .v .vhd .pyx .pxd .css .scss .less .html .jinja"
    " .j2".split()
)
_OTHER_NAMES = frozenset("makefile dockerfile rakefile gemfile justfile cmakelists.txt".split())
_OTHER_DATA = frozenset(".yaml .yml .toml".split())  # typed by hand, and read as code is
# What editors call the same languages; scripts and unsaved documents have no ending.
_OTHER_IDS = frozenset(
    "ruby php kotlin scala swift objective-c objective-cpp objc objcpp csharp cs fsharp vb lua perl"
    " r julia dart elixir erlang haskell ocaml clojure elisp lisp scheme zig nim d pascal"
    " fortran shellscript sh bash zsh fish powershell sql vue svelte proto thrift graphql groovy"
    " cmake makefile make dockerfile bzl starlark terraform hcl nix vim css scss less html jinja"
    " cython cuda cuda-cpp glsl hlsl solidity verilog vhdl yaml toml".split()
)


def is_other_code(path: str) -> bool:
    """Say whether a file is code, by its name, of a language that has no `Language` here."""
    name = PurePosixPath(path)
    return name.suffix.lower() in _OTHER_ENDINGS or name.name.lower() in _OTHER_NAMES


def is_text_completed(path: str, language_id: str | None = None) -> bool:
    """Say whether lines of a document may be completed by text alone: other code, typed data."""
    path = path.replace("\\", "/")
    is_named = is_other_code(path) or PurePosixPath(path).suffix.lower() in _OTHER_DATA
    return is_named or (language_id or "").lower() in _OTHER_IDS


@functools.lru_cache(maxsize=256)  # asked several times for each key
def language_of(path: str, language_id: str | None = None) -> Language | None:
    """Return the language of a document; the editor's identifier outranks the file's name.

    An identifier that we do not know ("plaintext", "jinja") falls back to the extension.
    """
    if language_id is not None and language_id.lower() in _BY_ID:
        return _BY_ID[language_id.lower()]
    return _BY_EXTENSION.get(PurePosixPath(path.replace("\\", "/")).suffix.lower())


def language_name(path: str) -> str:
    """Return the name of the language that a file's name says, "" for none that is known."""
    language = language_of(path)
    return language.name if language else ""


@functools.cache
def grammar(name: str) -> "tree_sitter.Language | None":
    """Return the tree-sitter grammar of the language called `name`, or None if not installed."""
    language = LANGUAGES[name]
    try:
        module = importlib.import_module(language.grammar_module)
    except ImportError:
        return None
    import tree_sitter

    return tree_sitter.Language(getattr(module, language.grammar_function)())
