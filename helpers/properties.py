"""What an archive says of the database itself: how to create it, whose it is, its settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from . import sqltext
from .errors import VerificationError
from .toc import Toc, decoder

_OPTIONS = (
    "ENCODING",
    "LOCALE_PROVIDER",
    "LOCALE",
    "LC_COLLATE",
    "LC_CTYPE",
    "ICU_LOCALE",
    "ICU_RULES",
    "BUILTIN_LOCALE",
)
"""Of CREATE DATABASE; a tablespace need not exist elsewhere."""


@dataclass(frozen=True)
class Properties:
    """A database's definition; `options` of CREATE DATABASE are SQL words by their names.

    `settings` and `grants` are statements as tuples of words, in which NAME stands for the
    database.
    """

    options: dict[str, str]
    owner: str | None
    settings: tuple[tuple[str, ...], ...]
    grants: tuple[tuple[str, ...], ...]

    @property
    def locales(self) -> tuple[tuple[str, str], ...]:
        """The locales that the server must know, with their providers: libc's beside any other."""
        kinds = [("libc", option) for option in ("LOCALE", "LC_COLLATE", "LC_CTYPE")]
        kinds += [("icu", "ICU_LOCALE"), ("builtin", "BUILTIN_LOCALE")]
        named = ((kind, self._text(option)) for kind, option in kinds)
        return tuple(dict.fromkeys((kind, text) for kind, text in named if text))

    @property
    def encoding(self) -> str | None:
        """The encoding as the server calls it."""
        return self._text("ENCODING")

    def _text(self, option: str) -> str | None:
        """A string among the options without its quotes."""
        word = self.options.get(option)
        return word[1:-1].replace("''", "'") if word else None

    @property
    def roles(self) -> set[str]:
        """The roles that the statements name."""
        named = {self.owner} if self.owner else set()
        for words in self.grants:
            start = max(words.index(w) for w in ("TO", "FROM") if w in words) + 1
            named |= {sqltext.name(word) for word in words[start : start + 1]} - {"public"}
        named |= {sqltext.name(words[2]) for words in self.settings if words[1] == "ROLE"}
        return named

    def created(self, name: str, major: int) -> str:
        """CREATE DATABASE for a server of that major version."""
        said = [
            f"{option} = {value}"
            for option, value in self.options.items()
            if option != "LOCALE_PROVIDER" or major >= 15
        ]
        return " ".join(["CREATE DATABASE", sqltext.quoted(name), "TEMPLATE = template0", *said])

    def statements(self, name: str, *, owners: bool) -> Iterator[str]:
        """What gives a database of that name the same settings, and owner and grants if wanted."""
        place = sqltext.quoted(name)
        if owners and self.owner:
            yield f"ALTER DATABASE {place} OWNER TO {sqltext.quoted(self.owner)}"
        for words in (*self.settings, *(self.grants if owners else ())):
            yield " ".join(place if word == NAME else word for word in words)


NAME = ";"
"""Stands for the database's name among words, of which none is a semicolon."""


def read(toc: Toc) -> Properties:
    """The properties in a table of contents; VerificationError where they are not pg_dump's."""
    decode = decoder(toc)
    options: dict[str, str] = {}
    owner = None
    settings: list[tuple[str, ...]] = []
    grants: list[tuple[str, ...]] = []
    try:
        for entry in toc.entries:
            about = entry.desc in {"ACL", "COMMENT"} and decode(entry.tag).startswith("DATABASE ")
            if entry.desc not in {"DATABASE", "DATABASE PROPERTIES"} and not about:
                continue
            for words in sqltext.statements(decode(entry.definition)):
                if entry.desc == "DATABASE":
                    options, owner = _options(words), decode(entry.owner) or None
                elif entry.namespace is None:
                    (grants if entry.desc == "ACL" else settings).append(_placed(words))
    except ValueError as error:
        raise VerificationError(
            f"toc.dat describes the database in a way that is not pg_dump's: {error}.",
            "Restore it with stock tools: RESTORE.md.",
        ) from None
    return Properties(options, owner, tuple(s for s in settings if s), tuple(grants))


def _options(words: tuple[str, ...]) -> dict[str, str]:
    """`CREATE DATABASE name WITH option = value ...`, those that are known."""
    given = words[4:]
    pairs = {
        given[place - 1]: given[place + 1]
        for place, word in enumerate(given[:-1])
        if word == "=" and place
    }
    return {option: pairs[option] for option in _OPTIONS if option in pairs}


def _placed(words: tuple[str, ...]) -> tuple[str, ...]:
    """A statement about the database with NAME for its name; () for one that is left out.

    GRANT ... ON DATABASE name, ALTER DATABASE name, ALTER ROLE role IN DATABASE name, COMMENT ON
    DATABASE name. The flags that make it a template or invalid are left out.
    """
    if "DATABASE" not in words[:-1]:
        raise ValueError(" ".join(words)[:60])
    place = words.index("DATABASE") + 1
    if words[place + 1 : place + 2] in {("IS_TEMPLATE",), ("ALLOW_CONNECTIONS",)}:
        return ()
    return (*words[:place], NAME, *words[place + 1 :])
