"""Which language a text is in: sentences of our own, and what the sample promises."""

import json
import time

import pytest

from datasets_app.checking.languages import MOST, UNKNOWN, Languages, language_of
from datasets_app.reading import check_file
from datasets_app.scanning import library

SENTENCES = {
    "en": ["The harbour opens at nine and closes when the last boat is in.", "I don't know what you mean by that.",
           "You can bring your own bread if you like.", "We were there before the rain came down.",
           "Thank you for asking; here is how it works.", "She said that they would be late."],
    "de": ["Der Hafen öffnet um neun und schließt, wenn das letzte Boot da ist.", "Ich weiß nicht, was du meinst.",
           "Sie können auch Ihr eigenes Brot mitbringen.", "Wir waren schon da, bevor der Regen kam.",
           "Danke für die Frage, so funktioniert es.", "Das ist nicht so schwer, wie man denkt."],
    "fr": ["Le port ouvre à neuf heures et ferme quand le dernier bateau est rentré.",
           "Je ne sais pas ce que vous dites.",
           "Vous pouvez apporter votre pain si vous voulez.", "Nous étions là avant la pluie.",
           "Merci pour la question, voici comment cela marche.", "C'est plus facile que l'on ne pense."],
    "es": ["El puerto abre a las nueve y cierra cuando llega el último barco.", "No sé qué quiere decir usted con eso.",
           "Puede traer su propio pan si lo desea.", "Estábamos allí antes de que empezara la lluvia.",
           "Gracias por la pregunta, así es como funciona.", "Es más fácil de lo que se cree."],
    "pt": ["O porto abre às nove e fecha quando chega o último barco.", "Não sei o que você quer dizer com isso.",
           "Você pode trazer o seu próprio pão.", "Nós já estávamos lá antes da chuva.",
           "Obrigado pela pergunta, é assim que funciona.", "Isso não é tão difícil como se pensa."],
    "it": ["Il porto apre alle nove e chiude quando arriva l'ultima barca.", "Non so che cosa vuoi dire con questo.",
           "Se vuole, può portare il suo pane.", "Eravamo lì prima che la pioggia cominciasse.",
           "Grazie per la domanda, ecco come funziona la cosa.", "È più facile di quanto si pensi."],
    "nl": ["De haven gaat om negen uur open en sluit als de laatste boot er is.", "Ik weet niet wat je bedoelt.",
           "U kunt ook uw eigen brood meenemen.", "We waren er al voor de regen kwam.",
           "Dank voor de vraag, zo werkt het.", "Dat is niet zo moeilijk als je denkt."],
    "sv": ["Hamnen öppnar klockan nio och stänger när den sista båten är inne.", "Jag vet inte vad du menar med det.",
           "Du kan ta med ditt eget bröd om du vill.", "Vi var där innan regnet kom.",
           "Tack för frågan, så här fungerar det.", "Det är inte så svårt som man tror."],
    "da": ["Havnen åbner klokken ni og lukker, når den sidste båd er inde.", "Jeg ved ikke, hvad du mener med det.",
           "Du kan tage dit eget brød med, hvis du vil.", "Vi var der, før regnen kom.",
           "Tak for spørgsmålet, det virker på denne måde af sig selv.", "Det er ikke så svært, som man tror."],
    "no": ["Havnen åpner klokka ni og stenger når den siste båten er inne.", "Jeg vet ikke hva du mener med det.",
           "Du kan ta med ditt eget brød hvis du vil.", "Vi var der før regnet kom.",
           "Takk for spørsmålet, det fungerer slik.", "Det er ikke så vanskelig som noen tror, og nå er det ferdig."],
    "fi": ["Satama avataan yhdeksältä ja se suljetaan, kun viimeinen vene on sisällä.",
           "En tiedä, mitä sinä tarkoitat.",
           "Voit myös ottaa oman leivän mukaan, jos haluat.", "Me olimme siellä jo ennen kuin sade alkoi.",
           "Kiitos kysymyksestä, näin se toimii.", "Se ei ole niin vaikeaa kuin luullaan."],
    "pl": ["Port otwiera się o dziewiątej i zamyka, gdy wróci ostatnia łódź.", "Nie wiem, co to dla ciebie jest.",
           "Jeśli chcesz, możesz przynieść ze sobą chleb i to jest dobrze.",
           "Byliśmy tam już przed deszczem, ale nie długo.",
           "Dziękuję za pytanie, tak to działa.", "To nie jest takie trudne, jak się wydaje."],
    "cs": ["Přístav se otevírá v devět a zavírá, když je poslední loď doma.", "Nevím, co tím je, ale není to tak.",
           "Pokud chcete, může být i váš chléb.", "Byli jsme tam ještě před deštěm, ale ne dlouho.",
           "Děkuji za otázku, takto to je.", "Není to tak těžké, jak se zdá."],
    "tr": ["Liman dokuzda açılır ve son tekne geldikten sonra kapanır, her gün bu böyle.",
           "Ne demek istediğini ben bilmiyorum.",
           "Sen de kendi ekmeğini bir çanta ile getir.", "Yağmur gelmeden çok önce biz oradaydık ama bu değil.",
           "Soru için teşekkürler, bu böyle çalışır.", "Bu o kadar zor değil."],
    "ro": ["Portul se deschide la nouă și se închide când vine ultima barcă.", "Nu știu ce vrei să spui cu asta.",
           "Dacă vreți, mai este și pâine.", "Am fost acolo după ploaie, dar nu mult.",
           "Mulțumesc pentru întrebare, este foarte bine.", "Nu este mai greu decât pare."],
    "hu": ["A kikötő kilenckor nyit, és este zár, ha az utolsó hajó is itt van.", "Nem tudom, hogy mit akarsz ezzel.",
           "Ha kell, a kenyeret is hozhatod.", "Mi már az eső előtt ott voltunk, és nem volt hideg.",
           "Köszönöm a kérdést, ez így van.", "Ez nem olyan nehéz, mint hogy az ember félne."],
    "id": ["Pelabuhan ini buka pada pukul sembilan dan tutup dengan kapal yang terakhir.", "Saya tidak tahu apa itu.",
           "Anda juga bisa membawa roti untuk kita.", "Kami sudah ada di sana sebelum hujan.",
           "Terima kasih, ini adalah cara yang baik.", "Itu tidak sulit seperti yang mereka kira."],
    "vi": ["Cảng mở cửa vào chín giờ và đóng khi con thuyền cuối cùng đã vào.", "Tôi không biết bạn nói gì.",
           "Bạn cũng có thể mang bánh mì của mình.", "Chúng tôi đã ở đó trước khi trời mưa.",
           "Cảm ơn bạn đã hỏi, nó là như thế này.", "Điều này không khó như người ta nghĩ."],
    "ru": ["Порт открывается в девять часов.", "Я не знаю, что вы имеете в виду, объясните.", "Это не так трудно."],
    "uk": ["Порт відкривається о дев'ятій.", "Я не знаю, що ви маєте на увазі.", "Це не так важко, як її робота."],
    "bg": ["Пристанището отваря в девет и затваря, щом дойде последната лодка, така е всеки път, където и да съм."],
    "el": ["Το λιμάνι ανοίγει στις εννέα."], "he": ["הנמל נפתח בתשע."], "ar": ["يفتح الميناء في الساعة التاسعة."],
    "fa": ["بندر ساعت نه باز می‌شود و پس از آن می‌گوید."], "ur": ["بندرگاہ نو بجے کھلتی ہے۔"],
    "hi": ["बंदरगाह नौ बजे खुलता है।"],
    "th": ["ท่าเรือเปิดเก้าโมงเช้า"], "ko": ["항구는 아홉 시에 문을 엽니다."],
    "ja": ["港は九時に開きます。", "私はそれが何か知りません。"], "zh": ["港口九点开门，最后一艘船回来后关门。"],
}  # fmt: skip


