"""Tables of results, and whether a run has failed."""

import dataclasses
import time

PASS, FAIL, SKIP = "pass", "FAIL", "skip"


@dataclasses.dataclass
class Cell:
    name: str
    state: str
    note: str = ""
    seconds: float = 0.0
    must_pass: bool = True


class Report:
    """One table. `must_pass` of a cell says whether its failure fails the run."""

    def __init__(self, title):
        self.title, self.cells, self.started = title, [], time.monotonic()

    def add(self, name, state, note="", seconds=0.0, must_pass=True):
        self.cells.append(Cell(name, state, " ".join(note.split()), seconds, must_pass))
        print(f"  {state:4}  {name}{f'  ({seconds:.1f} s)' if seconds else ''}{f'  {note.strip()[:600]}' if note else ''}", flush=True)

    def check(self, name, act, must_pass=True):
        """Passes when `act` returns; its result is the note. Fails with the words of what it raises."""
        began = time.monotonic()
        try:
            note = act() or ""
            self.add(name, PASS, note, time.monotonic() - began, must_pass)
            return True
        except Skipped as reason:
            self.add(name, SKIP, str(reason), time.monotonic() - began, must_pass)
        except Exception as error:  # whatever a client does is a result
            self.add(name, FAIL, f"{type(error).__name__}: {error}", time.monotonic() - began, must_pass)
        return False

    def failed(self):
        return [c for c in self.cells if c.state == FAIL and c.must_pass]

    def count(self, state):
        return sum(c.state == state for c in self.cells)

    def markdown(self):
        head = f"### {self.title}\n\n{self.summary()}\n\n| what | result | note |\n|---|---|---|\n"
        return head + "".join(f"| {c.name} | {c.state} | {c.note[:300].replace('|', '&#124;')} |\n" for c in self.cells)

    def summary(self):
        took = time.monotonic() - self.started
        return f"{self.count(PASS)} passed, {self.count(FAIL)} failed, {self.count(SKIP)} skipped, {took:.0f} s"


class Skipped(Exception):
    """Raised by a check that cannot be made here; the text says why."""


class Wrong(Exception):
    """Raised by a check that saw something else than expected."""


def expect(condition, text):
    if not condition:
        raise Wrong(text)
