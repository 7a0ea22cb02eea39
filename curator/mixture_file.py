"""The mixture file, checked: errors name the file, the line, the key and what to write instead.

    mixture: demo
    tokens: 2M                          # the budget; or steps: and batch_tokens:
    tokenizer: {path: tok/, sha256: 3f…}
    components:
      medical: {where: "declared_domain = 'medicine'", weight: 0.5}
      law: {sql: "SELECT doc_id FROM documents WHERE kept AND source = 'acts'", weight: 0.5}
    stages: [{from: 0}, {from: 90%, weights: {law: 1}}]

Nothing here asks a corpus: what the components hold is planned by curator.mixture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from curator import yamlfile
from curator.errors import RecipeError, UsageError
from curator.registry import suggest
from curator.tokenizer import describe

_UNITS = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def _parsed(text: str, written: Any, instead: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{written!r} is no number; write {instead}") from None


def _number(value: Any) -> Any:
    """10B, 1.5M, 200k."""
    if isinstance(value, str) and value and value[-1].upper() in _UNITS:
        return _parsed(value[:-1], value, "10B, 1.5M or 200k") * _UNITS[value[-1].upper()]
    return value


def _fraction(value: Any) -> Any:
    """0.5%."""
    return _parsed(value[:-1], value, "0.5%") / 100 if isinstance(value, str) and value.endswith("%") else value


def _place(value: Any) -> Any:
    """90% as it stands, 9B as a number of tokens."""
    if isinstance(value, str) and value.endswith("%"):
        if not 0 <= _fraction(value) < 1:
            raise ValueError(f"{value} is not in the run; a stage begins at 0% or later, and before 100%")
        return value
    number = _parsed(str(_number(value)), value, "90%, or tokens as 9B")
    if not number >= 0:  # nan too
        raise ValueError(f"{value} is before the run begins; write 90%, or tokens as 9B")
    if 0 < number < 1:
        raise ValueError(f"{value} is less than one token; write {100 * number:g}% for a share of the budget")
    return number


Number = Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]
Epochs = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class ComponentModel(_Strict):
    """One component: documents by `sql` (giving doc_id) or `where` (over kept documents)."""

    sql: str | None = None
    where: str | None = None
    weight: Weight | None = None
    tokens: Number | None = None
    epochs: Epochs | None = None
    max_epochs: Epochs | None = None


class HoldoutModel(_Strict):
    """What is never trained on: a share of every component's documents, and those that `sql` gives (as doc_id)."""

    per_component: Annotated[float, BeforeValidator(_fraction), Field(ge=0, lt=1)] = 0.0
    sql: str | None = None


class TokenizerModel(_Strict):
    """A tokenizer.json, a vocabulary, or the folder of a transformers checkpoint; `sha256` of its tokenizer.json."""

    path: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None


class PackingModel(_Strict):
    """How documents become rows (curator.packing); without document_mask a row is read as one document."""

    mode: Literal["best_fit", "concat"] = "best_fit"
    long_docs: Literal["split"] = "split"
    document_mask: bool = True


class StageModel(_Strict):
    """From a place of the run on (a share of the budget, or tokens), other weights; without, the mixture's."""

    start: Annotated[str | float, BeforeValidator(_place), Field(alias="from")]
    weights: Annotated[dict[str, Weight], Field(min_length=1)] | None = None


class ProxyModel(_Strict):
    """A small run that repeats as a run of `simulate_target_tokens` would."""

    simulate_target_tokens: Number


