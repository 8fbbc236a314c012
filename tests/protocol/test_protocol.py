"""Every interleaving of the protocol within its bounds; and each design that lacks a part of it is found to be broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from protocol_designs import LEASE, LOCAL, OURS, PODS, SECOND_LINES, Row
from protocol_search import Model, explore, put

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"


@pytest.mark.fault("A3", "A4", "A5", "A7", "A11", "A17", "B1", "B4", "B7", "E31")
@pytest.mark.parametrize("name", OURS)
def test_in_no_interleaving_is_a_promise_broken_and_from_every_state_an_end_can_be_reached(name: str) -> None:
    found = explore(OURS[name]())
    assert not found.problem, f"\n{found}"


@pytest.mark.parametrize("row", [*LOCAL, *PODS, *LEASE], ids=lambda row: row.without)
def test_a_design_that_lacks_a_part_is_found_broken(row: Row) -> None:
    found = explore(row.model)
    assert found.problem == row.finds, f"\n{found}"
    assert found.story


@pytest.mark.parametrize("name", SECOND_LINES)
def test_what_is_only_a_second_line_of_defence_is_known_to_be_one(name: str) -> None:
    found = explore(SECOND_LINES[name]())
    assert not found.problem, f"the page calls {name} a second line of defence, but it holds something alone:\n{found}"


def test_the_page_has_the_tables_that_were_searched() -> None:
    page = PAGE.read_text()
    for rows in (LOCAL, PODS, LEASE):
        assert "\n".join(f"| {row.without} | {row.finds} |" for row in rows) in page


# -- the search itself ------------------------------------------------------------------------------------------------

UP, STUCK = 0, 1


def counting(wrong_at: int = -1, stuck_at: int = -1) -> Model:
    """Counts to five; a fault may take a step back, which is no way to an end."""

    def moves(s):
        if s[UP] < 5 and s[UP] != stuck_at:
            yield "one up", put(s, UP, s[UP] + 1)

    def faults(s):
        if s[UP] == stuck_at:
            yield "a jump", put(s, UP, s[UP] + 1)

    return Model((0, 0), moves, faults, lambda s: "wrong" if s[UP] == wrong_at else "", lambda s: s[UP] == 5)


def test_the_search_tells_the_shortest_story_of_what_is_wrong() -> None:
    found = explore(counting(wrong_at=2))
    assert (found.problem, found.story) == ("wrong", ("one up", "one up"))
    assert str(found) == "wrong\n  1. one up\n  2. one up"


def test_a_way_out_that_needs_a_fault_is_none() -> None:
    assert explore(counting()).problem == ""
    found = explore(counting(stuck_at=3))
    assert found.problem == "from here on it can never come to an end"
    assert explore(counting(stuck_at=3)).story == ()  # the start is stuck too: nothing gets past three


def test_a_model_that_is_too_large_is_refused() -> None:
    with pytest.raises(AssertionError, match="more than 3 states"):
        explore(counting(), most=3)
