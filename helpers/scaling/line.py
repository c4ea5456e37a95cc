"""What waits in the model's queue: messages in pieces, a line of them, and a line for each message group.

A piece stands for messages that were sent at the same moment and have had the same fate since. Up to `EXACT` messages
each is a piece of its own.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

AGED_RECEIVES = 3
"""After so many receives a message no longer counts for the age of the oldest, on a standard queue (row F1)."""


class Origin:
    """Messages that were sent at one moment: how many have no end yet, and how many of those count for the age."""

    __slots__ = ("alive", "at", "counted")

    def __init__(self, at: int, number: int) -> None:
        self.at = at
        self.alive = self.counted = number


class Piece:
    """Some messages of one origin.

    Attributes
    ----------
    number : int
        How many; 0 when a run that was late has deleted them.
    receives : int
        How often they were received.
    group : int
        Their message group.
    name : str
        The id of a single message.
    waits : bool
        Whether they stand in the line.
    late : set of Piece or None
        What the run that lost them to the visibility timeout will still delete, this piece among it.
    """

    __slots__ = ("group", "late", "name", "number", "origin", "receives", "waits")

    def __init__(self, origin: Origin, number: int, group: int = 0, name: str = "") -> None:
        self.origin = origin
        self.number = number
        self.group = group
        self.name = name
        self.receives = 0
        self.waits = False
        self.late: set[Piece] | None = None

    def split(self, number: int) -> Piece:
        """Part so many messages from the piece and return them."""
        part = Piece(self.origin, number, self.group, self.name)
        part.receives, part.waits, part.late = self.receives, self.waits, self.late
        self.number -= number
        if self.late is not None:
            self.late.add(part)
        return part


class Line:
    """A standard queue's line: sent order, and what comes back goes to its end (row A75)."""

    def __init__(self, bury: Callable[[Piece], bool]) -> None:
        self._bury = bury
        self._pieces: deque[Piece] = deque()
        self.waiting = 0

    @property
    def receivable(self) -> int:
        """Messages that a receive may return now, as far as is known before it."""
        return self.waiting

    def put(self, piece: Piece) -> None:
        """Let a piece stand at the end."""
        piece.waits = True
        self.waiting += piece.number
        self._pieces.append(piece)

    def take(self, most: int) -> list[Piece]:
        """Take up to so many messages; those that were received too often are buried on the way."""
        taken: list[Piece] = []
        while most and self._pieces:
            piece = self._pieces[0]
            if not piece.number or self._bury(piece):
                self._pieces.popleft()
                continue
            part = piece.split(most) if piece.number > most else self._pieces.popleft()
            part.waits = False
            self.waiting -= part.number
            most -= part.number
            taken.append(part)
        return taken

    def free(self, piece: Piece) -> None:
        """Say that a piece no longer holds its group."""


class Groups(Line):
    """A FIFO queue's lines: a group whose messages are in flight gives out no others (rows B18, B19 and C79)."""

    def __init__(self, bury: Callable[[Piece], bool]) -> None:
        super().__init__(bury)
        self._lines: dict[int, deque[Piece]] = {}
        self._held: dict[int, int] = {}
        self._open: OrderedDict[int, None] = OrderedDict()

    @property
    def receivable(self) -> int:
        """Messages that a receive may return now, as far as is known before it."""
        return self.waiting if self._open else 0

    def put(self, piece: Piece) -> None:
        """Let a piece stand in its group: at the end, or where it stood if it comes back."""
        piece.waits = True
        self.waiting += piece.number
        line = self._lines.setdefault(piece.group, deque())
        if piece.receives:
            line.appendleft(piece)
        else:
            line.append(piece)
        self._offer(piece.group)

    def take(self, most: int) -> list[Piece]:
        """Take up to so many messages, as many as may be of one group before another."""
        taken: list[Piece] = []
        while most and self._open:
            group, _ = self._open.popitem(last=False)
            line = self._lines[group]
            while most and line:
                piece = line[0]
                if self._bury(piece):
                    line.popleft()
                    continue
                part = piece.split(most) if piece.number > most else line.popleft()
                part.waits = False
                self.waiting -= part.number
                most -= part.number
                self._held[group] = self._held.get(group, 0) + 1
                taken.append(part)
            self._offer(group)
        return taken

    def free(self, piece: Piece) -> None:
        """Say that a piece no longer holds its group."""
        self._held[piece.group] -= 1
        self._offer(piece.group)

    def _offer(self, group: int) -> None:
        if self._lines.get(group) and not self._held.get(group):
            self._open.setdefault(group)
        else:
            self._open.pop(group, None)