class MixtureModel(_Strict):
    """The mixture file."""

    model_config = ConfigDict(title="curator mixture")

    mixture: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
    tokens: Number | None = None
    steps: Annotated[int, Field(gt=0)] | None = None
    batch_tokens: Number | None = None
    seq_len: Annotated[int, Field(ge=8)] = 1024
    tokenizer: Annotated[
        TokenizerModel | None, BeforeValidator(lambda v: {"path": v} if isinstance(v, str) else v)
    ] = None
    seed: int = 17
    packing: PackingModel = PackingModel()
    weighting: Literal["explicit", "natural", "temperature", "unimax"] = "explicit"
    temperature: Annotated[float, Field(ge=0)] = 0.5
    max_epochs: Epochs = 4.0
    on_short: Literal["error", "renormalise", "shrink"] = "error"
    overlap: Literal["error", "first_wins"] = "error"
    components: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$")], ComponentModel],
        Field(min_length=1),
    ]
    stages: Annotated[list[StageModel], Field(min_length=1)] | None = None
    holdout: HoldoutModel = HoldoutModel()
    proxy: ProxyModel | None = None

    @property
    def budget(self) -> float | None:
        """The tokens of the run, where the file says how many."""
        if self.steps is not None and self.batch_tokens is not None:
            return self.steps * self.batch_tokens
        return self.tokens


#: the model of what stands under a key, for suggestions
_UNDER: dict[str, type[BaseModel]] = {
    "components": ComponentModel, "holdout": HoldoutModel, "tokenizer": TokenizerModel, "packing": PackingModel,
    "stages": StageModel, "proxy": ProxyModel,
}  # fmt: skip


@dataclass(frozen=True)
class Mixture:
    """A checked mixture file."""

    model: MixtureModel
    file: str | None

    @property
    def tokenizer(self) -> Path | None:
        """The tokenizer's file or folder, resolved against the mixture's folder."""
        if self.model.tokenizer is None:
            return None
        return (Path(self.file).parent if self.file else Path()) / self.model.tokenizer.path

    def with_tokenizer(self, path: Path | None) -> Mixture:
        """The mixture, with another tokenizer, or none."""
        named = None if path is None else TokenizerModel(path=str(path.absolute()))
        return replace(self, model=self.model.model_copy(update={"tokenizer": named}))

    @property
    def definition(self) -> dict[str, Any]:
        """The file as JSON values, what it leaves out filled in."""
        return self.model.model_dump(mode="json", by_alias=True)


class _File:
    """Where things stand in a mixture file, to point at them."""

    def __init__(self, path: str, lines: dict[yamlfile.Path, int]) -> None:
        self._path, self._lines = path, lines

    def mistake(self, message: str, *place: str | int) -> RecipeError:
        return RecipeError(
            message, file=self._path, line=yamlfile.line_of(self._lines, place), key=".".join(map(str, place))
        )


