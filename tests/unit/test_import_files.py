"""Is an ONNX file read as far as it must be, and no further?"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")

from onnx_models import classifier, model, node, saved, weight  # noqa: E402

from wavecore.errors import FileError  # noqa: E402
from wavecore.importers import files  # noqa: E402
from wavecore.importers.files import read_structure  # noqa: E402
from wavecore.importers.onnx import import_onnx  # noqa: E402

BIG = model([node("Conv", "x w", "y")], [weight("w", 64, 3, 64, 64)], data=(1, 3, 64, 64))


def external(location: str) -> onnx.ModelProto:
    """A model whose weight lies in another file."""
    proto = classifier()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return proto


def test_the_structure_is_what_onnx_reads_there(tmp_path: Path) -> None:
    structure, sha256 = read_structure(saved(tmp_path, classifier()))
    left, whole = onnx.ModelProto.FromString(structure).graph, classifier().graph
    assert list(left.node) == list(whole.node)
    assert list(left.initializer) == list(whole.initializer)
    assert list(left.input) == list(whole.input) and list(left.output) == list(whole.output)
    assert sha256 == hashlib.sha256(classifier().SerializeToString()).hexdigest()


def test_weights_are_stepped_over(tmp_path: Path) -> None:
    path = saved(tmp_path, BIG)
    structure, _ = read_structure(path)
    assert path.stat().st_size > 3_000_000 and len(structure) < 1000
    (tensor,) = onnx.ModelProto.FromString(structure).graph.initializer
    assert list(tensor.dims) == [64, 3, 64, 64] and not tensor.raw_data
    assert import_onnx(path).graph.parameter_count == 64 * 3 * 64 * 64


def test_subgraphs_functions_and_comments_are_left_out(tmp_path: Path) -> None:
    proto = classifier()
    proto.graph.node[0].doc_string = proto.doc_string = "what a comment says"
    proto.graph.node[0].attribute.append(onnx.helper.make_attribute("body", classifier().graph))
    proto.functions.add(name="what a function is called")
    structure, _ = read_structure(saved(tmp_path, proto))
    assert b"what a" not in structure and structure.count(b"bn.mean") == 2
    assert import_onnx(saved(tmp_path, proto)).graph == import_onnx(saved(tmp_path, classifier())).graph


@pytest.mark.parametrize("location", ["model.data", "weights/model.data", "./model.data", "a..b"])
def test_external_data_inside_the_folder_are_never_opened(tmp_path: Path, location: str) -> None:
    path = saved(tmp_path, external(location))
    assert import_onnx(path).graph.parameter_count == 8 * 27 + 16 + 1290


@pytest.mark.parametrize("location", ["/etc/passwd", "../model.data", "a/../../b", "C:\\model.data", "..\\x", "a\0b"])
def test_external_data_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(FileError, match="outside the model's folder"):
        import_onnx(saved(tmp_path, external(location)))


def test_external_data_behind_a_link_are_refused(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_text("")
    (inside / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(FileError, match="outside the model's folder"):
        import_onnx(saved(inside, external("link")))
    (inside / "circle").symlink_to(inside / "circle")
    with pytest.raises(FileError, match="outside the model's folder"):
        import_onnx(saved(inside, external("circle")))
    (inside / "folder").symlink_to(tmp_path)
    with pytest.raises(FileError, match="outside the model's folder"):
        import_onnx(saved(inside, external("folder/secret")))


def test_a_file_that_would_never_end_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(FileError, match="is not a regular file"):
        read_structure(tmp_path / "pipe.onnx")


def test_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, classifier())
    for limit, value, what in (
        ("LARGEST_FILE_BYTES", 1000, r"bytes, more than the limit of 1000"),
        ("LARGEST_STRUCTURE_BYTES", 100, r"has more than 100 bytes besides its weights"),
        ("MOST_FIELDS", 10, r"has more than 10 fields"),
    ):
        with monkeypatch.context() as patched, pytest.raises(FileError, match=what):
            patched.setattr(files, limit, value)
            read_structure(path)


def test_a_sparse_file_of_gigabytes_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(files.LARGEST_FILE_BYTES + 1)
    with pytest.raises(FileError, match="more than the limit of"):
        read_structure(path)
