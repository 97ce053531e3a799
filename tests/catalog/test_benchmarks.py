"""The papers' data sets, in each layout they come in, and the numbers they must hold."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lookalike.catalog import Catalog
from lookalike.catalog.benchmarks import BENCHMARKS, benchmark_named
from lookalike.catalog.benchmarks import matlab as matlab_module
from lookalike.catalog.images import decode
from lookalike.catalog.splits import later_half
from lookalike.errors import CatalogError
from tests.catalog.benchmark_folders import (
    CARS,
    CARS_COUNTS,
    CUB_COUNTS,
    INATURALIST_COUNTS,
    INSHOP_COUNTS,
    MAKERS,
    SOP_COUNTS,
    Files,
    as_tar,
    as_zip,
    cars,
    cars_by_class,
    cars_devkit,
    cars_parquet,
    cub,
    inaturalist,
    inshop,
    jpeg,
    laid_out,
    matlab,
    sop,
    studio_street,
    under,
)


def read(name: str, root: Path, counts: dict[str, tuple[int, int]]) -> Catalog:
    """A tiny data set, its numbers checked."""
    return Catalog(BENCHMARKS[name].read(root, counts=counts), str(root))


def row(catalog: Catalog, item: str) -> dict[str, object]:
    (found,) = [one for one in catalog.table.to_pylist() if one["item_id"] == item]
    return found


# The table


def test_the_published_numbers() -> None:
    totals = {name: sum(images for images, _ in one.counts.values()) for name, one in BENCHMARKS.items()}
    assert totals == {
        "cub200": 11788,
        "cars196": 16185,
        "sop": 120053,
        "inshop": 52712,
        "inaturalist2018": 461939,
        "studio_street": 0,
    }
    assert BENCHMARKS["sop"].k == (1, 10, 100, 1000)
    assert {name: one.name for name, one in BENCHMARKS.items()} == {name: name for name in BENCHMARKS}


@pytest.mark.parametrize("name", MAKERS)
def test_every_data_set_reads_is_whole_and_has_texts(name: str, tmp_path: Path) -> None:
    make, counts = MAKERS[name]
    catalog = read(name, laid_out(tmp_path, make()), counts)
    report = catalog.check()
    assert report.usable and not report.classes_in_train_and_test and report.missing_label == 0
    assert report.missing_text == 0
    assert {*catalog.column("split")} == {"train", "test"}


def test_an_unknown_name() -> None:
    with pytest.raises(CatalogError, match=r"there is no data set 'cub'. Did you mean 'cub200'\?"):
        benchmark_named("cub")


# CUB


@pytest.mark.parametrize("form", ["tgz", "tar", "unpacked", "in its folder", "the archive itself"])
def test_cub_packed_and_unpacked(tmp_path: Path, form: str) -> None:
    root = tmp_path
    if form == "unpacked":
        laid_out(tmp_path, cub())
    elif form == "in its folder":
        root = laid_out(tmp_path, cub()) / "CUB_200_2011"
    elif form == "tar":
        as_tar(tmp_path / "CUB_200_2011.tar", cub())
    else:
        archive = as_tar(tmp_path / "CUB_200_2011.tgz", cub())
        root = archive if form == "the archive itself" else tmp_path
    catalog = read("cub200", root, CUB_COUNTS)
    assert catalog.image(0).size == (40, 40)
    assert catalog.where(split="train").column("class_name")[::3] == [
        "Black footed Albatross",
        "Bird of 2",
        "Bird of 100",
    ]
    assert {*catalog.where(split="test").column("label")} == {"101 Bird of 101", "150 Bird of 150", "200 Bird of 200"}


def test_what_a_stopped_call_left_is_not_taken_for_whole(tmp_path: Path) -> None:
    as_tar(tmp_path / "CUB_200_2011.tgz", cub())
    laid_out(tmp_path / ".CUB_200_2011.tgz.partial", {"CUB_200_2011/images.txt": b"1 half\n"})
    assert len(read("cub200", tmp_path, CUB_COUNTS)) == 18


def test_cub_attributes_become_words(tmp_path: Path) -> None:
    catalog = read("cub200", laid_out(tmp_path, cub()), CUB_COUNTS)
    first, second = catalog.table.slice(0, 1).to_pylist()[0], catalog.table.slice(3, 1).to_pylist()[0]
    assert first["attributes"] == "bill shape curved up or down, wing color grey"
    assert first["text"] == "Black footed Albatross. bill shape curved up or down, wing color grey"
    # Of 100 people 39.9 saw a grey wing: too few. The cone beats the curve.
    assert second["attributes"] == "bill shape cone"


def test_cub_without_attributes_has_the_name(tmp_path: Path) -> None:
    files = {name: content for name, content in cub().items() if "attribute" not in name or "images" in name}
    catalog = read("cub200", laid_out(tmp_path, files), CUB_COUNTS)
    assert catalog.column("text")[0] == "Black footed Albatross"
    assert catalog.column("attributes")[0] is None


def test_cub_captions_win_where_there_are_any(tmp_path: Path) -> None:
    captions = b"a big bird .\nit is  black\xe9 .\n"
    files = cub() | {"text_c10/001.Black_footed_Albatross/1_0.txt": captions}
    catalog = read("cub200", laid_out(tmp_path, files), CUB_COUNTS)
    first, second = catalog.table.slice(0, 2).to_pylist()
    assert first["text"] == first["captions"] == "a big bird . it is black\ufffd ."
    assert second["captions"] is None and second["text"].startswith("Black footed Albatross. bill")


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("images.txt", b"1\n", r"images.txt, line 1: 2 fields are expected, not '1'"),
        ("images.txt", b"1 ../../secret.jpg\n", r"a list names a picture that cannot be meant: .*leads outside"),
        ("images.txt", b"1 /etc/secret.jpg\n", r"leads outside"),
        ("image_class_labels.txt", b"1 1\n", r"picture 2 \(.*\) has no class in image_class_labels.txt"),
        ("attributes/class_attribute_labels_continuous.txt", b"1 2 3\n", r"must have 200 rows of 3 numbers, as .*attr"),
        ("attributes/class_attribute_labels_continuous.txt", b"x\n", r"must have 200 rows of 3 numbers"),
    ],
)
def test_cub_with_a_damaged_list(tmp_path: Path, file: str, content: bytes, sentence: str) -> None:
    laid_out(tmp_path, cub() | {f"CUB_200_2011/{file}": content})
    with pytest.raises(CatalogError, match=sentence):
        read("cub200", tmp_path, CUB_COUNTS)


# Cars196


@pytest.mark.parametrize("layout", [cars, cars_devkit, cars_by_class, cars_parquet])
@pytest.mark.parametrize("packed", [False, True])
def test_cars_in_each_layout(tmp_path: Path, layout: Callable[[], Files], packed: bool) -> None:
    if packed:
        as_zip(tmp_path / "archive.zip", layout())
    else:
        laid_out(tmp_path, layout())
    catalog = read("cars196", tmp_path, CARS_COUNTS)
    assert {*catalog.where(split="train").column("label")} == {*CARS[:3]}
    assert {*catalog.where(split="test").column("text")} == {*CARS[3:]}
    known = {label: (make, model, year) for label, make, model, year in zip(*columns(catalog), strict=True)}
    assert [kind_shown(catalog, number) for number in range(12)] == [CARS.index(one) for one in catalog.column("label")]
    assert known["AM General Hummer SUV 2000"] == ("AM General", "Hummer SUV", "2000")
    assert known["FIAT 500 Abarth 2012"] == ("FIAT", "500 Abarth", "2012")
    assert known["Ram C/V Cargo Van Minivan 2012"] == ("Ram", "C/V Cargo Van Minivan", "2012")
    assert known["Land Rover Range Rover SUV 2012"] == ("Land Rover", "Range Rover SUV", "2012")
    assert catalog.check().usable


def kind_shown(catalog: Catalog, number: int) -> int:
    """Which of the six kinds of picture it is, by its color."""
    shown = np.asarray(catalog.image(number))[15, 15].astype(int)
    kinds = [np.asarray(decode(jpeg(kind, 0)))[15, 15].astype(int) for kind in range(6)]
    return int(np.argmin([np.abs(shown - kind).sum() for kind in kinds]))


def columns(catalog: Catalog) -> list[list[str]]:
    return [catalog.column(name) for name in ("label", "make", "model", "year")]


def test_cars_packed_as_it_was_published(tmp_path: Path) -> None:
    files = cars()
    as_tar(tmp_path / "car_ims.tgz", under(files, "car_ims/"))
    laid_out(tmp_path, under(files, "cars_annos.mat"))
    assert len(read("cars196", tmp_path, CARS_COUNTS)) == 12


def test_cars_challenge_with_a_folder_in_its_folder_and_packed_pictures(tmp_path: Path) -> None:
    files = cars_devkit()
    laid_out(tmp_path, under(files, "devkit/", "cars_test_annos"))
    laid_out(tmp_path / "cars_train", under(files, "cars_train/"))
    as_tar(tmp_path / "cars_test.tgz", under(files, "cars_test/"))
    assert len(read("cars196", tmp_path, CARS_COUNTS)) == 12


def test_cars_unpacked_by_hand_are_not_unpacked_again(tmp_path: Path) -> None:
    laid_out(tmp_path, cars_by_class())
    as_zip(tmp_path / "archive.zip", cars_by_class())
    assert len(read("cars196", tmp_path, CARS_COUNTS)) == 12
    assert not (tmp_path / "archive.zip.unpacked").exists()


TWO = np.array([["a", "b"]], dtype=object)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"notes.txt": b"x"}, "holds none of the known layouts of Cars196: cars_annos.mat and car_ims; devkit"),
        (under(cars(), "car_ims") | {"cars_annos.mat": b"x"}, r"is not the MATLAB file of Cars196 \(.*download it aga"),
        (under(cars(), "car_ims") | {"cars_annos.mat": matlab(other=1)}, r"Cars196 \(it has no annotations\)"),
        (
            under(cars(), "car_ims") | {"cars_annos.mat": matlab(class_names=["a"], annotations=[1, 2])},
            r"cars_annos.mat is not the MATLAB file of Cars196 \(.*; download it again",
        ),
        (cars_devkit() | {"devkit/cars_meta.mat": matlab(class_names=TWO)}, "there is no class 3; there are 2"),
        (under(cars(), "cars_annos"), "holds no car_ims, neither unpacked nor in an archive"),
        (under(cars_devkit(), "devkit", "cars_train", "cars_test/"), "holds no cars_test_annos_withlabels.mat"),
        ({"data/a.parquet": b"PAR1"}, "is not Cars196 as the Hub has it"),
    ],
)
def test_cars_that_cannot_be_read(tmp_path: Path, files: Files, sentence: str) -> None:
    with pytest.raises(CatalogError, match=sentence):
        read("cars196", laid_out(tmp_path, files), CARS_COUNTS)


def test_cars_parquet_without_the_names_of_its_labels(tmp_path: Path) -> None:
    laid_out(tmp_path, cars_parquet())
    for path in (tmp_path / "data").iterdir():
        pa.parquet.write_table(pa.parquet.read_table(path).replace_schema_metadata(None), path)
    with pytest.raises(
        CatalogError, match=r"not Cars196 as the Hub has it \(image, label, and the names of the labels"
    ):
        read("cars196", tmp_path, CARS_COUNTS)


# Stanford Online Products, In-Shop, iNaturalist


def test_sop_has_its_super_class_as_text(tmp_path: Path) -> None:
    as_zip(tmp_path / "Stanford_Online_Products.zip", sop())
    catalog = read("sop", tmp_path, SOP_COUNTS)
    assert row(catalog, "coffee_maker_final/11319_1.JPG") | {"image": ""} == {
        "item_id": "coffee_maker_final/11319_1.JPG",
        "image": "",
        "label": "11319",
        "text": "coffee maker",
        "split": "test",
        "super_class": "coffee maker",
    }
    assert catalog.image(9).size == (40, 40)


def test_inshop_as_it_is_shared(tmp_path: Path) -> None:
    files = inshop()
    laid_out(tmp_path / "In-shop Clothes Retrieval Benchmark", under(files, "Eval/", "Anno/"))
    as_zip(tmp_path / "In-shop Clothes Retrieval Benchmark" / "Img" / "img.zip", under(files, "img/"))
    catalog = read("inshop", tmp_path, INSHOP_COUNTS)
    first = row(catalog, "img/WOMEN/Blouses_Shirts/id_00000001/00_1_front.jpg")
    assert first["text"] == "Blouses Shirts. Sea green. A woven blouse. Concealed placket"
    assert (first["gender"], first["color"], first["role"], first["split"]) == ("women", "Sea green", None, "train")
    assert row(catalog, "img/MEN/Denim/id_00000002/00_1_front.jpg")["text"] == "Denim"
    assert catalog.where(role="query").column("split") == ["test"] * 4
    assert catalog.where(role="gallery").column("label") == ["id_00000004"] * 2 + ["id_00000005"] * 2


def test_inshop_without_descriptions_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    laid_out(tmp_path, under(inshop(), "Eval/", "img/"))
    assert {*read("inshop", tmp_path, INSHOP_COUNTS).column("text")} == {"Blouses Shirts", "Denim"}
    assert "holds no list_description_inshop.json: the text is the category alone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("Eval/list_eval_partition.txt", b"1\nx\nimg/a.jpg id_1 test\n", "img/a.jpg is 'test', which is none of train"),
        ("Anno/list_item_inshop.txt", b"1\nid_7\n", "shows id_00000001, which .*list_item_inshop.txt does not list"),
        ("Anno/list_description_inshop.json", b"[", "is no JSON: .*download it again"),
        ("Anno/list_description_inshop.json", b"[3]", "must be a list of {item, color, description}"),
    ],
)
def test_inshop_with_a_damaged_list(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    with pytest.raises(CatalogError, match=sentence):
        read("inshop", laid_out(tmp_path, inshop() | {name: content}), INSHOP_COUNTS)


def test_inaturalist_in_the_published_split(tmp_path: Path) -> None:
    files = inaturalist()
    for part in ("train2018.json", "val2018.json", "categories.json"):
        as_tar(tmp_path / f"{part}.tar.gz", under(files, part))
    as_tar(tmp_path / "train_val2018.tar.gz", under(files, "train_val2018/"))
    laid_out(tmp_path, under(files, "Inat_dataset_splits"))
    catalog = read("inaturalist2018", tmp_path, INATURALIST_COUNTS)
    assert {*catalog.where(split="train").column("label")} == {"0", "6000"}
    texts = dict(zip(catalog.column("label"), catalog.column("text"), strict=True))
    assert texts == {"0": "Animalia Corvidae Corvus Corvus corax", "6000": "Aves", "1": "Plantae", "6001": "Plantae"}


def test_inaturalist_without_the_lists_is_split_by_number(tmp_path: Path) -> None:
    files = inaturalist()
    laid_out(tmp_path, under(files, "train", "val", "train_val2018"))
    catalog = read("inaturalist2018", tmp_path, INATURALIST_COUNTS)
    assert {*catalog.where(split="train").column("label")} == {"0", "1"}
    assert catalog.column("text")[0] == "0"  # the first release has numbers for names
    with pytest.raises(CatalogError, match=r"train has 6 pictures of 2 classes instead of 325,846 of 5,690"):
        BENCHMARKS["inaturalist2018"].read(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("val2018.json", b"{}", "val2018.json lacks images or annotations"),
        ("Inat_dataset_splits/Inaturalist_train_set1.txt", b"train_val2018/a.jpg\n", "a.jpg is in none of train2018"),
    ],
)
def test_inaturalist_with_a_damaged_list(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    with pytest.raises(CatalogError, match=sentence):
        read("inaturalist2018", laid_out(tmp_path, inaturalist() | {name: content}), INATURALIST_COUNTS)


# Studio and street, and any catalog


def test_studio_and_street_folders(tmp_path: Path) -> None:
    as_zip(tmp_path / "fashion.zip", studio_street())
    catalog = Catalog.read(f"studio_street:{tmp_path}")
    assert {*catalog.where(split="train").column("label")} == {"felt_hat", "long_coat"}
    assert catalog.where(domain="street").column("text")[:3] == ["felt hat", "felt hat", "long coat"]
    assert len(catalog) == 16


def test_studio_and_street_in_a_table(tmp_path: Path) -> None:
    files = laid_out(tmp_path, studio_street())
    rows = [f"{name},{name.split('/')[1]},{name.split('/')[0]},a thing" for name in studio_street()]
    (files / "items.csv").write_text("\n".join(["image,label,domain,text", *rows]), encoding="utf-8")
    catalog = Catalog.read(f"studio_street:{tmp_path}")
    assert {*catalog.where(split="test").column("label")} == {"red_bag", "wool_sock"}
    assert {*catalog.column("text")} == {"a thing"}
    (files / "items.csv").write_text("image,label,domain\nstudio/felt_hat/0.jpg,a,indoor\n", encoding="utf-8")
    with pytest.raises(CatalogError, match=r"the domains must be studio and street, not \['indoor'\]"):
        Catalog.read(f"studio_street:{tmp_path}")
    (files / "items.csv").write_text("image,label\nstudio/felt_hat/0.jpg,a\n", encoding="utf-8")
    with pytest.raises(CatalogError, match=r"items.csv has no column domain"):
        Catalog.read(f"studio_street:{tmp_path}")
    (files / "more.csv").write_text("image\n", encoding="utf-8")
    with pytest.raises(CatalogError, match=r"holds 2 tables; keep one"):
        Catalog.read(f"studio_street:{tmp_path}")


def test_any_catalog_by_halves(make_folder: Callable[..., Path]) -> None:
    catalog = Catalog.read(f"half:{make_folder()}")
    assert {*catalog.where(split="train").column("label")} == {"bag", "boot"}
    assert {*catalog.where(split="test").column("label")} == {"coat", "dress"}
    assert catalog.understood["split"] == "the half of the classes"


def test_halves_replace_a_split_and_need_labels(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image,label,split\na.png,x,test\nb.png,y,train\nc.png,,train\n", encoding="utf-8")
    assert Catalog.read(f"half:{tmp_path}/a.csv").column("split") == ["train", "test", "train"]
    (tmp_path / "a.csv").write_text("image\na.png\n", encoding="utf-8")
    with pytest.raises(CatalogError, match=r"a.csv has no labels; name the column"):
        Catalog.read(f"half:{tmp_path}/a.csv")


def test_the_later_half_by_hand() -> None:
    assert later_half(["b", "a", None, "c", "b"]).tolist() == [False, False, False, True, False]
    with pytest.raises(CatalogError, match="classes cannot be split: there are 1"):
        later_half(["a", None])


# What is missing


def test_numbers_that_are_not_the_published_ones(tmp_path: Path) -> None:
    laid_out(tmp_path, cub())
    with pytest.raises(CatalogError) as caught:
        Catalog.read(f"cub200:{tmp_path}")
    assert str(caught.value) == (
        f"{tmp_path} does not hold all of CUB-200-2011: train has 9 pictures of 3 classes instead of 5,864 of 100; "
        f"test has 9 pictures of 3 classes instead of 5,924 of 100; mend it, or to go on with what is there, name it "
        f"cub200-part:{tmp_path}"
    )
    assert len(Catalog.read(f"cub200-part:{tmp_path}")) == 18
    for wrong in ((9, 4), (8, 3)):
        with pytest.raises(
            CatalogError, match=f"train has 9 pictures of 3 classes instead of {wrong[0]} of {wrong[1]}"
        ):
            read("cub200", tmp_path, {"train": wrong, "test": (9, 3)})


def test_pictures_that_are_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    laid_out(tmp_path, cub())
    (tmp_path / "CUB_200_2011/images/001.Black_footed_Albatross/1_1.jpg").unlink()
    with pytest.raises(CatalogError, match=r"1 of 18 pictures of CUB-200-2011 are missing, '001.*/1_1.jpg' first; put"):
        read("cub200", tmp_path, CUB_COUNTS)
    assert len(Catalog.read(f"cub200-part:{tmp_path}")) == 17
    assert "1 of 18 pictures are missing and left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("cub200:{}/none", "there is no folder .*/none; name the one with the archives"),
        ("cub200:{}", "holds no images.txt, neither unpacked nor in an archive; see docs/datasets.md"),
        ("cub200:{}/notes.txt", "notes.txt is no zip or tar file; name the folder"),
        ("cub20:{}", "there is no catalog at cub20:.*, and no data set 'cub20'. Did you mean 'cub200'"),
        ("studio_street:{}", "holds no studio, neither"),
        ("half:{}/none.csv", "there is no catalog at .*/none.csv"),
    ],
)
def test_nothing_there(tmp_path: Path, path: str, sentence: str) -> None:
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(CatalogError, match=sentence):
        Catalog.read(path.format(tmp_path))


LONG = os.environ.get("LOOKALIKE_LONG") == "1"
LISTS = (".txt", ".json", ".mat", ".csv", ".parquet")


@pytest.mark.parametrize(
    ("layout", "damages"),
    # Each MATLAB file is read in a process of its own, which takes half a second.
    [(cub, 40), (cars, 200 if LONG else 4), (cars_parquet, 200), (sop, 200), (inshop, 200), (inaturalist, 200)],
)
def test_damaged_lists_are_read_or_refused_in_a_sentence(
    layout: Callable[[], Files], damages: int, tmp_path: Path
) -> None:
    """Bits flipped, lines lost, cut off, words swapped."""
    rng, files, refused = random.Random(7), layout(), 0
    names = sorted(name for name in files if name.endswith(LISTS))
    (name,) = [name for name, (make, _) in MAKERS.items() if layout.__name__.startswith(make.__name__)]
    laid_out(tmp_path, files)
    for _ in range(damages):
        file = rng.choice(names)
        laid_out(tmp_path, {file: damaged(files[file], rng)})
        try:
            BENCHMARKS[name].read(tmp_path, partial=True)
        except CatalogError as error:
            refused += 1
            assert str(tmp_path) in str(error)
        laid_out(tmp_path, {file: files[file]})
    assert refused > 1


def test_a_reader_that_crashes_takes_nobody_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen with scipy 1.17 and a file with one byte changed."""
    monkeypatch.setattr(matlab_module, "READER", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(CatalogError, match=r"cars_annos.mat is not the MATLAB file of Cars196 \(its reader crashed\)"):
        read("cars196", laid_out(tmp_path, cars()), CARS_COUNTS)


def damaged(content: bytes, rng: random.Random) -> bytes:
    kind, place = rng.randrange(5), rng.randrange(len(content))
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]
    if kind == 2:
        return content.replace(
            rng.choice(content.split() or [b"x"]), rng.choice([b"", b"x", b"-1", b"\xff\0", b"[]"]), 1
        )
    if kind == 3:
        return content[place:]
    rows = content.split(b"\n")
    return b"\n".join(rng.sample(rows, len(rows) // 2))


def test_a_part_without_any_picture(tmp_path: Path) -> None:
    laid_out(tmp_path, {name: content for name, content in cub().items() if not name.endswith(".jpg")})
    with pytest.raises(CatalogError, match="holds no pictures of CUB-200-2011"):
        Catalog.read(f"cub200-part:{tmp_path}")


def test_a_file_with_a_colon_in_its_name_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cub200:a.csv").write_text("image\na.png\n", encoding="utf-8")
    assert len(Catalog.read("cub200:a.csv")) == 1


def test_another_column_as_text(tmp_path: Path) -> None:
    laid_out(tmp_path, cub())
    assert Catalog.read(f"cub200-part:{tmp_path}", text="class_name").column("text")[0] == "Black footed Albatross"
