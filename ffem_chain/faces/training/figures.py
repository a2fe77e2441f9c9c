"""The figures of docs/FACES.md and of the model card, and the sample sheet; measured anew for any weights.

    python -m ffem_chain.faces.training.figures --sheet docs/images/samples-64.png
    python -m ffem_chain.faces.training.figures --held-out FACES      # bits a dimension, norm of the latents
    python -m ffem_chain.faces.training.figures --people FOLDER      # a folder a person: what Gram matrices tell
    python -m ffem_chain.faces.training.figures --portraits FOLDER   # one face a picture: PSNR, norm, fakes found

Figures go to stdout as JSON, one line a kind.
"""

from __future__ import annotations

import argparse
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ffem_chain.capture.model import Capture, Manifest
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow import quantise
from ffem_chain.faces.flow.rotation import rotate, unrotate
from ffem_chain.faces.flow.weights import DEFAULT_MODEL, Model, load_model, radius_ratio
from ffem_chain.faces.posing import align
from ffem_chain.faces.readers import fake
from ffem_chain.faces.seal import PRECISION, encrypt_faces
from ffem_chain.faces.training.data import HELD_OUT, dequantise, load_faces
from ffem_chain.keys import tree
from ffem_chain.keys.secret import Secret

Picture = NDArray[np.uint8]
TEMPERATURES = (0.3, 0.5, 0.7, 1.0)


def sample_sheet(model: Model, seed: int = 1) -> Picture:
    """Faces drawn from the model (nobody's): a row for each of `TEMPERATURES`, 8 columns."""
    rng = np.random.default_rng(seed)
    rows = []
    for temperature in TEMPERATURES:
        z = rng.standard_normal((8, 3 * model.size**2))
        rows.append(np.hstack(list(model.decode(model.temper(z, temperature)))))
    return np.vstack(rows)


def held_out(model: Model, folder: Path) -> dict[str, float]:
    """Bits per dimension and norm over sqrt(n) on the faces that training leaves out."""
    faces = load_faces([folder], model.size, HELD_OUT)[:256]
    generator, bits, ratios = torch.Generator().manual_seed(1), [], []
    for at in range(0, len(faces), 32):
        x = dequantise(faces[at : at + 32], generator)
        with torch.no_grad():
            bits.append(model.flow.bits_per_dimension(x))
            ratios += [radius_ratio(z) for z in model.flow.encode(x).double().numpy()]
    norm = {"norm": float(np.mean(ratios)), "norm_std": float(np.std(ratios))}
    return {"faces": len(faces), "bits": float(torch.cat(bits).mean()), **norm}


def _read(path: Path) -> Picture:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise SystemExit(f"not a picture: {path}")
    return np.ascontiguousarray(picture[:, :, ::-1], np.uint8)


def _pictures(folder: Path, most: int) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})[:most]


def _face(picture: Picture, detector: CenterFace, size: int) -> Picture | None:
    """The face nearest to the middle, aligned."""
    middle = np.array(picture.shape[1::-1]) / 2
    found = sorted(detector.detect(picture), key=lambda d: float(np.hypot(*(d.landmarks.mean(axis=0) - middle))))
    return align.warp_in(picture, align.similarity(found[0].landmarks, size), size) if found else None


def gram_matching(model: Model, folder: Path, most: int) -> dict[str, float]:
    """Share of people whom the nearest Gram matrix names, from Z_enc under a fresh key for each face (top-1)."""
    detector = CenterFace(coarse=(512,))
    pairs = []
    for person in sorted(p for p in folder.iterdir() if p.is_dir()):
        faces = [_face(_read(p), detector, model.size) for p in _pictures(person, 2)]
        if len(faces) == 2 and faces[0] is not None and faces[1] is not None:
            pairs.append(np.stack([faces[0], faces[1]]))
        if len(pairs) == most:
            break
    shown = np.stack([model.encode(pair[:1])[0] for pair in pairs])
    same = _grams(np.stack([model.encode(pair[:1])[0] for pair in pairs]))
    another = _grams(np.stack([model.encode(pair[1:])[0] for pair in pairs]))
    out: dict[str, float] = {"people": len(pairs), "chance": 1 / len(pairs)}
    for name in ("none", "block", "sphere"):
        hidden = shown if name == "none" else np.stack([_published(z, name) for z in shown])
        probes = _grams(hidden)
        out[f"{name}_another_photo"] = _top1(probes, another)
        out[f"{name}_same_photo"] = _top1(probes, same)
    return out


