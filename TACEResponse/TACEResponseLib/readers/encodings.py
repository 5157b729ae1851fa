"""The text of a table whose bytes do not say their encoding: read when certain, else asked for.

Every encoding of the list is tried. A reading counts when it looks like writing: letters of one
script in a word, capitals where words have them, characters of the national standard. Where several
count, the one with clearly more everyday characters is taken; where none is clear, nothing is read,
since a wrong guess would be a wrong patient ID.
"""

import codecs
import contextlib
import re
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from TACEResponseLib.messages.errors import InputError, TableError
from TACEResponseLib.messages.language import tr

#: A reading is taken when its everyday characters are at least this share of those beyond ASCII ...
LEAST_FAMILIAR = 0.3
#: ... and exceed those of every other reading by this much.
MARGIN = 0.25
#: Characters beyond ASCII below which a table is too short to tell by its characters.
LEAST_CHARACTERS = 4
#: Encodings whose readings make others doubtful and are never taken themselves: any bytes look like them.
NEVER_TAKEN = {"koi8_r", "cp1255", "cp1256", "cp874", "cp850", "mac_roman"}
#: Characters of a table that are looked at; enough to tell any language.
LOOKED_AT = 20_000

# Everyday characters: family and given names, and the words of a table of patients.
_CHINESE = set(
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴"
    "夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文伟芳娜秀英敏静丽强"
    "磊军洋勇艳杰娟涛明超兰霞平刚桂建华国红梅玉春晓宇志鹏飞辉斌波海峰婷雪云凤琴珍荣生福祥新永东成俊子欣佳鑫丹健帆莹"
    "患者病人姓名编号性别年龄男女是否无有医院中心科肝癌肿瘤直径血管侵门静脉治疗前后日期备注第一二三四五六七八九十附属"
    "大学民省市区县北京上广州深圳南汉都重庆天津浙山河湖川安徽陕西辽宁完全部分缓解稳定进展"
)
_TAIWANESE = set(
    "陳林黃張李王吳劉蔡楊許鄭謝郭洪曾邱廖賴周徐蘇葉莊呂江何蕭羅高潘簡朱鍾彭游詹胡施沈余趙盧梁顏柯翁魏孫戴范方宋鄧"
    "杜傅侯曹薛丁卓阮馬董温唐藍石蔣田康鄒白涂尤巫韓龔嚴袁金童陸夏柳邵錢伍倪溫于譚駱熊任甘秦顧毛章史官萬俞雷粘怡君婷"
    "雅佩志明俊傑宏家豪建文淑芬美玲惠麗雯欣宜心冠宇柏翰承恩彥廷詩涵佳穎哲瑋信宗華國英玉秀珍春雪梅病患者人姓名編號性"
    "別年齡男女是否無有醫院中心科肝癌腫瘤直徑血管侵門靜脈治療前後日期備註第一二三四五六七八九十附屬大學民省市區縣台臺"
    "北南東西新竹桃園高雄花蓮榮總長庚完全部分緩解穩定進展"
)
_JAPANESE = set(
    "佐藤鈴木高橋田中伊渡辺山本村小林加吉井口松斎清崎森池阿部石前岡長川野島原上下大西東南北内今新岩谷青福太三浦近遠"
    "後坂和平竹武宮菊千葉久保安桜水丸杉酒工横市柴河金児玉永関古杜萩沢奥星土屋谷荒真子美香奈恵智裕直健陽翔結花一二郎"
    "明英幸男女患者番号病院東京都大阪府名前氏年齢肝癌腫瘍径治療奏効日付備考学医科区県央央"
)
_KOREAN = set(
    "김이박최정강조윤장임한오서신권황안송류전홍고문양손배백허유남심노하곽성차주우구나진지엄채원천방공현함변염여추도소"
    "석선설마길연위표명기반왕금옥민준은혜영수시예호승건재태경희숙자순미아라빈찬규상철동훈종인가사다대환번별병울학교부"
    "산광센터간암크종양응없음있니날짜메모름의과대세브란스삼남여중구"
)
_KANA = {chr(code) for code in range(0x3041, 0x30FF)}
_RUSSIAN, _GREEK = set("оеаинтсрвлкмд"), set("αοιετνσρπκμ")
_HEBREW, _ARABIC, _THAI = set("יולארמהנ"), set("المينرةبد"), set("านรกอเยัม่งว")
#: Letters beyond ASCII of the languages that an encoding serves.
_WEST = ("äöüßé", "àâæçéèêëïîôœùûüÿ", "áàâãçéèêíïñóòôõúü", "àèéìòù", "åäöæøéü", "éëïöü")
_LANGUAGES = {
    "cp1252": _WEST,
    "cp850": _WEST,
    "mac_roman": _WEST,
    "cp1250": ("áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "ąćęłńóśźż", "áéíóöőúüű", "ăâîşţ", "čćđšž", "äöüß"),
    "cp1254": ("çğıöşüâîûi̇",),
}


@dataclass(frozen=True)
class _Reading:
    """A table in one encoding: its text, and the share of everyday characters beyond ASCII."""

    encoding: str
    text: str
    familiar: float


def decode_table(content: bytes, table: str, encoding: str | None = None) -> str:
    """The text of a CSV: in the encoding that was named, or in the one that is certain.

    Raises TableError when the bytes are not of the encoding named, or nothing is certain; it shows
    how the table would read.
    """
    if encoding is not None:
        return _decode_as(content, table, encoding)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _decode_as(content, table, "utf-16")
    with contextlib.suppress(UnicodeDecodeError):
        return content.decode("utf-8-sig")
    readings = [found for found in map(_reading, _NATURAL, [content] * len(_NATURAL)) if found]
    certain = _certain(readings)
    if certain is None:
        raise _uncertain(readings, content, table)
    return certain.text


def known_encoding(name: str) -> str:
    """The name as Python knows it; InputError for one that is none of a text."""
    with contextlib.suppress(LookupError, ValueError):
        "".encode(name)  # rot13 and zip are codecs too, and none of a text
        return codecs.lookup(name).name
    raise InputError(
        tr("there is no such text encoding"),
        field="encoding",
        expected=tr("for example utf-8, gb18030, big5, shift_jis, cp949, cp1251, cp1252"),
        received=name,
    )


@contextlib.contextmanager
def as_utf8(path: Path, encoding: str | None) -> Iterator[Path]:
    """A table of the named encoding as a temporary UTF-8 file of the same name; `path` itself without one.

    For readers that take a path only. A spreadsheet says its encoding itself and stays as it is.
    """
    if encoding is None or not path.is_file() or path.read_bytes()[:2] == b"PK":
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="tace-table-") as folder:
        copy = Path(folder) / path.name
        copy.write_text(decode_table(path.read_bytes(), path.name, encoding), encoding="utf-8", newline="")
        yield copy


