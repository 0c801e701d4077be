"""Whatever is put, forgotten and reopened, by two sweeps in turns, the store says what a dictionary would."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from wavecore.sweep.store import ResultStore, open_store
from wavecore.sweep.task import Outcome, Scalar

KEYS = [f"k{number}" for number in range(6)]

scalars: st.SearchStrategy[Scalar] = st.one_of(
    st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)
)
results = st.builds(
    Outcome,
    key=st.sampled_from(KEYS),
    metrics=st.dictionaries(st.text(max_size=5), scalars, max_size=4),
    error=st.none(),
    seconds=st.floats(0, 1e6),
)
failures = st.builds(
    Outcome, key=st.sampled_from(KEYS), metrics=st.none(), error=st.text(max_size=9), seconds=st.floats(0, 1e6)
)
chosen = st.lists(st.sampled_from(KEYS), unique=True)
which = st.integers(0, 1)


class TwoSweeps(RuleBasedStateMachine):
    """Two sweeps on one store, and the dictionary that it should be."""

    @initialize()
    def begin(self) -> None:
        self.expected: dict[str, Outcome] = {}
        self.everything = ExitStack()
        self.path = Path(self.everything.enter_context(tempfile.TemporaryDirectory())) / "store"
        self.files = [ExitStack(), ExitStack()]
        self.stores: list[ResultStore] = [file.enter_context(open_store(self.path)) for file in self.files]

    @rule(sweep=which, outcomes=st.lists(st.one_of(results, failures), max_size=4))
    def put(self, sweep: int, outcomes: list[Outcome]) -> None:
        self.stores[sweep].put(*outcomes)
        for outcome in outcomes:
            old = self.expected.get(outcome.key)
            if old is None or old.error is not None:
                self.expected[outcome.key] = outcome

    @rule(sweep=which, keys=chosen)
    def forget(self, sweep: int, keys: list[str]) -> None:
        there = [key for key in keys if self.expected.pop(key, None)]
        assert self.stores[sweep].forget(keys) == len(there)

    @rule(sweep=which, keys=chosen)
    def forget_failed(self, sweep: int, keys: list[str]) -> None:
        failed = [key for key in keys if key in self.expected and self.expected[key].error is not None]
        assert self.stores[sweep].forget_failed(keys) == len(failed)
        for key in failed:
            del self.expected[key]

    @rule(sweep=which)
    def reopen(self, sweep: int) -> None:
        self.files[sweep].close()
        self.stores[sweep] = self.files[sweep].enter_context(open_store(self.path))

    @invariant()
    def same(self) -> None:
        for store in getattr(self, "stores", []):
            assert store.get(KEYS) == self.expected

    def teardown(self) -> None:
        for file in getattr(self, "files", []):
            file.close()
        self.everything.close()


TwoSweeps.TestCase.settings = settings(max_examples=30, stateful_step_count=20)
TestStore = TwoSweeps.TestCase
