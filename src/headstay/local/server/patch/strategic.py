"""Strategic merge patch: a merge patch that knows lists of named things, and takes directives.

Invariant: a patch computed by kubectl from two versions of an object (merge keys, `$patch`,
`$deleteFromPrimitiveList`, `$setElementOrder`, `$retainKeys`) turns the first into the second, whatever others
changed beside. Order, strongest first: `$setElementOrder`, the patch's own list, the live list.
"""

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from headstay.local.server import codec
from headstay.local.server.patch.wording import bad_request, broken, go_value, not_applicable, require_object
from headstay.local.server.seams import Schema
from headstay.model.objects import Obj

PATCH = "$patch"
RETAIN_KEYS = "$retainKeys"
DELETE_FROM_PRIMITIVE_LIST = "$deleteFromPrimitiveList/"
SET_ELEMENT_ORDER = "$setElementOrder/"
_DIRECTIVES = (PATCH, RETAIN_KEYS, DELETE_FROM_PRIMITIVE_LIST, SET_ELEMENT_ORDER)


def strategic_merge_patch(schema: Schema, live: Obj, patch: Obj) -> Obj:
    require_object(patch)
    return _merge_map(schema, codec.copied(live), codec.copied(patch))


def _merge_map(schema: Schema | None, live: Obj, patch: Obj) -> Obj:
    """`live` with `patch` merged in; both are ours to change."""
    if PATCH in patch:
        return _replaced_map(patch)
    _retain_keys(live, patch)
    for key in [key for key in patch if key.startswith(SET_ELEMENT_ORDER)]:
        _merge_ordered_list(schema, live, patch, key)
    for key, value in patch.items():
        if key.startswith(DELETE_FROM_PRIMITIVE_LIST):
            _delete_from_primitive_list(live, key.removeprefix(DELETE_FROM_PRIMITIVE_LIST), value)
        elif value is None:
            live.pop(key, None)
        else:
            live[key] = _merge_value(schema.property(key) if schema else None, live.get(key), value)
    return live


def _merge_value(schema: Schema | None, live: Any, patch: Any) -> Any:
    strategy = schema.patch_strategy if schema else frozenset()
    if isinstance(live, dict) and isinstance(patch, dict):
        return patch if "replace" in strategy else _merge_map(schema, live, patch)
    if isinstance(live, list) and isinstance(patch, list) and "merge" in strategy and schema:
        return _merge_list(schema, live, patch)
    return _without_directives(patch)


def _replaced_map(patch: Obj) -> Obj:
    directive = patch.pop(PATCH)
    if directive == "replace":
        return patch
    if directive == "delete":
        return {}
    raise broken(f"unknown patch type: {go_value(directive)} in map: {go_value(patch | {PATCH: directive})}")


def _retain_keys(live: Obj, patch: Obj) -> None:
    """Drops from `live` what the directive does not name; the patch may not set anything else either."""
    if RETAIN_KEYS not in patch:
        return
    keep = patch.pop(RETAIN_KEYS)
    if not isinstance(keep, list):
        raise bad_request("invalid patch format of retainKeys")
    for key, value in patch.items():
        directive = key.startswith((DELETE_FROM_PRIMITIVE_LIST, SET_ELEMENT_ORDER))
        if value is not None and not directive and key not in keep:
            raise bad_request("invalid patch format of retainKeys")
    for key in [key for key in live if key not in keep]:
        del live[key]


def _delete_from_primitive_list(live: Obj, key: str, values: Any) -> None:
    if not key or not isinstance(values, list):
        raise bad_request("invalid patch format of primitive list")
    if isinstance(live.get(key), list):
        live[key] = [item for item in live[key] if not _contains(values, item)]


def _merge_ordered_list(schema: Schema | None, live: Obj, patch: Obj, directive: str) -> None:
    """One `$setElementOrder/<key>` with the patch's list of the same key, both taken out of the patch."""
    order = patch.pop(directive)
    key = directive.removeprefix(SET_ELEMENT_ORDER)
    child = schema.property(key) if schema else None
    merge_key = child.patch_merge_key if child else ""
    before, changes = live.get(key), patch.get(key)
    if not key or not isinstance(order, list):
        raise bad_request("invalid patch format of setElementOrder list")
    if (before is not None and not isinstance(before, list)) or (changes is not None and not isinstance(changes, list)):
        raise bad_request("invalid patch format of setElementOrder list")
    _check_order(changes or [], order, merge_key)
    if before is None and changes is None:
        return
    deletions = patch.pop(DELETE_FROM_PRIMITIVE_LIST + key, None)
    if deletions is not None:
        _delete_from_primitive_list(live, key, deletions)
    patch.pop(key, None)
    kept = live.get(key) or []
    if before is None:
        merged = _without_directives(changes)
    elif changes is None:
        merged = kept
    else:
        merged = _merge_value(child, kept, changes)
    live[key] = _ordered(merged, order, before or [], merge_key)