def _decode_as(content: bytes, table: str, encoding: str) -> str:
    encoding = known_encoding(encoding)
    try:
        return content.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeError as error:
        place = getattr(error, "start", 0)
        raise TableError(
            tr("the table is not text in {encoding}", encoding=encoding),
            file=table,
            field="encoding",
            expected=tr("{encoding} in every byte", encoding=encoding),
            received=tr("byte {byte:#04x} at {place}", byte=content[place], place=place),
            remedy=tr("name another encoding with --encoding, or save the table as CSV UTF-8"),
        ) from None


def _reading(encoding: str, content: bytes) -> _Reading | None:
    """The table in this encoding, where that looks like writing at all."""
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return None
    natural, everyday = _NATURAL[encoding]
    beyond = [c for c in text if ord(c) > 127][:LOOKED_AT]
    if not natural(text[: 50 * LOOKED_AT], beyond, encoding):
        return None
    letters = [c for c in beyond if c.isalpha()]
    return _Reading(encoding, text, sum(c.lower() in everyday for c in letters) / max(1, len(letters)))


def _certain(readings: list[_Reading]) -> _Reading | None:
    """The one reading that is clear; readings of the same text are one."""
    texts = {reading.text: reading for reading in reversed(readings)}
    ordered = sorted(texts.values(), key=lambda reading: reading.familiar, reverse=True)
    if not ordered or ordered[0].encoding in NEVER_TAKEN:
        return None
    best = ordered[0]
    if best.encoding in _LANGUAGES:  # tells by its words: a few letters among ASCII
        return best if len(ordered) == 1 else _of_one_language(ordered)
    enough = sum(ord(c) > 127 for c in best.text) >= LEAST_CHARACTERS and best.familiar >= LEAST_FAMILIAR
    clear = all(best.familiar - other.familiar >= MARGIN for other in ordered[1:])
    return best if enough and clear else None


def _of_one_language(readings: list[_Reading]) -> _Reading | None:
    """The one reading whose letters are all of one language, where the others mix languages."""

    def is_one(reading: _Reading) -> bool:
        letters = {c for c in reading.text.lower() if ord(c) > 127 and c.isalpha()}
        return any(letters <= set(alphabet) for alphabet in _LANGUAGES.get(reading.encoding, ()))

    of_one = [reading for reading in readings if is_one(reading)]
    enough = sum(ord(c) > 127 for c in readings[0].text) >= LEAST_CHARACTERS
    return of_one[0] if len(of_one) == 1 and enough and of_one[0].encoding not in NEVER_TAKEN else None


