"""The one error of the codec.

Place: raised by the decoders, caught where a peer's bytes enter; it costs a route or a message, never a
process.
"""

from __future__ import annotations


class Malformed(Exception):
    """Bytes break an RFC. `rule` is a stable kebab-case code, `text` says what was found and what is
    allowed.
    """

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule
        self.text = text
