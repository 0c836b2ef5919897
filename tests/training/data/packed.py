"""Rows of documents whose only neighbours are each other."""

from collections import defaultdict
from collections.abc import Sequence

from model.tokenizer import Tokenizer
from training.data.corpus import Document
from training.data.rows import CrossFileSnippets, Packed, PackSettings, pack_documents


def neighbours_of(documents: Sequence[Document]) -> CrossFileSnippets:
    files: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for document in documents:
        files[document.source].append((document.path, document.text))
    return CrossFileSnippets(lambda source: files[source])


def pack_alone(
    documents: Sequence[Document], tokenizer: Tokenizer, settings: PackSettings, *, epoch: int = 0
) -> Packed:
    neighbours = neighbours_of(documents)
    return pack_documents(documents, tokenizer, settings, epoch=epoch, neighbours=neighbours)
