"""A shell on a pseudo-terminal, driven line by line, as a person would type into it.

The quickstart and the test of `docs/quickstart.md` both use it: `kubectl exec -it` behaves differently without a
terminal, and `export` must hold from one line to the next.
"""

import os
import re
import secrets
import time
from typing import NamedTuple, Self

import pexpect

_ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\r")

_WHERE_IS_THE_CURSOR = "\x1b[6n"
_QUIET_SECONDS = 0.3
"""So long without output, and a program has finished drawing what was typed."""


class Result(NamedTuple):
    """What a command printed (without terminal control sequences) and its exit code."""

    output: str
    code: int

    @property
    def last_line(self) -> str:
        lines = [line for line in self.output.splitlines() if line.strip()]
        return lines[-1].strip() if lines else ""


class TerminalTimeoutError(Exception):
    """The command did not come back in time. `output` is what it had printed so far."""

    def __init__(self, command: str, seconds: float, output: str) -> None:
        super().__init__(f"no prompt within {seconds:.0f} s of: {command}")
        self.output = output


def plain(text: str) -> str:
    return _ANSI.sub("", text)


class Shell:
    """One bash that keeps its variables. Use as a context manager; leaving it ends what still runs in it."""

    def __init__(self, environment: dict[str, str], *, columns: int = 160) -> None:
        self._columns = columns
        self._prompt = f"<{secrets.token_hex(6)}>"
        self._process: pexpect.spawn[str] = pexpect.spawn(
            "bash",
            ["--noprofile", "--norc"],
            env={**os.environ, **environment, "PS1": "", "PS2": "", "TERM": "xterm"},
            dimensions=(50, columns),
            echo=False,
            encoding="utf-8",
            codec_errors="replace",
        )
        self._process.delaybeforesend = None
        # Assembled by the shell, so that the terminal's echo of this very line cannot match it.
        half = len(self._prompt) // 2
        self._process.sendline(
            f"bind 'set enable-bracketed-paste off' 2>/dev/null; PS1='{self._prompt[:half]}''{self._prompt[half:]}'"
        )
        self._process.expect_exact(self._prompt, timeout=10)
        self.run("stty -echo", timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._process.close(force=True)

    def run(self, command: str, *, timeout: float) -> Result:
        """Types `command` and waits for the prompt. Raises TerminalTimeoutError after `timeout` seconds."""
        self._process.sendline(command)
        output = self._until(self._prompt, command, timeout)
        self._process.sendline('echo "$?"')
        code = self._until(self._prompt, command, 10).strip().splitlines()
        return Result(output, int(code[-1]) if code and code[-1].strip().isdigit() else -1)

    def converse(self, command: str, prompt: str, lines: list[str], *, timeout: float) -> list[str]:
        """Starts an interactive program, types each line at its `prompt`, leaves with `exit`.

        Returns what the program printed before its first prompt, then one answer for each line.
        """
        # Programs that leave the echo to the terminal get it back, so that a newline answers the Enter key.
        self._process.sendline(f"stty echo; {command}; stty -echo")
        answers = [self._until(prompt, command, timeout)]
        for line in lines:
            self._enter(line, timeout)
            answers.append(self._until(prompt, line, timeout))
        self._enter("exit", timeout)
        self._until(self._prompt, "exit", timeout)
        return answers

    def _enter(self, line: str, timeout: float) -> None:
        """Types a line at a program that may draw its prompt anew with every key, as redis-cli does.

        So the prompt means something again only after the newline that answers the Enter key; and Enter is a
        carriage return, which only a cooked terminal turns into a newline.
        """
        self._process.send(line)
        while self._process.expect_exact([_WHERE_IS_THE_CURSOR, pexpect.TIMEOUT, pexpect.EOF], _QUIET_SECONDS) == 0:
            self._say_where_the_cursor_is()
        self._process.send("\r")
        self._until("\n", line, timeout)

    def _until(self, marker: str, command: str, timeout: float) -> str:
        """What comes before `marker`."""
        deadline = time.monotonic() + timeout
        seen = ""
        while True:
            found = self._process.expect_exact(
                [marker, _WHERE_IS_THE_CURSOR, pexpect.TIMEOUT, pexpect.EOF], max(deadline - time.monotonic(), 0)
            )
            seen += self._process.before or ""
            if found == 0:
                return plain(seen).strip("\n")
            if found != 1:
                raise TerminalTimeoutError(command, timeout, plain(seen))
            self._say_where_the_cursor_is()

    def _say_where_the_cursor_is(self) -> None:
        """As any terminal does: redis-cli asks when it starts before its terminal has got a size."""
        self._process.send(f"\x1b[1;{self._columns}R")
