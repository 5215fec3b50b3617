"""A word-level tokenizer for the language of the questions, and the processor around it, in the form of LLaVA-1.5."""

from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from .scenes import CELLS, COLORS, SHAPES

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>")
PAD, BOS, EOS, UNK, IMAGE = range(len(SPECIAL))
GRAMMAR = "user assistant : ? what color shape is the anything where how many objects there a yes no 1 2 3 4"

# As in llava-hf/llava-1.5-7b-hf: images first, then the text.
CHAT_TEMPLATE = """\
{% for message in messages %}
{%- if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}
{%- for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}
{%- for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' ' }}{% endfor %}
{%- endfor %}
{%- if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"""


def vocabulary() -> dict[str, int]:
    """Every word of every question and answer, after the special tokens."""
    words = " ".join([GRAMMAR, *COLORS, *SHAPES, *CELLS]).split()
    return {word: i for i, word in enumerate(dict.fromkeys([*SPECIAL, *words]))}


def tokenizer() -> PreTrainedTokenizerFast:
    """Lower case, split at white space and punctuation: 'the Star?' and 'the star ?' are the same tokens."""
    words = Tokenizer(WordLevel(vocabulary(), unk_token="<unk>"))
    words.normalizer = normalizers.Lowercase()  # pyright: ignore[reportAttributeAccessIssue]
    words.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    words.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", BOS)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )
