"""Encodings of tables: read when they are certain, asked for when not, never a wrong letter in an ID."""

import pytest
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.messages.errors import InputError, TableError
from TACEResponseLib.readers.encodings import as_utf8
from TACEResponseLib.readers.tables import read_table

HEADER = "patient_id,center\n"
#: Tables as they are sent: names of patients and of the hospital.
CERTAIN = {
    "gb18030": "李伟,北京大学第一医院\n张敏,上海\n王芳,广州\n",
    "big5": "陳怡君,高雄長庚醫院\n林志明,臺北榮總\n",
    "shift_jis": "佐藤健,東京大学病院\nやまだ花子,大阪\n",
    "euc_jp": "鈴木一郎,京都\n高橋さくら,札幌\n",
    "cp949": "김민준,서울대학교병원\n이서연,부산\n",
    "cp1251": "Иванова Мария,Москва\nПетров Олег,Казань\n",
    "cp1252": "Müller,Universitätsklinik Köln\nGroß,Straße\n",
    "cp1250": "Wałęsa,Łódź\nŻak,Kraków\n",
}


def ids(path, content, encoding=None):
    path.write_bytes(content)
    return [row["patient_id"] for row in read_table(path, ("patient_id",), encoding=encoding)]


@pytest.mark.parametrize("encoding", CERTAIN)
def test_names_of_every_region_are_read_in_the_encoding_of_the_region(tmp_path, encoding):
    expected = [line.split(",")[0] for line in CERTAIN[encoding].splitlines()]
    assert ids(tmp_path / "t.csv", (HEADER + CERTAIN[encoding]).encode(encoding)) == expected


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("é\n", "cp1252"),  # Windows, Macintosh, Central Europe: too little to tell
        ("Hélène\n", "cp1252"),  # Hélčne in Central Europe
        ("Nováček\n", "cp1250"),  # Novácek or Novàèek
        ("Yıldız\n", "cp1254"),
        ("Müller\n", "mac_roman"),
        ("Иванов\n", "koi8_r"),
        ("Иванов\n", "cp866"),
        ("אריאל כהן\n", "cp1255"),
        ("نادي هلال\n", "cp1256"),
        ("สมชาย\n", "cp874"),
        ("堃喆\n", "gb18030"),
        ("ﾔﾏﾀﾞ\n", "cp932"),
    ],
)
def test_what_is_not_certain_is_asked_for_and_then_read(tmp_path, text, encoding):
    content = (HEADER + text).encode(encoding)
    with pytest.raises(TableError, match="text encoding is unknown.*--encoding") as caught:
        ids(tmp_path / "t.csv", content)
    assert caught.value.problem.field == "encoding"
    assert ids(tmp_path / "t.csv", content, encoding) == [text.strip()]


def test_the_question_shows_how_the_table_would_read(tmp_path):
    with pytest.raises(TableError) as caught:
        ids(tmp_path / "t.csv", (HEADER + "Hélène\n").encode("cp1252"))
    assert '"Hélène" in cp1252' in str(caught.value)
    assert '"Hélčne" in cp1250' in str(caught.value)


@pytest.mark.parametrize("encoding", CERTAIN)
@pytest.mark.parametrize("rows", [1, 2])
def test_a_table_of_one_or_two_rows_is_right_or_asked_for_and_never_wrong(tmp_path, encoding, rows):
    lines = CERTAIN[encoding].splitlines()[:rows]
    expected = [line.split(",")[0] for line in lines]
    try:
        found = ids(tmp_path / "t.csv", (HEADER + "\n".join(lines)).encode(encoding))
    except TableError as error:
        assert error.problem.field == "encoding"
    else:
        assert found == expected


def test_an_encoding_that_the_bytes_are_not_is_one_sentence(tmp_path):
    with pytest.raises(TableError, match="not text in utf-8.*received byte 0xb2 at 18"):
        ids(tmp_path / "t.csv", (HEADER + "病人\n").encode("gb18030"), "utf-8")


@pytest.mark.parametrize("name", ["latin-klingon", "rot13", "", "zip"])
def test_an_encoding_that_is_none_is_one_sentence(tmp_path, name):
    with pytest.raises(InputError, match="no such text encoding"):
        ids(tmp_path / "t.csv", b"patient_id\nP1\n", name)


def test_a_cohort_takes_the_encoding_too(tmp_path):
    text = "patient_id,image,mask\nHélène,i,m\n"
    (tmp_path / "cohort.csv").write_bytes(text.encode("cp1252"))
    with pytest.raises(TableError, match="encoding"):
        read_cohort(tmp_path)
    assert read_cohort(tmp_path, encoding="cp1252").patients[0].patient_id == "Hélène"


def test_a_table_becomes_utf_8_for_readers_that_take_a_path(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes("patient_id,label\r\nHélène,1\r\n".encode("cp1252"))
    with as_utf8(path, "cp1252") as copy:
        assert copy.name == "labels.csv"
        assert copy.read_bytes().decode("utf-8") == "patient_id,label\r\nHélène,1\r\n"
    assert not copy.exists()
    with as_utf8(path, None) as same:
        assert same == path


def test_training_on_tables_takes_the_encoding_too(tmp_path, monkeypatch):
    from TACEResponseLib.__main__ import main
    from TACEResponseLib.messages.errors import TrainingError

    def seen(features, labels, settings, **_):
        ids = [row["patient_id"] for path in (features, labels) for row in read_table(path, ("patient_id",))]
        raise TrainingError(f"read {' '.join(ids)} of {labels.name}")

    monkeypatch.setattr("TACEResponseLib.training.run.train_on_features", seen)
    (tmp_path / "f.csv").write_bytes("patient_id,x\nHélène,1\n".encode("cp1252"))
    (tmp_path / "l.csv").write_bytes("patient_id,label\nHélène,1\n".encode("cp1252"))
    tables = ["--features", str(tmp_path / "f.csv"), "--labels", str(tmp_path / "l.csv")]
    said = []
    monkeypatch.setattr("TACEResponseLib.__main__._fail", lambda _, kind, message, **__: said.append(message))
    for encoding in (["--encoding", "cp1252"], []):
        assert main(["train", *tables, "--out", str(tmp_path / "b"), "--no-cnn", *encoding]) == 2
    assert said[0] == "Read Hélène Hélène of l.csv."
    assert "text encoding is unknown" in said[1]
