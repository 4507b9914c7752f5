"""Runs a program in a terminal of its own and does to it what a person does.

Reads one JSON object from standard input: argv, rows, columns, environment and
steps. A step is one of
    {"wait": TEXT}              until the program has written TEXT since the step before
    {"resize": [ROWS, COLUMNS]} the window has another size
    {"send": TEXT}              keys
    {"signal": NUMBER}          to the program
    {"say": TEXT}               one line on our standard output, for the test; goes on
                                when it answers with a line
Writes one JSON object: code (exit), seen (what was written in each wait, and at
last up to the end), restored (whether the terminal is set as before).
"""

import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios
import time

LIMIT = 30.0


def size(descriptor, rows, columns):
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def main():
    task = json.loads(sys.stdin.readline())
    controller, terminal = pty.openpty()
    size(terminal, task["rows"], task["columns"])
    before = termios.tcgetattr(terminal)
    child = os.fork()
    if child == 0:
        os.close(controller)
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        for descriptor in (0, 1, 2):
            os.dup2(terminal, descriptor)
        os.environ.update(task["environment"])
        os.execv(task["argv"][0], task["argv"])
    seen = []
    end = time.monotonic() + LIMIT

    def read(until):
        text = b""
        while time.monotonic() < end:
            ready, _, _ = select.select([controller], [], [], 0.05)
            if ready:
                try:
                    text += os.read(controller, 65536)
                except OSError:
                    break
            if until is not None and until.encode() in text:
                break
            if until is None and not ready:
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    return text, status
        return text, None

    for step in task["steps"]:
        if "wait" in step:
            text, _ = read(step["wait"])
            seen.append(text.decode(errors="replace"))
        elif "resize" in step:
            size(terminal, *step["resize"])
        elif "send" in step:
            os.write(controller, step["send"].encode())
        elif "signal" in step:
            os.kill(child, step["signal"])
        elif "say" in step:
            print(json.dumps(step), flush=True)
            sys.stdin.readline()
    text, status = read(None)
    seen.append(text.decode(errors="replace"))
    if status is None:
        os.kill(child, 9)
        _, status = os.waitpid(child, 0)
    restored = termios.tcgetattr(terminal) == before
    print(json.dumps({
        "code": os.waitstatus_to_exitcode(status),
        "seen": seen,
        "restored": restored,
    }), flush=True)


main()
