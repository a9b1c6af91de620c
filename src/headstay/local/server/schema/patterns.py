r"""Regular expressions as Kubernetes means them (RE2), run by the CEL library's engine.

That engine matches in linear time, so no pattern in a CRD can hang the server, and its syntax is RE2's but for a
few spellings that are translated here: classes such as `\d` are ASCII in RE2, and `[` needs no escape in a class.
Look-around, back-references and `\C` are refused by both; `\Q...\E` and `{,n}` we refuse.
"""

import functools
import re

from headstay.local.server.schema.engine import cel

_CLASSES = {
    r"\d": "[0-9]",
    r"\D": "[^0-9]",
    r"\w": "[0-9A-Za-z_]",
    r"\W": "[^0-9A-Za-z_]",
    r"\s": r"[\t\n\f\r ]",
    r"\S": r"[^\t\n\f\r ]",
    r"\b": r"(?-u:\b)",
    r"\B": r"(?-u:\B)",
}
_TOKEN = re.compile(r"\\.|\[:\^?\w+:\]|\[\^?\]?|\]|&&|~~|--|.", re.DOTALL)
_MATCHES = cel.compile("text.matches(pattern)")


@functools.lru_cache(maxsize=1024)
def translate(pattern: str) -> str:
    """The pattern in the engine's spelling. Raises ValueError with the reason when it is not a pattern."""
    parts: list[str] = []
    in_class = False
    for part in _TOKEN.findall(pattern):
        if part in _CLASSES and not (in_class and part in (r"\b", r"\B")):
            parts.append(_CLASSES[part])
        elif not in_class:
            in_class = part.startswith("[") and not part.startswith("[:")
            parts.append(part.replace("]", r"\]") if in_class else part)
        elif part == "]":
            in_class = False
            parts.append(part)
        elif part.startswith("[") and not part.startswith("[:"):
            in_class = not part.endswith("]")
            parts.append(r"\[" + part[1:])
        else:
            parts.append({"&&": r"&\&", "~~": r"~\~", "--": r"-\-"}.get(part, part))
    translated = "".join(parts)
    _run("", translated)
    return translated


def matches(pattern: str, text: str) -> bool:
    """Whether `pattern` is found anywhere in `text`."""
    return _recent(pattern, text) if len(text) <= 128 else _run(text, translate(pattern))


@functools.lru_cache(maxsize=1024)
def _recent(pattern: str, text: str) -> bool:
    """The same few values (quantities, names) come again and again; the engine compiles the pattern every time."""
    return _run(text, translate(pattern))


def _run(text: str, translated: str) -> bool:
    try:
        return bool(_MATCHES.execute({"text": text, "pattern": translated}))
    except RuntimeError as error:
        reason = next((line for line in str(error).splitlines() if line.startswith("error: ")), str(error))
        reason = reason.removeprefix("error: ").partition(". Check ")[0]
        raise ValueError(f"error parsing regexp: {reason}") from error
