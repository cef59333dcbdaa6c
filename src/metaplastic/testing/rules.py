"""How rules are checked, and how it is said which of them is broken."""

import inspect
from collections.abc import Callable, Sequence
from typing import TypeVar

Subject = TypeVar("Subject")


class BrokenRuleError(AssertionError):
    """What was checked breaks a rule of its contract; the message says which, and by what."""


def require(holds: bool, text: str) -> None:
    """Fail if something does not hold.

    Args:
        holds: Whether it does.
        text: What was expected, what came instead, and what to do.

    Raises:
        BrokenRuleError: With the text.
    """
    if not holds:
        raise BrokenRuleError(text)


def check(what: str, rules: Sequence[Callable[[Subject], None]], subject: Subject) -> None:
    """Check every rule, and say at the end which are broken.

    Args:
        what: What is checked, for the message.
        rules: Functions that raise where the subject breaks them; the first line of a docstring is the rule.
        subject: What is checked.

    Raises:
        BrokenRuleError: When a rule is broken, with all that are.
    """
    broken: list[tuple[str, Exception]] = []
    for rule in rules:
        try:
            rule(subject)
        except Exception as error:  # a subject is anybody's code
            broken.append((_rule_in_words(rule), error))
    if broken:
        lines = [f"- {text}\n  {_what_happened(error)}" for text, error in broken]
        head = f"{what} breaks {len(broken)} of {len(rules)} rules:"
        raise BrokenRuleError("\n".join([head, *lines])) from broken[0][1]


def _rule_in_words(rule: Callable[..., object]) -> str:
    return (inspect.getdoc(rule) or rule.__name__).splitlines()[0]


def _what_happened(error: Exception) -> str:
    return str(error) if isinstance(error, BrokenRuleError) else f"it raised {type(error).__name__}: {error}"
