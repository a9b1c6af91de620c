"""What the quickstart accepts as success, and what it says otherwise."""

import pytest

from headstay.cli.quickstart import steps
from headstay.cli.quickstart.steps import Seen
from headstay.cli.quickstart.terminal import Shell, TerminalTimeoutError, plain

PODS = """\
NAME                                                 READY   STATUS    RESTARTS      AGE
headstay-operator-5d4f-abcde                         1/1     Running   0             1m
raycluster-external-redis-head-xxxxx                 {head}
raycluster-external-redis-small-group-worker-yyyyy   1/1     Running   0             1m
redis-7c9-zzzzz                                      1/1     Running   0             1m
"""


def test_four_running_pods_are_enough() -> None:
    output = PODS.format(head="1/1     Running   0             1m")
    assert steps.four_pods_running(output, Seen()) == ""


def test_a_pod_that_is_not_ready_is_named() -> None:
    output = PODS.format(head="0/1     Pending   0             1m")
    assert steps.four_pods_running(output, Seen()) == "raycluster-external-redis-head-xxxxx is Pending 0/1"


def test_a_restarted_head_beside_an_untouched_worker_is_what_the_guide_shows() -> None:
    output = PODS.format(head="1/1     Running   1 (64s ago)   3m")
    assert steps.head_restarted_worker_did_not(output, Seen()) == ""


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ("1/1     Running   0             3m", "the head has 0 restarts"),
        ("0/1     Running   1 (4s ago)    3m", "raycluster-external-redis-head-xxxxx: not ready yet"),
    ],
)
def test_a_head_that_is_not_back_is_waited_for(head: str, why: str) -> None:
    assert steps.head_restarted_worker_did_not(PODS.format(head=head), Seen()) == why


def test_a_restarted_worker_fails_the_step() -> None:
    output = PODS.format(head="1/1     Running   1 (4s ago)    3m").replace(
        "1/1     Running   0 ", "1/1     Running   2 "
    )
    assert steps.head_restarted_worker_did_not(output, Seen()) == "the worker has 2 restarts"


def test_the_counter_is_the_last_line() -> None:
    assert steps.counter_is(2)("2026-01-01 INFO Connected to Ray cluster.\n2\n", Seen()) == ""
    assert steps.counter_is(2)("1", Seen()) == "the last line is '1'"


def test_the_environment_is_read_from_json_behind_other_output() -> None:
    output = 'noise\n[{"name": "RAY_gcs_rpc_server_reconnect_timeout_s", "value": "600"}]'
    assert steps.timeout_is_600(output, Seen()) == ""
    assert steps.no_timeout_set(output, Seen()) == "it is set to '600'"


def test_every_guide_step_is_there_in_order() -> None:
    assert [step.number for step in steps.steps("sample.yaml", operator_here=True)] == [
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "9",
    ]


def test_the_shell_keeps_variables_and_reports_exit_codes() -> None:
    with Shell({}) as shell:
        shell.run("export COUNT=41", timeout=5)
        assert shell.run("echo $((COUNT + 1))", timeout=5) == ("42", 0)
        assert shell.run("false", timeout=5).code == 1
        assert shell.run("test -t 0 && echo terminal", timeout=5).output == "terminal"


def test_the_shell_converses_with_a_program_at_its_own_prompt() -> None:
    program = """python3 -c 'while (line := input("ask> ")) != "exit": print(line.upper())'"""
    with Shell({}) as shell:
        answers = shell.converse(program, "ask> ", ["one", "two"], timeout=10)
        assert [answer.splitlines()[-1] for answer in answers[1:]] == ["ONE", "TWO"]
        assert shell.run("echo still here", timeout=5).output == "still here"


def test_a_command_that_does_not_end_is_given_up_with_what_it_printed() -> None:
    with Shell({}) as shell, pytest.raises(TerminalTimeoutError, match="sleep 60") as caught:
        shell.run("echo before; sleep 60", timeout=0.5)
    assert caught.value.output.strip() == "before"


def test_terminal_control_sequences_are_left_out() -> None:
    assert plain("\x1b[1;32mgreen\x1b[0m\r\n") == "green\n"
