"""Runs a command at a pseudo-terminal, under a small shell, as a person does.

    python3 terminal.py COMMAND [ARG ...]

What is written to standard input is typed at the terminal, and what the
terminal shows comes out of standard output: the terminal's name, then what the
command prints, then "code: N" when the command has ended. The shell stays
until it is killed, so that what the command left behind stays too.
"""

import os
import pty
import signal
import sys


def shell(command):
    """Gives the command the terminal, and says how it ended."""
    print(os.ttyname(0), flush=True)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execvp(command[0], command)
    _, status = os.waitpid(child, 0)
    # Before the terminal is the shell's, as Ctrl+C may be typed several times.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.tcsetpgrp(0, os.getpgrp())
    code = os.waitstatus_to_exitcode(status)
    print(f"code: {code if code >= 0 else 128 - code}", flush=True)
    signal.pause()


if sys.argv[1] == "--shell":
    shell(sys.argv[2:])
else:
    pty.spawn([sys.executable, __file__, "--shell", *sys.argv[1:]])
