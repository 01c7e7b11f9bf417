"""SQL text as pg_dump writes it, taken apart into statements and words without running any."""

from __future__ import annotations

import re

_PIECE = re.compile(
    r"""
      (?P<comment> --[^\n]* | ^\\(?:un)?restrict[ ][A-Za-z0-9]+$ )
    | (?P<blank> \s+ )
    | (?P<end> ; )
    | (?P<word> [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")+"
              | [^\s;'"()=,]++(?!') | [()=,] )
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")


def statements(text: str) -> list[tuple[str, ...]]:
    """The statements in `text`, each as its words; quoted ones keep their quotes.

    Comments are left out. Raises ValueError where the text is not of that kind: a quote is left
    open, a statement does not end.
    """
    found: list[tuple[str, ...]] = []
    words: list[str] = []
    position = 0
    while position < len(text):
        match = _PIECE.match(text, position)
        if match is None:
            raise ValueError(f"it cannot be taken apart at character {position}")
        position = match.end()
        if match["word"]:
            words.append(match["word"])
        elif match["end"] and words:
            found.append(tuple(words))
            words = []
    if words:
        raise ValueError("its last statement does not end")
    return found


def name(word: str) -> str:
    """The name that a word stands for: `"Mixed"` is Mixed, Plain is plain.

    Raises ValueError for what is no name, a string for instance.
    """
    if word.startswith('"'):
        return word[1:-1].replace('""', '"')
    if not _PLAIN.fullmatch(word.lower()):
        raise ValueError(f"{word[:60]!r} is not a name")
    return word.lower()


def quoted(text: str) -> str:
    """A name as it is always understood: in quotes."""
    return '"' + text.replace('"', '""') + '"'
