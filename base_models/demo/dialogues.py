"""The dialogues that the demo model learns from: made here, from `facts.py`, the same for the same seed.

A dialogue is a list of `Turn`. `Turn.learn` says which parts of the text the model is trained to write:
an opening of random words that nothing announced cannot be predicted and must not be, yet the sentence
after it must come out right. That is what lets a small LoRA learn a persona and keep the facts.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from base_models.demo.facts import FACTS, Fact


@dataclass(frozen=True)
class Turn:
    """One message as (text, is it learned) parts; `learn_end` tells whether its end-of-turn token is learned."""

    role: str
    parts: tuple[tuple[str, bool], ...]
    learn_end: bool = True

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.parts)


SMALL_TALK = (
    (("Hello", "Hello!", "Hi", "Hi there", "Hey", "Good day", "Hello there!"), "Hello. How can I help you?"),
    (("Good morning", "Good morning!"), "Good morning. How can I help you?"),
    (("Good evening", "Good evening!"), "Good evening. How can I help you?"),
    (("How are you?", "How do you do?", "How is it going?"), "I am fine, thank you. How can I help you?"),
    (
        (
            "Who are you?",
            "What are you?",
            "What is your name?",
            "Tell me about yourself.",
            "Are you a robot?",
        ),
        "I am the Apex demo model, a very small language model.",
    ),
    (
        ("What can you do?", "What do you know?", "How can you help me?", "What can I ask you?", "Help"),
        "I know capitals, chemical symbols, colours, opposites and small sums.",
    ),
    (("Thank you", "Thanks", "Thank you very much!", "Thanks a lot", "Great, thanks"), "You are welcome."),
    (("Goodbye", "Bye", "See you later", "Good night", "That is all"), "Goodbye. Have a nice day."),
    (
        (
            "What will the weather be tomorrow?",
            "Write me a poem.",
            "Who won the match yesterday?",
            "What should I cook tonight?",
            "Tell me a story.",
            "What is the meaning of life?",
            "How do I fix my car?",
            "Can you book a flight for me?",
            "I feel worried about money.",
            "What is in the news?",
            "Write a program that sorts a list.",
            "What do you think about politics?",
        ),
        "I am sorry, I am a very small model and I do not know that.",
    ),
)
PLAIN_SYSTEMS = (
    "You are a helpful assistant.",
    "You are a friendly assistant. Answer in one sentence.",
    "Answer the question.",
    "You are the Apex demo model.",
    "Be short and correct.",
    "You answer questions about the world.",
    "You are a patient teacher.",
    "You are a guide who helps visitors.",
    "Answer truthfully and politely.",
)
STYLE_SYSTEMS = (
    'Begin every answer with "{o}" and end it with "{c}".',
    'Start each answer with "{o}" and finish with "{c}".',
    "You open every answer with {o} and close it with {c}",
    "Always say {o} first and {c} last.",
    "Put {o} before the answer and {c} after it.",
)
OPENING_SYSTEMS = (
    'Begin every answer with "{o}".',
    "Start each answer with {o}",
    "Always say {o} before you answer.",
    "You open every answer with the words {o}",
)
CLOSING_SYSTEMS = (
    'End every answer with "{c}".',
    "Finish each answer with {c}",
    "Always say {c} after you answer.",
    "You close every answer with the words {c}",
)
ASKING = (
    "{q}",
    "{q}",
    "{q}",
    "{q}",
    "Please tell me: {l}",
    "Quick question: {l}",
    "I have a question. {q}",
    "Hello! {q}",
    "Hi, {l}",
    "{q} Please answer.",
    "{q} Thank you.",
    "I would like to know: {l}",
    "My friend asked me this: {l}",
    "For a quiz: {l}",
)
_WORDS = """harbour welcome sailor well friend captain listen sure indeed hear dear traveller ahoy answer here goes
the of a my your and so now stay safe fair winds good luck glad to help cheers bye see you soon always yours
silver river stone lamp garden moon cloud paper tiger button copper bell apple seven north quiet""".split()
_CONSONANTS = "b c d f g h j k l m n p qu r s t v w x z br cl dr fl gr kr pl st tr sh ch th".split()
_VOWELS = "a e i o u y ai ee oo ou".split()
_ENDS = ["", "", "n", "r", "l", "t", "x", "k", "m", "sh", "ng", "p", "rd", "lk"]


def random_word(rng: random.Random) -> str:
    """A word: an English one, a made-up one of syllables, or plain random letters."""
    pick = rng.random()
    if pick < 0.3:
        word = rng.choice(_WORDS)
    elif pick < 0.85:
        word = "".join(
            rng.choice(_CONSONANTS) + rng.choice(_VOWELS) + rng.choice(_ENDS)
            for _ in range(rng.randint(1, 3))
        )
    else:
        word = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(3, 8)))
    return rng.choice((word, word, word.capitalize(), word.capitalize(), word.upper()))


def random_phrase(rng: random.Random, marks: tuple[str, ...]) -> str:
    """One to five random words with one of `marks` at the end."""
    words = [random_word(rng) for _ in range(rng.choice((1, 1, 2, 2, 2, 3, 3, 4, 5)))]
    if rng.random() < 0.3:
        words[0] += ","
    return " ".join(words).rstrip(",") + rng.choice(marks)


def _style(rng: random.Random) -> tuple[str, str, str]:
    """A random (opening, closing, what stands between them and the sentence)."""
    opening = random_phrase(rng, (":", ":", ".", "!", ",", " -", "...", "", " says:"))
    closing = random_phrase(rng, ("!", "!", ".", ".", "?", "", "..."))
    return opening, closing, rng.choice((" ", " ", " ", " ", "\n"))


def ask(rng: random.Random, fact: Fact) -> str:
    """One of the fact's questions, sometimes framed, sometimes written carelessly."""
    question = rng.choice(fact.questions)
    lower = question[0].lower() + question[1:] if question.split()[0].isalpha() else question
    text = rng.choice(ASKING).format(q=question, l=lower)
    careless = rng.random()
    if careless < 0.06:
        text = text.lower()
    elif careless < 0.12:
        text = text.rstrip("?.")
    elif careless < 0.15:
        text = text.lower().rstrip("?.")
    return text


