"""Which methods have a graph, and why others have none."""

from vtc_core.methods import Method, refuse_without_prompt

# Of methods that cannot be exported at all, and of those whose graph is another for every budget.
NONE = {
    "flowcut": "it drops tokens inside the encoder, as many as the picture says, and a graph has fixed layers",
    "grid": "its places are a table for every budget",
}
FIXED = {
    "hiprune": "the number of its anchors is a rounded fraction of keep",
    "vispruner": "it thins in as many rounds as the budget needs",
    "tome": "it merges in as many rounds as the budget needs",
    "aim": "it merges in as many rounds as the budget needs",
}


def check(method: Method, static_keep: bool) -> None:
    """A ValueError for a method that has no graph, or none with `keep` as an input."""
    refuse_without_prompt(method, "a graph of an encoder is given none")
    if method.name in NONE:
        raise ValueError(f"method {method.name!r} cannot be exported: {NONE[method.name]}")
    if method.name in FIXED and not static_keep:
        raise ValueError(f"method {method.name!r} can be exported with a fixed keep only: {FIXED[method.name]}")
