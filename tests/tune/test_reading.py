"""Data files of every kind, good rows and bad ones."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import vtc_tiny
from vtc_encode import Refused
from vtc_tune import open_data
from vtc_tune.samples import Given, draw
from vtc_tune.scenes import Scenes


@pytest.fixture
def photos(tmp_path):
    """Four pictures in a folder below."""
    (tmp_path / "photos").mkdir()
    for seed in range(4):
        vtc_tiny.scene(seed).image.save(tmp_path / "photos" / f"{seed}.png")
    return tmp_path


def good(seed):
    return {"image": f"photos/{seed}.png", "question": f"how many objects {seed} ?", "answer": str(seed)}


def drawn(path, questions=()):
    found = draw(open_data(str(path), questions), 100, 0)
    return {s.question: s.answer for s in found.samples}, dict(found.skipped)


def test_json_lines_with_every_kind_of_bad_row(photos, monkeypatch):
    lines = [
        json.dumps(good(0)).encode(),
        b"",
        b'{"image": "photos/1.png", "question": "caf\xe9 ?"}',
        b'{"image": "photos/none.png", "question": "what ?"}',
        b'{"image": "photos/1.png", "question": " "}',
        b'{"image": "photos/1.png"}',
        b'{"question": "what ?"}',
        b'{"image": "photos/1.png", "question": 3}',
        b'{"image": "photos/1.png", "question": "<image> ?"}',
        b'{"image": "photos/1.png", "question": "half \\ud800 ?"}',
        b'{"image": "photos/1.png", "question": "what ?", "answer": ["a", "b"]}',
        b'{"image": "http://x/1.png", "question": "what ?"}',
        b'{"image": "photos", "question": "what ?"}',
        b"[1",
        b"3",
        json.dumps(good(1) | {"answer": 7}).encode(),
    ]
    (photos / "data.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines))
    monkeypatch.chdir("/")  # paths are the data file's
    samples, skipped = drawn(photos / "data.jsonl")
    assert samples == {"how many objects 0 ?": "0", "how many objects 1 ?": "7"}
    assert skipped == {
        "row 2": "is not UTF-8",
        "row 3: photos/none.png": "is not there",
        "row 4: photos/1.png": "has an empty question",
        "row 5: photos/1.png": "has no question",
        "row 6": "has no image",
        "row 7: photos/1.png": "has a int as its question",
        "row 8: photos/1.png": "has <image> in its question, which is put before it by itself",
        "row 9: photos/1.png": "has half a letter in its question",
        "row 10: photos/1.png": "has a list as its answer, which must be text",
        "row 11: http://x/1.png": "is a URL (http:), not a path",
        "row 12: photos": "is a folder, not a picture",
        "row 13": "is not JSON (Expecting ',' delimiter: line 1 column 3 (char 2))",
        "row 14": "is no JSON object",
    }


def test_an_array_of_json(photos):
    (photos / "data.json").write_text(json.dumps([good(0), good(2), 5], indent=1))
    samples, skipped = drawn(photos / "data.json")
    assert samples == {"how many objects 0 ?": "0", "how many objects 2 ?": "2"}
    assert skipped == {"row 3": "is no JSON object"}


def test_csv_with_quotes_line_breaks_and_bad_rows(photos):
    with open(photos / "data.csv", "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "image", "other"])
        writer.writerow(['what, "exactly"\nis it ?', "photos/0.png", ""])
        writer.writerow(["too few", "photos/1.png"])
    with open(photos / "data.csv", "ab") as file:
        file.write(b'caf\xe9,photos/1.png,\r\n\r\n"open,photos/1.png,\r\n')
    samples, skipped = drawn(photos / "data.csv")
    assert samples == {'what, "exactly"\nis it ?': None}
    assert skipped["row 2"] == "has 2 columns, the first line 3"
    assert skipped["row 3"] == "is not UTF-8"
    assert skipped["row 4"].startswith("is not CSV (")


def test_parquet_with_paths_bytes_and_row_groups(photos):
    data = (photos / "photos" / "3.png").read_bytes()
    images = [
        {"bytes": data, "path": None},
        {"bytes": None, "path": "photos/1.png"},
        {"bytes": b"no", "path": None},
        None,
    ]
    questions = ["q0 ?", "q1 ?", "q2 ?", "q3 ?"]
    pq.write_table(pa.table({"image": images, "question": questions}), photos / "data.parquet", row_group_size=1)
    samples, skipped = drawn(photos / "data.parquet")
    assert samples == {"q0 ?": None, "q1 ?": None}
    assert skipped == {"row 3": "is not a picture that can be read (PNG, JPEG, WebP, ...)", "row 4": "has no image"}


def test_every_question_of_every_picture_of_a_folder(photos):
    (photos / "photos" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    found = draw(open_data(str(photos / "photos"), ["a ?", "b ?"]), 100, 0)
    assert sorted((s.id, s.question) for s in found.samples) == [
        (f"{i}.png", q) for i in range(4) for q in ("a ?", "b ?")
    ]
    assert [skip.id for skip in found.skipped] == ["cut.png", "cut.png"]
    pixels = {s.id: np.asarray(s.picture()) for s in found.samples}
    assert np.array_equal(pixels["2.png"], np.asarray(vtc_tiny.scene(2).image))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.jsonl", None, "none.jsonl is not there"),
        ("x.jsonl", "", "x.jsonl has no good row among 0; there is none"),
        ("x.jsonl", '{"image": "a"}', "x.jsonl has no good row among 1; the first: row 1: a has no question"),
        ("x.csv", "a,image\n", "x.csv has no column question: its first line is a,image"),
        ("x.parquet", "no", "x.parquet is no parquet file that can be read ("),
        ("x.txt", "", "x.txt must be a .jsonl, .csv or .parquet file; of a folder of pictures, pass --question"),
    ],
)
def test_what_holds_no_samples_is_refused_in_one_line(tmp_path, monkeypatch, name, content, message):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(Refused) as error:
        draw(open_data(name), 5, 0)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_the_seed_alone_decides_which_samples_are_drawn():
    ids = [[s.id for s in draw(Scenes(range(50)), 10, seed).samples] for seed in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2]
    assert len(set(ids[0])) == 10
    assert len(draw(Scenes(range(5)), 10, 0).samples) == 5


def test_bad_rows_do_not_make_the_samples_fewer(photos):
    rows = [good(i % 4) if i % 2 else {"image": "none.png", "question": "?"} for i in range(8)]
    (photos / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert len(draw(open_data(str(photos / "data.jsonl")), 4, 0).samples) == 4


def test_the_digest_knows_questions_answers_and_pixels():
    def digest(color, question, answer):
        return draw(
            Given([{"image": Image.new("RGB", (9, 9), color), "question": question, "answer": answer}]), 1, 0
        ).digest

    assert digest("red", "a", "b") == digest("red", "a", "b")
    assert (
        len({digest("red", "a", "b"), digest("blue", "a", "b"), digest("red", "c", "b"), digest("red", "a", "c")}) == 4
    )


def test_a_mapping_without_a_question_is_refused():
    with pytest.raises(ValueError, match="sample 0 must have image and question, it lacks question"):
        Given([{"image": "a.png"}])