def _published(latent: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    z_enc, _ = rotate(latent, Secret.random(), name)
    return quantise.dequantise(quantise.quantise(z_enc))


def _grams(latents: NDArray[np.float64]) -> NDArray[np.float32]:
    """Gram matrices as unit rows, what all have in common taken out."""
    m = round((latents.shape[1] / 3) ** 0.5)
    above = np.triu_indices(3 * m)
    grams = np.stack([(z.T @ z)[above] for z in latents.reshape(-1, m, 3 * m)]).astype(np.float32)
    grams /= np.linalg.norm(grams, axis=1, keepdims=True)
    grams -= grams.mean(axis=0)
    return np.asarray(grams / np.linalg.norm(grams, axis=1, keepdims=True), np.float32)


def _top1(probes: NDArray[np.float32], gallery: NDArray[np.float32]) -> float:
    return float(np.mean(np.argmax(probes @ gallery.T, axis=1) == np.arange(len(probes))))


def portraits(model: Model, folder: Path, most: int) -> dict[str, object]:
    """Pictures with a face found; norm; PSNR of the aligned face through the flow alone (mean, dB); fakes found."""
    detector, quick = CenterFace(), CenterFace(threshold=0.5, coarse=(512,))
    pictures = [_read(path) for path in _pictures(folder, most)]
    faces = [face for face in (_face(picture, detector, model.size) for picture in pictures) if face is not None]
    quality: dict[int, list[float]] = {bits: [] for bits in quantise.BITS}
    norms = []
    for face in faces:
        latent, key = model.encode(face[None])[0], Secret.random()
        norms.append(radius_ratio(latent))
        z_enc, radius = rotate(latent, key)
        for bits, found in quality.items():
            back = unrotate(quantise.unpack(quantise.pack(z_enc, bits), z_enc.size, bits), key, radius)
            error = np.mean((model.decode(back[None])[0].astype(float) - face) ** 2)
            found.append(10 * float(np.log10(255**2 / max(error, 1e-3))))
    sealed = [_seal(picture, model, detector) for picture in pictures]
    seen = {}
    for temperature in TEMPERATURES:
        drawn = [fake(capture, image, temperature, model) for capture, image in sealed]
        seen[str(temperature)] = float(np.mean([_found(quick, p, c) for p, (c, _) in zip(drawn, sealed, strict=True)]))
    return {
        "pictures": len(pictures),
        "with_a_face": len(faces),
        "norm": float(np.mean(norms)),
        "psnr_db": {f"q{bits}": round(float(np.mean(found)), 1) for bits, found in quality.items()},
        "fakes_found": seen,
    }


def _seal(picture: Picture, model: Model, detector: CenterFace) -> tuple[Capture, Picture]:
    uid, capture_key = secrets.token_bytes(32), Secret.random()

    def face_key(index: int) -> Secret:
        return tree.face_key(capture_key, tree.FaceContext(uid, index, model.model_id, "sphere", PRECISION))

    sealed = encrypt_faces(picture, face_key, uid, model, detector)
    height, width = picture.shape[:2]
    commit, faces = tree.key_commit(capture_key, "capture"), len(sealed.public_faces)
    head = Manifest(
        uid, bytes(32), 1, 0, model.model_id, "sphere", PRECISION, model.size, width, height, faces, commit, {}
    )
    return Capture(head, sealed.public_faces, sealed.faces, b""), sealed.image


def _found(detector: CenterFace, picture: Picture, capture: Capture) -> float:
    """Share of the sealed faces in whose box the detector finds one."""
    noses = [d.landmarks[2] for d in detector.detect(picture)]
    boxes = [face.box for face in capture.public_faces if face.sealed]
    return float(np.mean([any(b.x <= x < b.right and b.y <= y < b.bottom for x, y in noses) for b in boxes]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--sheet", type=Path, help="write the sample sheet to this PNG")
    parser.add_argument("--held-out", type=Path, help="the folder that the model was trained on")
    parser.add_argument("--people", type=Path, help="a folder a person, with two photos or more")
    parser.add_argument("--portraits", type=Path, help="pictures of one face each")
    parser.add_argument("--most", type=int, default=160, help="people and portraits at most")
    args = parser.parse_args()
    model = load_model(args.model)

    def report(kind: str, measure: Callable[[], dict[str, object]]) -> None:
        began = time.monotonic()
        print(json.dumps({kind: measure(), "seconds": round(time.monotonic() - began)}), flush=True)

    print(json.dumps({"model": model.name, "model_id": model.model_id.hex(), "steps": model.steps}), flush=True)
    if args.sheet:
        args.sheet.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(args.sheet), sample_sheet(model)[:, :, ::-1])
    if args.held_out:
        report("held_out", lambda: dict(held_out(model, args.held_out)))
    if args.people:
        report("gram", lambda: dict(gram_matching(model, args.people, args.most)))
    if args.portraits:
        report("portraits", lambda: portraits(model, args.portraits, args.most))


if __name__ == "__main__":
    main()
