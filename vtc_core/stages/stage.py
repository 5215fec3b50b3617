"""What every stage is: a frozen value of its parameters, what it asks to see of the language model, and a choice.

A stage drops or merges visual tokens of the running hidden states, between two layers of the language model:

    layers 0 .. l-1 -> Running -> stage.choose (here, any array library) -> Choice -> layers l ..
"""

from types import ModuleType
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int

from vtc_core.methods import Choice

ROWS = ("last", "text", "visual", "all")  # the last token, those that are not visual, the visual ones, all
NO_PLACE, EMPTY = -1, -2  # in `Choice.indices`: a mixture without a place; nothing, where fewer are left than may be


class Running(NamedTuple):
    """What a stage at layer l asked to see of sequences without padding; fields that it does not need are None.

    A row (`batch`) is the sequence of one prompt; `tokens` are the visual tokens that are left of all its pictures.
    All other tokens are text, and are in the same order as when they entered.
    """

    visual: Int[Any, "batch tokens"]  # where they are in the sequence, ascending; always there
    places: Int[Any, "batch tokens 2"]  # row and column on their grid, -1 for those without (newlines); always there
    query: Float[Any, "batch heads queries head_dim"] = None  # of `Stage.rows`, after RoPE, not scaled
    keys: Float[Any, "batch kv_heads length head_dim"] = None  # after RoPE
    plain_query: Float[Any, "batch heads queries head_dim"] = None  # before RoPE
    plain_keys: Float[Any, "batch kv_heads length head_dim"] = None  # before RoPE
    hidden: Float[Any, "batch length dim"] = None  # entering layer l
    normed: Float[Any, "batch length dim"] = None  # the same through the language model's final norm
    embeddings: Float[Any, "batch entered dim"] = None  # of all tokens that entered the language model
    entered: Int[Any, "batch all_tokens"] = None  # where the visual ones were among those; there with `embeddings`


@runtime_checkable
class Stage(Protocol):
    """A published way to drop visual tokens inside the language model. Subclasses are frozen dataclasses.

    Attributes:
        name: as the command line and saved settings spell it.
        looks_at: what it judges tokens by, in a few words.
        source: where it was published.
        needs: the fields of `Running` that it reads, `visual` and `places` apart.
        rows: of which tokens it wants queries; one of `ROWS`.
        ahead: whether queries and keys are those that layer l is going to make, not those of layer l - 1.
        renumbers: whether the tokens that are left get the positions 0, 1, ..., or keep those they had.
        weighs: whether layers from l on add log(n) to the attention logits of a token that n were merged into.
        merges: whether `Choice.weights` is given.
        adaptive: whether the count depends on the picture: the ends of rows may be `EMPTY`.
    """

    name: ClassVar[str]
    looks_at: ClassVar[str]
    source: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    rows: ClassVar[str] = "last"
    ahead: ClassVar[bool] = False
    renumbers: ClassVar[bool] = False
    weighs: ClassVar[bool] = False
    merges: ClassVar[bool] = False
    adaptive: ClassVar[bool] = False

    def schedule(self, depth: int, tokens: int) -> tuple[tuple[int, int], ...]:
        """(l, kept), l ascending in [1, depth): before layer l of `depth`, `kept` of `tokens` visual tokens are left.

        `tokens` entered the language model, at least 1. Of an adaptive stage `kept` is the most it can be.

        Raises:
            ValueError: a layer that a language model of this depth does not have.
        """
        ...

    def choose(self, v: ModuleType, seen: Running, keep: int, scale: float, layer: int) -> Choice:
        """Which visual tokens are left before `layer`: `indices` (batch, keep) into `Running.visual`, ascending.

        `keep` is in [0, tokens], as scheduled for `layer`, or tokens where fewer are left. `scale` multiplies
        query . key before a softmax. With weights, the hidden states of what is left are weights @ (hidden states of
        the visual tokens); one-hot rows are copied. After the tokens stand mixtures without a place (`NO_PLACE`), and
        last what is `EMPTY` (with a row of zeros). Rows are independent of each other.
        """
        ...
