"""The weight store against a real HTTP server: whole files or none, the official file or none."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from talkhead_core.audio.denoise.denoiser import DENOISERS
from talkhead_core.audio.features import FEATURES
from talkhead_core.errors import InputError, NotAvailableError, ParameterError
from talkhead_core.face.landmarks import LANDMARKERS
from talkhead_core.inpaint.inpainter import INPAINTERS
from talkhead_core.motion.optical_flow import OPTICAL_FLOWS
from talkhead_core.segmentation.segmenter import SEGMENTERS
from talkhead_core.weights.catalogue import _SETS, CATALOGUE, WeightFile, WeightSet
from talkhead_core.weights.store import Origin, StoredFile, pull, stored_files, verify, weight_set
from talkhead_core.weights.usage import bundled_in_use, check_commercial, sets_in_use

CONTENT = bytes(range(256)) * 9000  # more than one block
ASKED: list[str] = []
VERSION = {"tag": '"one"'}
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/cut.bin":
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT) + 1))
            self.end_headers()
            self.wfile.write(CONTENT)
        elif self.path.startswith("/breaks"):
            self._break_off()
        else:
            super().do_GET()

    def _break_off(self) -> None:
        """Serve ranges of a file, and break off the first answer after a third; ``ASKED`` notes what was asked for."""
        asked, version = self.headers.get("Range"), VERSION["tag"]
        ASKED.append(asked or "all")
        same = self.headers.get("If-Range") in (None, version)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and same else 0
        self.send_response(206 if asked and same else 200)
        self.send_header("ETag", version)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : len(CONTENT) // 3] if len(ASKED) == 1 else CONTENT[start:])


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    published = tmp_path / "published"
    published.mkdir()
    (published / "a.bin").write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(published)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def _set(address: str, name: str = "a.bin", sha256: str = "") -> WeightSet:
    file = WeightFile(file=f"sub/{name}", source=f"{address}/{name}", size_mb=2.3, sha256=sha256)
    return WeightSet(name="test", files=(file,), licence="none", commercial=True, use="")


def _stored(folder: Path, wanted: WeightSet) -> StoredFile:
    path = folder / wanted.files[0].file
    return StoredFile(weight_set=wanted, file=wanted.files[0], path=path, size_bytes=path.stat().st_size if path.is_file() else None)


def test_pull_fetches_once_and_tells_how_far_it_is(address: str, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder, wanted = tmp_path / "weights", _set(address, sha256=DIGEST[:10])
    (path,) = pull(folder, wanted, lambda done, total, note="": seen.append((done, total)))
    assert path.read_bytes() == CONTENT and seen[-1] == (len(CONTENT), len(CONTENT)) and len(seen) > 1
    assert pull(folder, wanted, lambda *_: pytest.fail("fetched again")) == [path]
    assert verify(folder, _stored(folder, wanted)) == DIGEST


@pytest.mark.parametrize(
    ("name", "sha256", "message"),
    [("a.bin", "00", "is not the official file"), ("none.bin", "", "cannot be fetched"), ("cut.bin", "", "ended after|cannot be fetched")],
)
def test_what_is_not_the_whole_official_file_leaves_nothing(address: str, tmp_path: Path, name: str, sha256: str, message: str) -> None:
    folder = tmp_path / "weights"
    with pytest.raises(NotAvailableError, match=message):
        pull(folder, _set(address, name, sha256))
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} <= ({".part", ".part-tag"} if name == "cut.bin" else set())


@pytest.mark.parametrize("changed", [False, True])
def test_a_broken_download_goes_on_where_it_ended_unless_the_file_has_changed(address: str, tmp_path: Path, changed: bool) -> None:
    ASKED.clear()
    VERSION["tag"] = '"one"'
    folder, wanted = tmp_path / "weights", _set(address, "breaks.bin", sha256=DIGEST)
    with pytest.raises(NotAvailableError, match="ended after|cannot be fetched"):
        pull(folder, wanted)
    assert (folder / "sub" / "breaks.bin.part").stat().st_size == len(CONTENT) // 3
    assert not (folder / "sub" / "breaks.bin").exists()
    VERSION["tag"] = '"two"' if changed else '"one"'
    (path,) = pull(folder, wanted)
    assert path.read_bytes() == CONTENT
    assert ["all", f"bytes={len(CONTENT) // 3}-"] == ASKED
    assert sorted(file.name for file in folder.rglob("*") if file.is_file()) == ["breaks.bin", "weights.json"]


def test_a_mirror_is_asked_instead_of_the_publisher(address: str, tmp_path: Path) -> None:
    wanted = _set("https://nowhere.invalid", sha256=DIGEST)
    (tmp_path / "published" / "sub").mkdir()
    (tmp_path / "published" / "sub" / "a.bin").write_bytes(CONTENT)
    for number, mirror in enumerate((address, f"{address}/", str(tmp_path / "published"))):
        (path,) = pull(tmp_path / f"weights{number}", wanted, origin=Origin(mirror=mirror))
        assert path.read_bytes() == CONTENT
    with pytest.raises(NotAvailableError, match="cannot be read"):
        pull(tmp_path / "weights3", wanted, origin=Origin(mirror=str(tmp_path / "empty")))
    assert not [path for path in (tmp_path / "weights3").rglob("*") if path.is_file()]


def test_offline_nothing_is_fetched_but_from_a_folder(address: str, tmp_path: Path) -> None:
    with pytest.raises(NotAvailableError, match="offline"):
        pull(tmp_path / "weights", _set(address), origin=Origin(offline=True))
    mirror = tmp_path / "disk"
    (mirror / "sub").mkdir(parents=True)
    (mirror / "sub" / "a.bin").write_bytes(CONTENT)
    (path,) = pull(tmp_path / "weights", _set(address), origin=Origin(mirror=str(mirror), offline=True))
    assert path.read_bytes() == CONTENT


def test_what_may_not_be_used_commercially_is_refused_by_name() -> None:
    parameters = {"speech_features": {"method": "log_mel"}, "landmarks": {"landmarker": "face_landmarker"}, "segment": {}}
    assert [each.name for each in sets_in_use(parameters)] == ["face_landmarker"]
    check_commercial(parameters)
    with pytest.raises(ParameterError, match=r"speech_features\.method is 'ave'.*CC BY-NC"):
        check_commercial({**parameters, "speech_features": {"method": "ave"}})
    with pytest.raises(ParameterError, match=r"speech_features\.method is 'ave'.*CC BY-NC"):
        check_commercial({**parameters, "speech_features": {"method": "log_mel+ave"}})


def test_weights_inside_packages_are_listed_where_they_are_used() -> None:
    assert len(bundled_in_use({"speech_features": {"method": "log_mel"}})) == 1
    assert "speech embedding" in bundled_in_use({"speech_features": {"method": "log_mel+speech_embedding"}})[1].what


def test_every_choice_in_the_catalogue_is_a_back_end() -> None:
    registries = {
        ("landmarks", "landmarker"): LANDMARKERS, ("speech_features", "method"): FEATURES, ("denoise", "method"): DENOISERS,
        ("segment", "segmenter"): SEGMENTERS, ("flow_masks", "method"): OPTICAL_FLOWS, ("inpaint", "method"): INPAINTERS,
    }  # fmt: skip
    for each in CATALOGUE.values():
        for section, key, value in each.chosen_by:
            assert value in registries[section, key], each.name
        assert each.licence and all(file.size_mb > 0 for file in each.files)
        assert bool(each.chosen_by) != each.use.startswith("nothing")


@pytest.mark.parametrize("sha256", ["", DIGEST])
def test_a_file_that_changed_is_noticed(address: str, tmp_path: Path, sha256: str) -> None:
    folder, wanted = tmp_path / "weights", _set(address, sha256=sha256)
    (path,) = pull(folder, wanted)
    path.write_bytes(CONTENT + b"x")
    with pytest.raises(InputError, match="models pull test"):
        verify(folder, _stored(folder, wanted))
    path.unlink()
    with pytest.raises(NotAvailableError, match="is not here; run 'talkhead models pull test'"):
        verify(folder, _stored(folder, wanted))


def test_catalogue_is_whole(tmp_path: Path) -> None:
    files = stored_files(tmp_path)
    assert {stored.weight_set.name for stored in files} == set(CATALOGUE) and len(CATALOGUE) == len(_SETS)
    assert all(stored.size_bytes is None and stored.file.source.startswith("https://") for stored in files)
    assert len({stored.path for stored in files}) == len(files)
    with pytest.raises(ParameterError, match="did you mean 'lama'"):
        weight_set("lamma")


def test_every_pull_and_every_file_that_the_core_names_exists() -> None:
    core = Path(__file__).resolve().parents[1] / "talkhead_core"
    text = "\n".join(
        path.read_text() for path in core.rglob("*.py") if not {"weights", "interop"} & {*path.parts} and path.name != "not_available.py"
    )
    advised = set(re.findall(r"talkhead models pull ([\w-]+)", text)) - {"NAME"}
    assert advised <= set(CATALOGUE) and {"lama", "fan"} <= advised
    named = set(re.findall(r'"([\w.-]+\.(?:pth\.tar|pth|pt|task|bin))"', text))
    assert named <= {Path(file.file).name for each in CATALOGUE.values() for file in each.files}


def test_what_to_set_is_what_params_hold() -> None:
    params = yaml.safe_load((Path(__file__).resolve().parents[1] / "params.yaml").read_text())
    for each in CATALOGUE.values():
        if not each.use.startswith("nothing"):
            ((section, values),) = yaml.safe_load(each.use).items()
            assert set(values) - {"weights"} <= set(params[section]), each.name
