"""The language model's corpus: words, vocabulary, split by documents, windows."""

from importlib.machinery import ModuleSpec

import numpy as np
import pytest

from wavecore.errors import FileError, InputError
from wavecore.methods import corpus
from wavecore.methods.corpus import make_corpus, read_corpus, split_documents, vocabulary, windows, words


def test_words_are_in_the_form_of_the_penn_treebank() -> None:
    text = "The U-boat's crew of 1,200 (at 4:30pm) paid $1.5 million. \"It's over!\" Then?"
    assert " ".join(words(text)) == "the u-boat's crew of N at N pm paid N million <eos> it's over <eos> then <eos>"
    assert list(words(" ... ")) == []


def test_the_vocabulary_is_by_frequency_then_by_the_alphabet() -> None:
    text = [*"babacccd", "<eos>", "<eos>"]
    assert vocabulary(text, 10) == ("<unk>", "<eos>", "c", "a", "b")
    assert vocabulary(text, 4) == ("<unk>", "<eos>", "c", "a")


def test_documents_are_in_one_part_each() -> None:
    documents = [f"document {number}" for number in range(20)]
    train, valid, test = split_documents([*documents, documents[0], " "])
    assert sorted(train + valid + test) == sorted(documents)
    assert (valid, test) == ([documents[8], documents[18]], [documents[9], documents[19]])


def test_what_is_not_in_the_vocabulary_is_unknown() -> None:
    made = make_corpus(["one one two two.", *(f"word{i} one." for i in "abcdefgh"), "two three."], 4)
    assert made.vocabulary == ("<unk>", "<eos>", "one", "two")
    assert made.test.tolist() == [3, 0, 1]
    assert make_corpus([f"a{i} b b." for i in "abcdefghij"], 9, 4).train.tolist() == [0, 2, 2, 1]


def test_the_whole_corpus() -> None:
    made = read_corpus(2000)
    assert (len(made.vocabulary), len(made.train), len(made.valid), len(made.test)) == (2000, 48225, 6890, 6271)
    assert made.vocabulary[:4] == ("<unk>", "<eos>", "the", "to")
    for part in (made.train, made.valid, made.test):
        assert part.min() == 0 and part.max() < 2000 and (part == 0).mean() < 0.19
    assert np.array_equal(read_corpus(2000, 500).test.shape, made.test.shape)


@pytest.mark.parametrize(("batch", "steps", "sizes"), [(2, 3, [3, 2]), (1, 4, [4, 4, 3]), (11, 9, [1])])
def test_streams_go_on_from_window_to_window(batch: int, steps: int, sizes: list[int]) -> None:
    tokens = np.arange(12)
    seen = list(windows(tokens, batch, steps))
    assert [len(inputs) for inputs, _ in seen] == sizes
    inputs = np.concatenate([each for each, _ in seen]).T
    assert inputs.ravel().tolist() == list(range(inputs.size))
    for read, following in seen:
        assert np.array_equal(following, read + 1)


def test_too_little_of_everything() -> None:
    with pytest.raises(InputError, match="2 leaves no word besides <unk> and <eos>; try: 3 or more"):
        vocabulary([], 2)
    with pytest.raises(InputError, match="corpus: has too few documents to train, validate and test; try: 10 or more"):
        make_corpus(["a b."] * 20, 10)
    with pytest.raises(InputError, match="corpus: 3 tokens are too few for a batch of 3; try: 1 to 2"):
        list(windows(np.arange(3), 3, 1))
    with pytest.raises(InputError, match="--samples: the corpus has 48225 words to train on; try: at most 48225"):
        read_corpus(2000, 48226)


def test_gensim_is_not_there_or_not_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "find_spec", lambda name: None)
    with pytest.raises(InputError) as caught:
        read_corpus(2000)
    assert caught.value.message == (
        'train iss: gensim, whose test data is the corpus, is not installed; try: pip install "wavecore[torch]"'
    )
    monkeypatch.setattr(corpus, "find_spec", lambda name: ModuleSpec(name, None, origin="/nowhere/gensim/__init__.py"))
    with pytest.raises(FileError, match=r"lee_background\.cor: the installed gensim has no such test data"):
        read_corpus(2000)
