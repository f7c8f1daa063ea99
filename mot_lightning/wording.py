"""What jsonargparse tells of a value that does not fit, in one line: "x is 5, wanted a, b or c". Knows its phrases."""

import re

KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "dict": "a mapping",
    "list": "a list",
    "tuple": "a list",
    "path": "a mapping",  # or the file of one
    "NoneType": "null",
}
TYPE = re.compile(
    r"""tuple\ with\ (?P<count>\d+)\ elements
    | Literal\[(?P<choices>.*?)\]
    | <class\ '(?:[\w.]*\.)?(?P<name>\w+)'>
    | \b(?P<kind>tuple|list|dict|path)\b(?:\[[^\]]*\])?""",
    re.VERBOSE,
)


def one_line(message: str) -> str:
    """The setting, the value seen and those wanted, or what one of our own classes says; else the message as it is."""
    message = " ".join(message.split())
    if ours := own_words(message):
        return ours
    if missing := re.search(r'"(?P<key>[^"]+)": the following arguments are required: (?P<names>.*)', message):
        return f"{missing['key']} has no {missing['names']}, wanted one"
    # of several that were tried one within the other, the innermost
    union = re.search(
        r"(?P<around>.*)any of the Union subtypes Subtypes: \[(?P<types>.*?)\] Errors: (?P<tried>.*)", message
    )
    single = re.search(r"(?P<around>.*?)Expected an? (?P<types>.+?)\. Got value: (?P<value>.*)", message)
    found = union or single
    keys = re.findall(r'Parser key "([^"]+)"', found["around"]) if found else []
    if not found or not keys:
        return message
    given = re.split(r"Given value: ", found["tried"])[1] if union else found["value"]
    return f"{'.'.join(keys)} is {re.split(' - (?:Expected|Not) ', given)[0]}, wanted {wanted(found['types'])}"


def own_words(message: str) -> str:
    """What one of our own classes said of a value, out of all that jsonargparse tells around it; or nothing."""
    found = re.search(r"(?:- |\": |^)(?P<line>[\w.]+ (?:is|has) \S.*?, wanted .+?)(?: - Expected|$)", message)
    return found["line"] if found else ""


def wanted(types: str) -> str:
    """Types as jsonargparse writes them, as a person would name them."""
    words: list[str] = []
    for found in TYPE.finditer(types):
        if found["count"]:
            words.append(f"a list of {found['count']}")
        elif name := found["name"] or found["kind"]:
            words += KINDS.get(name, name).split(" or ")
        else:
            words += [choice.strip("'") for choice in found["choices"].split(", ")]
    *most, last = dict.fromkeys(words) or KINDS.get(types, types).split(" or ")
    return f"{', '.join(most)} or {last}" if most else last
