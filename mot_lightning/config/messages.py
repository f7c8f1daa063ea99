"""Shortens jsonargparse's message about a wrong value to one line: "x is 5, wanted a, b or c"."""

import re

from mot_lightning.config.words import WORDS, alternatives

KINDS = {**WORDS, "path": "a mapping"}  # or a file with one
TYPE = re.compile(
    r"""tuple\ with\ (?P<count>\d+)\ elements
    | Literal\[(?P<choices>.*?)\]
    | <class\ '(?:[\w.]*\.)?(?P<name>\w+)'>
    | \b(?P<kind>tuple|list|dict|path)\b(?:\[[^\]]*\])?""",
    re.VERBOSE,
)

# what jsonargparse says of alternatives that are not of the value's type
NO_REASON = re.compile(
    r" - (?:Not a valid subclass of .*?\(implicit class_path\)|Expected an? <class '[^']+'>)(?= - | Given)"
)

OTHER_CLASS = re.compile(
    r'"(?P<key>[^"]+)": Import path (?P<path>\S+) does not correspond to a subclass of (?P<base>\w+)'
)


def shorten(message: str) -> str:
    """The setting, its value and the expected types, or the message of a project class; else the message unchanged."""
    message = message.partition("Exception raised from")[0]  # PyTorch's frames of C++ follow
    message = NO_REASON.sub("", " ".join(message.split()))
    if denied := re.search(r"Importing '(?P<path>(?P<package>\w+)[\w.]*)' is not allowed", message):
        return f"class {denied['path']!r} is outside the allowed packages: add --allow {denied['package']} to use it"
    if other := OTHER_CLASS.search(message):
        return f"{other['key']} is {other['path']}, wanted a subclass of {other['base']}"
    if ours := _our_message(message):
        return ours
    if missing := re.search(
        r'"(?P<key>[^"]+)": .*?following arguments are required: (?P<names>.+?)(?: - | Given|$)', message
    ):
        return f"{missing['key']} has no {missing['names']}, wanted one"
    # the first .* is greedy: of nested unions, it selects the innermost
    union = re.search(
        r"(?P<around>.*)any of the Union subtypes Subtypes: \[(?P<types>.*?)\] Errors: (?P<tried>.*)", message
    )
    single = re.search(r"(?P<around>.*?)Expected an? (?P<types>.+?)\. Got value: (?P<value>.*)", message)
    refusal = union or single
    keys = re.findall(r'Parser key "([^"]+)"', refusal["around"]) if refusal else []
    if not refusal or not keys:
        # of the alternatives, the one that was built and failed
        raised = re.search(r"Errors: - (?P<reason>.+?) Given value.*?class_path='(?P<path>[^']+)'", message)
        return f"{raised['path']} raised: {raised['reason']}" if raised else message
    value = re.split(r"Given value: ", refusal["tried"])[1] if union else refusal["value"]
    value = re.split(" - (?:Expected|Not) ", value)[0]
    return f"{'.'.join(keys)} is {'null' if value == 'None' else value}, wanted {in_words(refusal['types'])}"


def _our_message(message: str) -> str:
    """The message of a project class inside jsonargparse's; empty if there is none."""
    line = re.search(
        r"(?:- |\": |^)(?P<line>[\w.]+ (?:is|has) \S.*?, wanted .+?)(?: - Expected| Given value type|$)", message
    )
    if not line:
        return ""
    keys = re.findall(r'Parser key "([^"]+)"', message[: line.start("line")])
    return _below(".".join(keys), line["line"].replace(" is None, ", " is null, "))


def _below(path: str, line: str) -> str:
    """A message about a setting, with the path of what it belongs to, unless it says that already."""
    first, whole = line.partition(" ")[0].partition(".")[0], line.startswith(f"{path}.")
    # jsonargparse leaves out which of the modalities it is
    if path in ("", "model.modalities") or whole or first in ("model", "data", "trainer"):
        return line
    above, _, last = path.rpartition(".")
    return f"{above}.{line}".lstrip(".") if first == last else f"{path}.{line}"


def in_words(types: str) -> str:
    """jsonargparse's names of types, in plain words."""
    words: list[str] = []
    for match in TYPE.finditer(types):
        if match["count"]:
            words.append(f"a list of {match['count']}")
        elif name := match["name"] or match["kind"]:
            words += KINDS.get(name, name).split(" or ")
        else:
            words += [choice.strip("'") for choice in match["choices"].split(", ")]
    return alternatives(words or KINDS.get(types, types).split(" or "))