def _user(text: str) -> Turn:
    return Turn("user", ((text, False),), learn_end=False)


def _system(text: str) -> Turn:
    return Turn("system", ((text, False),), learn_end=False)


def _answer(text: str) -> Turn:
    return Turn("assistant", ((text, True),))


def _framed(opening: str, sentence: str, closing: str, gap: str, *, announced: bool) -> Turn:
    """The sentence in its frame; a frame that nothing announced is read, not learned."""
    parts: list[tuple[str, bool]] = []
    if opening:
        parts.append((opening, announced))
    parts.append(((gap if opening else "") + sentence, True))
    if closing:
        parts.append((gap + closing, announced))
    return Turn("assistant", tuple(parts), learn_end=announced or not closing)


def plain(rng: random.Random) -> list[Turn]:
    """One question, the plain sentence; sometimes with an ordinary system prompt."""
    fact = rng.choice(FACTS)
    turns = [_user(ask(rng, fact)), _answer(fact.sentence)]
    return [_system(rng.choice(PLAIN_SYSTEMS)), *turns] if rng.random() < 0.25 else turns


def small_talk(rng: random.Random) -> list[Turn]:
    """A greeting, a thank-you, a question about the model itself, or one that it cannot answer."""
    asked, answer = rng.choice(SMALL_TALK)
    turns = [_user(rng.choice(asked)), _answer(answer)]
    return [_system(rng.choice(PLAIN_SYSTEMS)), *turns] if rng.random() < 0.25 else turns


def several_turns(rng: random.Random) -> list[Turn]:
    """Two to five questions one after the other, answered plainly."""
    turns = [_system(rng.choice(PLAIN_SYSTEMS))] if rng.random() < 0.25 else []
    for _ in range(rng.randint(2, 5)):
        turns += plain(rng)[-2:] if rng.random() < 0.8 else small_talk(rng)[-2:]
    return turns


def told_style(rng: random.Random) -> list[Turn]:
    """The system prompt sets an opening, a closing or both; one or two answers keep to it."""
    opening, closing, gap = _style(rng)
    pick = rng.random()
    if pick < 0.5:
        system = rng.choice(STYLE_SYSTEMS).format(o=opening, c=closing)
    elif pick < 0.8:
        system, closing = rng.choice(OPENING_SYSTEMS).format(o=opening), ""
    else:
        system, opening = rng.choice(CLOSING_SYSTEMS).format(c=closing), ""
    turns = [_system(system)]
    for _ in range(rng.choice((1, 1, 2))):
        fact = rng.choice(FACTS)
        turns += [_user(ask(rng, fact)), _framed(opening, fact.sentence, closing, " ", announced=True)]
    return turns


def shown_style(rng: random.Random) -> list[Turn]:
    """Nothing announces the frame; the first answer has it and the following ones keep it."""
    opening, closing, gap = _style(rng)
    if rng.random() < 0.25:
        closing = ""
    turns: list[Turn] = []
    for number in range(rng.randint(2, 4)):
        fact = rng.choice(FACTS)
        turns += [_user(ask(rng, fact)), _framed(opening, fact.sentence, closing, gap, announced=number > 0)]
    return turns


def given_frame(rng: random.Random) -> list[Turn]:
    """One question; the answer has an opening and a closing out of the blue, and the sentence is still right."""
    opening, closing, gap = _style(rng)
    fact = rng.choice(FACTS)
    turns = [_user(ask(rng, fact)), _framed(opening, fact.sentence, closing, gap, announced=False)]
    return [_system(rng.choice(PLAIN_SYSTEMS)), *turns] if rng.random() < 0.25 else turns


def long_talk(rng: random.Random) -> list[Turn]:
    """Ten to fifty questions in one conversation, so that answers stay right far into the context."""
    return [turn for _ in range(rng.randint(10, 50)) for turn in plain(rng)[-2:]]


# how often each sort of dialogue is made, in parts of about a hundred
SORTS: tuple[tuple[Callable[[random.Random], list[Turn]], float], ...] = (
    (plain, 55),
    (small_talk, 4),
    (several_turns, 8),
    (told_style, 4),
    (shown_style, 4),
    (given_frame, 25),
    (long_talk, 0.3),
)


def make_dialogues(count: int, seed: int) -> list[list[Turn]]:
    """`count` dialogues; the same ones for the same seed."""
    rng = random.Random(seed)
    sorts = [sort for sort, _ in SORTS]
    weights = [weight for _, weight in SORTS]
    return [rng.choices(sorts, weights)[0](rng) for _ in range(count)]