def _check_order(changes: list[Any], order: list[Any], merge_key: str) -> None:
    """Refuses a patch list with an item that its own order list lacks, or has in another order."""
    wanted = [item for item in changes if not (isinstance(item, dict) and PATCH in item)]
    if not order or not wanted:
        return
    found = iter(order)
    for item in wanted:
        if not any(_key(item, merge_key) == _key(candidate, merge_key) for candidate in found):
            raise broken(
                f"The order in patch list:\n{go_value(changes)}\n "
                f"doesn't match {SET_ELEMENT_ORDER[:-1]} list:\n{go_value(order)}\n"
            )


def _merge_list(schema: Schema, live: list[Any], patch: list[Any]) -> list[Any]:
    kinds = [type(item) for item in (*live, *patch)]
    if kinds[:1] == [list]:
        raise not_applicable()
    if len(set(kinds)) > 1:
        raise broken(f"list element types are not identical: {go_value([live, patch])}")
    if kinds[:1] != [dict]:
        merged = _unique([*live, *patch])
        return _ordered(merged, patch, live, "")
    merge_key = schema.patch_merge_key
    if not merge_key:
        raise broken("cannot merge lists without merge key for type map")
    return _merge_list_of_maps(schema, live, patch, merge_key)


def _merge_list_of_maps(schema: Schema, live: list[Any], patch: list[Any], merge_key: str) -> list[Any]:
    plain: list[Obj] = []
    replace = False
    before = list(live)
    for item in patch:
        match item.get(PATCH):
            case None:
                plain.append(item)
            case "delete":
                doomed = _required_key(item, merge_key)
                live = [other for other in live if _key(other, merge_key) != doomed]
            case "replace":
                replace = True
            case "merge":
                raise broken("merging lists cannot yet be specified in the patch")
            case other:
                raise broken(f"unknown patch type: {go_value(other)} in map: {go_value(item)}")
    if replace:
        return [_without_directives(item) for item in plain]
    merged = list(live)
    for item in plain:
        wanted = _required_key(item, merge_key)
        position = next((at for at, other in enumerate(merged) if _key(other, merge_key) == wanted), None)
        if position is None:
            merged.append(_without_directives(item))
        else:
            merged[position] = _merge_map(schema.items, merged[position], deepcopy(item))
    for item in merged:
        _required_key(item, merge_key)
    return _ordered(merged, plain, before, merge_key)


def _ordered(items: list[Any], patch_order: list[Any], live_order: list[Any], merge_key: str) -> list[Any]:
    """`items` with those of `patch_order` in its order, and the others put where the live list had them."""
    ranks = {key: rank for rank, key in reversed(list(enumerate(_keys(patch_order, merge_key))))}
    live_ranks = {key: rank for rank, key in reversed(list(enumerate(_keys(live_order, merge_key))))}
    named = sorted((item for item in items if _key(item, merge_key) in ranks), key=lambda i: ranks[_key(i, merge_key)])
    others = [item for item in items if _key(item, merge_key) not in ranks]
    # Items that neither list had came with the patch; they keep their place at the end.
    others.sort(key=lambda item: live_ranks.get(_key(item, merge_key), len(live_ranks)))
    return _interleaved(others, named, live_ranks, merge_key)


def _interleaved(others: list[Any], named: list[Any], live_ranks: dict[Any, int], merge_key: str) -> list[Any]:
    result: list[Any] = []
    left, right = 0, 0
    while left < len(others) and right < len(named):
        other = live_ranks.get(_key(others[left], merge_key))
        name = live_ranks.get(_key(named[right], merge_key))
        if other is not None and name is not None and other < name:
            result.append(others[left])
            left += 1
        else:
            result.append(named[right])
            right += 1
    return [*result, *named[right:], *others[left:]]


def _without_directives(value: Any) -> Any:
    """A part of the patch that has nothing live to merge with: nulls and directives mean nothing there."""
    if isinstance(value, dict):
        if value.get(PATCH) == "delete":
            return {}
        return {
            key: _without_directives(item)
            for key, item in value.items()
            if item is not None and not key.startswith(_DIRECTIVES)
        }
    if isinstance(value, list):
        return [
            _without_directives(item)
            for item in value
            if not (isinstance(item, dict) and (item.get(PATCH) == "delete" or item.keys() == {PATCH}))
        ]
    return value


def _key(item: Any, merge_key: str) -> Any:
    """What tells list items apart: the merge key's value, or the item itself; with its type, since True == 1."""
    value = item.get(merge_key) if merge_key and isinstance(item, dict) else item
    return (type(value).__name__, value) if not isinstance(value, dict | list) else (type(value).__name__, repr(value))


def _keys(items: Iterable[Any], merge_key: str) -> list[Any]:
    return [_key(item, merge_key) for item in items]


def _required_key(item: Obj, merge_key: str) -> Any:
    if merge_key not in item:
        raise broken(f"map: {go_value(item)} does not contain declared merge key: {merge_key}")
    return _key(item, merge_key)


def _contains(values: list[Any], item: Any) -> bool:
    return any(_key(value, "") == _key(item, "") for value in values)


def _unique(items: list[Any]) -> list[Any]:
    return list({_key(item, ""): item for item in reversed(items)}.values())[::-1]