def _uncertain(readings: list[_Reading], content: bytes, table: str) -> TableError:
    """The error that asks for the encoding and shows the first word beyond ASCII in each reading."""
    shown = []
    for reading in sorted(readings, key=lambda r: r.familiar, reverse=True)[:4]:
        word = next(w for w in re.split(r"[ \r\n,;\t\"]+", reading.text) if not w.isascii())
        shown.append(tr('"{word}" in {encoding}', word=word[:20], encoding=reading.encoding))
    first = next(n for n, byte in enumerate(content) if byte > 127)
    return TableError(
        tr("the table's text encoding is unknown"),
        file=table,
        field="encoding",
        expected=tr("UTF-8, or an encoding that is certain"),
        received=tr(" or ").join(shown)
        or tr("byte {byte:#04x} at {place}", byte=content[first], place=first),
        remedy=tr("name it with --encoding, for example --encoding gb18030, or save the table as CSV UTF-8"),
    )


def _is_east_asian(text: str, beyond: list[str], encoding: str) -> bool:
    """Whether nearly all characters are those that the national standard holds for everyday text."""
    japanese = "CJK HIRAGANA KATAKANA"  # not a text
    scripts = {"gb18030": "CJK", "big5": "CJK", "cp949": "HANGUL"}.get(encoding, japanese)
    if any("｡" <= c <= "ﾟ" for c in beyond):
        return False  # half-width kana are what any other Asian text looks like
    letters = [c for c in beyond if c.isalpha() or c == "ー"]
    if not letters or any(unicodedata.category(c) in ("Co", "Cn", "Cc") for c in beyond):
        return False
    usual = sum(unicodedata.name(c, "").split(" ")[0] in scripts and _everyday(c, encoding) for c in letters)
    return usual >= 0.9 * len(letters)


def _everyday(character: str, encoding: str) -> bool:
    """Whether the character stands among the common ones of its standard."""
    narrow, first, last = {
        "gb18030": ("gb2312", 0xB0, 0xF7),
        "big5": ("big5", 0xA4, 0xC6),
        "cp949": ("euc_kr", 0xB0, 0xC8),
        "cp932": ("shift_jis", 0x81, 0x98),
        "euc_jp": ("shift_jis", 0x81, 0x98),
    }[encoding]
    try:
        return first <= character.encode(narrow)[0] <= last
    except UnicodeEncodeError:
        return False


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()]


def _has_capitals_in_place(word: str) -> bool:
    return word in (word.lower(), word.upper()) or word[1:] == word[1:].lower()


_SCRIPTS = {
    "cp1251": "CYRILLIC",
    "koi8_r": "CYRILLIC",
    "cp1253": "GREEK",
    "cp1255": "HEBREW",
    "cp1256": "ARABIC",
    "cp874": "THAI",
}


def _is_alphabet(text: str, beyond: list[str], encoding: str) -> bool:
    """Whether every word beyond ASCII is wholly of the alphabet, as in a Russian or Greek table."""
    script = _SCRIPTS[encoding]
    signs = "«»–—№“”„’°±…·\xa0"
    if not all(unicodedata.name(c, "").startswith(script) or c in signs for c in beyond):
        return False
    words = _words(text)
    return all(not re.search("[a-zA-Z]", word) and _has_capitals_in_place(word) for word in words)


def _is_western(text: str, beyond: list[str], encoding: str) -> bool:
    """Whether letters beyond ASCII are few in every word, as in a German or Czech table."""
    signs = "«»–—“”„’°±…§\xa0"
    letters = [c for c in beyond if c not in signs]
    if not letters or not all(
        re.match("LATIN (SMALL|CAPITAL) LETTER", unicodedata.name(c, ""))  # not a text
        for c in letters
    ):
        return False
    if re.search(rf"[^\W\d_][{signs.replace('’', '')}][^\W\d_]", text):
        return False  # a sign within a word
    if encoding == "cp850" and re.search("õ(?!e)", text):
        return False  # what the ä of Windows looks like; Portuguese writes õe
    for word in _words(text):
        strange = sum(ord(c) > 127 for c in word)
        if re.search(r"[^\x00-\x7f]{3}", word) or strange > max(1, 0.75 * len(word)):
            return False
        if not _has_capitals_in_place(word.replace("ß", "s")):
            return False
    return True


_Natural = Callable[[str, list[str], str], bool]
#: Encoding -> how its text is known, and its everyday characters.
_NATURAL: dict[str, tuple[_Natural, set[str]]] = {
    "gb18030": (_is_east_asian, _CHINESE),
    "big5": (_is_east_asian, _TAIWANESE),
    "cp932": (_is_east_asian, _JAPANESE | _KANA),
    "euc_jp": (_is_east_asian, _JAPANESE | _KANA),
    "cp949": (_is_east_asian, _KOREAN),
    "cp1251": (_is_alphabet, _RUSSIAN),
    "koi8_r": (_is_alphabet, _RUSSIAN),
    "cp1253": (_is_alphabet, _GREEK),
    "cp1255": (_is_alphabet, _HEBREW),
    "cp1256": (_is_alphabet, _ARABIC),
    "cp874": (_is_alphabet, _THAI),
    **{name: (_is_western, set()) for name in _LANGUAGES},
}
