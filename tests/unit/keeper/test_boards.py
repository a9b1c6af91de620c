"""The document that the keeper tells is the one that the operator reads."""

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from headstay.keeper.board import Board
from headstay.keeper.epoch import Marker
from headstay.model.keeper_state import KeeperState

E1 = Marker("e1", "New", "c1", at="2026-11-27T08:00:00Z")


def read(board: Board) -> KeeperState:
    """Strictly: a field that the contract does not know would go unread."""
    document = board.document()
    state = msgspec.convert(document, KeeperState)
    assert same(document, msgspec.to_builtins(state))
    return state


def same(told: Any, understood: Any) -> bool:
    return bool(msgspec.json.encode(told, order="sorted") == msgspec.json.encode(understood, order="sorted"))


def test_every_part_is_in_the_contract() -> None:
    board = Board("one")
    board.redis("Away", "Redis at redis:6379: timed out")
    board.storage("Marked", "", E1)
    board.sample(10, 2000)
    board.gcs("Serving")
    board.lost("Gone", "it ended with signal 9", time.monotonic())
    state = read(board)
    assert state.redis.why == "Redis at redis:6379: timed out"
    assert (state.storage.epoch, state.storage.keys, state.storage.bytes) == ("e1", 10, 2000)


CHANGES: list[Callable[[Board], None]] = [
    lambda board: board.gcs("Serving"),
    lambda board: board.redis("Answers"),
    lambda board: board.storage("Marked", "", E1),
]


@pytest.mark.parametrize("change", CHANGES, ids=["gcs", "redis", "storage"])
def test_a_change_has_a_number_of_its_own_and_its_repetition_has_none(change: Callable[[Board], None]) -> None:
    board = Board("one")
    before = board.sequence
    change(board)
    assert board.sequence == before + 1
    change(board)
    assert board.sequence == before + 1


def test_figures_wake_nobody() -> None:
    board = Board("one")
    before = board.sequence
    board.sample(1, 2)
    assert board.sequence == before


def test_a_revival_is_told_step_by_step() -> None:
    board = Board("one")
    board.gcs("Serving")
    board.lost("Silent", "it answers nothing", time.monotonic() - 11)
    board.gcs("Silent", "it answers nothing")
    (revival,) = read(board).revivals
    assert (revival.number, revival.verdict, revival.started, revival.serving) == (1, "Silent", None, None)
    assert 10.5 < revival.detected - revival.lost < 11.5
    board.started()
    board.gcs("Serving")
    (revival,) = read(board).revivals
    assert revival.started is not None
    assert revival.serving is not None
    assert revival.lost < revival.detected <= revival.started <= revival.serving


def test_the_last_ten_revivals_are_told() -> None:
    board = Board("one")
    for _ in range(13):
        board.lost("Gone", "", time.monotonic())
        board.started()
        board.gcs("Serving")
    assert [revival.number for revival in read(board).revivals] == list(range(4, 14))


def test_an_epoch_once_known_stays_known() -> None:
    board = Board("one")
    board.storage("Marked", "", E1)
    board.storage("Unknown", "NOPERM")
    assert (read(board).storage.epoch, read(board).storage.phase) == ("e1", "Unknown")


def test_a_gcs_is_ready_while_it_serves_and_a_moment_longer() -> None:
    board = Board("one")
    assert not board.serves(1000)
    board.gcs("Serving")
    assert board.serves(0.001)
    board.gcs("Gone", "it ended")
    assert board.serves(1000)
    time.sleep(0.02)
    assert not board.serves(0.01)
