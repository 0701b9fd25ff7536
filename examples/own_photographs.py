"""From a folder of photographs to a decision about two of them, step by step.

    python -m examples.own_photographs                     # twelve synthetic people of the repository, some minutes
    python -m examples.own_photographs --root faces        # your own: one folder per person, two photographs or more in each
    python -m examples.own_photographs --quick             # a tiny network, in seconds: to see the steps, not to learn much

Start it in the repository's folder. Everything that the scripts at the root do can be called from Python, as here.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from common.config import read_config
from common.errors import run_script
from common.files import existing_folder
from datasets.photographs.cutting import square
from datasets.photographs.decoding import read_photograph
from datasets.readers.opening import open_reader
from models.embed import embed_images
from models.model_file import read_embedder
from models.weights import calibrated_threshold
from run import run

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "folder.yaml"
QUICK = {
    "threads": 1,
    "model": {"backbone": "small", "head": "pool", "embedding_size": 64, "image_size": 48},
    "pretext": {"epochs": 1, "recipe": {"steps": 4}},
    "train": {"epochs": 3, "recipe": {"steps": 6, "whiten": 100}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="", help="folder with one folder of photographs per person")
    parser.add_argument("--out", default="results/example", help="folder of all that is written (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a tiny network and few steps")
    options = parser.parse_args()
    out = Path(options.out)

    # 1. The photographs: one folder per person. Without a folder of yours, some of the synthetic people.
    what = "your folder, with one folder of photographs per person"
    faces = existing_folder(options.root, what) if options.root else synthetic_people(out / "faces", people=12)
    print(f"1. {len(list(faces.glob('*/*')))} photographs of {len(list(faces.glob('*/')))} people in {faces}")

    # 2. The settings: those of configs/folder.yaml, and what is different here. On the command line this is
    #       python run.py --data.reader=folder --data.root=FACES --results=OUT --name=example
    settings = {"name": "example", "results": str(out), "overwrite": True, "data": {"reader": "folder", "root": str(faces)}}
    config = read_config([CONFIG], settings | (QUICK if options.quick else {}))

    # 3. The people are split: the test people are seen by nobody before the end.
    reader = open_reader(config.data)
    for split in ("train", "validate", "test"):
        known = reader.faces(split)
        print(f"3. {split}: {len(known.identities)} people, {len(known)} photographs")

    # 4. Training in two stages, and the evaluation on pairs of the test people.
    submission = run(config)

    # 5. The scores: higher is more alike. The clearest and the most doubtful pairs are worth a look.
    scores = pd.read_csv(submission.with_name("example_scores.csv"))
    print("5. the pairs most alike and least alike, by the model:")
    print(scores.sort_values(scores.columns[-1]).iloc[[-1, -2, 1, 0]].to_string(index=False))

    # 6. The model, from its file alone: which size it reads, how it compares and where it decides is inside.
    shipped = read_embedder(out / "train" / "weights" / "example.pt")
    flip = shipped.about["evaluate"]["flip"]  # whether mirror images are embedded as well
    threshold = calibrated_threshold({"about": shipped.about}, flip)

    # 7. Two photographs, decided: each is cut to a square, embedded, and the two embeddings are compared.
    test = reader.faces("test")
    first, second = test.file_names[0], test.file_names[-1]
    images = [square(read_photograph((test.root / name).read_bytes()), shipped.model.image_size) for name in (first, second)]
    one, other = embed_images(shipped.embedder, images, [first, second], flip=flip).vectors(flip)
    score = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    answer = "the same person" if score >= threshold else "different people"
    print(f"7. {first} and {second}: score {score:.3f}, threshold {threshold:.3f}: {answer}")


def synthetic_people(folder: Path, people: int) -> Path:
    """folder/<person>/<photograph>.jpg of some of the twin's people, seen from the five cameras nearest to the front."""
    everybody = open_reader(read_config([]).data).faces("train")
    chosen = everybody.of_identities(everybody.identities[:people]).table
    for name, person in chosen[chosen["angle"].isin(("C3", "C6", "C7", "C8", "C11"))][["file_name", "face_id"]].to_numpy():
        (folder / person).mkdir(parents=True, exist_ok=True)
        shutil.copy(everybody.root / name, folder / person / Path(name).name)
    return folder


if __name__ == "__main__":
    run_script(main)
