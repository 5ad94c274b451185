"""Did-you-mean: the nearest known name.

Place: remedies of faults and of the CLI. Imports difflib late, because a CLI that is right need not pay for
it.
"""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The most similar known name, None if nothing is near. Case does not count."""
    import difflib  # noqa: PLC0415 - start-up time of the CLI

    table = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower()[:100], list(table), n=1, cutoff=0.6)
    return table[found[0]] if found else None


def remedy(word: str, known: Iterable[str]) -> str:
    """`Did you mean "vni"? Known: ...` or only the list."""
    names = sorted(known)
    near = nearest(word, names)
    listed = f"Known: {', '.join(names)}." if names else "There are none."
    return f'Did you mean "{near}"? {listed}' if near else listed
