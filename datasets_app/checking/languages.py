"""Which languages the answers are in: told by script and by the commonest words, for a sample of the rows.

No model and no dictionary: a script of its own (Thai, Hangul, …) tells the language; texts in Latin letters are told
apart by the words that make up a third of any text, those in Cyrillic and Arabic letters by the letters that only
one of the languages has. Short texts and lists stay "unknown". Of the single sentences of the tests (31
languages, most of 6 to 15 words) at least 9 of 10 are told right, and at most 3 of 100 are given a wrong name;
longer texts are surer.

The sample is spread evenly over the file and thins out as it goes on, so that at most MOST rows are kept of any
file, and about MOST × log2(rows / MOST) looked at.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from datasets_app.faults import Fault

MOST = 500
ALL = 1 << 32
CHARACTERS = 400  # of a text; more does not make it surer
UNKNOWN = "unknown"
# Of the words of a text so many must be among a language's commonest, and so many more than of the next one.
LEAST_HITS, LEAST_LEAD = 2, 1

# Script → (a language, pattern of its letters); first come, first served: Japanese is written in Han letters too.
SCRIPTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("ja", re.compile("[\u3041-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7a3\u1100-\u11ff]")),
    ("zh", re.compile("[\u4e00-\u9fff\u3400-\u4dbf]")),
    ("cyrillic", re.compile("[\u0400-\u04ff]")),
    ("arabic", re.compile("[\u0620-\u06ff]")),
    ("el", re.compile("[\u0370-\u03ff]")),
    ("he", re.compile("[\u05d0-\u05ea]")),
    ("hi", re.compile("[\u0904-\u0939]")),
    ("bn", re.compile("[\u0985-\u09b9]")),
    ("ta", re.compile("[\u0b85-\u0bb9]")),
    ("te", re.compile("[\u0c05-\u0c39]")),
    ("th", re.compile("[\u0e01-\u0e3a]")),
    ("ka", re.compile("[\u10d0-\u10ff]")),
    ("hy", re.compile("[\u0531-\u0587]")),
)
# Letters that only one language of the script has, in the order in which they decide.
CYRILLIC = (("uk", "іїєґ"), ("sr", "ђјљњћџ"), ("be", "ў"), ("bg", "ъ"))
ARABIC = (("ur", "ٹڈڑےں"), ("fa", "پچژگ"))

COMMON: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the of and to in is that it for was with as on are be this have from or by not but what all were when "
        "we there can an your which their if do will each how them then these so would like has more her him my "
        "you i at his he they she it's don't i'm me our about who could should been up out no yes here where",
        "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus "
        "er hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor "
        "zur bis mehr durch man sein wurde ich wir ihr mir dich mich kein keine wenn was schon sehr bitte danke",
        "fr": "de la le et les des en un du une que est pour qui dans par plus pas au sur ne se ce il sont ou avec son "
        "je vous nous mais elle on cette aux ont été leur d'un c'est l'on être fait comme tout deux même ces où si "
        "très bien j'ai n'est qu'il votre mon ma mes à y a quand merci oui non",
        "es": "de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ha me si "
        "sin sobre este ya entre cuando todo esta ser son dos también fue había era muy años hasta desde está mi "
        "porque qué sólo han yo hay vez puede todos así nos ni parte tiene él uno donde bien usted gracias sí",
        "pt": "de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à "
        "seu sua ou ser quando muito há nos já está eu também só pelo pela até isso ela entre era depois sem mesmo "
        "aos ter seus quem nas me esse eles estão você tinha foram essa num nem suas meu às minha têm obrigado sim",
        "it": "di e il la che in un è per non una del sono si con i da al le della dei lo ha nel come più ma gli anche "
        "se alla ho ci mi questo questa delle dal nella o essere era suo sua io tu lui lei noi voi perché quando "
        "molto fare così solo dopo cosa tutto tutti dove chi grazie sì ed degli",
        "nl": "de van een het en in is dat op te zijn met voor niet aan er om die door over ook als bij maar uit dan "
        "nog naar hebben of deze ze hij je we ik heeft worden wordt meer kan geen zo was tot wel mijn jij u dit hun "
        "moet kunnen zou heb ben veel waar wat wie hoe waarom dank ja nee",
        "sv": "och att det i en som är av på för med till den har de inte om ett han men var jag från vi så kan när "
        "år säger hon under också efter eller nu sin där vid mot ska skulle kommer ut får finns vara hade alla andra "
        "mycket än här då sedan över bara in blir upp även vad hur varför du min dig mig tack ja nej",
        "da": "og i at det er en til af på for med de den der som ikke et var han har jeg vi du sig fra men om kan ud "
        "hun ved så eller efter op være skal også hvor hvad når nu kun mig dig meget hvis mere nogle andre vil bliver "
        "blev hvorfor tak ja nej mit din sin skulle havde noget",
        "no": "og i det er på til som en å for av at har med de ikke den han et fra vi jeg om så men var seg kan meg "
        "der eller hun etter opp nå når ved skal være også hvor hva bare ble noe mer hvis du deg mye andre vil blir "
        "hvorfor takk ja nei min din noen mitt fikk dette disse",
        "fi": "ja on ei se että oli hän en mutta ovat joka kun niin myös mitä tämä minä sinä me te he ole olla voi jos "
        "kuin sen tai vain nyt jo kanssa mukaan jälkeen sekä olen olet olemme miten miksi missä tässä siitä hyvin "
        "kiitos kyllä minun sinun sitten vielä koska mikä kuka nämä ne",
        "pl": "w i na z się do nie że to jest o jak za po ale co od tak przez jego czy już tylko są dla być może przy "
        "ma tym ten ich go był była było oraz które który która jej mnie mi ja ty my wy on ona jako bardzo kiedy "
        "gdzie dlaczego dziękuję proszę ze we pod nad więc jeśli można",
        "cs": "a v se na je že o s z do i to jako za k ale si pro by od podle po jsou které být který ve jsem bylo "
        "byl byla má tak nebo již jen až ještě také když jak co ne jsme jste však při kde proč děkuji prosím můj "
        "tvůj bude budou může není ten ta tento tato",
        "tr": "ve bir bu da de için ile çok ne gibi olarak daha var ben o mi en sonra kadar ama sen biz siz onlar "
        "değil olan her şey ya nasıl neden nerede kim evet hayır teşekkürler lütfen olduğu ki mı ise şimdi iyi "
        "yok oldu bana sana onu benim senin göre ancak",
        "ro": "de și în a la cu nu o pe să este din un că care mai pentru sunt ce se au fost dar sau eu tu el ea noi "
        "voi ei ale lui cel cea îi le am ai are această acest când unde cum foarte bine da mulțumesc după fără "
        "prin dacă doar tot toate către",
        "hu": "a az és hogy nem is egy van ez de meg volt csak már el ki mint még lehet kell minden én te ő mi ti ők "
        "azt ezt vagy ha igen köszönöm mert nagyon jó hol mikor miért hogyan amit aki ami után között után lesz "
        "voltam vagyok nincs sem be fel",
        "id": "yang dan di untuk dengan ini itu dari pada dalam tidak akan adalah ke ada juga saya anda kami kita "
        "mereka dia sudah bisa atau karena lebih oleh telah dapat seperti jika saat apa bagaimana mengapa siapa "
        "terima kasih ya harus menjadi sangat tersebut hanya masih",
        "vi": "và của là có được cho một không trong với các để những người này đã khi từ đến cũng như vào ra thì "
        "tôi bạn anh chị em nó họ chúng ta ở hay hoặc nhưng rất nếu sẽ làm gì sao tại vì cảm ơn phải nào đó",
    }.items()
}
# Common word → the languages that it is common in.
LANGUAGES_OF: dict[str, list[str]] = {}
for _language, _words in COMMON.items():
    for _word in _words:
        LANGUAGES_OF.setdefault(_word, []).append(_language)
# Letters that decide between languages which share most of their common words.
TELLING = (
    ("no", "sv", "äö"),
    ("da", "sv", "äö"),
    ("sv", "da", "æø"),
    ("es", "pt", "ãõ"),
    ("pt", "es", "ñ¿¡"),
)
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


def language_of(text: str) -> str:
    """ISO 639-1 code of the language that most of the beginning of `text` is in, or "unknown"."""
    text = text[:CHARACTERS]
    if not text.isascii():
        letter_count = sum(map(str.isalpha, text))
        for name, letters in SCRIPTS:
            # A few foreign letters in a Latin text are a quotation.
            if len(letters.findall(text)) * 3 > letter_count:
                return _within(name, text.lower())
    return _latin(text.lower())


def _within(script: str, text: str) -> str:
    choices, usual = {"cyrillic": (CYRILLIC, "ru"), "arabic": (ARABIC, "ar")}.get(script, ((), script))
    for language, letters in choices:
        # Bulgarian writes ъ in every other word, Russian now and then.
        needed = len(text) // 60 + 1 if language == "bg" else 1
        if sum(text.count(letter) for letter in letters) >= needed and not (
            language == "bg" and set(text) & set("ыэё")
        ):
            return language
    return usual


def _latin(text: str) -> str:
    words = Counter(WORD.findall(text.replace("’", "'")))
    hits = dict.fromkeys(COMMON, 0)
    for word in words.keys() & LANGUAGES_OF.keys():
        for language in LANGUAGES_OF[word]:
            hits[language] += words[word]
    for loser, _winner, letters in TELLING:
        if any(letter in text for letter in letters):
            hits[loser] -= 2
    (best, most), (_next, second) = sorted(hits.items(), key=lambda one: -one[1])[:2]
    if most < LEAST_HITS or most - second < LEAST_LEAD or most * 8 < words.total():
        return UNKNOWN
    return best


def answer_in(row: dict[str, Any]) -> str:
    """What the model is to write: the text, or the last answer, with the question where the answer is short."""
    if isinstance(row.get("text"), str):
        return row["text"]
    messages = row.get("messages") or [
        *(row.get("prompt") or ()),
        *(row.get("chosen") or row.get("completion") or ()),
    ]
    text = ""
    for message in reversed(messages):
        if message["role"] in ("assistant", "user") and isinstance(message.get("content"), str):
            text = f"{text} {message['content'][:CHARACTERS]}"
            if len(text) >= CHARACTERS // 4:
                break
    return text


def place_of(line: int) -> int:
    """A number below 2^32 that spreads lines evenly (Knuth's multiplicative hash); scan_body.h has the same."""
    return line * 2654435761 & 0xFFFFFFFF


class Languages:
    """The check that finds nothing and tells which languages the answers are in, by a sample.

    A row is in the sample while the place of its line is below `below`, which halves whenever more than `most` are.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self.below = ALL
        self._sample: list[tuple[int, str]] = []
        self._last = (0, 0)  # a line, and how many rows of it there were

    def see(self, row: dict[str, Any], kind: str) -> Iterator[Fault]:
        line = row["line"] or 0
        self._last = (line, self._last[1] + 1 if line == self._last[0] else 0)
        place = place_of(line + (self._last[1] << 16))
        if place < self.below:
            self._sample.append((place, answer_in(row)))
            while len(self._sample) > self.most:
                self.below //= 2
                self._sample = [each for each in self._sample if each[0] < self.below]
        yield from ()

    def finish(self) -> Iterator[Fault]:
        yield from ()

    def summary(self) -> dict[str, Any]:
        """`counts`: rows of the sample by language (ISO 639-1, or "unknown"); `sampled` rows, about one in `one_in`."""
        if not self._sample:
            return {}
        counts = dict(Counter(language_of(text) for _place, text in self._sample).most_common())
        return {"languages": {"counts": counts, "sampled": len(self._sample), "one_in": ALL // self.below}}
