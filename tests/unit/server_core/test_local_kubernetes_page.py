"""The page about the local Kubernetes says what the code and the list of differences say."""

from tests.conformance.page import PAGE, with_generated_parts


def test_the_page_names_what_is_served_and_every_listed_difference() -> None:
    text = PAGE.read_text()
    assert text == with_generated_parts(text), "run: python -m tests.conformance.page"
