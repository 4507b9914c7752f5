"""Devices that load a node: examples/crowd.rs behind its standard input."""

import queue
import subprocess
import threading


class Failed(Exception):
    """Something did not come about; the text is for the user."""


class Crowd:
    """The program, connected to `HOST:PORT`."""

    def __init__(self, program, node):
        self.child = subprocess.Popen(
            [program, node], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.lines = queue.Queue()
        self.errors = []
        for stream, take in ((self.child.stdout, self.lines.put), (self.child.stderr, self.errors.append)):
            threading.Thread(target=self.read, args=(stream, take), daemon=True).start()

    @staticmethod
    def read(stream, take):
        for line in stream:
            take(line.strip())
        take("")

    def ask(self, words, patience=300):
        """One line in, one line out."""
        try:
            self.child.stdin.write(words + "\n")
            self.child.stdin.flush()
            answer = self.lines.get(timeout=patience)
        except (OSError, queue.Empty) as error:
            raise Failed(f"the devices did not answer to `{words}`: {self.said() or error!r}") from error
        if not answer:
            raise Failed(f"the devices' program ended at `{words}`: {self.said()}")
        return answer

    def said(self):
        return " ".join(line for line in self.errors[-5:] if line)

    def close(self):
        self.child.kill()
        self.child.wait()
