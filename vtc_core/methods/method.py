"""What every method is: a frozen value of its parameters, what it asks to see, and a choice made of that.

An encoder walks through its layers and notes what a method `needs`; the method, which never sees a model, chooses:

    walk (backend) -> Seen -> method.choose (here, any array library) -> Choice -> combine (here)
"""

from types import ModuleType
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int, Shaped

from vtc_core import checks

# Fields of `Seen` that are made of the queries and keys of noted layers, and those of them that all queries have to
# be asked for; fields that the CLS token is part of; fields that the features have to be whole for; fields that are
# made of the prompt's words, one set of them for a whole competition.
ATTENTION = ("cls_attention", "cls_logits", "joint_attention", "received_attention", "sink_attention")
ALL_QUERIES = ("received_attention", "sink_attention")
OF_CLS = ("cls_attention", "cls_logits", "joint_attention", "cls_feature", "flow")
WHOLE = ("features", "cls_feature", "projected", "image_embeds")
OF_PROMPT = ("text", "text_embeds")


class Seen(NamedTuple):
    """What a method asked to see of the tokens that compete for a place; fields it does not need are None.

    A row (`batch`) is one competition: mostly the tokens of one tile. Axis 1 is `tokens` in every field but those
    `OF_PROMPT`, so that whoever puts tokens of several tiles into one competition gathers along it. `layers` are those
    of `Method.layers_seen`, ascending. Attention is float32 at least, a mean over heads, and CLS has no column.
    Prompts have different lengths: vectors of zeros, at the end of axis 1, fill up the shorter and count as none.
    """

    places: Int[Any, "batch tokens 2"]  # row and column, on the grid of the tile or of the joined tiles; always there
    tile: Int[Any, "batch tokens"]  # number of its tile; 0 is the base tile of a picture that has one; always there
    cls_attention: Float[Any, "batch tokens layers"] = None  # of CLS to a token, clause S1
    cls_logits: Float[Any, "batch tokens layers"] = None  # the same before the softmax
    joint_attention: Float[Any, "batch tokens layers"] = None  # of CLS, all heads as one: softmax(q.k dim^-1/2)
    received_attention: Float[Any, "batch tokens layers"] = None  # mean over all queries, that of CLS included
    sink_attention: Float[Any, "batch tokens layers"] = None  # mean over the queries of sinks, see VFlowOpt
    keys: Float[Any, "batch tokens heads head_dim"] = None  # of the latest of the layers
    features: Float[Any, "batch tokens dim"] = None  # what the tower feeds to the projector
    cls_feature: Float[Any, "batch tokens dim"] = None  # that of CLS, of the tile of each token
    projected: Float[Any, "batch tokens language_dim"] = None  # features after the projector
    flow: Float[Any, "batch tokens"] = None  # what a progressive walk has left: negative where it dropped
    text: Float[Any, "batch words language_dim"] = None  # of `Method.reads`: rows of the language model's embeddings
    image_embeds: Float[Any, "batch tokens embed"] = None  # CLIP's visual_projection(post_layernorm(features))
    text_embeds: Float[Any, "batch segments embed"] = None  # CLIP's of the prompt, a part of it that fits in each

    def without_signals(self) -> "Seen":
        """The tokens alone, for whoever keeps a choice and need not keep what it was made of."""
        return Seen(self.places, self.tile)


class Choice(NamedTuple):
    """Which tokens are fed, in this order.

    `weights` None: the tokens at `indices`, copied (S5, S8). Else what is fed is weights @ features; a row that is
    one-hot is copied bit for bit all the same. An index of -1 stands for no patch: with a row of zeros (or without
    weights) it is CLS itself, else the row is a mixture that has no place of its own.
    """

    indices: Int[Any, "batch keep"]
    scores: Float[Any, "batch tokens"]  # what a heat map shows: higher is kept rather
    weights: Float[Any, "batch keep tokens"] = None


@runtime_checkable
class Method(Protocol):
    """A published way to choose tokens. Subclasses are frozen dataclasses: their fields are the parameters.

    Attributes:
        name: as the command line and saved settings spell it.
        looks_at: what it judges tokens by, in a few words.
        source: where it was published.
        needs: the fields of `Seen` that it reads, `places` and `tile` apart.
        merges: whether `Choice.weights` is given.
        merges_projected: whether what it mixes are projected tokens.
        feeds_cls: whether CLS can be among the tokens that are fed, and counted.
        whole_picture: whether, when a budget is for a whole picture (`total`), its base tile competes with its other
            tiles in one competition, instead of having a fixed part of the budget.
        progressive: whether tokens are dropped on the way through the encoder, which then takes a walk of its own.
    """

    name: ClassVar[str]
    looks_at: ClassVar[str]
    source: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    merges: ClassVar[bool] = False
    merges_projected: ClassVar[bool] = False
    feeds_cls: ClassVar[bool] = False
    whole_picture: ClassVar[bool] = False
    progressive: ClassVar[bool] = False

    def layers_seen(self, depth: int, feature_layer: int) -> tuple[int, ...]:
        """The numbers, ascending, of the layers of `depth` whose queries and keys make what the method needs.

        `feature_layer` is as in `hidden_states[feature_layer]`. One layer after the one that makes it may be named:
        its queries and keys are made of the features.
        """
        return ()

    def reads(self, prompt: str) -> str:
        """Of a prompt without placeholders and special tokens, the words that are shown to the method."""
        return prompt

    def choose(self, v: ModuleType, seen: Seen, keep: int) -> Choice:
        """Of each row of `seen`, what is fed: `keep` tokens, in [1, tokens]. Rows are independent of each other (S7).

        `v` is the backend, a module with the verbs on its own arrays: score, select, gather, scan, ...
        """
        ...


def reads_prompt(method: Method | type[Method]) -> bool:
    return any(name in OF_PROMPT for name in method.needs)


def refuse_without_prompt(method: Method | type[Method], why: str) -> None:
    """A ValueError for a method that reads the prompt, where there is none; `why` is half a sentence."""
    if reads_prompt(method):
        raise ValueError(
            f"method {method.name!r} reads the prompt, and {why}: take it with vtc_llava.patch, or another method"
        )


def following(depth: int, feature_layer: int) -> tuple[int, ...]:
    """For `layers_seen`: the layer after the one that makes the features, as PruMerge reads; without one, the last."""
    return (min(checks.last_layer(depth, feature_layer) + 1, depth - 1),)


def batch_and_tokens(seen: Seen) -> tuple[Any, Any]:
    """The two sizes that every method knows."""
    shape: Shaped[Any, "batch tokens"] = seen.tile
    return shape.shape[0], shape.shape[1]
