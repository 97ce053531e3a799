"""Catalogs from folders and files: what is read, under which names, and what is said when it cannot be."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookalike.catalog import Catalog
from lookalike.errors import CatalogError
from tests.pictures import draw, encoded

MakeFolder = Callable[..., Path]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# Folders


def test_a_folder_of_folders(make_folder: MakeFolder) -> None:
    catalog = Catalog.read(make_folder(images=2))
    assert catalog.column("item_id")[:3] == ["bag/0.png", "bag/1.png", "boot/0.png"]
    assert catalog.column("label") == [name for name in ("bag", "boot", "coat", "dress") for _ in range(2)]
    assert catalog.understood == {"item_id": "files", "image": "files", "label": "folders"}
    assert "split" not in catalog
    assert catalog.image(0).size == (40, 32)


def test_train_and_test_folders(make_folder: MakeFolder, tmp_path: Path) -> None:
    for name in ("Train", "test", "val"):
        make_folder(images=1, root=tmp_path / "all" / name)
    catalog = Catalog.read(tmp_path / "all")
    assert catalog.where(split="train").column("label") == ["bag", "boot", "coat", "dress"]
    assert {*catalog.column("split")} == {"train", "test", "validation"}
    assert catalog.understood["split"] == "folders"


def test_folders_in_folders_are_one_label(make_folder: MakeFolder, tmp_path: Path) -> None:
    make_folder(images=1, root=tmp_path / "all" / "women")
    assert Catalog.read(tmp_path / "all").column("label")[0] == "women/bag"


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    for number in range(3):
        written(tmp_path / f"{number}.png", encoded(draw("bag", number)))
    catalog = Catalog.read(tmp_path)
    assert "label" not in catalog
    assert catalog.understood == {"item_id": "files", "image": "files"}
    with pytest.raises(CatalogError, match="has no column 'label'"):
        catalog.label_numbers()


def test_a_picture_outside_the_class_folders_is_refused_by_name(make_folder: MakeFolder) -> None:
    root = make_folder(images=1)
    written(root / "stray.png", encoded(draw("bag")))
    with pytest.raises(CatalogError, match=r"1 of 5 pictures lie outside the class folders, 'stray\.png' first; move"):
        Catalog.read(root)


def test_split_folders_without_classes_are_no_classes(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
        written(tmp_path / name / "a.png", encoded(draw("bag")))
    catalog = Catalog.read(tmp_path)
    assert "label" not in catalog
    assert catalog.column("split") == ["test", "train"]


def test_hidden_files_and_folders_are_left_out(make_folder: MakeFolder) -> None:
    root = make_folder(images=1)
    for hidden in (".ipynb_checkpoints/a.png", "bag/._0.png", "bag/notes.txt"):
        (root / hidden).parent.mkdir(exist_ok=True)
        written(root / hidden, encoded(draw("bag")))
    (root / "bag" / "album.png").mkdir()
    assert len(Catalog.read(root)) == 4
    # A hidden folder above the catalog hides nothing.
    assert len(Catalog.read(root.rename(root.with_name(".shop")))) == 4


def test_upper_case_endings_are_pictures(tmp_path: Path) -> None:
    written(tmp_path / "A.PNG", encoded(draw("bag")))
    assert Catalog.read(tmp_path).column("item_id") == ["A.PNG"]


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"holds no pictures \(.jpg.*expected .*/CLASS/picture.jpg"):
        Catalog.read(tmp_path)


def test_a_folder_has_only_its_own_columns(make_folder: MakeFolder) -> None:
    with pytest.raises(CatalogError, match=r"no column 'lable', which was to be read as label. Did you mean 'label'"):
        Catalog.read(make_folder(), label="lable")


def test_a_file_name_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.png")).touch()
    with pytest.raises(CatalogError, match=r"udcff.*not UTF-8; rename"):
        Catalog.read(tmp_path)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_metadata_in_a_folder(make_folder: MakeFolder, suffix: str) -> None:
    root = make_folder(images=1)
    rows = [{"file_name": "bag/0.png", "text": "a bag"}, {"file_name": "coat/0.png", "text": "a coat"}]
    if suffix == ".csv":
        written(root / "metadata.csv", "file_name,text\nbag/0.png,a bag\ncoat/0.png,a coat\n")
    elif suffix == ".jsonl":
        written(root / "metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), root / "metadata.parquet")
    catalog = Catalog.read(root)
    assert catalog.column("text") == ["a bag", "a coat"]
    assert catalog.understood == {"image": "file_name", "text": "text", "item_id": "row_number"}
    assert catalog.image(1).size == (40, 32)


# CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_csv_as_programs_write_it(tmp_path: Path, delimiter: str, mark: bytes, newline: str) -> None:
    rows = [["item_id", "image", "text", "price"], ["007", "a.png", '"red, ""big""; bag\nof\tfelt"', "12"]]
    content = newline.join(delimiter.join(row) for row in rows) + newline
    catalog = Catalog.read(written(tmp_path / "shop.csv", mark + content.encode()))
    assert catalog.column("item_id") == ["007"]
    assert catalog.column("image") == [str(tmp_path / "a.png")]
    assert catalog.column("text") == ['red, "big"; bag\nof\tfelt']
    assert catalog.column("price") == [12]


def test_ids_and_labels_of_digits_stay_text(tmp_path: Path) -> None:
    file = written(tmp_path / "shop.csv", "nr,kind,image,count\n007,01,a.png,003\n7,1,b.png,4\n")
    catalog = Catalog.read(file, item_id="nr", label="kind")
    assert catalog.column("item_id") == ["007", "7"]
    assert catalog.column("label") == ["01", "1"]
    assert catalog.column("count") == [3, 4]  # what is not ours is what it looks like


def test_empty_cells_are_missing(tmp_path: Path) -> None:
    catalog = Catalog.read(written(tmp_path / "a.csv", "image,label,text\na.png,,NA\nb.png,  ,null\n"))
    assert catalog.column("label") == [None, None]
    assert catalog.column("text") == ["NA", "null"]  # words, not codes


@pytest.mark.parametrize("header", ["image\tone, two, three", "one, two, three\timage"])
def test_a_tsv_is_split_at_tabs_whatever_its_header(tmp_path: Path, header: str) -> None:
    assert len(Catalog.read(written(tmp_path / "a.tsv", f"{header}\nx\ty\n"))) == 1


def test_delimiters_in_a_quoted_header_do_not_count(tmp_path: Path) -> None:
    catalog = Catalog.read(written(tmp_path / "a.csv", 'image;"size, in, cm"\na.png;3\n'))
    assert catalog.column("size, in, cm") == [3]


def test_nuls_emoji_and_long_texts_in_csv_and_jsonl(tmp_path: Path) -> None:
    text = "bag \U0001f45c Tasche 包 حقيبة " + "word " * 500_000 + "end"
    catalog = Catalog.read(written(tmp_path / "a.csv", f'image,text\na.png,"{text}"\nb.png,"a\0b"\n'))
    assert catalog.column("text") == [text, "a\0b"]
    rows = [{"image": "a.png", "text": text}, {"image": "b.png", "text": "a\0b"}]
    catalog = Catalog.read(written(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert catalog.column("text") == [text, "a\0b"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", "", "a.csv is empty; its first line must name the columns"),
        ("a.csv", "\n\n", "a.csv is empty"),
        ("a.csv", "image,label\n", "a.csv has no items"),
        ("a.csv", "image,label\na.png,x,y\n", "cannot be read as CSV: .*Expected 2 columns, got 3"),
        ("a.csv", "image,label\na.png,caf\u00e9\n".encode("latin-1"), "cannot be read as CSV.*save it as UTF-8"),
        ("a.csv", "image,label\n".encode("utf-16"), "cannot be read as CSV.*save it as UTF-8"),
        ("a.csv", "image,image\na.png,b.png\n", "has 2 columns named 'image'; rename or drop"),
        ("a.tsv", "image\tlabel\na.png\n", "cannot be read as TSV: .*Expected 2 columns, got 1"),
        ("a.jsonl", "", "cannot be read as JSONL: Empty JSON file"),
        ("a.jsonl", '{"image": "a.png"\n', "cannot be read as JSONL: JSON parse error"),
        ("a.jsonl", '{"image": "a", "label": 1}\n{"image": "b", "label": "x"}\n', "JSONL.*from number to string"),
        ("a.jsonl", '{"image": 5}\n', "picture column must hold paths or bytes, not int64"),
        ("a.jsonl", '{"image": "a.png", "label": ["x"]}\n', "column 'label', read as label, must hold text, not list"),
        ("a.parquet", "", "cannot be read as PARQUET: .*0 bytes"),
        ("a.parquet", b"PAR1" + bytes(40) + b"PAR1", "cannot be read as PARQUET"),
        ("a.xlsx", "PK", r"a catalog ends in .csv, .tsv, .parquet, .jsonl \(or is a folder\), not in '.xlsx'"),
        ("catalog", "image\n", r"a catalog ends in .csv.*not in ''"),
        (
            "a.csv",
            "picture,label\na.png,x\n",
            r"has no column with the pictures; name it with image=\.\.\. \(--image\)",
        ),
        ("a.csv", "picture,label\na.png,x\n", "Its columns: picture, label"),
        ("a.csv", "image,label\na.png,x\n,y\n", "a.csv, row 2: image is empty; fill it or drop the row"),
        ("a.csv", "image,item_id\na.png,x\nb.png,\n", "a.csv, row 2: item_id is empty; fill it or drop the row"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, name: str, content: str | bytes, sentence: str) -> None:
    with pytest.raises(CatalogError, match=sentence):
        Catalog.read(written(tmp_path / name, content))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"there is no catalog at .*shop.csv; give a folder of pictures, or a CSV"):
        Catalog.read(tmp_path / "shop.csv")


# Parquet and JSONL


def test_parquet_with_bytes_and_with_structs(tmp_path: Path) -> None:
    pictures = [encoded(draw("bag", number)) for number in range(2)]
    structs = [{"bytes": picture, "path": "lost.png"} for picture in pictures]
    for images in (pa.array(pictures), pa.array(pictures, pa.large_binary()), pa.array(structs)):
        pq.write_table(pa.table({"image": images, "label": ["a", "b"]}), tmp_path / "a.parquet")
        catalog = Catalog.read(tmp_path / "a.parquet")
        assert catalog.column("image") == pictures
        assert catalog.image(1).size == (40, 32)


def test_parquet_with_paths_also_as_categories(make_folder: MakeFolder, tmp_path: Path) -> None:
    make_folder(images=1)
    paths = pa.array(["shop/bag/0.png", str(tmp_path / "shop/coat/0.png")])
    for images in (paths, paths.cast(pa.large_string()), paths.dictionary_encode()):
        pq.write_table(pa.table({"image": images, "label": paths.dictionary_encode()}), tmp_path / "a.parquet")
        catalog = Catalog.read(tmp_path / "a.parquet")
        assert [catalog.image(row).size for row in (0, 1)] == [(40, 32)] * 2
        assert catalog.column("label") == paths.to_pylist()


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    (tmp_path / "split=train").mkdir()
    pq.write_table(pa.table({"image": ["a.png"]}), tmp_path / "split=train" / "a.parquet")
    assert Catalog.read(tmp_path / "split=train" / "a.parquet").table.column_names == ["item_id", "image"]


def test_parquet_structs_without_bytes(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [{"uri": "a"}]}), tmp_path / "a.parquet")
    with pytest.raises(CatalogError, match=r"must hold paths or bytes, not a struct of \['uri'\]"):
        Catalog.read(tmp_path / "a.parquet")


def test_jsonl_ids_that_look_like_dates_or_numbers(tmp_path: Path) -> None:
    rows = [{"sku": "2024-05-01", "image": "a.png", "label": 7}, {"sku": "2024-05-02", "image": "b.png", "label": 8}]
    file = written(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    catalog = Catalog.read(file)
    assert catalog.column("item_id") == ["2024-05-01", "2024-05-02"]
    assert catalog.column("label") == ["7", "8"]


# Which column is which


def test_relative_paths_start_at_the_file_not_at_the_working_directory(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(images=1)
    written(tmp_path / "a.csv", f"image\nshop/bag/0.png\n./shop/../shop/coat/0.png\n{tmp_path}/shop/boot/0.png\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    catalog = Catalog.read("../a.csv")
    assert [catalog.image(row).size for row in range(3)] == [(40, 32)] * 3


def test_addresses_stay_addresses(tmp_path: Path) -> None:
    catalog = Catalog.read(written(tmp_path / "a.csv", "image\nhttps://shop.example/a.png\n"))
    assert catalog.column("image") == ["https://shop.example/a.png"]


def test_usual_names_are_found_and_the_first_wins(tmp_path: Path) -> None:
    catalog = Catalog.read(written(tmp_path / "a.csv", "caption,sku,path,class,title\nc,s,a.png,k,t\n"))
    assert catalog.understood == {"item_id": "sku", "image": "path", "label": "class", "text": "caption"}
    assert catalog.table.column_names == ["item_id", "image", "label", "text", "title"]


def test_a_column_mapped_by_the_user_is_kept_under_its_name_too(tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", "item_id,image,label,category,title\n1,a.png,old,new,t\n")
    catalog = Catalog.read(file, label="category", text="title")
    assert (catalog.column("label"), catalog.column("category"), catalog.column("title")) == (["new"], ["new"], ["t"])
    assert catalog.understood["label"] == "category"


def test_a_mapped_column_that_is_missing_names_the_nearest(tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", "image,category\na.png,x\n")
    with pytest.raises(
        CatalogError, match=r"no column 'categroy', which was to be read as label. Did you mean 'category'"
    ):
        Catalog.read(file, label="categroy")


def test_double_ids_are_named_with_the_remedies(tmp_path: Path) -> None:
    rows = "".join(f"{number // 2},{number}.png\n" for number in range(20)) + "0,x.png\n"
    file = written(tmp_path / "a.csv", "id,image\n" + rows)
    with pytest.raises(CatalogError) as caught:
        Catalog.read(file)
    sentence = str(caught.value)
    assert "item_id must be unique" in sentence
    assert "'0' (3 times), '1' (2 times)" in sentence
    assert "and 5 more" in sentence
    assert "item_id=... (--item-id), or number the rows with item_id='row_number'" in sentence
    assert Catalog.read(file, item_id="row_number").column("item_id") == [str(number) for number in range(21)]


def test_rows_are_numbered_without_ids_and_the_users_row_number_wins(tmp_path: Path) -> None:
    assert Catalog.read(written(tmp_path / "a.csv", "image\na.png\nb.png\n")).column("item_id") == ["0", "1"]
    own = written(tmp_path / "b.csv", "image,row_number\na.png,x7\nb.png,x8\n")
    assert Catalog.read(own, item_id="row_number").column("item_id") == ["x7", "x8"]
