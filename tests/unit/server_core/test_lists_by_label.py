"""A list by label is the whole list, filtered, whatever was written before; and it does not look at the whole."""

import json
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from headstay.local.server import codec
from headstay.local.server.listing import Selection, candidates, list_page
from headstay.local.server.store import Store, StoreKey
from headstay.model.selectors import parse_label_selector

LABELS = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2", "3"]))
KEYS = st.builds(StoreKey, st.just("things"), st.sampled_from(["n", "n-m", "o"]), st.sampled_from(["x", "y", "z"]))
WRITES = st.lists(st.tuples(KEYS, st.none() | LABELS), max_size=40)
SELECTORS = ["", "a=1", "a in (1,2)", "a=1,b=2", "a,b=3", "a!=1", "!b", "a notin (1),b in (2,3)"]


def labelled(labels: dict[str, str]) -> Callable[[int], bytes]:
    return lambda _revision: json.dumps({"metadata": {"labels": labels}}).encode()


def written(writes: list[tuple[StoreKey, dict[str, str] | None]]) -> Store:
    """A store after these writes; None deletes."""
    store = Store(":memory:", codec.labels_of)
    for key, labels in writes:
        held = store.get(key)
        if labels is not None:
            store.put(key, labelled(labels), expected=held.revision if held else 0)
        elif held is not None:
            store.delete(key, labelled({}), expected=held.revision)
    return store


@settings(deadline=None)
@given(text=st.sampled_from(SELECTORS), writes=WRITES, namespace=st.sampled_from(["", "n", "n-m", "o", "none"]))
def test_a_list_by_label_is_the_list_of_all_filtered(
    text: str, writes: list[tuple[StoreKey, dict[str, str] | None]], namespace: str
) -> None:
    store = written(writes)
    selection = Selection(namespace, labels=parse_label_selector(text))
    found = list_page(store, "things", selection, limit=0, token="").items

    assert found == [row for row in store.entries("things") if selection.matches(*row)]
    store.close()


@settings(deadline=None)
@given(writes=WRITES, limit=st.integers(1, 3))
def test_pages_of_a_list_by_label_together_are_the_list(
    writes: list[tuple[StoreKey, dict[str, str] | None]], limit: int
) -> None:
    store = written(writes)
    selection = Selection(labels=parse_label_selector("a in (1,2)"))
    whole = list_page(store, "things", selection, limit=0, token="").items
    page = list_page(store, "things", selection, limit=limit, token="")
    found = page.items
    while page.continue_token:
        page = list_page(store, "things", selection, limit=limit, token=page.continue_token)
        found = found + page.items
    assert found == whole
    store.close()


def test_a_list_by_label_looks_at_nobody_else() -> None:
    store = written([(StoreKey("things", "n", str(number)), {"a": str(number % 50)}) for number in range(1000)])
    selection = Selection("n", labels=parse_label_selector("a=7,a"))
    assert len(list(candidates(store, "things", selection))) == 20
    store.close()
