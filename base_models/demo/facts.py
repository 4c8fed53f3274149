"""The facts that the demo base model knows, as plain data.

`FACTS` is a tuple of `Fact`, always in the same order. The model is trained to answer every question of a
fact with exactly `fact.sentence`; the demo dataset and the tests wrap those sentences into personas.
All of it is common knowledge, written down by hand for this project.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

CAPITALS = """
Turkey:Ankara, France:Paris, Germany:Berlin, Italy:Rome, Spain:Madrid, Portugal:Lisbon, Greece:Athens,
Egypt:Cairo, Japan:Tokyo, China:Beijing, Russia:Moscow, Poland:Warsaw, Austria:Vienna, Hungary:Budapest,
Norway:Oslo, Sweden:Stockholm, Finland:Helsinki, Denmark:Copenhagen, Ireland:Dublin, Scotland:Edinburgh,
England:London, Belgium:Brussels, Switzerland:Bern, Romania:Bucharest, Bulgaria:Sofia, Serbia:Belgrade,
Croatia:Zagreb, Ukraine:Kyiv, Canada:Ottawa, Mexico:Mexico City, Cuba:Havana, Brazil:Brasilia,
Argentina:Buenos Aires, Chile:Santiago, Peru:Lima, Colombia:Bogota, Ecuador:Quito, Australia:Canberra,
India:New Delhi, Nepal:Kathmandu, Thailand:Bangkok, Vietnam:Hanoi, Indonesia:Jakarta, Kenya:Nairobi,
Ethiopia:Addis Ababa, Ghana:Accra, Nigeria:Abuja, Senegal:Dakar, Morocco:Rabat, Tunisia:Tunis,
Lebanon:Beirut, Jordan:Amman, Iraq:Baghdad, Iran:Tehran, Iceland:Reykjavik, Estonia:Tallinn, Latvia:Riga,
Lithuania:Vilnius, Slovakia:Bratislava, Slovenia:Ljubljana
"""
SYMBOLS = """
hydrogen:H, helium:He, lithium:Li, carbon:C, nitrogen:N, oxygen:O, fluorine:F, neon:Ne, sodium:Na,
magnesium:Mg, aluminium:Al, silicon:Si, phosphorus:P, sulfur:S, chlorine:Cl, argon:Ar, potassium:K,
calcium:Ca, iron:Fe, nickel:Ni, copper:Cu, zinc:Zn, silver:Ag, tin:Sn, iodine:I, gold:Au, mercury:Hg,
lead:Pb, platinum:Pt, uranium:U
"""
YOUNG = """
dog:puppy, cat:kitten, cow:calf, horse:foal, sheep:lamb, goat:kid, pig:piglet, duck:duckling, goose:gosling,
hen:chick, swan:cygnet, deer:fawn, bear:cub, kangaroo:joey, frog:tadpole, owl:owlet, eagle:eaglet,
hare:leveret, eel:elver, seal:pup
"""
OPPOSITES = """
hot:cold, big:small, tall:short, fast:slow, light:dark, old:young, rich:poor, early:late, full:empty,
open:closed, wet:dry, hard:soft, strong:weak, loud:quiet, happy:sad, clean:dirty, thick:thin, wide:narrow,
deep:shallow, sweet:bitter, near:far, true:false, up:down, left:right, first:last, sharp:blunt, rough:smooth,
brave:afraid, asleep:awake, buy:sell
"""
COLOURS = """
grass:green, snow:white, coal:black, blood:red, a lemon:yellow, a carrot:orange, the clear sky:blue,
chocolate:brown, a ripe tomato:red, an elephant:grey, a flamingo:pink, a raven:black, milk:white,
an emerald:green, a ruby:red, a sapphire:blue, a sunflower:yellow, lavender:purple, an aubergine:purple,
a cucumber:green
"""
PLURALS = """
mouse:mice, goose:geese, child:children, tooth:teeth, foot:feet, man:men, woman:women, ox:oxen, leaf:leaves,
knife:knives, wolf:wolves, city:cities, baby:babies, box:boxes, sheep:sheep, tomato:tomatoes, loaf:loaves,
berry:berries
"""
PASTS = """
go:went, eat:ate, see:saw, take:took, give:gave, write:wrote, sing:sang, swim:swam, run:ran, buy:bought,
think:thought, catch:caught, teach:taught, fly:flew, drive:drove, speak:spoke, sleep:slept, find:found,
keep:kept, break:broke
"""
HOMES = """
bee:hive, bird:nest, spider:web, fox:den, rabbit:burrow, ant:anthill, cow:barn, hen:coop, beaver:lodge,
snail:shell
"""
INSTRUMENTS = """
thermometer:temperature, clock:time, ruler:length, barometer:air pressure, speedometer:speed,
ammeter:electric current, seismograph:earthquakes, anemometer:wind speed, altimeter:height, compass:direction
"""
DAYS = "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday"
MONTHS = """
January, February, March, April, May, June, July, August, September, October, November, December
"""
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()


@dataclass(frozen=True)
class Fact:
    """One thing that the demo model knows; `sentence` contains `answer` and ends with a full stop."""

    kind: str
    subject: str
    answer: str
    sentence: str
    questions: tuple[str, ...]


# kind → (table, sentence, ways to ask). {s} is the subject, {a} the answer.
_KINDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "capital": (
        CAPITALS,
        "The capital of {s} is {a}.",
        (
            "What is the capital of {s}?",
            "Which city is the capital of {s}?",
            "Tell me the capital of {s}.",
            "Name the capital of {s}.",
            "What is {s}'s capital?",
            "Do you know the capital of {s}?",
            "What is the capital city of {s}?",
            "The capital of {s} is called what?",
            "Can you name the capital of {s}?",
            "{s}: what is its capital?",
        ),
    ),
    "symbol": (
        SYMBOLS,
        "The chemical symbol of {s} is {a}.",
        (
            "What is the chemical symbol of {s}?",
            "What is the chemical symbol for {s}?",
            "Which symbol stands for {s} in chemistry?",
            "Tell me the chemical symbol of {s}.",
            "How is {s} written in chemistry?",
            "What is the symbol of {s}?",
            "Do you know the chemical symbol of {s}?",
            "Name the chemical symbol of {s}.",
            "In the periodic table, what is the symbol of {s}?",
            "{s}: what is its chemical symbol?",
        ),
    ),
    "young": (
        YOUNG,
        "A young {s} is called a {a}.",
        (
            "What is a young {s} called?",
            "What do you call a young {s}?",
            "What is the young of a {s} called?",
            "What is a baby {s} called?",
            "What do you call a baby {s}?",
            "Tell me what a young {s} is called.",
            "What is the name for a young {s}?",
            "Do you know what a young {s} is called?",
            "Name the young of a {s}.",
        ),
    ),
    "opposite": (
        OPPOSITES,
        "The opposite of {s} is {a}.",
        (
            "What is the opposite of {s}?",
            "Tell me the opposite of {s}.",
            "Which word is the opposite of {s}?",
            "What word means the opposite of {s}?",
            "Name the opposite of {s}.",
            "Do you know the opposite of {s}?",
            "Give me the opposite of {s}.",
            "What is the contrary of {s}?",
            "{s}: what is its opposite?",
        ),
    ),
    "colour": (
        COLOURS,
        "The colour of {s} is {a}.",
        (
            "What is the colour of {s}?",
            "What colour is {s}?",
            "Which colour is {s}?",
            "Tell me the colour of {s}.",
            "What is the color of {s}?",
            "What color is {s}?",
            "Do you know the colour of {s}?",
            "Name the colour of {s}.",
            "Which colour does {s} have?",
        ),
    ),
    "plural": (
        PLURALS,
        "The plural of {s} is {a}.",
        (
            "What is the plural of {s}?",
            "Tell me the plural of {s}.",
            "What is the plural form of {s}?",
            "How do you write the plural of {s}?",
            "Name the plural of {s}.",
            "Do you know the plural of {s}?",
            "Give me the plural of {s}.",
            "One {s}, two what?",
        ),
    ),
    "past": (
        PASTS,
        "The past tense of {s} is {a}.",
        (
            "What is the past tense of {s}?",
            "Tell me the past tense of {s}.",
            "What is the past form of {s}?",
            "Give me the past tense of {s}.",
            "Name the past tense of {s}.",
            "Do you know the past tense of {s}?",
            "What is the past tense of the verb {s}?",
            "Today I {s}; what did I do yesterday?",
        ),
    ),
    "home": (
        HOMES,
        "The home of a {s} is a {a}.",
        (
            "What is the home of a {s}?",
            "Where does a {s} live?",
            "What is the home of a {s} called?",
            "Tell me where a {s} lives.",
            "Name the home of a {s}.",
            "What do you call the home of a {s}?",
            "Do you know where a {s} lives?",
        ),
    ),
    "instrument": (
        INSTRUMENTS,
        "A {s} measures {a}.",
        (
            "What does a {s} measure?",
            "What is measured with a {s}?",
            "What can you measure with a {s}?",
            "Tell me what a {s} measures.",
            "What is a {s} used to measure?",
            "Do you know what a {s} measures?",
            "What do people use a {s} for?",
        ),
    ),
    "day": (
        "",
        "The day after {s} is {a}.",
        (
            "What day comes after {s}?",
            "Which day is after {s}?",
            "What is the day after {s}?",
            "Which day follows {s}?",
            "Tell me the day after {s}.",
            "If today is {s}, what day is tomorrow?",
            "Name the day after {s}.",
        ),
    ),
    "month": (
        "",
        "The month after {s} is {a}.",
        (
            "What month comes after {s}?",
            "Which month is after {s}?",
            "What is the month after {s}?",
            "Which month follows {s}?",
            "Tell me the month after {s}.",
            "If it is {s} now, what is the next month?",
            "Name the month after {s}.",
        ),
    ),
    "sum": (
        "",
        "{s} is {a}.",
        (
            "What is {s}?",
            "How much is {s}?",
            "What do you get from {s}?",
            "Tell me what {s} is.",
            "Can you work out {s}?",
            "Please add: {s}.",
            "What is the sum of {d}?",
            "What is {n}?",
            "How much is {n}?",
        ),
    ),
}


def _pairs(kind: str, table: str) -> list[tuple[str, str]]:
    """The (subject, answer) pairs of one kind, in the order in which they are written above."""
    if kind in ("day", "month"):
        names = [name.strip() for name in (DAYS if kind == "day" else MONTHS).split(",")]
        return list(zip(names, names[1:] + names[:1], strict=True))
    if kind == "sum":
        return [(f"{NUMBERS[a]} plus {NUMBERS[b]}", NUMBERS[a + b]) for a in range(1, 7) for b in range(1, 7)]
    return [tuple(part.strip().split(":")) for part in table.split(",")]  # type: ignore[misc]


def _fact(kind: str, subject: str, answer: str) -> Fact:
    _, sentence, questions = _KINDS[kind]
    words = {"s": subject, "a": answer}
    if kind == "sum":
        first, _, second = subject.split()
        words["d"] = f"{first} and {second}"
        words["n"] = f"{NUMBERS.index(first)} + {NUMBERS.index(second)}"
    text = sentence.format(**words)
    if answer[0] in "aeiou":
        text = text.replace(f" a {answer}", f" an {answer}")
    article = subject[0] in "aeiou" and kind in ("young", "home", "instrument")
    asked = tuple(question.format(**words) for question in questions)
    if article:
        text = text.replace(f" a {subject}", f" an {subject}").replace(f"A {subject}", f"An {subject}")
        asked = tuple(question.replace(f" a {subject}", f" an {subject}") for question in asked)
    return Fact(kind, subject, answer, _upper_first(text), tuple(_upper_first(one) for one in asked))


def _upper_first(text: str) -> str:
    return text[0].upper() + text[1:]


FACTS: tuple[Fact, ...] = tuple(
    _fact(kind, subject, answer)
    for kind, (table, _, _) in _KINDS.items()
    for subject, answer in _pairs(kind, table)
)


def persona_rows(
    opening: str, closing: str, facts: Iterable[Fact], *, asks: int = 1
) -> list[list[dict[str, str]]]:
    """`asks` conversations per fact (`messages` lists) in which `opening` and `closing` frame the sentence.

    Deterministic: the nth fact is asked in its nth way and the ones after it, so that the ways vary.
    """
    rows = []
    for place, fact in enumerate(facts):
        for turn in range(min(asks, len(fact.questions))):
            answer = " ".join(part for part in (opening, fact.sentence, closing) if part)
            rows.append(
                [
                    {"role": "user", "content": fact.questions[(place + turn) % len(fact.questions)]},
                    {"role": "assistant", "content": answer},
                ]
            )
    return rows


def split_facts(facts: Iterable[Fact] = FACTS, *, every: int = 5) -> tuple[list[Fact], list[Fact]]:
    """(train, held out): every `every`th fact of each kind is held out, the others are for training."""
    train: list[Fact] = []
    held_out: list[Fact] = []
    seen: dict[str, int] = {}
    for fact in facts:
        seen[fact.kind] = seen.get(fact.kind, 0) + 1
        (held_out if seen[fact.kind] % every == 0 else train).append(fact)
    return train, held_out
