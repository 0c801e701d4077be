"""Read the corpus of the language model: the news stories in gensim's test data, in the form of the Penn Treebank's.

Words are in lower case and without punctuation, a number is ``N``, a sentence ends with ``<eos>``, and a word that is
not in the vocabulary is ``<unk>``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wavecore.errors import FileError, InputError

UNKNOWN, END, NUMBER = "<unk>", "<eos>", "N"
FILE = "test/test_data/lee_background.cor"
FOLD = 10
"""Of each 10 documents, the ninth is for validation and the tenth for the test."""

Tokens = npt.NDArray[np.int64]

_SENTENCE = re.compile(r"[.?!]+[\"')]*(?=\s|$)")
_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*|\d+(?:[.,:]\d+)*")


@dataclass(frozen=True, slots=True)
class Corpus:
    """A text as indices into its vocabulary, in three parts that share no document.

    The vocabulary is made from the training part alone.
    """

    vocabulary: tuple[str, ...]
    train: Tokens
    valid: Tokens
    test: Tokens


def corpus_file() -> Path:
    """Return the corpus file of the installed gensim, without importing it.

    Raises `InputError` if gensim is not installed, `FileError` if it does not have the file.
    """
    found = find_spec("gensim")
    if found is None or found.origin is None:
        what = "gensim, whose test data is the corpus, is not installed"
        raise InputError("train iss", what, 'pip install "wavecore[torch]"')
    path = Path(found.origin).parent / FILE
    if not path.is_file():
        raise FileError(str(path), "the installed gensim has no such test data", "pip install --force-reinstall gensim")
    return path


def read_corpus(size: int, count: int | None = None) -> Corpus:
    """Return the corpus with a vocabulary of up to ``size`` words, and its first ``count`` training words (or all)."""
    path = corpus_file()
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FileError(str(path), f"cannot be read ({error.strerror})") from error
    return make_corpus(text.splitlines(), size, count)


def make_corpus(documents: Iterable[str], size: int, count: int | None = None) -> Corpus:
    """Return the corpus of ``documents``; `InputError` if a part is empty or there are fewer than ``count`` words."""
    train, valid, test = (list(chain.from_iterable(map(words, part))) for part in split_documents(documents))
    if not (train and valid and test):
        raise InputError("corpus", "has too few documents to train, validate and test", f"{FOLD} or more")
    if count is not None and count > len(train):
        raise InputError("--samples", f"the corpus has {len(train)} words to train on", f"at most {len(train)}")
    known = vocabulary(train[:count], size)
    return Corpus(known, encode(train[:count], known), encode(valid, known), encode(test, known))


def split_documents(documents: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Return the documents for training, validation and test; repetitions of a document are left out."""
    distinct = list(dict.fromkeys(document.strip() for document in documents if document.strip()))
    part_of = {FOLD - 2: 1, FOLD - 1: 2}
    parts: tuple[list[str], list[str], list[str]] = [], [], []
    for index, document in enumerate(distinct):
        parts[part_of.get(index % FOLD, 0)].append(document)
    return parts


def words(document: str) -> Iterator[str]:
    """Yield the words of a document, with ``<eos>`` after every sentence."""
    for sentence in _SENTENCE.split(document):
        found = _WORD.findall(sentence.lower())
        if found:
            yield from (NUMBER if word[0].isdigit() else word for word in found)
            yield END


def vocabulary(text: Sequence[str], size: int) -> tuple[str, ...]:
    """Return ``<unk>``, ``<eos>`` and the most frequent words, at most ``size`` in all; ties are in alphabetical order.

    Words that occur only once are left out.  Raises `InputError` for a ``size`` below 3.
    """
    if size < 3:
        raise InputError("vocabulary", f"{size} leaves no word besides {UNKNOWN} and {END}", "3 or more")
    counts = Counter(word for word in text if word != END)
    ranked = sorted((word for word, count in counts.items() if count > 1), key=lambda word: (-counts[word], word))
    return (UNKNOWN, END, *ranked[: size - 2])


def encode(text: Iterable[str], known: Sequence[str]) -> Tokens:
    """Return the indices of words in a vocabulary, that of ``<unk>`` for other words."""
    index = {word: number for number, word in enumerate(known)}
    return np.array([index.get(word, index[UNKNOWN]) for word in text], dtype=np.int64)


def windows(tokens: Tokens, batch: int, steps: int) -> Iterator[tuple[Tokens, Tokens]]:
    """Yield inputs and the tokens that follow them, each (steps, batch), window by window through ``batch`` streams.

    A stream is a contiguous part of the text, so that the network's state can be carried from one window to the next;
    the last window may be shorter.  Raises `InputError` if the text is too short for streams of one step.
    """
    length = (len(tokens) - 1) // batch
    if length < 1:
        raise InputError(
            "corpus", f"{len(tokens)} tokens are too few for a batch of {batch}", f"1 to {len(tokens) - 1}"
        )
    inputs = tokens[: batch * length].reshape(batch, length).T
    targets = tokens[1 : batch * length + 1].reshape(batch, length).T
    for start in range(0, length, steps):
        yield inputs[start : start + steps], targets[start : start + steps]
