"""Fused embedders: their scores are the mean of the members' cosines, in evaluation and in the one ONNX file of all."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

import evaluate
import export
from common.cli import read_arguments
from common.config import make_config
from common.errors import InputError
from datasets.readers.opening import open_reader
from models.embedder import build_embedder
from models.fused import Fused, shrinking
from models.model_file import digest_of, files_of, name_of, read_embedder, read_model_file
from models.network_input import resized
from models.weights import file_digest, save_weights
from tests.tiny import draw_people
from verification.decisions import calibrate
from verification.evaluation import Evaluation, evaluation_config

LIKE = {"A": {}, "B": {"part": "upper", "embedding_size": 6}, "C": {"image_size": 48, "embedding_size": 4}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Weight files of three untrained networks, A.pt, B.pt and C.pt, that say they learned from the folder `people`."""
    root = tmp_path_factory.mktemp("fused")
    draw_people(root / "people")
    for seed, (name, model) in enumerate(LIKE.items()):
        torch.manual_seed(seed)
        write(root, name, model)
    return root


def write(root: Path, name: str, model: dict, **about) -> Path:
    chosen = {"backbone": "small", "embedding_size": 8, "image_size": 32, **model}
    data = {"reader": "folder", "root": str(root / "people"), "cache": ""}
    config = make_config({"model": chosen, "data": data})
    embedder = build_embedder(config.model)
    said = {"config": {"model": asdict(config.model), "data": asdict(config.data), "similarity": "cosine"}, **about}
    return save_weights(root / f"{name}.pt", "embedder", embedder.state_dict(), said)


def evaluated(folder: Path, weights: str, *options: str) -> tuple[np.ndarray, float]:
    """Scores of the pairs, and the threshold."""
    words = ["--model_weight", weights, "--results", str(folder), "--name=x", "--threads=1", "--overwrite", *options]
    arguments = read_arguments("test", evaluate.SHORT, words, evaluate.WITHOUT)
    evaluation = Evaluation(evaluation_config(arguments.configs, arguments.overrides), torch.device("cpu"))
    scores = evaluation.score(evaluation.embed())
    return scores, evaluation.threshold(scores)


def files(folder: Path, *names: str) -> str:
    return ",".join(str(folder / f"{name}.pt") for name in names)


@pytest.mark.parametrize("names", ["AB", "ABC"])
def test_the_cosine_is_the_mean_of_the_cosines(folder, names):
    fused = read_embedder(files(folder, *names))
    images = torch.randn(5, 3, fused.model.image_size, fused.model.image_size)
    cosines = []
    with torch.no_grad():
        together = fused.embedder(images)
        for name in names:
            alone = read_embedder(folder / f"{name}.pt")
            vectors = alone.embedder(resized(images, alone.model.image_size))
            vectors = vectors / vectors.norm(dim=1, keepdim=True)
            cosines.append(vectors @ vectors.T)
    assert together.shape == (5, sum({"A": 8, "B": 6, "C": 4}[name] for name in names))
    assert torch.allclose(together.norm(dim=1), torch.ones(5), atol=1e-6)
    assert torch.allclose(together @ together.T, torch.stack(cosines).mean(dim=0), atol=1e-5)
    assert fused.parameters == sum(read_embedder(folder / f"{name}.pt").parameters for name in names)


@pytest.mark.parametrize(("size", "side"), [(48, 32), (31, 16), (40, 40)])
def test_images_are_made_smaller_as_for_training(size, side):
    images, smaller = torch.randn(2, 3, size, size), shrinking(size, side)
    if size == side:
        assert smaller is None
    else:
        assert torch.allclose(smaller @ images @ smaller.T, resized(images, side), atol=1e-5)