def load(path: str | Path, *, without_tokenizer: bool = False) -> Mixture:
    """Read and check a mixture file, with its tokenizer unless that is yet to be made.

    Raises RecipeError with file, line and key.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"there is no mixture {str(path)!r}")
    data, lines = yamlfile.load(file.read_text(encoding="utf-8"), str(path))
    written = _File(str(path), lines)
    try:
        model = MixtureModel.model_validate(data)
    except ValidationError as error:
        raise _of_pydantic(error.errors()[0], written) from None
    mixture = Mixture(model, str(file.resolve()))
    _check_components(model, written)
    _check_budget(model, written)
    _check_stages(model, written)
    if without_tokenizer:
        return mixture.with_tokenizer(None)
    _check_tokenizer(mixture, written)
    return mixture


def _of_pydantic(error: Any, written: _File) -> RecipeError:
    place = tuple(p for p in error["loc"] if p != "[key]")
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = _UNDER.get(str(place[0]), MixtureModel) if len(place) > 1 else MixtureModel
        names = [f.alias or name for name, f in known.model_fields.items()]
        message = f"there is no such key{suggest(str(place[-1]), names)}"
    elif error["type"] == "string_pattern_mismatch" and place[:1] == ("components",):
        message = (
            f"{error['input']!r} cannot name a component, which names files: use letters, digits, _ and -"
        )
    elif error["type"] == "string_pattern_mismatch" and place[-1] == "sha256":
        message = f"{error['input']!r} is no sha256, which has 64 hex digits"
    else:
        message = message[:1].lower() + message[1:]
    return written.mistake(message, *place)


def _check_components(model: MixtureModel, written: _File) -> None:
    needed = model.weighting == "explicit"
    seen: dict[str, str] = {}
    for name, component in model.components.items():
        amounts = [k for k in ("weight", "tokens", "epochs") if getattr(component, k) is not None]
        place = ("components", name)
        if (component.sql is None) == (component.where is None):
            raise written.mistake("give one of sql: and where:", *place)
        if len(amounts) > 1 or (needed and not amounts):
            instead = f", not {' and '.join(amounts)}" if amounts else ""
            raise written.mistake(f"give one of weight:, tokens: and epochs:{instead}", *place)
        if amounts == ["weight"] and not needed:
            raise written.mistake(
                f"weight: has no effect with weighting: {model.weighting}; take one of the two out", *place
            )
        if other := seen.get(name.lower()):
            raise written.mistake(
                f"differs from {other!r} in case alone, and some file systems have one file for both; rename it",
                *place,
            )
        seen[name.lower()] = name


def _check_budget(model: MixtureModel, written: _File) -> None:
    if model.tokens is not None and model.steps is not None:
        raise written.mistake("give the budget once: tokens:, or steps: with batch_tokens:", "steps")
    if model.steps is not None and model.batch_tokens is None:
        raise written.mistake("steps: says how many batches; say how large they are, as batch_tokens: 512k", "steps")  # fmt: skip
    if model.budget is None and any(c.epochs is None and c.tokens is None for c in model.components.values()):
        raise written.mistake("give the budget, as tokens: 10M, or as steps: and batch_tokens:", "tokens")
    if model.proxy is not None:
        place = ("proxy", "simulate_target_tokens")
        if model.budget is None:
            raise written.mistake("a proxy run needs a budget of its own, as tokens: 10M", *place)
        if model.proxy.simulate_target_tokens < model.budget:
            raise written.mistake(
                f"the run to simulate, of {model.proxy.simulate_target_tokens:,.0f} tokens, is smaller than this one, of "
                f"{model.budget:,.0f}; lower tokens:",
                *place,
            )


def _check_stages(model: MixtureModel, written: _File) -> None:
    before: float = -1
    for number, stage in enumerate(model.stages or ()):
        place = ("stages", number)
        if model.budget is None:
            raise written.mistake("stages need a budget, as tokens: 10M", *place)
        start = share_of(stage.start, model.budget)
        if number == 0 and start:
            raise written.mistake("the first stage begins with the run; put {from: 0} before it", *place)
        if start <= before or start >= 1:
            raise written.mistake(
                f"from: {stage.start} is not later than the stage before it"
                if start <= before
                else f"from: {stage.start} is not in the budget of {model.budget:,.0f} tokens",
                *place,
            )
        before = start
        for name in stage.weights or ():
            if name not in model.components:
                raise written.mistake(
                    f"there is no component {name!r}{suggest(name, list(model.components))}", *place, "weights"
                )
        if stage.weights and not any(stage.weights.values()):
            raise written.mistake("the weights are all 0, so the stage would be empty; give one a weight", *place)


def share_of(start: str | float, budget: float) -> float:
    """Where a stage begins, as a share of the budget."""
    return float(_fraction(start)) if isinstance(start, str) else start / budget


def _check_tokenizer(mixture: Mixture, written: _File) -> None:
    if mixture.tokenizer is None or mixture.model.tokenizer is None:
        return
    try:
        found = describe(mixture.tokenizer).sha256
    except UsageError as error:
        raise written.mistake(str(error), "tokenizer") from None
    named = mixture.model.tokenizer.sha256
    if named is not None and named.lower() != found:
        raise written.mistake(
            f"{mixture.tokenizer} has sha256 {found}, the mixture asks for {named.lower()}: name the tokenizer that the "
            "mixture was made with, or take sha256: out",
            "tokenizer",
        )
