"""Snippets: what a name means, what is alike, never the file itself, and the same each time."""

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.snippets.search import SnippetSearch
from model.fim import Snippet
from tests.code_samples import SAMPLES

STORE = '''"""Where parcels lie."""

LARGEST_PARCEL = 40


class ParcelStore(Base):
    """Keeps parcels."""

    def __init__(
        self,
        root: Path,
        *,
        largest: int = LARGEST_PARCEL,
    ) -> None:
        self.root = root

    def put_parcel(self, parcel, shelf):
        """Put it there."""
        self.shelves[shelf] = parcel
        return parcel.weight


def weigh_parcel(parcel, scale=None):
    total = sum(each.weight for each in parcel.things)
    return scale.rounded(total)
'''
MAIN = "from shop.store import ParcelStore\n\n\ndef run(root):\n    store = ParcelStore("
# So many files use these names that sharing them makes no code alike.
USED = {f"use{n}.py": "# weigh_parcel put_parcel parcel\n" for n in range(12)}
ALIKE = """def export_invoices(customer, folder):
    for invoice in customer.open_invoices():
        target = folder / invoice.file_name
        invoice.write_pdf(target)
        customer.mark_exported(invoice, target)
    return customer.exported_count
"""


def shown(
    files: dict[str, str],
    before: str,
    after: str = "",
    *,
    path: str = "shop/main.py",
    budget_chars: int = 800,
) -> list[Snippet]:
    source = SnippetSearch(files.items())
    return source.snippets(path=path, before=before, after=after, budget_chars=budget_chars)


def test_imported_class_shows_the_headers_of_its_members() -> None:
    (snippet,) = shown({"shop/store.py": STORE}, MAIN)
    assert snippet.path == "shop/store.py"
    assert snippet.text.splitlines() == [
        "class ParcelStore(Base):",
        "    def __init__(self, root: Path, *, largest: int = LARGEST_PARCEL,) -> None:",
        "    def put_parcel(self, parcel, shelf):",
    ]


def test_called_function_shows_its_header_and_first_lines() -> None:
    (snippet,) = shown({"shop/store.py": STORE}, "def main(it):\n    return weigh_parcel(")
    assert snippet.text.startswith("def weigh_parcel(parcel, scale=None):\n    total = ")


def test_method_is_shown_where_an_attribute_has_its_name() -> None:
    files = {"shop/store.py": STORE} | USED
    (snippet,) = shown(files, "def main(it):\n    it.put_parcel(")
    assert snippet.text.startswith("    def put_parcel(self, parcel, shelf):")
    assert shown(files, "def main(it):\n    put_parcel = 1\n") == []


def test_name_that_the_file_defines_itself_is_not_looked_up() -> None:
    own = "def weigh_parcel(parcel):\n    return 1\n\n\nprint(weigh_parcel("
    assert shown({"shop/store.py": STORE} | USED, own) == []
    assert shown({"shop/store.py": STORE} | USED, own[own.index("print") :]) != []


def test_name_defined_all_over_the_place_means_nothing() -> None:
    files = {f"a{n}.py": f"def setup_module(number):\n    return {n} * number\n" for n in range(9)}
    assert shown(files, "x = setup_module(") == []
    assert shown(dict([*files.items()][:2]), "x = setup_module(")


def test_imported_file_is_preferred() -> None:
    files = {
        name: f"def load_all(names):\n    return '{name}'\n"
        for name in ("alpha.py", "beta.py", "gamma.py")
    }
    snippets = shown(files, "from beta import load_all\n\nx = load_all(", budget_chars=1_000)
    assert snippets[-1].path == "beta.py"


def test_code_alike_is_shown_from_just_above_the_line_that_is_most_alike() -> None:
    noise = {
        f"n{n}.py": "".join(f"value_{n}_{i} = other_{i}\n" for i in range(30)) for n in range(9)
    }
    before = (
        "def export_receipts(customer, folder):\n    for receipt in customer.open_receipts():\n"
        "        target = folder / receipt.file_name\n        receipt.write_pdf(target)\n"
    )
    (snippet,) = shown(noise | {"shop/invoices.py": ALIKE}, before, path="shop/receipts.py")
    assert snippet.path == "shop/invoices.py"
    assert "customer.mark_exported(invoice, target)" in snippet.text


def test_definitions_stand_before_code_that_is_alike_so_the_best_is_last() -> None:
    before = ALIKE.replace("invoice", "receipt") + "\nweigh_parcel("
    snippets = shown({"shop/store.py": STORE, "shop/invoices.py": ALIKE}, before)
    assert [snippet.path for snippet in snippets] == ["shop/invoices.py", "shop/store.py"]


def test_file_itself_and_a_near_copy_of_it_are_not_shown() -> None:
    assert shown({"shop/main.py": STORE}, STORE, path="shop/main.py") == []
    copy = STORE.replace("root: Path", "root: str")
    assert shown({"old/main.py": copy}, STORE, path="shop/main.py") == []
    assert (
        shown({"old/main.py": copy}, MAIN, path="shop/main.py") != []
    )  # only its name is the same


def test_budget_is_kept_and_none_gives_nothing() -> None:
    files = {"shop/store.py": STORE, "shop/invoices.py": ALIKE}
    before = ALIKE.replace("invoice", "receipt") + MAIN
    for budget in (0, 30, 100, 200, 400, 1_000):
        snippets = shown(files, before, budget_chars=budget)
        assert sum(len(each.path) + len(each.text) + 2 for each in snippets) <= budget
    assert shown(files, before, budget_chars=0) == []


def test_nothing_is_found_in_nothing() -> None:
    assert shown({}, MAIN) == []
    assert shown({"a.py": "", "b.py": "\n\n", "c.bin": "\x00" * 50}, MAIN) == []
    assert shown({"shop/store.py": STORE}, "") == []


@settings(max_examples=40)
@given(data=st.data(), budget=st.integers(0, 1_500))
def test_any_cursor_gets_whole_short_and_repeatable_snippets(
    data: st.DataObject, budget: int
) -> None:
    files = {f"src/{name}": text for name, text in SAMPLES.items()} | {"shop/store.py": STORE}
    path = data.draw(st.sampled_from(sorted(files)))
    text = files[path]
    at = data.draw(st.integers(0, len(text)))
    first, again = (
        shown(files, text[:at], text[at:], path=path, budget_chars=budget) for _ in range(2)
    )
    assert first == again
    assert all(snippet.path != path and snippet.text.strip() for snippet in first)
    assert sum(len(each.path) + len(each.text) + 2 for each in first) <= budget


def test_several_threads_may_ask() -> None:
    source = SnippetSearch([("shop/store.py", STORE), ("shop/invoices.py", ALIKE)])

    def ask(n: int) -> list[Snippet]:
        before = ALIKE.replace("invoice", "receipt") if n % 2 else MAIN
        return source.snippets(path="shop/main.py", before=before, after="", budget_chars=600)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(40)))
    assert answers[::2] == [answers[0]] * 20
    assert answers[1::2] == [answers[1]] * 20
