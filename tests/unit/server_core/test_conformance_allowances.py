"""How a difference between the two servers is matched with the listed ones."""

import re

from tests.conformance.transcript import Allowed, Difference, allowance, scrub


def entry(local: str, judge: str, transcript: str = "") -> Allowed:
    return Allowed("cosmetic", "why", transcript, re.compile(local, re.DOTALL), re.compile(judge, re.DOTALL))


def difference(local: str, judge: str) -> Difference:
    return Difference("one", 1, "kubectl", local, judge)


def test_an_entry_must_match_the_whole_passage_of_both_sides() -> None:
    listed = entry("a.*", "b")
    assert allowance(difference("a1", "b"), [listed]) == [listed]
    assert allowance(difference("xa1", "b"), [listed]) == []
    assert allowance(difference("a1", "bb"), [listed]) == []


def test_an_entry_of_another_transcript_explains_nothing() -> None:
    assert allowance(difference("a", "b"), [entry("a", "b", "other")]) == []


def test_entries_of_one_side_explain_single_lines_but_each_line_needs_one() -> None:
    here, there = entry("a", ""), entry("", "b")
    assert allowance(difference("a\na", "b"), [here, there]) == [here, here, there]
    assert allowance(difference("a\nx", "b"), [here, there]) == []


def test_what_differs_by_nature_is_replaced() -> None:
    text = 'web-7d9f8c6b5-x2x4z 10.0.0.7 resourceVersion: "12" 2026-01-01T00:00:00Z https://127.0.0.1:6445 3m ago'
    assert scrub(text) == 'web-<hash>-<random> <address> resourceVersion: "<rv>" <time> <server> <age> ago'


def test_the_causes_of_a_refusal_have_no_order() -> None:
    assert scrub("invalid:\n* b\n* a\n") == scrub("invalid:\n* a\n* b\n")
