"""Commands with a time limit whose children end with them."""

import dataclasses
import os
import signal
import subprocess


@dataclasses.dataclass
class Done:
    code: int
    out: str
    err: str
    timed_out: bool = False

    def complaint(self, length=400):
        """What went wrong, in few words: the end of what the command said."""
        said = (self.err.strip() or self.out.strip())[-length:]
        return ("timed out; " if self.timed_out else "") + f"exit {self.code}: {said}"


class Background:
    """A command that runs until it is stopped; its output goes to a file."""

    def __init__(self, command, log, **settings):
        self.log = log
        with open(log, "ab") as file:
            self.child = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.PIPE, stdout=file, stderr=settings.pop("stderr", file),
                start_new_session=True, **settings,
            )

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def ended(self):
        return self.child.poll() is not None

    def close_stdin(self):
        self.child.stdin.close()

    def wait(self, seconds):
        """True when it ended by itself in time."""
        try:
            self.child.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            return False

    def kill(self, number=signal.SIGKILL):
        end_group(self.child, number)
        self.child.wait()


def end_group(child, number):
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        pass


def run(command, seconds=120, stdin="", **settings):
    """Runs to the end or to the limit. Output that is no UTF-8 is shown with replacement characters."""
    child = subprocess.Popen(
        list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, text=True, encoding="utf-8", errors="replace", **settings,
    )
    try:
        out, err = child.communicate(stdin, seconds)
        return Done(child.returncode, out, err)
    except subprocess.TimeoutExpired:
        end_group(child, signal.SIGKILL)
        out, err = child.communicate()
        return Done(child.returncode, out, err, timed_out=True)
