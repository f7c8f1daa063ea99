"""The grammar of a document: control ids, stop ids and the lengths of segments.

Knows ids and lengths; `records.py` describes the form of a document.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from mot_lightning.errors import require
from mot_lightning.sequence.records import Segment, Tokens


def control_roles(modalities: Sequence[str]) -> list[str]:
    """What the control ids of these modalities say, in their order; those of further lengths come after them."""
    return ["end of document", *(f"{edge} {name}" for name in modalities for edge in ("begin", "end"))]


class Grammar:
    """Control ids, stop ids, segment lengths and causality of all modalities.

    Args:
        tokens: description of the tokens of each modality.
        causal: whether each modality attends causally within its segments.
        control: the discrete modality that has the control tokens.
        groups: all modalities, in the order in which their tokens are grouped.
        observed: modalities that are context alone: neither their tokens nor their begin tokens are predicted.
    """

    def __init__(
        self,
        tokens: Mapping[str, Tokens],
        causal: Mapping[str, bool],
        control: str,
        groups: Sequence[str],
        observed: Collection[str] = (),
    ) -> None:
        require("control", control, f"one of the modalities: {', '.join(sorted(tokens))}", control in tokens)
        learned_causally = tokens[control].discrete and causal[control]
        require("control", control, "a modality of ids that is learned causally", learned_causally)
        self.tokens, self.causal, self.control, self.groups = dict(tokens), dict(causal), control, tuple(groups)
        self.names = tuple(sorted(tokens))  # sorted, so that the order of declaration does not matter
        self.observed = frozenset(observed)
        self.predicted = tuple(name for name in self.names if name not in self.observed)  # that may be generated
        first = self._content_size(control)
        ids = {role: first + i for i, role in enumerate(control_roles(self.names))}
        self.end_of_document = ids["end of document"]
        self.begin = {name: ids[f"begin {name}"] for name in self.names}
        self.end = {name: ids[f"end {name}"] for name in self.names}
        self.sizes = {name: self._sizes(name) for name in self.names}  # lengths that a begin token may encode
        self.begins = {name: [id] for name, id in self.begin.items()}  # one begin id for each length
        unused = first + len(ids)
        for name, sizes in self.sizes.items():  # allocated last, so that no other id depends on max_length
            self.begins[name] += range(unused, unused + len(sizes[1:]))
            unused += len(sizes[1:])
        self.control_ids = range(first, unused)

    def _sizes(self, name: str) -> range:
        kind = self.tokens[name]
        ends_otherwise = kind.length is not None or self.stop(name) is not None or name in self.observed
        if kind.max_length is None or ends_otherwise:
            return range(0)
        require(f"{name}: max_length", kind.max_length, "at least 1", kind.max_length >= 1)
        return range(1, kind.max_length + 1)

    def begin_of(self, name: str, length: int) -> int:
        """The id that begins a segment of this length."""
        sizes = self.sizes[name]
        return self.begins[name][sizes.index(length) if sizes else 0]

    def stop(self, name: str) -> int | None:
        """The id that ends a segment of this modality; None if its length ends it."""
        kind = self.tokens[name]
        return (kind.vocab_size if kind.stop is None else kind.stop) if self.causal[name] else None

    def _content_size(self, name: str) -> int:
        size = self.tokens[name].vocab_size or 0
        return max(size, 1 + (self.stop(name) or 0)) if size else 0

    def ids(self, name: str) -> int:
        """Number of ids of a discrete modality: those of its codec, the stop id and control ids."""
        return self._content_size(name) + (len(self.control_ids) if name == self.control else 0)

    def complete(self, name: str) -> Tokens:
        """The tokens of a modality with the ids that the grammar adds, as an objective is built for them."""
        kind = self.tokens[name]
        if not kind.discrete:
            return kind
        kind = replace(kind, vocab_size=self.ids(name))
        if name != self.control:
            return kind
        alone = (self.end_of_document, *self.begins[name], self.end[name])
        return replace(kind, control_ids=self.control_ids, control_ids_alone=alone)

    def length(self, document: Sequence[Segment]) -> int:
        """Number of slots of a document, control tokens included."""
        return 1 + sum(2 + len(segment.tokens) for segment in document)

    def check(self, segment: Segment) -> None:
        """Raises ValueError if a segment does not fit its modality."""
        if segment.modality not in self.tokens:
            raise ValueError(f"modality {segment.modality!r} is not one of {', '.join(self.names)}")
        kind, tokens = self.tokens[segment.modality], segment.tokens
        if kind.discrete and (tokens.dim() != 1 or tokens.is_floating_point()):
            raise ValueError(f"{segment.modality}: tokens are {tokens.dtype} {tuple(tokens.shape)}, wanted ids (n,)")
        if kind.vocab_size and len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < kind.vocab_size:
            seen = f"{int(tokens.min())} to {int(tokens.max())}"
            raise ValueError(f"{segment.modality}: ids are {seen}, wanted 0 to {kind.vocab_size - 1}")
        if not kind.discrete and (tokens.dim() != 2 or tokens.shape[1] != kind.latent_dim):
            shape = tuple(tokens.shape)
            raise ValueError(f"{segment.modality}: tokens are {shape}, wanted latents (n, {kind.latent_dim})")
        self.check_length(segment.modality, len(tokens))

    def check_length(self, name: str, length: int) -> None:
        """Raises ValueError if a segment of a modality cannot have this length."""
        fixed, sizes = self.tokens[name].length, self.sizes[name]
        if fixed not in (None, length):
            raise ValueError(f"{name}: a segment has {length} tokens, wanted {fixed}")
        if sizes and length not in sizes:
            raise ValueError(f"{name}: a segment has {length} tokens, wanted 1 to {sizes[-1]}")
