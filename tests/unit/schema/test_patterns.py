"""RE2 patterns through the CEL library's engine."""

import pytest

from headstay.local.server.schema.patterns import matches, translate


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^a$", "a", True),
        ("^a$", "a\n", False),
        ("b", "abc", True),
        (r"^\d+$", "12", True),
        (r"^\d+$", "\u0663", False),
        (r"^[\w-]+$", "a_b-c", True),
        (r"^[^\d]$", "x", True),
        (r"^[[:alpha:]]+$", "abc", True),
        (r"^[a[]$", "[", True),
        (r"^[]a]$", "]", True),
        (r"^[^]a]$", "]", False),
        (r"^[&&]$", "&", True),
        (r"\Aab\z", "ab", True),
        (r"^\p{L}$", "é", True),
        (r"\[x\]", "[x]", True),
        ("^(?i)ABC$", "abc", True),
    ],
)
def test_patterns_match_as_in_re2(pattern: str, text: str, found: bool) -> None:
    assert matches(pattern, text) is found


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "a(", r"\C", "[a"])
def test_what_is_no_re2_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="error parsing regexp"):
        translate(pattern)


def test_no_pattern_takes_long() -> None:
    assert not matches("^(a+)+$", "a" * 5000 + "b")
