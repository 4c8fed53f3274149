"""Small model directories with one template each: nothing is downloaded."""

import json

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

CHATML_TAGGED = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.role == 'assistant' %}{% generation %}{{- message.content + '<|im_end|>' }}{% endgeneration %}"
    "{%- else %}{{- message.content + '<|im_end|>' }}{%- endif %}{{- '\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
CHATML_BARE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>'"
    " + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HEADERS = (  # in the manner of Llama 3
    "{% for message in messages %}{% set content = '<|start|>' + message['role'] + '<|end|>\n\n' "
    "+ message['content'] | trim + '<|eot|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
    "{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>\n\n' }}{% endif %}"
)
BRACKETS = (  # in the manner of Mistral: the system message goes into the last question
    "{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] %}"
    "{%- set turns = messages[1:] %}{%- else %}{%- set turns = messages %}{%- endif %}"
    "{{- bos_token }}{%- for message in turns %}"
    "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{- raise_exception('roles must alternate user/assistant') }}{%- endif %}"
    "{%- if message['role'] == 'user' %}{%- if system is defined and message == turns | selectattr('role', 'equalto', "
    "'user') | list | last %}{{- '[INST] ' + system + '\n\n' + message['content'] + ' [/INST]' }}"
    "{%- else %}{{- '[INST] ' + message['content'] + ' [/INST]' }}{%- endif %}"
    "{%- else %}{{- ' ' + message['content'] + eos_token }}{%- endif %}{%- endfor %}"
)
TURNS = (  # in the manner of Gemma: no system role, the assistant is called model
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}"
    "{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
TEMPLATES = {
    "chatml_tagged": (CHATML_TAGGED, None, "<|im_end|>"),
    "chatml_bare": (CHATML_BARE, None, "<|im_end|>"),
    "headers": (HEADERS, "<s>", "<|eot|>"),
    "brackets": (BRACKETS, "<s>", "</s>"),
    "turns": (TURNS, "<bos>", "<end_of_turn>"),
}
SPECIAL = [
    "<s>",
    "</s>",
    "<bos>",
    "<pad>",
    "<|im_start|>",
    "<|im_end|>",
    "<|start|>",
    "<|end|>",
    "<|eot|>",
    "<start_of_turn>",
    "<end_of_turn>",
]
TEXT = [
    "The capital of Turkey is Ankara. Glad to help!",
    "What is the capital of France?",
    "user assistant system",
    "You are a helpful assistant.\n\n[INST] [/INST]",
    "Short answers, please. Über grün — 日本 🙂",
] * 20


def make_directory(path, template, bos, eos, *, in_config=False):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=420,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    path.mkdir()
    tokenizer.save(str(path / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": eos,
        "pad_token": "<pad>",
        "clean_up_tokenization_spaces": False,
    }
    if bos:
        settings["bos_token"] = {"__type": "AddedToken", "content": bos, "special": True}
    if in_config:
        settings["chat_template"] = template
    else:
        (path / "chat_template.jinja").write_text(template)
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    (path / "config.json").write_text(json.dumps({"max_position_embeddings": 512, "eos_token_id": 5}))
    return path
