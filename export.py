"""The trained embedder as an ONNX file, for onnxruntime and whatever else runs ONNX; evaluate.py takes it like the weights.

    python export.py --model_weight results/train/weights/triarchy.pt               # -> results/train/weights/triarchy.onnx
    python export.py --model_weight results/train/weights/triarchy.pt --int8        # -> ...-int8.onnx, a quarter of the size
    python export.py --model_weight A.pt,B.pt                                       # -> A+B.onnx, both as one, fused

The file holds all that the weight file says of itself: settings, threshold, data trained on. --int8 reads training
photographs and validation pairs, from where the weight file says or from --data.* options, and calibrates the threshold
anew, as it is for fused weights. Weights of the recipe quantise bring the ranges of int8 with them. It takes the packages of
requirements-serve.txt.
"""

from pathlib import Path

from common.cli import FROM_THE_WEIGHT_FILE, read_arguments
from common.config import Config
from common.devices import seed_everything
from common.errors import InputError, run_script
from models.model_file import build_shipped, digest_of, files_of, is_exported, name_of, read_model_file
from models.serving import require_packages
from models.weights import load_weights
from verification.calibration import validated
from verification.evaluation import evaluation_config
from verification.quantisation import RANGES, quantised

SHORT = {"model_weight": "evaluate.model_weight", "out": "export.out", "int8": "export.int8"}
WITHOUT = (
    *("pretext", "train", "model", "similarity", "name", "results", "resume", "overwrite", "device", "data.workers"),
    *("sync_norm", "evaluate.pairs", "evaluate.data_root", "evaluate.rule", "evaluate.flip", "evaluate.masked"),
    *("evaluate.folds", "evaluate.fold_rule", "evaluate.calibrate"),
    *("identify", "templates"),
)


def export(config: Config) -> Path:
    """Write the ONNX file and return its path."""
    seed_everything(config.seed, config.threads)
    weights = config.evaluate.model_weight
    beside = Path(files_of(weights)[0]).parent
    out = Path(config.export.out or beside / f"{name_of(weights)}{'-int8' if config.export.int8 else ''}.onnx")
    if not is_exported(out):
        raise InputError(f"--out is {str(out)!r}; its name should end in .onnx, by which evaluate.py knows it")
    require_packages()
    from models.serving.graph import make_graph
    from models.serving.onnx_file import INPUT, write_model

    fused = len(files_of(weights)) > 1
    content = read_model_file(weights) if fused else load_weights(weights)
    embedder, parameters, *_ = build_shipped(content, config.model, repr(weights))
    graph = make_graph(embedder, config.model.image_size)
    about = {**content["about"], "parameters": parameters, "input": INPUT, "source_digest": digest_of(weights)}
    if fused:
        about["validation"] = validated(embedder, config)
    if config.export.int8:
        graph, about = quantised(graph, embedder, about, config)
        if about["float_validation"]:
            before, after = (about[name]["accuracy"] for name in ("float_validation", "validation"))
            print(f"  validation accuracy {before:.2%} in float, {after:.2%} in int8")
    write_model(out, graph, about)
    print(f"  {parameters:,} parameters, {out.stat().st_size / 1e6:.2f} MB")
    return out


def main() -> None:
    arguments = read_arguments(__doc__, SHORT, without=WITHOUT, defaults=FROM_THE_WEIGHT_FILE)
    chosen = arguments.overrides.get("export", {})
    fused = len(files_of(arguments.overrides.get("evaluate", {}).get("model_weight", ""))) > 1
    if not (chosen.get("int8") or fused) and ("data" in arguments.overrides or "images" in chosen):
        raise InputError("--data.* and --export.images choose photographs to calibrate int8 on; add --int8 or leave them out")
    config = evaluation_config(arguments.configs, arguments.overrides)
    if "images" in chosen and not fused and RANGES in load_weights(config.evaluate.model_weight)["about"]:
        raise InputError("--export.images is for calibrating, and the ranges of these weights were trained; leave it out")
    print(f"model: {export(config)}")


if __name__ == "__main__":
    run_script(main)