def row(answer: str, question: str = "?", line: int = 1) -> dict:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "line": line}


def test_9_of_10_sentences_are_told_right_and_few_of_the_rest_wrong():
    told = [(language, language_of(text), text) for language, texts in SENTENCES.items() for text in texts]
    wrong = [one for one in told if one[0] != one[1]]
    assert len(wrong) <= 0.1 * len(told), wrong
    assert sum(found != UNKNOWN for _, found, _ in wrong) <= 0.03 * len(told), wrong


@pytest.mark.parametrize("text", ["", "42", "Ok.", "Oslo", "x = 1; y = x * 2", "😀😀", "AAAA-1234"])
def test_what_is_too_short_or_no_language_stays_unknown(text):
    assert language_of(text) == UNKNOWN


def test_a_foreign_word_does_not_make_a_text_foreign():
    assert language_of("The Greek word for it is λόγος, and it means the reason of things.") == "en"


def test_answers_are_counted_by_language_and_the_sample_is_told():
    check = Languages()
    for text in SENTENCES["en"] + SENTENCES["de"][:2]:
        assert list(check.see(row(text), "chat")) == []
    assert check.summary() == {"languages": {"counts": {"en": 6, "de": 2}, "sampled": 8, "one_in": 1}}
    assert list(check.finish()) == [] and Languages().summary() == {}


def test_a_short_answer_is_told_by_its_question():
    check = Languages()
    list(check.see(row("Um neun.", "Wann macht der Hafen auf, und ist das weit von hier?"), "chat"))
    assert check.summary()["languages"]["counts"] == {"de": 1}


@pytest.mark.parametrize("lines_a_row", [0, 1, 8])
def test_the_sample_of_a_large_file_is_spread_over_all_of_it_whatever_its_lines(lines_a_row):
    check = Languages(most=200)
    for number in range(10_000):
        text = SENTENCES["en" if number < 5000 else "fr"][number % 6]
        list(check.see(row(text, line=1 + number * lines_a_row), "chat"))
    found = check.summary()["languages"]
    assert 80 <= found["sampled"] <= 200 and found["one_in"] >= 32
    assert 0.8 < found["counts"]["en"] / found["counts"]["fr"] < 1.25


def test_the_scanned_and_the_careful_way_find_the_same_languages(tmp_path, monkeypatch):
    texts = [SENTENCES["de" if number % 3 else "fr"][number % 6] for number in range(5000)]
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps({"messages": row(text)["messages"]}) + "\n" for text in texts))
    scanned = check_file(path).profile["languages"]
    monkeypatch.setattr(library, "load", lambda: None)
    assert check_file(path).profile["languages"] == scanned
    assert scanned["sampled"] <= MOST and scanned["counts"]["de"] > scanned["counts"]["fr"] > 50


def test_one_text_takes_less_than_a_millisecond():
    text = " ".join(SENTENCES["en"]) * 10
    begun = time.process_time()
    for _ in range(100):
        language_of(text)
    assert time.process_time() - begun < 0.1
