import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstay.local.server.patch.fieldset import EMPTY, FieldSet, Path, printed

elements = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'k:{"name":"y"}', 'v:"a"', "v:1", "i:0"])
paths = st.lists(elements, min_size=1, max_size=3).map(tuple)
path_sets = st.sets(paths, max_size=12)


def test_a_set_is_written_as_kubernetes_writes_it() -> None:
    found = FieldSet.of(
        [
            ("f:metadata", "f:labels"),
            ("f:metadata", "f:labels", "f:app"),
            ("f:spec", "f:containers", 'k:{"name":"c"}', "f:image"),
            ("f:metadata", "f:finalizers", 'v:"x"'),
        ]
    )
    document = {
        "f:metadata": {"f:finalizers": {'v:"x"': {}}, "f:labels": {".": {}, "f:app": {}}},
        "f:spec": {"f:containers": {'k:{"name":"c"}': {"f:image": {}}}},
    }
    assert found.to_json() == document
    assert FieldSet.from_json(document) == found


def test_keys_are_the_same_however_they_are_spaced_and_sorted() -> None:
    assert FieldSet.from_json({'k:{"protocol": "TCP", "port": 80}': {}}) == FieldSet.of(
        [('k:{"port":80,"protocol":"TCP"}',)]
    )


@pytest.mark.parametrize("document", [[], {"x:a": {}}, {"k:1": {}}, {"k:{": {}}, {"f:a": []}, {"f:a": {"f:b": 3}}])
def test_what_is_no_field_set_is_refused(document: object) -> None:
    with pytest.raises(ValueError):
        FieldSet.from_json(document)


def test_paths_are_printed_as_in_conflicts() -> None:
    path = ("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:name")
    assert printed(path) == '.spec.ports[port=80,protocol="TCP"].name'
    assert printed(("f:metadata", "f:finalizers", 'v:"a"')) == '.metadata.finalizers[="a"]'


@settings(max_examples=40, deadline=None)
@given(one=path_sets, other=path_sets)
def test_the_operations_are_those_of_sets_of_paths(one: set[Path], other: set[Path]) -> None:
    left, right = FieldSet.of(one), FieldSet.of(other)
    assert set(left.paths()) == one
    assert FieldSet.from_json(left.to_json()) == left
    assert set(left.union(right).paths()) == one | other
    assert set(left.intersection(right).paths()) == one & other
    assert set(left.difference(right).paths()) == one - other
    assert set(left.without(right).paths()) == {
        path for path in one if not any(path[: len(top)] == top for top in other)
    }
    assert all(path in left for path in one)
    assert not any(path in left for path in other - one)
    assert bool(left) == bool(one)
    assert left.difference(left) == EMPTY