def test_evaluation_fuses_scores_and_calibrates_on_the_validation_pairs(folder):
    rule = "--evaluate.rule=median"
    (first, _), (second, _) = (evaluated(folder, files(folder, name), rule) for name in "AB")
    scores, limit = evaluated(folder, files(folder, "A", "B"))
    assert np.abs(scores - (first + second) / 2).max() < 1e-5
    pairs = open_reader(make_config({"data": {"reader": "folder", "root": str(folder / "people")}}).data).pairs("validate")
    table = pairs.table.rename(columns={"first": "image1", "second": "image2"}).assign(same=pairs.same.astype(int))
    table.to_csv(folder / "validate.csv", index=False)
    others = ["--pairs", str(folder / "validate.csv"), "--data_root", str(folder / "people")]
    held_out, _ = evaluated(folder, files(folder, "A", "B"), rule, *others)
    assert limit == pytest.approx(calibrate(held_out, pairs.same), abs=1e-4)


def test_one_onnx_file_holds_both(folder):
    pytest.importorskip("onnxruntime")
    arguments = read_arguments("test", export.SHORT, ["--model_weight", files(folder, "A", "C"), "--threads=1"], export.WITHOUT)
    out = export.export(evaluation_config(arguments.configs, arguments.overrides))
    assert out == folder / "A+C.onnx"
    there, here = read_embedder(out), read_embedder(files(folder, "A", "C"))
    images = torch.randn(3, 3, 48, 48)
    with torch.no_grad():
        assert (there.embedder(images) - here.embedder(images)).abs().max() < 1e-4
    assert there.parameters == here.parameters and len(there.about["fused"]) == 2
    assert set(there.about["validation"]["thresholds"]) == {"plain", "flip"}
    scores, limit = evaluated(folder, str(out))
    assert limit == there.about["validation"]["thresholds"]["plain"]
    assert np.abs(scores - evaluated(folder, files(folder, "A", "C"))[0]).max() < 1e-4
    by_rate = there.about["validation"]["far"]["plain"]["1e-1"]["threshold"]
    assert evaluated(folder, files(folder, "A", "C"), "--evaluate.rule=far:1e-1")[1] == pytest.approx(by_rate, abs=1e-4)


def test_what_cannot_be_fused_is_refused(folder):
    write(folder, "large", {"max_parameters": 70_000})
    with pytest.raises(InputError, match="has 122,416 parameters together, more than model.max_parameters = 70,000"):
        read_embedder(files(folder, "large", "large"))
    torch.manual_seed(0)
    about = {"model": {"backbone": "small"}, "similarity": "euclidean"}
    save_weights(folder / "far.pt", "embedder", {}, {"config": about})
    with pytest.raises(InputError, match="far.pt' compares by 'euclidean'; fused embeddings are compared by their cosine"):
        read_model_file(files(folder, "A", "far"))
    with pytest.raises(InputError, match=r"B.onnx cannot be fused; fuse the .pt files"):
        read_model_file(f"{folder / 'A.pt'},B.onnx")
    with pytest.raises(InputError, match="absent.pt' cannot be read"):
        read_model_file(files(folder, "A", "absent"))


def test_people_whom_one_of_them_has_seen_are_refused(folder):
    data = {"reader": {"name": "folder", "split_seed": 1}, "root": str(folder / "people")}
    config = {"model": {"backbone": "small", "embedding_size": 8, "image_size": 32}, "data": data}
    state = torch.load(folder / "A.pt", weights_only=True)["state"]
    save_weights(folder / "other.pt", "embedder", state, {"config": config})
    with pytest.raises(InputError, match=r"was trained with data.reader.split_seed = 1, and now data.reader.split_seed = None"):
        evaluation_config([], {"evaluate": {"model_weight": files(folder, "A", "other")}})


def test_names_with_commas_are_names(folder):
    odd = folder / "one,two.pt"
    odd.write_bytes((folder / "A.pt").read_bytes())
    assert files_of(odd) == [str(odd)] and name_of(odd) == "one,two" and digest_of(odd) == file_digest(odd)
    assert files_of("a/x.pt, y.pt") == ["a/x.pt", "y.pt"] and name_of("a/x.pt,y.pt") == "x+y"


def test_a_fused_embedder_is_a_module():
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(4))
    assert Fused([linear, linear], [8, 8]).eval()(torch.randn(2, 3, 8, 8)).shape == (2, 8)
